"""The files under `static/`: read once, at addresses that name their content and may be kept for good."""

import mimetypes
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from litestar import Request, Response, route
from litestar.di import NamedDependency
from litestar.enums import HttpMethod
from litestar.params import FromPath

from app.core.errors import NotFound
from app.web.compress import accepts_gzip, compress

READ = [HttpMethod.GET, HttpMethod.HEAD]  # Litestar answers HEAD with 405 unless it is named
FOREVER = "public, max-age=31536000, immutable"
_TYPES = mimetypes.MimeTypes()
_TYPES.add_type("text/javascript", ".js")
_CSS_PART = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?:/\*.*?\*/|\s)+""", re.DOTALL)
_CSS_SPACE = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')| ?([{};,]) ?|: """)


@dataclass(frozen=True, slots=True)
class Asset:
    body: bytes
    packed: bytes | None
    media_type: str
    digest: str


class Assets:
    """Everything a page may load. A file's URL changes with its content and with nothing else."""

    def __init__(self, folder: Path) -> None:
        self._files = {
            path.relative_to(folder).as_posix(): _read(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix != ".md" and not path.name.startswith(".")
        }
        self._inline = {
            name: minify_css(asset.body.decode())
            for name, asset in self._files.items()
            if name.endswith(".css")
        }

    def url(self, name: str) -> str:
        """Return the address of a file; raises KeyError for one that does not exist."""
        return f"/static/{self._files[name].digest}/{name}"

    def css(self, name: str) -> str:
        """Return a stylesheet's text to stand in a page, without comments and idle space."""
        return self._inline[name]

    def find(self, name: str) -> Asset | None:
        """Return the file of that name."""
        return self._files.get(name)


def minify_css(source: str) -> str:
    """Take out comments and the space that means nothing; strings stay as they are."""
    one_line = _CSS_PART.sub(lambda part: part[1] or " ", source)
    tight = _CSS_SPACE.sub(lambda part: part[1] or part[2] or ":", one_line)
    return tight.replace(";}", "}").strip()


@route("/static/{digest:str}/{name:path}", http_method=READ, include_in_schema=False)
async def static_file(
    request: Request[Any, Any, Any],
    digest: FromPath[str],
    name: FromPath[str],
    assets: NamedDependency[Assets],
) -> Response[bytes]:
    """Answer with a file. By an old digest (a page from before a deploy) it may not be kept."""
    asset = assets.find(name.removeprefix("/"))
    if asset is None:
        raise NotFound
    headers = {
        "Cache-Control": FOREVER if digest == asset.digest else "no-cache",
        "Vary": "Accept-Encoding",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    packed = asset.packed if accepts_gzip(request.headers.get("accept-encoding", "")) else None
    if packed is not None:
        headers["Content-Encoding"] = "gzip"
    return Response(packed or asset.body, media_type=asset.media_type, headers=headers)


def _read(path: Path) -> Asset:
    body = path.read_bytes()
    # Asked of the table in Python itself: what a system's own table says of .js differs from one to the next.
    media_type = _TYPES.guess_type(path.name)[0] or "application/octet-stream"
    return Asset(body, compress(body, level=9), media_type, sha256(body).hexdigest()[:12])
