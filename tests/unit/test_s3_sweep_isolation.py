"""A sweep evaluates its objects one by one: what one of them does to the function, the others do not notice."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from treadle import JobDefinition, ResourceDefinition, RunRequest, SkipReason, s3_sensor
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.objects import S3Object
from treadle.engine.outcomes import Decision
from treadle.engine.tick.evaluation import Budget
from treadle.integrations.s3 import one_by_one
from treadle.testing import TreadleInstance
from treadle.testing.instance import TickResult

START = datetime(2026, 11, 25, 10, tzinfo=UTC)
SENSOR, BUCKET, INTERVAL = "watch", "b", 300


def deployed(function: Callable[..., Any], **options: Any) -> TreadleInstance:
    watch = s3_sensor(
        BUCKET,
        job=JobDefinition("load"),
        name=SENSOR,
        minimum_interval_seconds=INTERVAL,
        start_from="beginning",
        **options,
    )(function)
    resources = {"database": ResourceDefinition(lambda _: time.sleep(60))}
    return TreadleInstance([watch], start=START, resources=resources)


def ticked(instance: TreadleInstance, seconds: float) -> TickResult:
    """Return a tick that must be over after so many real seconds."""
    instance.clock.advance(INTERVAL)
    outcome = instance._parts[SENSOR].scheduled.tick(instance.clock.now(), Budget(seconds))
    return instance._applied(SENSOR, outcome)


class _WithoutWordsError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    @property
    def __cause__(self) -> BaseException:  # type: ignore[override]
        raise RuntimeError("no cause")


class _BaseError(BaseException):
    pass


@pytest.mark.parametrize(
    "error",
    [
        _WithoutWordsError(),
        _BaseError("x"),
        SystemExit(1),
        asyncio.CancelledError(),
        GeneratorExit(),
        StopIteration(),
        MemoryError(),
        ValueError("caf\udce9"),
        BaseExceptionGroup("g", [SystemExit(2)]),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("others", [(), ("a", "z")])
def test_whatever_an_object_raises_sets_aside_it_alone(error: BaseException, others: tuple[str, ...]) -> None:
    def function(context: object, stored: S3Object) -> RunRequest:
        del context
        if stored.key == "bad":
            raise error
        return RunRequest()

    instance = deployed(function)
    for key in ("bad", *others):
        instance.objects.put(BUCKET, key)

    result = instance.tick(SENSOR)

    assert result.outcome.decision is (Decision.SUCCESS if others else Decision.SKIPPED)
    assert [run.run_key for run in result.runs] == [_run_key(instance, key) for key in others]
    assert result.tick
    assert [each.run_key for each in result.tick.rejected] == [_run_key(instance, "bad")]


def _run_key(instance: TreadleInstance, key: str) -> str:
    return f"s3://{BUCKET}/{key}#{instance.objects.stored[BUCKET, key].etag}"


def test_error_that_was_raised_from_itself_is_reported_and_ends() -> None:
    def function() -> RunRequest:
        error = ValueError("round and round")
        error.__cause__ = error
        raise error

    instance = deployed(function)
    instance.objects.put(BUCKET, "bad")

    result = ticked(instance, 5)

    assert result.tick
    assert "round and round" in result.tick.rejected[0].reason


@pytest.mark.parametrize("keys", [("bad",), ("a", "bad", "z"), ("bad", "z"), ("a", "bad")])
def test_object_at_which_the_function_hangs_is_rejected_once_it_took_a_whole_tick(
    keys: tuple[str, ...],
) -> None:
    def function(context: object, stored: S3Object) -> RunRequest:
        del context
        if stored.key == "bad":
            time.sleep(60)
        return RunRequest()

    instance = deployed(function)
    for key in keys:
        instance.objects.put(BUCKET, key)

    results = [ticked(instance, 1.2) for _ in range(3)]

    assert Decision.FAILURE not in {result.outcome.decision for result in results}
    assert {run.run_key for run in instance.runs()} == {
        _run_key(instance, key) for key in keys if key != "bad"
    }
    rejections = [each for result in results if result.tick for each in result.tick.rejected]
    assert {each.run_key for each in rejections} == {_run_key(instance, "bad")}
    assert "the function was stopped after" in rejections[0].reason


def test_function_too_slow_for_a_slice_continues_at_the_next_tick_and_misses_none() -> None:
    calls: list[str] = []

    def function(context: object, stored: S3Object) -> RunRequest:
        del context
        time.sleep(0.15)
        calls.append(stored.key)
        return RunRequest()

    instance = deployed(function)
    keys = [f"{n:02}" for n in range(12)]
    for key in keys:
        instance.objects.put(BUCKET, key)

    first = ticked(instance, 1.5)
    assert first.outcome.decision is Decision.SUCCESS
    assert 0 < len(first.runs) < len(keys)
    assert [measure.name for measure in first.outcome.measures] == ["SweepAge"]
    for _ in range(4):
        result = ticked(instance, 1.5)
        assert result.outcome.decision is not Decision.FAILURE
        assert not (result.tick and result.tick.rejected)
    assert sorted(run.run_key or "" for run in instance.runs()) == [_run_key(instance, key) for key in keys]
    assert calls == keys


def test_resource_that_hangs_fails_the_tick_as_all_objects_need_it() -> None:
    def function(context: SensorEvaluationContext) -> RunRequest:
        context.resources.database  # noqa: B018
        return RunRequest()

    instance = deployed(function, required_resource_keys={"database"})
    instance.objects.put(BUCKET, "a")

    result = ticked(instance, 1)

    assert result.outcome.decision is Decision.FAILURE
    assert "was stopped after" in result.outcome.reason


@pytest.mark.parametrize("is_large", [False, True])
def test_slice_that_requests_more_than_a_tick_may_is_taken_in_several(
    monkeypatch: pytest.MonkeyPatch, is_large: bool
) -> None:
    monkeypatch.setattr(one_by_one, "MOST_BYTES" if is_large else "MOST_REQUESTS", 1_000 if is_large else 20)

    def function(context: object, stored: S3Object) -> list[RunRequest]:
        del context
        config = {"text": "x" * 50} if is_large else {}
        many = 40 if stored.key == "05" else 6
        return [RunRequest(f"{stored.key}-{n}", config) for n in range(many)]

    instance = deployed(function)
    for n in range(10):
        instance.objects.put(BUCKET, f"{n:02}")

    results = [instance.tick(SENSOR) for _ in range(5)]

    assert all(result.outcome.decision is not Decision.FAILURE for result in results)
    assert len(instance.runs()) == 9 * 6
    [rejected] = [each for result in results if result.tick for each in result.tick.rejected][:1]
    assert rejected.run_key == _run_key(instance, "05")
    assert "Ask for fewer" in rejected.reason


def test_round_that_was_cut_short_is_not_complete() -> None:
    def function(context: object, stored: S3Object) -> RunRequest:
        del context
        if stored.key == "bad":
            time.sleep(60)
        return RunRequest()

    instance = deployed(function)
    instance.objects.put(BUCKET, "bad")
    ticked(instance, 1)

    result = ticked(instance, 1)  # Of what is behind it, which is nothing.

    [age] = [measure for measure in result.outcome.measures if measure.name == "SweepAge"]
    assert age.value == INTERVAL


def _both() -> Any:
    yield RunRequest()
    yield SkipReason("not now")


def _skips() -> list[SkipReason]:
    return [SkipReason("one"), SkipReason("two")]


def _keeps_a_cursor(context: SensorEvaluationContext) -> RunRequest:
    context.update_cursor("mine")
    return RunRequest()


@pytest.mark.parametrize("function", [_both, _skips, _keeps_a_cursor])
def test_what_fails_an_objects_event_sets_it_aside_in_the_sweep(function: Callable[..., Any]) -> None:
    instance = deployed(function)
    instance.objects.put(BUCKET, "a")

    result, second = instance.tick(SENSOR), instance.tick(SENSOR)

    assert not instance.runs()
    assert result.tick
    assert len(result.tick.rejected) == 1
    assert second.outcome.decision is Decision.SKIPPED
