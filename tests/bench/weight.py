"""What the first screen weighs, before it is painted and in all: bytes of the bodies as they travel."""

import gzip
import re
import time
from urllib.parse import urljoin, urlsplit

import httpx

from tests.bench import demo, report
from tests.bench.stock import NAVIGATION

FIRST_BAR, ALL_BAR = 10 * 1024, 25 * 1024
_ASSET = re.compile(r'(?:src|href)="(/[^"]+\.(?:js|css|svg|png|ico|woff2)[^"]*)"')


def weigh() -> None:
    with demo.folder() as folder, demo.running(folder) as process:
        env = demo.keys(folder)
        with httpx.Client(
            base_url=process.url, headers={"accept-encoding": "gzip"}, follow_redirects=True
        ) as http:
            address = _mint(http, env)
            page, first = _fetch(http, address, NAVIGATION)
            parts = {
                path: _fetch(http, urljoin(process.url, path))[1]
                for path in dict.fromkeys(_ASSET.findall(page))
            }
    whole = first + sum(parts.values())
    rows = [
        [
            "HTML with its CSS, before it is painted",
            f"{first:,}",
            f"{FIRST_BAR:,}",
            report.verdict(first <= FIRST_BAR),
        ]
    ]
    rows += [[f"  {urlsplit(path).path}", f"{size:,}", "", ""] for path, size in parts.items()]
    rows += [["in all", f"{whole:,}", f"{ALL_BAR:,}", report.verdict(whole <= ALL_BAR)]]
    report.table("First screen: bytes of the bodies as sent", ("", "bytes", "bar", ""), rows)


def _mint(http: httpx.Client, env: dict[str, str]) -> str:
    minted = http.post(
        "/v1/cancel-sessions",
        headers={"x-ck-app": env["LEAVEWELL_APP_ID"], "x-ck-api-key": env["LEAVEWELL_API_KEY"]},
        json={
            "customerId": demo.CUSTOMER_ID,
            "expiresAt": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() + 3600)),
        },
    )
    return str(minted.raise_for_status().json()["url"])


def _fetch(http: httpx.Client, url: str, headers: dict[str, str] | None = None) -> tuple[str, int]:
    """The text, and how many bytes its body took on the way."""
    with http.stream("GET", url, headers=headers) as answer:
        answer.raise_for_status()
        raw = b"".join(answer.iter_raw())
        is_packed = answer.headers.get("content-encoding") == "gzip"
        return (gzip.decompress(raw) if is_packed else raw).decode(), len(raw)
