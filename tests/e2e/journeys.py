"""The ways of the six customers, told by what is on screen. Each ends back in the shop, which shows what changed."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.e2e.visitor import Visitor

SURVEY = "What makes you want to leave?"
NOTES = "What happens to your notes"
PAGES = "What happens to your pages"
FEEDBACK = "Is there anything we should know?"
CONFIRM = "Cancel your subscription?"
CANCELED = "Your subscription is canceled"
HALF_PRICE = "Half price for three months?"


def begin(visitor: Visitor, name: str) -> None:
    """From the shop's front door to the first question."""
    visitor.sign_in(name)
    visitor.press_cancel(arrive_at=SURVEY)


def skip_the_rest(visitor: Visitor) -> None:
    """From what ends to the confirmation, saying nothing."""
    visitor.answer("Continue", arrive_at=FEEDBACK)
    visitor.answer("Skip this", arrive_at=CONFIRM)


def a_new_customer_is_let_go_without_a_discount(visitor: Visitor) -> None:
    begin(visitor, "Ada")
    visitor.choose("It costs too much")
    visitor.choose("Nothing right now")
    visitor.answer("Continue", arrive_at=NOTES)
    visitor.sees("your 14 notes")
    visitor.answer("Continue", arrive_at=FEEDBACK)
    visitor.page.get_by_label("Your message").fill("It was lovely.\nJust not for me & mine <3")
    visitor.answer("Continue", arrive_at=CONFIRM)
    visitor.sees("Lite")
    visitor.sees("$6.00 a month")
    visitor.answer("Cancel my subscription", arrive_at=CANCELED)
    visitor.sees("Reference")
    visitor.come_back("Your cancellation is in.")
    visitor.sees("Cancels soon")
    visitor.sees("you are not charged again")


def a_break_until_it_is_over_or_resumed(visitor: Visitor) -> None:
    begin(visitor, "Ada")
    visitor.choose("I do not use it enough")
    visitor.answer("Continue", arrive_at="Take a break instead?")
    visitor.choose("2 months")
    visitor.answer("Pause", arrive_at="Your subscription is paused")
    visitor.come_back("Your plan is paused.")
    visitor.sees("Paused until")
    visitor.press_cancel(arrive_at="Your subscription is paused")
    visitor.sees("It starts again on")
    visitor.answer("Resume now", arrive_at="Your subscription is running again")
    visitor.come_back("Welcome back.")
    visitor.sees("Active")
    visitor.does_not_see("Starts again")


def a_break_of_a_year_that_is_paid_for(visitor: Visitor) -> None:
    begin(visitor, "Chen")
    visitor.choose("I do not use it enough")
    visitor.answer("Continue", arrive_at="Take a break, and keep your year?")
    visitor.sees("The break begins now.")
    visitor.sees("nothing is charged until then")
    visitor.choose("2 months")
    visitor.answer("Pause", arrive_at="Your break has begun")
    visitor.sees("instead of")
    visitor.sees("$290.00 on")
    visitor.come_back("Your plan is paused.")
    visitor.sees("On a break until")
    visitor.sees("$290.00 on")
    visitor.press_cancel(arrive_at=SURVEY)
    visitor.choose("I do not use it enough")
    # Not another break; the coupon that comes next is one of the billing service's.
    visitor.answer("Continue", arrive_at=re.compile(f"A fifth off your next year|{NOTES}"))


def half_price_for_a_long_pro(visitor: Visitor) -> None:
    begin(visitor, "Ben")
    visitor.choose("It costs too much")
    visitor.choose("A lower price")
    visitor.answer("Continue", arrive_at=HALF_PRICE)
    visitor.sees("50% off for 3 months")
    visitor.sees("$29.00")
    visitor.sees("$14.50")
    visitor.sees("Back to $29.00")
    visitor.answer("Take 50% off", arrive_at="Your discount is in place")
    visitor.come_back("Your discount is on.")
    visitor.sees("50% off, until")
    visitor.sees("$14.50 on")


def half_price_without_a_word(visitor: Visitor) -> None:
    begin(visitor, "Ben")
    visitor.answer("Skip this", arrive_at=HALF_PRICE)
    visitor.answer("No, continue to cancel", arrive_at=NOTES)
    visitor.sees("your 1240 notes")
    skip_the_rest(visitor)
    visitor.answer("Keep my subscription", arrive_at="Your subscription goes on")
    visitor.come_back("Good to have you still with us.")
    visitor.sees("$29.00 on")


def the_smaller_plan(visitor: Visitor) -> None:
    begin(visitor, "Ben")
    visitor.choose("It costs too much")
    visitor.answer("Continue", arrive_at=HALF_PRICE)
    visitor.answer("No, continue to cancel", arrive_at="Would the smaller plan do?")
    visitor.sees("You have Pro at $29.00 a month.")
    visitor.answer("Switch plan", arrive_at="You are on Lite now")
    visitor.come_back("You are on your new plan.")
    visitor.sees("$6.00")


