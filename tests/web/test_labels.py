"""The words of pages: every rule and every state has some, and no page prints a raw key."""

from __future__ import annotations

from filters.rules.model import Rule
from publishing.outcomes import State
from web.labels import FAILED, RULE_LABELS, STATE_LABELS, outcome_label
from web.pages.packages import STATE_BADGES
from web.templatetags.ui import BADGES


def test_every_rule_has_a_label() -> None:
    assert set(RULE_LABELS) == set(Rule)


def test_every_state_of_a_file_has_a_label_and_a_badge() -> None:
    assert set(STATE_LABELS) == {*State, FAILED}
    assert set(STATE_BADGES) == {*State, "listed"}
    assert set(STATE_BADGES.values()) <= set(BADGES)


def test_a_key_of_a_list_is_shown_in_words() -> None:
    assert outcome_label("mirror.license") == "Filtered out by the mirror: Excluded licenses"
    assert outcome_label("channel.") == "Filtered out by the channel"
    assert outcome_label("passive") == "On demand"
    assert outcome_label("") == "All files that the source lists"
