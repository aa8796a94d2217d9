"""Names what is limited for whom, so that the database counts it without learning who that is."""

from app.adapters.signing import Signer
from app.core.limits import Limit
from app.db.limits import Claim


def claim(signer: Signer, limit: Limit, who: str) -> Claim:
    """One more of what `limit` limits, for that address, network or environment.

    After the first secret has been changed everybody starts from zero, once.
    """
    return Claim(signer.mac("limit", f"{limit.name}\n{who}"), limit)