def a_yearly_customer_cancels_and_takes_it_back_at_the_shop(visitor: Visitor) -> None:
    begin(visitor, "Chen")
    visitor.choose("I am moving to another app")
    visitor.choose("Pen and paper")
    visitor.answer("Continue", arrive_at="A fifth off your next year?")
    visitor.sees("$290.00")
    visitor.sees("$232.00")
    visitor.answer("No, continue to cancel", arrive_at=NOTES)
    skip_the_rest(visitor)
    visitor.sees("$290.00 a year")
    visitor.answer("Cancel my subscription", arrive_at=CANCELED)
    visitor.come_back("Your cancellation is in.")
    visitor.sees("Ends on")
    visitor.answer("Undo cancellation", arrive_at="Billing")
    visitor.sees("The cancellation has been taken back.")
    visitor.does_not_see("Ends on")


def a_cancellation_taken_back_on_the_result_page(visitor: Visitor) -> None:
    begin(visitor, "Chen")
    visitor.answer("Cancel now", arrive_at=CONFIRM)
    visitor.answer("Cancel my subscription", arrive_at=CANCELED)
    visitor.answer("Keep my subscription after all", arrive_at="Your subscription goes on")
    visitor.come_back("The cancellation has been taken back.")
    visitor.does_not_see("Ends on")


def a_cancellation_that_was_in_already_is_taken_back(visitor: Visitor) -> None:
    begin(visitor, "Chen")
    visitor.answer("Cancel now", arrive_at=CONFIRM)
    visitor.answer("Cancel my subscription", arrive_at=CANCELED)
    visitor.come_back("Your cancellation is in.")
    visitor.press_cancel(arrive_at=re.compile("Your subscription already ends on"))
    visitor.answer("Keep my subscription", arrive_at="Your subscription goes on")
    visitor.come_back("The cancellation has been taken back.")


def a_longer_trial(visitor: Visitor) -> None:
    begin(visitor, "Dana")
    visitor.answer("Skip this", arrive_at="Would two more weeks help?")
    visitor.sees("14 more days, free")
    visitor.answer("Extend my trial", arrive_at="Your trial is extended")
    visitor.come_back("More time to look around.")
    visitor.sees("Free trial")
    visitor.sees("Trial extended to")


def one_of_two_subscriptions(visitor: Visitor) -> None:
    visitor.sign_in("Emil")
    visitor.press_cancel(arrive_at="Which subscription do you want to cancel?")
    visitor.choose("Northwind Publish")
    visitor.answer("Continue", arrive_at=SURVEY)
    visitor.answer("Skip this", arrive_at=PAGES)
    skip_the_rest(visitor)
    visitor.sees("Northwind Publish")
    visitor.answer("Cancel my subscription", arrive_at=CANCELED)
    visitor.come_back("Your cancellation is in.")
    assert "Cancels soon" in visitor.plan("Northwind Publish").inner_text()
    assert "Cancels soon" not in visitor.plan("Pro").inner_text()


def support_in_place_of_a_discount(visitor: Visitor) -> None:
    begin(visitor, "Farah")
    visitor.choose("It costs too much")
    visitor.answer("Continue", arrive_at="Shall we sort this out first?")
    visitor.does_not_see("Half price", "50%")
    visitor.answer("Talk to support", arrive_at="Let us talk")
    link = visitor.page.get_by_role("main").get_by_role("link", name="Write to support")
    assert link.get_attribute("href") == "mailto:help@northwind.example"
    visitor.come_back("Good that you ask.")
    visitor.sees("Active")


def no_third_pause(visitor: Visitor) -> None:
    begin(visitor, "Farah")
    visitor.choose("I do not use it enough")
    visitor.answer("Continue", arrive_at="Shall we sort this out first?")
    visitor.answer("No, continue to cancel", arrive_at=NOTES)
    skip_the_rest(visitor)
    visitor.answer("Cancel my subscription", arrive_at=CANCELED)
    visitor.come_back("Your cancellation is in.")


@dataclass(frozen=True)
class Journey:
    """`changes`: what billing's record says afterwards, by subscription. `has_own_screens`: worth another look."""

    walk: Callable[[Visitor], None]
    changes: dict[str, list[str]]
    has_own_screens: bool = True


JOURNEYS = (
    Journey(a_new_customer_is_let_go_without_a_discount, {"sub_ada_lite": ["cancel"]}),
    Journey(a_break_until_it_is_over_or_resumed, {"sub_ada_lite": ["pause", "resume"]}),
    Journey(a_break_of_a_year_that_is_paid_for, {"sub_chen_pro": ["pause"]}),
    Journey(half_price_for_a_long_pro, {"sub_ben_pro": ["discount"]}),
    Journey(half_price_without_a_word, {"sub_ben_pro": []}, has_own_screens=False),
    Journey(the_smaller_plan, {"sub_ben_pro": ["change-plan"]}),
    Journey(
        a_yearly_customer_cancels_and_takes_it_back_at_the_shop, {"sub_chen_pro": ["cancel", "uncancel"]}
    ),
    Journey(
        a_cancellation_taken_back_on_the_result_page,
        {"sub_chen_pro": ["cancel", "uncancel"]},
        has_own_screens=False,
    ),
    Journey(a_cancellation_that_was_in_already_is_taken_back, {"sub_chen_pro": ["cancel", "uncancel"]}),
    Journey(a_longer_trial, {"sub_dana_pro": ["extend-trial"]}),
    Journey(one_of_two_subscriptions, {"sub_emil_pro": [], "sub_emil_publish": ["cancel"]}),
    Journey(support_in_place_of_a_discount, {"sub_farah_pro": []}),
    Journey(no_third_pause, {"sub_farah_pro": ["cancel"]}, has_own_screens=False),
)
