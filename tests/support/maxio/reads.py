"""Maxio's reads: each handler takes the books and a request."""

from tests.support.maxio import shapes
from tests.support.maxio.asking import Refused, coupon_by_code, known, not_found, one, page, unusable
from tests.support.simulator.books import Books
from tests.support.simulator.http import Answer, Ask


def site(books: Books, ask: Ask) -> Answer:
    return Answer({"site": books.state["site"]})


def search_customers(books: Books, ask: Ask) -> Answer:
    """A search in everything, for parts."""
    given = known(ask, "q", "page", "per_page", "direction")
    wanted = given.get("q", "").lower()
    names = ("id", "email", "first_name", "last_name", "organization", "reference")
    found = [
        {"customer": each}
        for each in books.state["customers"].values()
        if any(wanted in str(each[name] or "").lower() for name in names)
    ]
    return Answer(page(given, found, usual=50))


def look_up_customer(books: Books, ask: Ask) -> Answer:
    wanted = known(ask, "reference").get("reference", "").lower()
    for each in books.state["customers"].values():  # the database compares without case
        if wanted and (each["reference"] or "").lower() == wanted:
            return Answer({"customer": each})
    return not_found()


def read_customer(books: Books, ask: Ask) -> Answer:
    return Answer({"customer": one(books.state, "customers", ask)})


def list_subscriptions(books: Books, ask: Ask) -> Answer:
    one(books.state, "customers", ask)
    own = [s for s in books.state["subscriptions"].values() if str(s["customer_id"]) == ask.ids["id"]]
    shown = [shapes.shown_subscription(books.state, each, with_coupons=False) for each in own]
    return Answer([{"subscription": each} for each in shown])


def read_subscription(books: Books, ask: Ask) -> Answer:
    found = one(books.state, "subscriptions", ask)
    included = [value for name, value in ask.query if name == "include[]"]
    if set(included) - {"coupons", "self_service_page_token"}:
        raise Refused("include: not included in list", status=400)
    shown = shapes.shown_subscription(books.state, found, with_coupons="coupons" in included)
    return Answer({"subscription": shown})


def list_components(books: Books, ask: Ask) -> Answer:
    one(books.state, "subscriptions", ask)
    known(ask, "in_use", "page", "per_page")
    components = books.state["components"].get(ask.ids["id"], [])
    return Answer([{"component": {**each, "subscription_id": int(ask.ids["id"])}} for each in components])


def list_renewals(books: Books, ask: Ask) -> Answer:
    one(books.state, "subscriptions", ask)
    listed = books.state["renewals"].get(ask.ids["id"], [])
    return Answer({"scheduled_renewal_configurations": listed})


def list_customer_metadata(books: Books, ask: Ask) -> Answer:
    return _list_metadata(books, ask, "customers")


def list_subscription_metadata(books: Books, ask: Ask) -> Answer:
    return _list_metadata(books, ask, "subscriptions")


def _list_metadata(books: Books, ask: Ask, kind: str) -> Answer:
    one(books.state, kind, ask)
    given = known(ask, "page", "per_page")
    own = books.state["metadata"][kind].get(ask.ids["id"], {})
    listed = [
        {
            "id": number,
            "resource_id": int(ask.ids["id"]),
            "name": name,
            "value": value,
            "deleted_at": None,
        }
        for number, (name, value) in enumerate(own.items(), 1)
    ]
    listed_now = page(given, listed, usual=20)
    return Answer(
        {
            "total_count": len(listed),
            "current_page": 1,
            "total_pages": 1,
            "per_page": 20,
            "metadata": listed_now,
        }
    )


def list_products(books: Books, ask: Ask) -> Answer:
    given = known(ask, "page", "per_page", "include_archived")
    listed = [{"product": each} for each in books.state["products"].values() if not each["archived_at"]]
    return Answer(page(given, listed, usual=20))


def read_product(books: Books, ask: Ask) -> Answer:
    return Answer({"product": one(books.state, "products", ask)})


def list_price_points(books: Books, ask: Ask) -> Answer:
    given = known(ask, "page", "per_page", "direction", "filter[ids]", "filter[type]", "filter[archived_at]")
    ids, kinds = given.get("filter[ids]"), given.get("filter[type]")
    listed = [
        each
        for each in books.state["price_points"].values()
        if (ids is None or str(each["id"]) in ids.split(","))
        and (kinds is None or each["type"] in kinds.split(","))
        and not (given.get("filter[archived_at]") == "null" and each["archived_at"])
    ]
    if given.get("direction") == "desc":
        listed.reverse()
    return Answer({"price_points": page(given, listed, usual=20)})


def list_coupons(books: Books, ask: Ask) -> Answer:
    given = known(ask, "page", "per_page", "filter[codes]", "filter[ids]", "currency_prices")
    codes = given.get("filter[codes]")
    listed = [
        {"coupon": each}
        for each in books.state["coupons"].values()
        if not each["archived_at"] and (codes is None or each["code"] in codes.split(","))
    ]
    return Answer(page(given, listed, usual=30))


def find_coupon(books: Books, ask: Ask) -> Answer:
    given = known(ask, "code", "product_family_id", "currency_prices")
    found = coupon_by_code(books.state, given.get("code", ""), given.get("product_family_id"))
    return Answer({"coupon": found}) if found else not_found()


def validate_coupon(books: Books, ask: Ask) -> Answer:
    given = known(ask, "code", "product_family_id")
    found = coupon_by_code(books.state, given.get("code", ""), given.get("product_family_id"))
    why = "Coupon not found" if found is None else unusable(found, ask.now)
    return Answer({"errors": why}, 404) if why or found is None else Answer({"coupon": found})
