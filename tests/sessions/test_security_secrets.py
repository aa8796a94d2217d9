"""A secret that is gone, and an address in its own script: neither may cost a customer the way out, or back."""

from dataclasses import replace

from sqlmodel import Session, select

from app.adapters.vault import Vault
from app.db.tables.accounts import ApiKey
from tests.support.desk import TEMPLATES, Desk
from tests.support.pages import FROM_A_PAGE, FROM_US, visiting

NEW_SECRET = "k3Qv9-Zt1xW7_bN5rD2mJ8sL4yH6pG0aC-fE"
BACK = "Back to Northwind Notes"


async def test_without_the_secret_that_sealed_the_keys_a_customer_can_still_leave(desk: Desk) -> None:
    """Only the new secret is set: links are signed with it, the keys and the connection still sealed with the old."""
    desk.merchant.change(customer_data_url="https://data.example/")
    merchant = replace(desk.merchant, settings=replace(desk.merchant.settings, secrets=(NEW_SECRET,)))
    async with visiting(merchant.app(templates=TEMPLATES)) as visitor:
        path = merchant.mint("cus_ben", subscription_id="sub_ben_pro")
        page = await visitor.submit(await visitor.open(path, headers=FROM_A_PAGE), "Cancel now")
        page = await visitor.submit(page, "Cancel my subscription")
        desk.clock.advance(seconds=9)
        page = await visitor.open(page.url, headers=FROM_US)
    assert page.h1
    assert desk.session().data_call_reason == "secret_missing"
    assert [(e.type, e.status) for e in desk.effects()] == [("cancel", "pending")]  # until the secret is back


async def test_a_result_whose_key_cannot_be_opened_leads_back_unsigned(desk: Desk) -> None:
    page = await desk.visitor.submit(await desk.at_confirm(), "Keep my subscription")
    assert "sig=" in page.links[BACK]
    desk.database.write_sync(_seal_with_another)
    page = await desk.visitor.open(page.url, headers=FROM_US)
    assert page.links[BACK]
    assert "sig=" not in page.links[BACK]


async def test_an_address_in_its_own_script_is_the_one_on_the_list(desk: Desk) -> None:
    desk.merchant.change(return_origins=["https://xn--bcher-kva.example"])
    page = await desk.at_confirm(return_url="https://bücher.example/konto")
    page = await desk.visitor.submit(page, "Keep my subscription")
    assert page.links[BACK].startswith("https://bücher.example/konto?")


def _seal_with_another(db: Session) -> None:
    for key in db.exec(select(ApiKey)):
        key.key_encrypted = Vault((NEW_SECRET,)).seal("whatever")
