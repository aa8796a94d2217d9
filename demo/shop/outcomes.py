"""What the billing page says to a customer who comes back from the cancel page, by outcome. Words only."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal


@dataclass(frozen=True)
class Notice:
    """One gentle message. `tone` picks the colour, never the meaning."""

    title: str
    text: str
    tone: Literal["good", "calm"] = "calm"


NOTICES: Final[Mapping[str, Notice]] = MappingProxyType(
    {
        "canceled": Notice(
            "Your cancellation is in.",
            "Below is what ends when. Your notes stay yours; you can export them at any time.",
        ),
        "kept": Notice(
            "Good to have you still with us.", "Nothing about your subscription has changed.", "good"
        ),
        "discount_accepted": Notice(
            "Your discount is on.", "The new price and how long it lasts are below.", "good"
        ),
        "pause_accepted": Notice(
            "Your plan is paused.", "Below is until when, and what is charged next.", "good"
        ),
        "plan_switched": Notice("You are on your new plan.", "The new price is below.", "good"),
        "trial_extended": Notice("More time to look around.", "The new end of your trial is below.", "good"),
        "support_requested": Notice(
            "Good that you ask.", "A person will answer your mail, usually the same day.", "good"
        ),
        "redirected": Notice("Welcome back.", "Nothing about your subscription has changed."),
        "uncanceled": Notice("Your subscription goes on.", "The cancellation has been taken back.", "good"),
        "resumed": Notice("Welcome back.", "Your plan is running again.", "good"),
        "manual_cancellation_requested": Notice(
            "We have your request to cancel.",
            "A person on our team carries it out and writes to you when it is done.",
        ),
        "cancel_already_scheduled": Notice("Your cancellation was in already.", "The date it ends is below."),
        "dismissed": Notice("Nothing has changed.", "You can come back to this whenever you like."),
        "expired": Notice(
            "That page had been open for too long.",
            "Nothing has changed. Start again below if you still want to.",
        ),
    }
)
DONE: Final[Mapping[str, Notice]] = MappingProxyType(
    {
        "undone": Notice("Your subscription goes on.", "The cancellation has been taken back.", "good"),
        "resumed": Notice("Your plan is running again.", "The next charge is below.", "good"),
    }
)
