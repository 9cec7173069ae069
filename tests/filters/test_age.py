"""The rule on age: what is too young, what lets a young file through, and when that changes."""

from __future__ import annotations

import pytest

from advisories.matching.facts import AdvisoryFacts
from ecosystems.conda.ecosystem import Conda
from ecosystems.conda.matchspec import parse
from ecosystems.records import Record
from filters.rules import Problem, Reason, Rules, judge, normalized, problems
from filters.rules.age import Ages, PublicSince
from filters.rules.model import DAY, Rule
from tests.filters.records import at, channel, facts, match, mirror, numpy

NOW = at("2026-11-28T12:00:00")


def ages(now: int = NOW) -> Ages:
    """Files are as old as their records say."""
    return Ages(now, lambda record: PublicSince(record.timestamp or 0), Conda().version_key)


def judged(
    *records: Record,
    mirror_rules: Rules,
    channels: tuple[Rules, ...] = (),
    clock: Ages | None = None,
    affected: dict[str, AdvisoryFacts] | None = None,
) -> list[Reason | None]:
    def lookup(record: Record) -> AdvisoryFacts:
        return (affected or {}).get(record.version, facts())

    return judge(
        "linux-64",
        "numpy",
        records,
        mirror=mirror_rules,
        channels=channels,
        kind="conda",
        advisories=lookup,
        ages=clock or ages(),
    )


def days_old(days: float, version: str = "1.24") -> Record:
    return numpy(version, timestamp=NOW - int(days * DAY))


def test_a_file_is_let_through_the_moment_it_is_old_enough() -> None:
    clock = ages()
    old, exact, young = judged(
        days_old(8),
        days_old(7),
        days_old(6.5),
        mirror_rules=mirror(minimum_age_days=7),
        clock=clock,
    )
    assert (old, exact) == (None, None)
    assert young is not None
    assert (young.by, young.rule) == ("mirror", Rule.AGE)
    assert young.detail == (
        "was published on 2026-11-22 00:00 UTC, and is let through once it is 7 days old, "
        "on 2026-11-29 00:00 UTC"
    )
    assert clock.next_change_at == at("2026-11-29T00:00:00")


def test_the_channel_may_want_more_than_the_mirror() -> None:
    [reason] = judged(
        days_old(3),
        mirror_rules=mirror(minimum_age_days=1),
        channels=(channel(minimum_age_days=5),),
    )
    assert reason is not None
    assert (reason.by, reason.rule) == ("channel", Rule.AGE)


def test_no_age_is_no_rule_and_asks_for_nothing_later() -> None:
    clock = ages()
    assert judged(days_old(0), mirror_rules=mirror(), clock=clock) == [None]
    assert clock.next_change_at is None


def test_a_file_that_another_rule_excludes_waits_for_nothing() -> None:
    clock = ages()
    rules = mirror(minimum_age_days=7, exclude_specs=["numpy"])
    [reason] = judged(days_old(1), mirror_rules=rules, clock=clock)
    assert reason is not None
    assert reason.rule == Rule.EXCLUDE_SPECS
    assert clock.next_change_at is None


def test_an_exception_lets_its_versions_through_to_the_end_of_its_last_day() -> None:
    rules = mirror(
        minimum_age_days=30,
        age_exceptions=[{"spec": "numpy==2.1", "expires_at": "2026-11-28"}],
    )
    clock = ages()
    excepted, other = judged(
        days_old(1, "2.1"), days_old(1, "2.2"), mirror_rules=rules, clock=clock
    )
    assert excepted is None
    assert other is not None
    assert other.rule == Rule.AGE
    assert clock.next_change_at == at("2026-11-29T00:00:00")
    assert clock.let_through == {"numpy-2.1-py311_0.conda": "the exception numpy==2.1 names it"}
    later = ages(at("2026-11-29T00:00:00"))
    [expired] = judged(days_old(1, "2.1"), mirror_rules=rules, clock=later)
    assert expired is not None
    assert expired.rule == Rule.AGE


def test_a_young_file_that_fixes_what_every_older_kept_version_has_is_let_through() -> None:
    clock = ages()
    affected = {"1.0": facts(match(9.8)), "1.1": facts(match(9.8))}
    reasons = judged(
        days_old(90, "1.0"),
        days_old(60, "1.1"),
        days_old(1, "1.2"),
        mirror_rules=mirror(minimum_age_days=7),
        affected=affected,
        clock=clock,
    )
    assert reasons == [None, None, None]
    assert clock.next_change_at is None
    assert clock.let_through["numpy-1.2-py311_0.conda"] == (
        "it fixes CVE-2024-1, which every older version that is kept has"
    )


