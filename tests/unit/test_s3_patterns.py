"""Patterns of keys: what matches, the names that the function gets, and what a sweep does with the rest."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.engine import JOB
from tests.support.objects import BUCKET, InMemoryLister, object_of
from tests.unit.test_s3_sweep import ALL, Sweeper
from treadle import (
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DailyPartitionsDefinition,
    DynamicPartitionsDefinition,
    HourlyPartitionsDefinition,
    MultiPartitionsDefinition,
    PartitionsDefinition,
    RunRequest,
    S3Object,
    StaticPartitionsDefinition,
    s3_sensor,
)
from treadle.definitions.errors import SettingsError
from treadle.definitions.event_pattern import EventPattern
from treadle.engine.outcomes import Decision
from treadle.integrations.s3 import S3Selection
from treadle.integrations.s3.patterns import KeyPattern
from treadle.testing import TreadleInstance

ORDERS = "{region}/orders_{day:%Y%m%d}.csv"
DAY = datetime(2026, 11, 22, tzinfo=UTC)


def named(pattern: str | re.Pattern[str], key: str) -> S3Object:
    """Return the object as the function gets it."""
    made = KeyPattern.of(pattern)
    assert made is not None
    assert made.matches(key)
    return made.named(object_of(key))


# ---- What matches


@pytest.mark.parametrize(
    ("pattern", "key", "names"),
    [
        (ORDERS, "eu/orders_20261122.csv", {"region": "eu", "day": "20261122"}),
        ("in/{table}_{day:%Y%m%d}", "in/order_items_20261122", {"table": "order_items", "day": "20261122"}),
        ("in/{name}.csv", "in/a.csv.csv", {"name": "a.csv"}),
        ("{day:%Y/%m/%d}/{hour}", "2026/11/22/07", {"day": "2026/11/22", "hour": "07"}),
        ("{{{a}}}", "{x}", {"a": "x"}),
        ("{a}.(x)+", "..(x)+", {"a": "."}),
        ("{at:%Y%m%dT%H%M%S}Z%", "20261122T065901Z%", {"at": "20261122T065901"}),
        ("{year:%y-100%%}/{a}", "26-100%/b", {"year": "26-100%", "a": "b"}),
        (re.compile(r"(?P<a>\w+)/(?P<b>x)?"), "q/", {"a": "q"}),
        (re.compile(r"IN/(\d+)", re.IGNORECASE), "in/7", {}),
    ],
)
def test_key_that_matches_has_the_values_of_the_names(
    pattern: str | re.Pattern[str], key: str, names: Mapping[str, str]
) -> None:
    assert named(pattern, key).names == names


@pytest.mark.parametrize(
    ("pattern", "key"),
    [
        (ORDERS, "eu/de/orders_20261122.csv"),
        (ORDERS, "/orders_20261122.csv"),
        (ORDERS, "eu/orders_20261122.csv.gz"),
        (ORDERS, "eu/orders_2026112.csv"),
        (ORDERS, "eu/orders_20261322.csv"),
        (ORDERS, "eu/orders_20260230.csv"),
        (ORDERS, "eu/orders_\u0968\u0966261122.csv"),
        ("{a}.csv", "axcsv"),
        (re.compile("a+"), "aab"),
    ],
)
def test_key_that_differs_anywhere_does_not_match(pattern: str | re.Pattern[str], key: str) -> None:
    made = KeyPattern.of(pattern)

    assert made is not None
    assert not made.matches(key)


def test_times_are_parsed_by_their_format() -> None:
    stored = named(ORDERS, "eu/orders_20261122.csv")

    assert stored.times == {"day": DAY}
    assert named("{day:%Y-%j}", "2026-326").times == {"day": DAY}
    assert named("{at:%Y%m%d%H}", "2026112207").times == {"at": DAY.replace(hour=7)}


@given(
    st.lists(st.text("ab_.", min_size=1, max_size=4), min_size=1, max_size=4), st.text("ab_./", max_size=9)
)
def test_pattern_matches_what_a_search_through_all_ways_to_split_matches(
    literals: list[str], key: str
) -> None:
    """Matching does not go back, so it must take the right way at once."""
    made = KeyPattern("{n0}" + "".join(f"{each}{{n{at}}}" for at, each in enumerate(literals, 1)))
    plain = "[^/]+" + "".join(f"{re.escape(each)}[^/]+" for each in literals)

    assert made.matches(key) is bool(re.fullmatch(plain, key))


def test_matching_takes_no_time_for_any_key() -> None:
    made = KeyPattern("_".join(f"{{n{at}}}" for at in range(12)) + ".csv")
    began = time.perf_counter()

    assert not made.matches("_" * 1024)

    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize(
    ("pattern", "prefix", "suffix"),
    [
        ("in/{a}.csv", "in/", ".csv"),
        (ORDERS, "", ".csv"),
        ("in/{{{a}", "in/{", ""),
        (re.compile(r"in/(?P<a>\w+)\.csv"), "in/", ""),
        (re.compile(r"^in\.d/x+"), "in.d/x", ""),
        (re.compile(r"in/ab*"), "in/a", ""),
        (re.compile(r"in/a{0}"), "in/", ""),
        (re.compile(r"in/a|out"), "", ""),
        (re.compile(r"in/", re.IGNORECASE), "", ""),
    ],
)
def test_listing_is_limited_to_what_all_matching_keys_begin_with(
    pattern: str | re.Pattern[str], prefix: str, suffix: str
) -> None:
    made = KeyPattern.of(pattern)

    assert made is not None
    assert (made.prefix, made.suffix) == (prefix, suffix)
    assert S3Selection(BUCKET, pattern=made).listed_prefix == prefix


@given(
    st.lists(st.sampled_from(["{a}", "{b:%Y}", "x", "*", "/", "a\\", "[1]"]), min_size=1, max_size=6),
    st.data(),
)
def test_rule_with_wildcards_passes_whatever_matches(parts: list[str], data: st.DataObject) -> None:
    """EventBridge drops an event for good: it must never be narrower than the pattern."""
    try:
        made = KeyPattern("".join(parts))
    except DagsterInvalidDefinitionError:
        return
    values = {"{a}": data.draw(st.text("*x\\-", min_size=1, max_size=3)), "{b:%Y}": "2026"}
    key = "".join(values.get(part, part) for part in parts)
    rule = EventPattern({"detail": {"object": {"key": [{"wildcard": made.wildcard}]}}})

    assert made.matches(key)
    assert made.matches(made.example)
    assert key.startswith(made.prefix)
    assert key.endswith(made.suffix)
    assert rule.matches({"detail": {"object": {"key": key}}})


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("in/x.csv", "it has no name in braces, so use prefix and suffix"),
        ("{a}{b}", "nothing separates 'a' from 'b'"),
        ("{a", "a brace is not closed, or not opened"),
        ("a}", "a brace is not closed, or not opened"),
        ("{a}/{a}", "'a' is in it twice"),
        ("{1}", "'1' is no name: use letters, digits and '_'"),
        ("{}", "'' is no name"),
        ("{d:%H}", "the time 'd' has no year, %Y"),
        ("{d:}", "the time 'd' has no year, %Y"),
        ("{d:%Y%b}", "'d' has %b, and a time in a key may have %Y, %y, %m, %d, %j, %H, %M, %S"),
        ("{d:%Y%Y}", "the time 'd' has a part twice"),
        ("{d:%Y%y}", "the time 'd' has a part twice"),
        (5, "pattern must be a text or a compiled regular expression of text, not 5"),
        (re.compile(b"x"), "pattern must be a text or a compiled regular expression of text"),
    ],
)
def test_pattern_that_cannot_work_is_refused_where_it_is_given(pattern: Any, problem: str) -> None:
    with pytest.raises(DagsterInvalidDefinitionError) as refused:
        s3_sensor(job_name=JOB, pattern=pattern)

    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ({"prefix": "out/"}, "no key that matches in/{a}.csv has the prefix 'out/': correct one of them"),
        ({"suffix": ".gz"}, "no key that matches in/{a}.csv has the suffix '.gz': correct one of them"),
    ],
)
def test_prefix_or_suffix_that_contradicts_the_pattern_is_refused_in_code_and_in_the_deployment(
    names: dict[str, str], problem: str
) -> None:
    with pytest.raises(DagsterInvalidDefinitionError) as refused:
        s3_sensor(BUCKET, job_name=JOB, pattern="in/{a}.csv", **names)  # type: ignore[arg-type]
    assert problem in str(refused.value)
    settings = {f"TREADLE_S3_{name.upper()}": value for name, value in names.items()}
    with pytest.raises(SettingsError) as refused_too:
        S3Selection(BUCKET, pattern=KeyPattern("in/{a}.csv")).configured(settings)
    assert problem in str(refused_too.value)


@pytest.mark.parametrize("pattern", [ORDERS, re.compile(r"in/(?P<a>x)", re.IGNORECASE)])
def test_selection_is_the_same_after_it_was_described(pattern: str | re.Pattern[str]) -> None:
    selection = S3Selection(BUCKET, pattern=KeyPattern.of(pattern))

    assert S3Selection.of_description(json.loads(json.dumps(selection.described()))) == selection


def test_function_of_an_earlier_release_describes_no_pattern() -> None:
    described = S3Selection(BUCKET).described()
    del described["pattern"]

    assert S3Selection.of_description(described) == S3Selection(BUCKET)


def test_another_pattern_restarts_the_sweep() -> None:
    made = [
        S3Selection(BUCKET),
        *(S3Selection(BUCKET, pattern=KeyPattern(each)) for each in ("{a}/", "{b}/")),
    ]
    made.append(S3Selection(BUCKET, pattern=KeyPattern("{a}/", int(re.UNICODE))))

    assert len({tuple(each.fingerprint) for each in made}) == len(made)


# ---- What the function gets


def orders(**options: Any) -> TreadleInstance:
    @s3_sensor(BUCKET, job_name=JOB, **{"pattern": ORDERS, "start_from": "beginning", **options})
    def watch(_context: object, stored: S3Object) -> RunRequest:
        return RunRequest(tags=dict(stored.names), partition_key=f"{stored.times['day']:%Y-%m-%d}")

    return TreadleInstance([watch])


@pytest.mark.parametrize("by_event", [True, False])
def test_names_reach_tags_run_config_and_partition_key(*, by_event: bool) -> None:
    instance = orders()
    if by_event:
        instance.put_object(BUCKET, "eu/orders_20261122.csv", b"x")
    else:
        instance.objects.put(BUCKET, "eu/orders_20261122.csv", b"x")
        instance.tick("watch")

    [run] = instance.runs()
    assert (run.tags["region"], run.tags["day"]) == ("eu", "20261122")
    assert run.tags["dagster/partition"] == "2026-11-22"
    assert json.loads(run.run_config)["names"] == {"region": "eu", "day": "20261122"}


def test_event_that_does_not_match_is_skipped_with_what_does() -> None:
    instance = orders(prefix="")

    results = instance.put_object(BUCKET, "eu/notes.txt", b"x")

    assert results["watch"].outcome.decision is Decision.SKIPPED
    assert instance.ticks("watch")[0].reason == (
        f"s3://{BUCKET}/eu/notes.txt is not watched: s3://{BUCKET}/* matching {ORDERS} is."
    )


WEEKDAYS = StaticPartitionsDefinition(["eu", "us"])


@pytest.mark.parametrize(
    ("partitions_def", "name", "key"),
    [
        (DailyPartitionsDefinition("2026-01-01"), None, "2026-11-22"),
        (DailyPartitionsDefinition("2026-01-01", timezone="America/New_York"), None, "2026-11-22"),
        (DailyPartitionsDefinition("2026-01-01", timezone="Asia/Tokyo"), "day", "2026-11-22"),
        (HourlyPartitionsDefinition("2026-01-01-00:00"), None, "2026-11-22-00:00"),
        (WEEKDAYS, "region", "eu"),
        (DynamicPartitionsDefinition(name="regions"), "region", "eu"),
        (
            MultiPartitionsDefinition({"region": WEEKDAYS, "day": DailyPartitionsDefinition("2026-01-01")}),
            None,
            "2026-11-22|eu",
        ),
    ],
)
def test_partition_key_is_that_of_the_jobs_partitions(
    partitions_def: PartitionsDefinition, name: str | None, key: str
) -> None:
    stored = named(ORDERS, "eu/orders_20261122.csv")

    assert stored.partition_key(partitions_def, name) == key


@pytest.mark.parametrize(
    ("partitions_def", "name", "fact"),
    [
        (WEEKDAYS, None, "its names are ['day', 'region'], and none was given"),
        (WEEKDAYS, "area", "its names are ['day', 'region'], and 'area' was given"),
        (
            DailyPartitionsDefinition("2026-01-01"),
            "region",
            "its names that are times are ['day'], and 'region'",
        ),
    ],
)
def test_name_that_gives_no_partition_is_refused(
    partitions_def: PartitionsDefinition, name: str | None, fact: str
) -> None:
    stored = named(ORDERS, "eu/orders_20261122.csv")

    with pytest.raises(DagsterInvalidInvocationError) as refused:
        stored.partition_key(partitions_def, name)

    assert fact in str(refused.value)


# ---- What does not match


def mixed(count: int) -> list[S3Object]:
    """Return a bucket of which one in a hundred matches."""
    return [object_of(f"in/{number:06}.{'csv' if number % 100 == 0 else 'tmp'}") for number in range(count)]


def test_what_does_not_match_costs_a_listing_and_nothing_else() -> None:
    """No more requests than for a plain prefix, and a cursor of the same size, also in later rounds."""
    pattern = replace(ALL, pattern=KeyPattern("in/{number}.csv"))
    sweepers = [Sweeper(InMemoryLister(mixed(20_000), page_size=1_000), each) for each in (ALL, pattern)]
    for sweeper in sweepers:
        while True:
            found = sweeper.slice()
            sweeper.claimed |= {f"s3://{BUCKET}/{stored.key}#e1" for stored in found.objects}
            if found.is_complete:
                break
        # The round after the first one, in which nothing is new.
        sweeper.lister.clock.advance(60)
        assert sweeper.keys() == []

    plain, matching = sweepers
    assert matching.lister.pages_read == plain.lister.pages_read == 40
    queried = [sum(map(len, sweeper.queried)) for sweeper in sweepers]
    assert queried == [40_000, 400]
    assert all(key.endswith(".csv#e1") for keys in matching.queried for key in keys)
    assert len(str(matching.cursor)) == len(str(plain.cursor)) + len(',"pattern in/{number}.csv"')


def test_object_from_before_the_first_enable_is_remembered_only_if_it_matches() -> None:
    selection = S3Selection(BUCKET, pattern=KeyPattern("in/{number}.csv"))
    sweeper = Sweeper(InMemoryLister([replace(each, etag="e-2") for each in mixed(2_000)]), selection)

    sweeper.lister.clock.advance(3_600)
    sweeper.slice()

    before = sweeper.position().before
    assert before is not None
    assert len(list(before.entries())) == 20


def test_sensors_with_overlapping_patterns_do_not_disturb_each_other() -> None:
    def watching(name: str, pattern: str) -> Any:
        @s3_sensor(BUCKET, name=name, job_name=JOB, pattern=pattern, start_from="beginning")
        def watch() -> RunRequest:
            return RunRequest()

        return watch

    instance = TreadleInstance(
        [watching("all_files", "{day}/{name}.csv"), watching("orders", "{day}/orders_{n}.csv")]
    )
    instance.put_object(BUCKET, "mon/orders_1.csv", b"1")
    for key in ("mon/orders_2.csv", "mon/other.csv", "mon/other.txt"):
        instance.objects.put(BUCKET, key, b"2")

    for _ in range(3):
        instance.clock.advance(300)
        for sensor in ("all_files", "orders"):
            instance.tick(sensor)

    found = sorted(
        (run.sensor, str(run.run_key).rpartition("/")[2].partition("#")[0]) for run in instance.runs()
    )
    assert found == [
        ("all_files", "orders_1.csv"),
        ("all_files", "orders_2.csv"),
        ("all_files", "other.csv"),
        ("orders", "orders_1.csv"),
        ("orders", "orders_2.csv"),
    ]


# ---- Markers of folders


@pytest.mark.parametrize("by_event", [True, False])
def test_marker_of_a_folder_is_passed_over(*, by_event: bool) -> None:
    @s3_sensor(BUCKET, job_name=JOB, start_from="beginning")
    def watch() -> RunRequest:
        return RunRequest()

    instance = TreadleInstance([watch])
    for key, body in (("in/", b""), ("in/a", b""), ("full/", b"x")):
        if by_event:
            instance.put_object(BUCKET, key, body)
        else:
            instance.objects.put(BUCKET, key, body)
    if not by_event:
        instance.tick("watch")

    keys = {str(run.run_key).partition("#")[0] for run in instance.runs()}
    assert keys == {f"s3://{BUCKET}/in/a", f"s3://{BUCKET}/full/"}
    if by_event:
        reasons = [tick.reason for tick in instance.ticks("watch")]
        assert f"s3://{BUCKET}/in/ is empty and marks a folder, so it is passed over." in reasons


@pytest.mark.parametrize("options", [{"suffix": "/"}, {"pattern": KeyPattern("in/{day}/")}])
def test_marker_of_a_folder_counts_where_keys_must_end_with_a_slash(options: dict[str, Any]) -> None:
    assert S3Selection(BUCKET, **options).selects(replace(object_of("in/mon/"), size=0))
