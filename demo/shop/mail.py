"""Everybody's mailbox, to read here what Leavewell mails: the list, a mail as rendered and as source, its files."""

import asyncio
from typing import Any, Final

from litestar import HttpMethod, Response, route
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from demo.mailbox import Letter, Mailbox
from demo.shop.desk import ShopRequest, desk_of
from demo.shop.render import download, mail_body

Answer = Response[Any]

_READ: Final = (HttpMethod.GET, HttpMethod.HEAD)


@route("/demo/mailbox", http_method=_READ)
async def mailbox(request: ShopRequest) -> Answer:
    """What has arrived, newest first; or whose server has it."""
    desk = desk_of(request)
    mail = desk.config.mail
    is_here = isinstance(mail, Mailbox)
    return desk.pages.page(
        "mailbox.html",
        letters=await asyncio.to_thread(mail.list) if isinstance(mail, Mailbox) else [],
        server=None if is_here else mail,
        **desk.frame(request),
    )


@route("/demo/mailbox/{letter_id:str}", http_method=_READ)
async def letter(request: ShopRequest, letter_id: FromPath[str]) -> Answer:
    """One mail: its HTML in a frame, beside it the text, the files, and the source."""
    desk = desk_of(request)
    found = await _find(request, letter_id)
    return desk.pages.page(
        "letter.html",
        letter=found,
        source=found.source.decode(errors="replace").replace("\r\n", "\n"),
        **desk.frame(request),
    )


@route("/demo/mailbox/{letter_id:str}/html", http_method=_READ)
async def letter_html(request: ShopRequest, letter_id: FromPath[str]) -> Answer:
    """The HTML alone, under a policy that holds whatever it contains."""
    found = await _find(request, letter_id)
    if found.html is None:
        raise NotFoundException("This mail has no HTML.")
    return mail_body(found.html)


@route("/demo/mailbox/{letter_id:str}/source", http_method=_READ)
async def letter_source(request: ShopRequest, letter_id: FromPath[str]) -> Answer:
    """The mail as a file that mail programs open."""
    found = await _find(request, letter_id)
    return download(found.source, name=f"{letter_id}.eml", media_type="message/rfc822")


@route("/demo/mailbox/{letter_id:str}/files/{number:int}", http_method=_READ)
async def attachment(request: ShopRequest, letter_id: FromPath[str], number: FromPath[int]) -> Answer:
    """One attachment, counted from 1."""
    found = await _find(request, letter_id)
    if not 1 <= number <= len(found.attachments):
        raise NotFoundException("There is no such file.")
    file = found.attachments[number - 1]
    return download(file.content, name=file.name)


async def _find(request: ShopRequest, letter_id: str) -> Letter:
    mail = desk_of(request).config.mail
    found = await asyncio.to_thread(mail.find, letter_id) if isinstance(mail, Mailbox) else None
    if found is None:
        raise NotFoundException("There is no such mail.")
    return found