def test_only_the_lowest_version_that_fixes_is_let_through() -> None:
    affected = {"1.0": facts(match(9.8))}
    old, fix, later = judged(
        days_old(90, "1.0"),
        days_old(2, "1.1"),
        days_old(1, "1.2"),
        mirror_rules=mirror(minimum_age_days=7),
        affected=affected,
    )
    assert (old, fix) == (None, None)
    assert later is not None
    assert later.rule == Rule.AGE


@pytest.mark.parametrize(
    ("older", "young"),
    [
        pytest.param(facts(), facts(), id="nothing to fix"),
        pytest.param(facts(match(9.8)), facts(match(9.8)), id="it has the advisory itself"),
        pytest.param(facts(match(9.8, id="CVE-1")), facts(match(9.8, id="CVE-1")), id="same one"),
    ],
)
def test_what_fixes_nothing_waits(older: AdvisoryFacts, young: AdvisoryFacts) -> None:
    _, reason = judged(
        days_old(90, "1.0"),
        days_old(1, "1.1"),
        mirror_rules=mirror(minimum_age_days=7),
        affected={"1.0": older, "1.1": young},
    )
    assert reason is not None
    assert reason.rule == Rule.AGE


def test_a_fix_waits_where_an_older_kept_version_is_not_affected() -> None:
    *_, reason = judged(
        days_old(90, "0.9"),
        days_old(90, "1.0"),
        days_old(1, "1.1"),
        mirror_rules=mirror(minimum_age_days=7),
        affected={"1.0": facts(match(9.8))},
    )
    assert reason is not None
    assert reason.rule == Rule.AGE


def test_a_new_package_fixes_nothing() -> None:
    [reason] = judged(days_old(1), mirror_rules=mirror(minimum_age_days=7))
    assert reason is not None
    assert reason.rule == Rule.AGE


def test_a_time_at_the_end_of_the_calendar_is_no_crash() -> None:
    record = numpy(timestamp=253_402_300_799_999)
    [reason] = judged(record, mirror_rules=mirror(minimum_age_days=3650))
    assert reason is not None
    assert reason.rule == Rule.AGE


@pytest.mark.parametrize(
    ("filters", "field", "place"),
    [
        ({"minimum_age_days": -1}, "minimum_age_days", None),
        ({"minimum_age_days": 4000}, "minimum_age_days", None),
        ({"minimum_age_days": True}, "minimum_age_days", None),
        ({"minimum_age_days": "7"}, "minimum_age_days", None),
        ({"age_exceptions": "numpy"}, "age_exceptions", None),
        ({"age_exceptions": [{"spec": "numpy"}] * 1001}, "age_exceptions", None),
        ({"age_exceptions": ["numpy"]}, "age_exceptions", 0),
        ({"age_exceptions": [{"spec": "numpy"}, {}]}, "age_exceptions", 1),
        ({"age_exceptions": [{"spec": "numpy", "until": "x"}]}, "age_exceptions", 0),
        ({"age_exceptions": [{"spec": "numpy >=["}]}, "age_exceptions", 0),
        ({"age_exceptions": [{"spec": "n" * 300}]}, "age_exceptions", 0),
        ({"age_exceptions": [{"spec": "numpy", "expires_at": "soon"}]}, "age_exceptions", 0),
    ],
)
def test_what_is_wrong_is_named(filters: dict[str, object], field: str, place: int | None) -> None:
    [problem] = problems(filters, spec=parse)
    assert isinstance(problem, Problem)
    assert (problem.field, problem.place) == (field, place)


def test_the_canonical_form_has_each_exception_once() -> None:
    form = normalized(
        {"age_exceptions": [{"spec": " numpy "}, {"spec": "numpy", "expires_at": None}]}
    )
    assert form["age_exceptions"] == [{"spec": "numpy", "expires_at": None}]
    assert form["minimum_age_days"] == 0


def test_exceptions_mean_nothing_without_an_age() -> None:
    exceptions = [{"spec": "numpy"}]
    assert mirror(age_exceptions=exceptions).digest == mirror().digest
    with_age = mirror(minimum_age_days=7, age_exceptions=exceptions)
    assert with_age.digest != mirror(minimum_age_days=7).digest
