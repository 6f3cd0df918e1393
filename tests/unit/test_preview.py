"""Preview: the result of a tick, with nothing committed."""

import copy
from typing import Any

import pytest

from treadle import (
    JobDefinition,
    RunRequest,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    s3_sensor,
    sensor,
)
from treadle.definitions.status import InstigatorStatus, TickStatus
from treadle.testing import TreadleInstance

job = JobDefinition("load")


@sensor(job=job)
def watch(context: SensorEvaluationContext) -> SensorResult | SkipReason:
    """One run for each letter after the cursor."""
    context.log.info("from %s", context.cursor)
    letters = "abc"["abc".index(context.cursor) + 1 :] if context.cursor else "abc"
    if not letters:
        return SkipReason("no letters left")
    return SensorResult([RunRequest(letter) for letter in letters], cursor=letters[-1])


def stored(instance: TreadleInstance) -> dict[str, Any]:
    """Return all records."""
    tables = instance._tables
    return copy.deepcopy(
        {
            "sensors": tables.sensors,
            "ticks": tables.ticks,
            "runs": tables.runs,
            "at": instance.target.executions,
        }
    )


def keys(instance: TreadleInstance, **options: Any) -> list[str | None]:
    """Return the run keys that a tick would launch."""
    return [run.run_key for run in instance.preview("watch", **options).tick.requests]


def test_preview_shows_requests_cursors_and_log_and_commits_nothing() -> None:
    instance = TreadleInstance([watch])
    before = stored(instance)

    preview = instance.preview("watch")

    assert [run.run_key for run in preview.tick.requests] == ["a", "b", "c"]
    assert (preview.cursor_before, preview.cursor_after) == (None, "c")
    assert preview.tick.status is TickStatus.SUCCESS
    assert preview.tick.log == ("INFO from None",)
    assert stored(instance) == before


def test_preview_takes_another_cursor_than_the_stored_one() -> None:
    instance = TreadleInstance([watch])
    instance.set_cursor("watch", "b")

    assert keys(instance) == ["c"]
    assert keys(instance, cursor="a") == ["b", "c"]
    assert keys(instance, cursor=None) == ["a", "b", "c"]
    assert instance.cursor("watch") == "b"


def test_preview_shows_which_keys_exist_already() -> None:
    instance = TreadleInstance([watch])
    instance.set_cursor("watch", "b")
    instance.tick("watch")
    before = stored(instance)

    tick = instance.preview("watch", cursor=None).tick

    assert tick.existing_keys == ("c",)
    assert [run.run_key for run in tick.requests] == ["a", "b"]
    assert stored(instance) == before


def test_preview_of_a_skip_gives_its_reason() -> None:
    tick = TreadleInstance([watch]).preview("watch", cursor="c").tick

    assert (tick.status, tick.reason, tick.requests) == (TickStatus.SKIPPED, "no letters left", ())


def test_preview_of_a_failure_gives_error_and_stack_and_counts_as_none() -> None:
    instance = TreadleInstance([watch], pause_after=1)
    before = stored(instance)

    preview = instance.preview("watch", cursor="z")

    assert preview.tick.error is not None
    assert preview.tick.error.type == "ValueError"
    assert "abc" in preview.tick.error.stack
    assert (preview.cursor_before, preview.cursor_after) == ("z", "z")
    assert stored(instance) == before


def test_preview_neither_needs_nor_takes_the_lease() -> None:
    @sensor(job=job, name="watch")
    def slow() -> RunRequest:
        if not previews:
            previews.append(0)
            previews[0] = len(instance.preview("watch").tick.requests)
        return RunRequest()

    previews: list[int] = []
    instance = TreadleInstance([slow])

    assert len(instance.tick("watch").runs) == 1
    assert previews == [1]


def test_stopped_sensor_can_be_previewed() -> None:
    instance = TreadleInstance([watch])
    instance.stop_sensor("watch")

    assert keys(instance) == ["a", "b", "c"]
    assert instance.state("watch").status is InstigatorStatus.STOPPED


@pytest.mark.parametrize(("key", "status"), [("in/a.csv", TickStatus.SUCCESS), ("b.csv", TickStatus.SKIPPED)])
def test_event_can_be_previewed(key: str, status: TickStatus) -> None:
    @s3_sensor("raw", prefix="in/", job=job)
    def files() -> RunRequest:
        return RunRequest()

    instance = TreadleInstance([files])
    event = instance.objects.put("raw", key)
    before = stored(instance)

    assert instance.preview("files", event=event).tick.status is status
    assert stored(instance) == before
