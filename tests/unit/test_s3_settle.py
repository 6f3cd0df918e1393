"""Settling: an object waits until it has been unchanged for long enough."""

from typing import Any

import pytest

from tests.support.engine import JOB
from treadle import DagsterInvalidDefinitionError, FileCount, ObjectIdentity, RunRequest, s3_sensor
from treadle.definitions.errors import SettingsError
from treadle.engine.outcomes import Decision
from treadle.integrations.s3 import S3Selection, S3SensorDefinition, StartFrom, sweep_memory
from treadle.integrations.s3.selection import MAX_SETTLE_SECONDS
from treadle.integrations.s3.sweep import FULL_ROUND_MS
from treadle.testing import TreadleInstance

BUCKET = "watched"
SETTLE = 60


def sensor(start_from: StartFrom = StartFrom.BEGINNING, settle_seconds: int = SETTLE) -> S3SensorDefinition:
    @s3_sensor(
        BUCKET,
        job_name=JOB,
        settle_seconds=settle_seconds,
        minimum_interval_seconds=30,
        start_from=start_from,
    )
    def watch() -> RunRequest:
        return RunRequest()

    return watch


@pytest.fixture
def instance() -> TreadleInstance:
    """A sensor whose objects must have been unchanged for a minute."""
    return TreadleInstance([sensor()])


def redeliver(instance: TreadleInstance) -> list[Decision]:
    """Deliver what waits once more, as its queue does; the decisions."""
    waiting, instance.undelivered = instance.undelivered, []
    return [instance.send(event)["watch"].outcome.decision for event in waiting]


def run_keys(instance: TreadleInstance) -> list[str | None]:
    return [run.run_key for run in instance.runs()]


def present_key(instance: TreadleInstance, key: str) -> str:
    return instance.objects.stored[BUCKET, key].run_key(ObjectIdentity.ETAG)


def test_event_of_a_fresh_object_waits_with_nothing_committed(instance: TreadleInstance) -> None:
    outcome = instance.put_object(BUCKET, "a")["watch"].outcome

    assert (outcome.decision, outcome.wait_seconds) == (Decision.DELAYED, SETTLE)
    assert outcome.reason == "s3://watched/a must be unchanged for 60 s; checked again in 60 s."
    assert (instance.ticks("watch"), instance.runs()) == ([], ())


def changing() -> TreadleInstance:
    @s3_sensor(
        BUCKET,
        job_name=JOB,
        settle_seconds=SETTLE,
        settle_longest_seconds=300,
        minimum_interval_seconds=30,
        start_from="beginning",
    )
    def watch() -> RunRequest:
        return RunRequest()

    return TreadleInstance([watch])


@pytest.mark.parametrize("parts", [0, 2])
def test_object_that_keeps_changing_counts_after_the_longest_wait_and_again_as_long_after(parts: int) -> None:
    """Every half minute, as the sensor ticks, for twelve minutes, and then no more."""
    instance = changing()
    started = list[int]()

    for number in range(24):
        instance.objects.put(BUCKET, "a", f"{number}".encode(), parts=parts)
        instance.tick("watch")
        started.append(len(instance.runs()))
    for _ in range(4):
        instance.tick("watch")

    assert [started.index(count) for count in (1, 2)] == [10, 21]
    assert len(instance.runs()) == 3
    assert run_keys(instance)[-1] == present_key(instance, "a")


def test_object_that_settles_in_between_waits_as_long_again() -> None:
    instance = changing()

    for body in (b"1", b"2", b"3"):
        instance.objects.put(BUCKET, "a", body)
        for _ in range(4):
            instance.tick("watch")
            instance.clock.advance(45)

    assert len(instance.runs()) == 3
    assert len(set(run_keys(instance))) == 3


def test_objects_that_do_not_fit_into_the_memory_wait_until_they_settle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweep_memory, "MOST_WAITING", 1)
    instance = changing()
    for key in ("a", "b"):
        instance.objects.put(BUCKET, key, b"1")

    outcome = instance.tick("watch").outcome

    assert ("ObjectsNotRemembered", 1, "Count") in outcome.measures
    assert "1 objects could not be remembered" in outcome.reason


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"settle_longest_seconds": 60},
            "settle_longest_seconds is 60, so settle_seconds must be 1 to 59, not 0",
        ),
        (
            {"settle_seconds": 60, "settle_longest_seconds": 60},
            "settle_longest_seconds is 60, so settle_seconds must be 1 to 59, not 60",
        ),
        ({"settle_longest_seconds": -1}, "settle_longest_seconds must be 0 to 604800, not -1"),
        ({"settle_longest_seconds": 604_801}, "settle_longest_seconds must be 0 to 604800, not 604801"),
        (
            {"settle_longest_seconds": 1.5},
            "settle_longest_seconds must be a whole number of seconds, not 1.5",
        ),
        (
            {"settle_seconds": 60, "settle_longest_seconds": 90, "complete_when": FileCount(2)},
            "settle_longest_seconds is for objects that count by themselves or by a marker: leave it out",
        ),
    ],
)
def test_longest_wait_that_cannot_work_is_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(DagsterInvalidDefinitionError) as refused:
        s3_sensor(BUCKET, job_name=JOB, **options)

    assert problem in str(refused.value)


def test_deployment_may_not_settle_longer_than_the_longest_wait() -> None:
    selection = S3Selection(BUCKET, settle_seconds=60, settle_longest_seconds=300)

    assert selection.configured({"TREADLE_S3_SETTLE_SECONDS": "299"}).settle_seconds == 299
    with pytest.raises(SettingsError, match="so settle_seconds must be 1 to 299, not 300"):
        selection.configured({"TREADLE_S3_SETTLE_SECONDS": "300"})
    assert S3Selection.of_description(selection.described()) == selection


