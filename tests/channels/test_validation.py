"""What may be entered for a channel, field by field."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from channels import validation
from channels.models import Channel
from channels.validation import Problems


@pytest.mark.parametrize("name", ["a", "conda-forge_2", "a" * 64])
def test_a_name_of_small_letters_digits_and_dashes_is_taken(name: str) -> None:
    validation.check_name(name)


@pytest.mark.parametrize("name", ["", "A", "1a", "a.b", "a/b", "a" * 65, "noarch", "simple"])
def test_any_other_name_is_refused_at_its_field(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        validation.check_name(name)
    assert list(caught.value.message_dict) == ["name"]


def test_without_a_privacy_a_subchannel_has_its_parents() -> None:
    parent = Channel(privacy=Channel.Privacy.PRIVATE)
    assert validation.checked_privacy("", parent) == "private"
    assert validation.checked_privacy("", None) == "authenticated"


def test_a_subchannel_is_never_more_open_than_its_parent() -> None:
    parent = Channel(privacy=Channel.Privacy.AUTHENTICATED)
    assert validation.checked_privacy("private", parent) == "private"
    with pytest.raises(ValidationError, match="cannot be more open"):
        validation.checked_privacy("public", parent)


def test_all_problems_are_raised_together() -> None:
    problems = Problems()
    with problems.collected():
        validation.check_name("A")
    with problems.collected():
        validation.check_description("x" * (validation.LONGEST_DESCRIPTION + 1))
    with pytest.raises(ValidationError) as caught:
        problems.raise_any()
    assert sorted(caught.value.message_dict) == ["description", "name"]
