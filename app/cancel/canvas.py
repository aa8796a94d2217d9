"""What every screen of a session is drawn from: its standing, its visitor's words, figures. Decides nothing."""

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from app.cancel import screens as sc
from app.cancel.words import Wording
from app.core.direct import DirectSubscription
from app.core.facts import Facts
from app.core.merge import customer_names, fill, has_fields
from app.core.offers import escaped
from app.core.path import facts_of
from app.core.state import SessionState
from app.core.world import Walk
from app.sessions.service import Standing
from app.web.copy import copy_for
from app.web.formats import formats_for
from app.web.forms import Form
from app.web.richtext import rich_text


@dataclass(frozen=True, slots=True)
class Drawing:
    """One session to be drawn: its standing, the words of its visitor, and what was typed if it has to be put right."""

    standing: Standing
    wording: Wording
    typed: Form | None = None
    return_link: sc.Link | None = None
    proof: sc.Proof | None = None

    @property
    def walk(self) -> Walk:
        return self.standing.walk

    @property
    def state(self) -> SessionState:
        return self.standing.state

    @property
    def subscription(self) -> DirectSubscription | None:
        return self.walk.world.find_subscription(self.state.subscription_id)

    def t(self, key: str, **args: object) -> str:
        return self.wording.copy.t(key, **args)

    def given(self, name: str, otherwise: str | None) -> str:
        """What was just typed, else what is kept."""
        if self.typed is not None and name in self.typed:
            return self.typed.get(name)
        return otherwise or ""

    def said(self, text: str | None, otherwise: str) -> str:
        """The merchant's line with its merge fields filled in, else ours."""
        if text is None:
            return otherwise
        return self._filled(text) or otherwise

    def rich(self, text: str | None) -> Markup | None:
        """The merchant's rich text, values escaped, sanitised."""
        return rich_text(self._filled(text, escaped)) if text else None

    def _filled(self, text: str, treated: Callable[[Facts], Facts] = lambda known: known) -> str:
        """What may be said is looked up only where something asks for it: most lines are plain."""
        if not has_fields(text):
            return text
        known = {**facts_of(self.walk, self.state), **customer_names(self.walk.world.customer)}
        return fill(text, treated(known))


def drawing_of(
    standing: Standing,
    *,
    typed: Form | None = None,
    return_link: sc.Link | None = None,
    proof: sc.Proof | None = None,
) -> Drawing:
    locale = standing.row.locale
    wording = Wording(copy_for(locale), formats_for(locale), standing.brand_name)
    return Drawing(standing, wording, typed, return_link, proof)
