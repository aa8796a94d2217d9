"""Origins of return addresses: how one is written, and whether a URL belongs to a list of them. Dials nothing."""

from collections.abc import Collection

from app.adapters.addresses import parse_url


def origin_of(url: str) -> str:
    """The origin of a URL, spelt one way: `https://Shop.example:443/a` is `https://shop.example`.

    Raises BadUrl, with a sentence for whoever set it, for anything that two readers could understand differently.
    """
    target = parse_url(url)
    return f"{target.scheme}://{target.authority}"


def is_listed(url: str, origins: Collection[str]) -> bool:
    """Whether the URL's origin is one of those. Raises BadUrl."""
    return origin_of(url) in origins