def test_without_settling_nothing_waits_and_nothing_is_checked() -> None:
    instance = TreadleInstance([sensor(settle_seconds=0)])
    event = instance.objects.put(BUCKET, "a")
    instance.objects.delete(BUCKET, "a")

    assert instance.send(event)["watch"].outcome.decision is Decision.SUCCESS


def test_object_that_stayed_unchanged_gets_its_run_from_the_event_that_waited(
    instance: TreadleInstance,
) -> None:
    instance.put_object(BUCKET, "a")
    instance.clock.advance(SETTLE - 1)
    assert redeliver(instance) == [Decision.DELAYED]

    instance.clock.advance(1)

    assert redeliver(instance) == [Decision.SUCCESS]
    assert run_keys(instance) == [present_key(instance, "a")]


@pytest.mark.parametrize("gap", [1, 10])
@pytest.mark.parametrize("is_changed", [True, False])
def test_object_that_never_rests_leaves_few_events_waiting_and_its_last_state_gets_the_run(
    instance: TreadleInstance, gap: int, is_changed: bool
) -> None:
    """Otherwise each write of a log, say, would come back each minute for ever."""
    for number in range(100):
        instance.put_object(BUCKET, "a", b"%d" % (number if is_changed else 0))
        instance.clock.advance(gap)
        redeliver(instance)
        assert len(instance.undelivered) <= 7
        assert instance.runs() == ()

    instance.clock.advance(SETTLE)
    redeliver(instance)

    assert run_keys(instance) == [present_key(instance, "a")]
    assert instance.undelivered == []


def test_event_of_an_object_that_was_written_again_says_so(instance: TreadleInstance) -> None:
    first = instance.objects.put(BUCKET, "a", b"1")
    instance.clock.advance(20)
    instance.objects.put(BUCKET, "a", b"2")

    outcome = instance.send(first)["watch"].outcome

    assert outcome.decision is Decision.SKIPPED
    assert "s3://watched/a was written again, at 2026-11-22T18:00:20+00:00" in outcome.reason


def test_object_that_is_gone_by_then_is_a_skip_with_the_reason(instance: TreadleInstance) -> None:
    instance.put_object(BUCKET, "a")
    instance.objects.delete(BUCKET, "a")
    instance.clock.advance(SETTLE)

    assert redeliver(instance) == [Decision.SKIPPED]

    [tick] = instance.ticks("watch")
    assert tick.reason == ("s3://watched/a is gone: it was deleted before it had been unchanged for 60 s.")


def test_second_delivery_of_an_event_that_waited_is_a_duplicate(instance: TreadleInstance) -> None:
    event = instance.objects.put(BUCKET, "a")
    instance.clock.advance(SETTLE)
    instance.send(event)

    assert instance.send(event)["watch"].outcome.decision is Decision.DUPLICATE


def test_sweep_passes_over_what_has_not_settled_and_the_next_round_finds_it(
    instance: TreadleInstance,
) -> None:
    instance.objects.put(BUCKET, "old")
    instance.clock.advance(SETTLE - 10)
    instance.objects.put(BUCKET, "young")
    instance.clock.advance(10)

    first = instance.tick("watch")
    instance.clock.advance(SETTLE)
    second = instance.tick("watch")

    assert [run.run_key for run in first.runs] == [present_key(instance, "old")]
    assert [run.run_key for run in second.runs] == [present_key(instance, "young")]


@pytest.mark.parametrize("settle_seconds", [300, 3_600, MAX_SETTLE_SECONDS])
@pytest.mark.parametrize("start_from", StartFrom)
def test_no_round_floor_leaves_behind_what_a_round_passed_over(
    settle_seconds: int, start_from: StartFrom
) -> None:
    """However long it must settle, and however many complete rounds there are meanwhile."""
    instance = TreadleInstance([sensor(start_from, settle_seconds)])
    instance.clock.advance(30 * FULL_ROUND_MS / 1000)
    instance.tick("watch")
    instance.objects.put(BUCKET, "a")

    for _ in range(4):
        assert instance.tick("watch").runs == ()
        instance.clock.advance(settle_seconds / 4 - 0.001)
    instance.clock.advance(1)

    assert len(instance.tick("watch").runs) == 1


def test_event_and_sweep_of_an_object_that_settled_are_one_run(instance: TreadleInstance) -> None:
    instance.put_object(BUCKET, "a")
    instance.clock.advance(SETTLE)

    instance.tick("watch")
    decisions = redeliver(instance)

    assert decisions == [Decision.SKIPPED]
    assert len(instance.runs()) == 1


def test_deployment_says_for_how_long() -> None:
    chosen = S3Selection(BUCKET, settle_seconds=5).configured({"TREADLE_S3_SETTLE_SECONDS": "90"})

    assert chosen.settle_seconds == 90


@pytest.mark.parametrize("settle", ["-1", "1.5", "", "soon", str(MAX_SETTLE_SECONDS + 1)])
def test_time_to_settle_is_whole_seconds_up_to_a_day(settle: str) -> None:
    with pytest.raises(SettingsError, match="TREADLE_S3_SETTLE_SECONDS is"):
        S3Selection(BUCKET).configured({"TREADLE_S3_SETTLE_SECONDS": settle})


def test_versions_need_not_settle() -> None:
    with pytest.raises(SettingsError, match="a version never changes"):
        S3Selection(BUCKET, identity=ObjectIdentity.VERSION, settle_seconds=1).configured({})


def test_negative_time_in_code_is_refused_at_once() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="settle_seconds must be 0 to 86400"):
        sensor(settle_seconds=-1)
