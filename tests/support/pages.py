"""A visitor without JavaScript: follows links, fills forms in, presses buttons.

Each page that arrives is checked for what no page may get wrong: h1, title, labels, ids, form tokens, CSP.
"""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlencode, urljoin, urlsplit

import httpx
from litestar import Litestar

from tests.support.html import Element, parse

ORIGIN = "http://leavewell.test"
# The landing's button ignores its body: any site may lead here. A receipt's address is itself the secret.
WITHOUT_TOKEN = re.compile(r"/cancel/(cl_|receipts/)")

# As Chromium sends them: a link on another site, a link or button on our page, the address bar.
FROM_A_PAGE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
FROM_US = {**FROM_A_PAGE, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-User": "?1"}
FROM_NOWHERE = {**FROM_A_PAGE, "Sec-Fetch-Site": "none"}

Fields = Mapping[str, str | bool]


class Page:
    """One page as it arrived."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.status = response.status_code
        self.url = str(response.url)
        self.path = response.url.path
        self.root = parse(response.text)

    @property
    def h1(self) -> str:
        return self.root.all("h1")[0].text

    @property
    def title(self) -> str:
        return self.root.all("title")[0].text

    @property
    def text(self) -> str:
        """What stands in the body."""
        bodies = self.root.all("body")
        return (bodies[0] if bodies else self.root).text

    @property
    def buttons(self) -> list[str]:
        return [button.text for button in self.root.all("button")]

    @property
    def links(self) -> dict[str, str]:
        """Every link's words, and where it leads."""
        return {link.text: urljoin(self.url, link["href"]) for link in self.root.all("a") if link.has("href")}

    def by_id(self, name: str) -> Element:
        return next(element for element in self.root if element["id"] == name)

    def value(self, name: str) -> str | list[str]:
        """What a field holds now: what was typed, which choice is made; none or several give a list."""
        values = [
            value
            for form in self.root.all("form")
            for field, value in _successful(self.root, form)
            if field == name
        ]
        return values[0] if len(values) == 1 else values


class Visitor:
    """One browser: keeps cookies, follows redirects, sends what Chromium would."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def open(
        self, url: str, *, status: int = 200, headers: Mapping[str, str] = FROM_NOWHERE, partial: bool = False
    ) -> Page:
        """Open an address: from the address bar unless `headers` say otherwise."""
        return await self._arrive("GET", url, None, status, headers, partial)

    async def follow(
        self, page: Page, link: str, *, status: int = 200, partial: bool = False, **headers: str
    ) -> Page:
        """Follow the link with these words."""
        assert link in page.links, f"no link {link!r}; there are {sorted(page.links)}"
        return await self._arrive("GET", page.links[link], None, status, {**FROM_US, **headers}, partial)

    async def submit(
        self,
        page: Page,
        button: str,
        fields: Fields | None = None,
        *,
        status: int = 200,
        partial: bool = False,
    ) -> Page:
        """Fill the fields in (by name; True ticks a box) and press the button with these words."""
        pressed = next((found for found in page.root.all("button") if found.text == button), None)
        assert pressed is not None, f"no button {button!r}; there are {page.buttons}"
        form = _form_of(page.root, pressed)
        assert form is not None, f"the button {button!r} belongs to no form"
        data = fill(page.root, form, fields or {})
        if pressed["name"]:
            data.append((pressed["name"], pressed["value"]))
        target = urljoin(page.url, pressed["formaction"] or form["action"] or page.url)
        method = (pressed["formmethod"] or form["method"] or "get").upper()
        return await self._arrive(method, target, data, status, FROM_US, partial)

    async def _arrive(
        self,
        method: str,
        url: str,
        data: list[tuple[str, str]] | None,
        status: int,
        headers: Mapping[str, str],
        partial: bool,
    ) -> Page:
        sent = {"Accept": "text/html", **headers}
        if partial:
            sent |= {"HX-Request": "true", "HX-Request-Type": "partial", "Sec-Fetch-Dest": "empty"}
        response = await self._send(method, url, data, sent)
        assert response.status_code == status, (
            f"{method} {url}: {response.status_code}\n{response.text[:2000]}"
        )
        page = Page(response)
        check(page, partial=partial)
        return page

    async def _send(
        self, method: str, url: str, data: list[tuple[str, str]] | None, headers: Mapping[str, str]
    ) -> httpx.Response:
        request = self.client.build_request(method, url, headers=dict(headers))
        if method == "POST":
            body = urlencode(data or []).encode()
            kind = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "null"}
            request = self.client.build_request(method, url, content=body, headers={**headers, **kind})
        return await self.client.send(request)


@asynccontextmanager
async def visiting(app: Litestar, *, origin: str = ORIGIN) -> AsyncIterator[Visitor]:
    """A visitor of a running application."""
    async with app.lifespan(), new_client(app, origin=origin) as client:
        yield Visitor(client)


def new_client(app: Litestar, *, origin: str = ORIGIN) -> httpx.AsyncClient:
    """A client with cookies of its own: one more browser at an application that runs already."""
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]  # Litestar types ASGI more closely
    return httpx.AsyncClient(transport=transport, base_url=origin, follow_redirects=True)


def check(page: Page, *, partial: bool = False) -> None:
    """Raise AssertionError for anything that is wrong with a page whatever it is about."""
    faults = [*_structure(page, partial), *_labels(page), *_tokens(page), *_policy(page, partial)]
    assert not faults, f"{page.url}:\n" + "\n".join(faults)


def _structure(page: Page, partial: bool) -> list[str]:
    faults = []
    root = page.root
    if len(root.all("h1")) != 1 or not page.h1:
        faults.append(f"{len(root.all('h1'))} h1")
    if not partial:
        if [title.text for title in root.all("title") if title.inside("svg") is None] in ([], [""]):
            faults.append("no title")
        if not (root.all("html") and root.all("html")[0]["lang"]):
            faults.append("no language")
        if len(root.all("main")) != 1:
            faults.append(f"{len(root.all('main'))} main")
        if not any(meta["name"] == "viewport" for meta in root.all("meta")):
            faults.append("no viewport")
    ids = [element["id"] for element in root if element.has("id")]
    faults += [
        f"id {name!r} is there {ids.count(name)} times" for name in sorted(set(ids)) if ids.count(name) > 1
    ]
    if not partial:
        for element in root:
            for name in (
                *element["aria-describedby"].split(),
                *element["aria-labelledby"].split(),
                element["for"],
                element["form"],
            ):
                if name and name not in ids:
                    faults.append(f"<{element.tag}> refers to {name!r}, which is not there")
    faults += ["an image without alt" for image in root.all("img") if not image.has("alt")]
    return faults


def _labels(page: Page) -> list[str]:
    labelled = {label["for"] for label in page.root.all("label") if label.has("for")}
    faults = []
    for control in page.root.all("input", "textarea", "select"):
        if control["type"] in ("hidden", "submit", "button"):
            continue
        around = control.inside("label")
        named = control["aria-label"] or control["aria-labelledby"]
        if not (named or control["id"] in labelled or (around and around.text)):
            faults.append(f"no label for {control.tag} {control['name']!r}")
    faults += [
        f"a group of choices without a legend: {fieldset.text[:50]!r}"
        for fieldset in page.root.all("fieldset")
        if not fieldset.all("legend") and not fieldset["aria-labelledby"]
    ]
    faults += [
        f"{control.tag} without words"
        for control in page.root.all("button", "a")
        if not (control.text or control["aria-label"])
    ]
    return faults


def _tokens(page: Page) -> list[str]:
    faults = []
    for form in page.root.all("form"):
        action = urlsplit(urljoin(page.url, form["action"] or page.url))
        if form["method"].lower() != "post":
            continue
        fields = dict(_successful(page.root, form))
        if not fields.get("csrf_token") and not WITHOUT_TOKEN.match(action.path):
            faults.append(f"the form for {action.path} has no csrf_token")
        if action.netloc != urlsplit(page.url).netloc:
            faults.append(f"the form goes to {action.netloc}: form-action 'self' would block it in silence")
    return faults


def _policy(page: Page, partial: bool) -> list[str]:
    policy = page.response.headers.get("content-security-policy", "")
    nonce = re.search(r"style-src 'nonce-([\w-]+)'", policy)
    faults = [
        f"CSP without {needed}"
        for needed in ("default-src 'none'", "base-uri 'none'", "frame-ancestors")
        if needed not in policy
    ]
    faults += ["CSP allows unsafe-"] if "unsafe-" in policy else []
    if page.response.headers.get("referrer-policy") != "no-referrer":
        faults.append("no Referrer-Policy: no-referrer")
    if page.response.headers.get("x-content-type-options") != "nosniff":
        faults.append("no X-Content-Type-Options: nosniff")
    for element in page.root:
        if element.tag in ("style", "script") and (partial or not nonce or element["nonce"] != nonce[1]):
            faults.append(f"<{element.tag}> that the CSP blocks")
        faults += [
            f"inline {name} on <{element.tag}>" for name in element.attributes if name.startswith("on")
        ]
        if element.has("style"):
            faults.append(f"a style attribute on <{element.tag}>, which the CSP blocks")
        source = element["src"] or (element["href"] if element.tag in ("link", "use", "image") else "")
        if (
            source
            and not source.startswith("data:")
            and urlsplit(urljoin(page.url, source)).netloc != urlsplit(page.url).netloc
        ):
            faults.append(f"<{element.tag}> loads from a third party: {source}")
    return faults


def _form_of(root: Element, control: Element) -> Element | None:
    if control.has("form"):
        return next((form for form in root.all("form") if form["id"] == control["form"]), None)
    return control.inside("form")


def _controls(root: Element, form: Element) -> list[Element]:
    controls = root.all("input", "textarea", "select")
    return [
        control for control in controls if _form_of(root, control) is form and not control.has("disabled")
    ]


def _successful(root: Element, form: Element) -> list[tuple[str, str]]:
    """What a browser would send if nobody touched anything (HTML: constructing the entry list)."""
    return fill(root, form, {})


def fill(root: Element, form: Element, fields: Fields) -> list[tuple[str, str]]:
    controls = _controls(root, form)
    names = {control["name"] for control in controls}
    assert names >= fields.keys(), f"no field {sorted(fields.keys() - names)}; there are {sorted(names)}"
    sent = []
    for control in controls:
        name, kind, wanted = control["name"], control["type"] or "text", fields.get(control["name"])
        if not name or kind in ("submit", "button", "image", "reset", "file"):
            continue
        if kind in ("radio", "checkbox"):
            value = control["value"] if control.has("value") else "on"
            chosen = control.has("checked") if wanted is None else wanted in (True, value)
            if chosen and not (kind == "radio" and wanted is True):
                sent.append((name, value))
        elif control.tag == "textarea":
            typed = control.raw_text.removeprefix("\n") if wanted is None else str(wanted)
            sent.append((name, re.sub(r"\r?\n|\r", "\r\n", typed)))
        elif control.tag == "select":
            options = control.all("option")
            marked = next((option for option in options if option.has("selected")), options[0])
            sent.append((name, marked["value"] if wanted is None else str(wanted)))
        else:
            sent.append((name, control["value"] if wanted is None else str(wanted)))
    for name, wanted in fields.items():
        choices = [
            control["value"] for control in controls if control["name"] == name and control["type"] == "radio"
        ]
        assert not choices or wanted in choices, f"{name} offers {choices}, not {wanted!r}"
    return sent
