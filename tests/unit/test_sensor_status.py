"""Start, stop, reset, and an operator's edit against a tick in flight."""

from collections.abc import Callable

import pytest

from treadle import (
    DefaultSensorStatus,
    JobDefinition,
    RunRequest,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)
from treadle.definitions.errors import DagsterInvariantViolationError, LeaseLostError
from treadle.definitions.status import InstigatorStatus
from treadle.engine.outcomes import Decision
from treadle.model.sensors import SensorState
from treadle.operate.sensors import SensorOperations
from treadle.testing import TreadleInstance, VirtualClock
from treadle.testing.stores import InMemorySensorStore
from treadle.testing.tables import InMemoryTables

RUNNING, STOPPED = DefaultSensorStatus.RUNNING, DefaultSensorStatus.STOPPED
job = JobDefinition("load")
Edit = Callable[[TreadleInstance], SensorState]


@sensor(job=job)
def watch(context: SensorEvaluationContext) -> SensorResult:
    """Counts its ticks, and says what it knows of its start."""
    count = int(context.cursor or 0) + 1
    message = f"{context.is_first_tick_since_sensor_start} {context.last_sensor_start_time}"
    return SensorResult(skip_reason=SkipReason(message), cursor=str(count))


def decision(instance: TreadleInstance) -> Decision:
    """Of the next tick."""
    return instance.tick("watch").outcome.decision


def test_sensor_running_by_default_ticks_without_anyone_starting_it() -> None:
    instance = TreadleInstance([watch])

    assert decision(instance) is Decision.SKIPPED
    assert instance.state("watch").status is InstigatorStatus.DECLARED_IN_CODE


def test_sensor_stopped_by_default_never_ticks_and_nothing_is_stored_of_it() -> None:
    instance = TreadleInstance([watch], default_status=STOPPED)

    assert [decision(instance) for _ in range(3)] == [Decision.STOPPED] * 3
    assert instance.state("watch") == SensorState("watch")


def test_sensor_stopped_by_default_ticks_once_it_is_started() -> None:
    instance = TreadleInstance([watch], default_status=STOPPED)

    assert instance.start_sensor("watch").status is InstigatorStatus.RUNNING
    assert decision(instance) is Decision.SKIPPED


def test_stopped_sensor_keeps_its_cursor_and_ticks_no_more_until_it_is_started() -> None:
    instance = TreadleInstance([watch])
    instance.tick("watch")

    assert instance.stop_sensor("watch").status is InstigatorStatus.STOPPED
    assert decision(instance) is Decision.STOPPED
    assert instance.cursor("watch") == "1"

    instance.start_sensor("watch")
    assert decision(instance) is Decision.SKIPPED
    assert instance.cursor("watch") == "2"


@pytest.mark.parametrize(
    ("default", "afterwards"), [(RUNNING, Decision.SKIPPED), (STOPPED, Decision.STOPPED)]
)
def test_reset_lets_the_default_decide_again_and_keeps_the_cursor(
    default: DefaultSensorStatus, afterwards: Decision
) -> None:
    instance = TreadleInstance([watch], default_status=default)
    instance.start_sensor("watch")
    instance.tick("watch")
    instance.stop_sensor("watch")

    assert instance.reset_sensor("watch").status is InstigatorStatus.DECLARED_IN_CODE
    assert decision(instance) is afterwards
    assert instance.cursor("watch") == ("2" if default is RUNNING else "1")


def test_default_that_a_later_deployment_changes_holds_for_a_sensor_that_was_reset() -> None:
    tables = InMemoryTables()
    operations = SensorOperations(InMemorySensorStore(tables), VirtualClock())
    operations.stop("watch", "ann")

    state = operations.reset("watch", "ann")

    assert state.is_running(RUNNING)
    assert not state.is_running(STOPPED)


@pytest.mark.parametrize(
    "edit",
    [
        lambda instance: instance.start_sensor("watch"),
        lambda instance: instance.reset_sensor("watch"),
    ],
)
def test_edit_that_would_change_nothing_changes_nothing(edit: Edit) -> None:
    instance = TreadleInstance([watch])
    instance.tick("watch")
    before = instance.state("watch")

    assert edit(instance) == before
    assert instance.state("watch") == before


def test_second_stop_changes_nothing() -> None:
    instance = TreadleInstance([watch])
    before = instance.stop_sensor("watch")

    assert instance.stop_sensor("watch") == before


def test_first_tick_after_each_start_knows_that_it_is_the_first() -> None:
    instance = TreadleInstance([watch])
    began = instance.clock.now() / 1000

    def message() -> str:
        return instance.tick("watch").outcome.reason

    assert [message() for _ in range(3)] == [f"True {began}", f"False {began}", f"False {began}"]

    instance.stop_sensor("watch")
    instance.clock.advance(600)
    instance.start_sensor("watch")
    again = instance.clock.now() / 1000
    instance.clock.advance(1)

    assert [message() for _ in range(3)] == [f"True {again}", f"False {again}", f"False {again}"]
    assert again == began + 720


def edited_in_flight(edit: Edit) -> tuple[TreadleInstance, Decision]:
    """Return a tick that requests a run and moves the cursor, while an operator's edit comes in."""

    @sensor(job=job, name="watch")
    def slow() -> SensorResult:
        edit(instance)
        return SensorResult([RunRequest("k")], cursor="the tick's")

    instance = TreadleInstance([slow])
    instance.set_cursor("watch", "before")
    return instance, decision(instance)


def test_cursor_set_during_a_tick_stands_and_the_tick_commits_nothing() -> None:
    instance, ended = edited_in_flight(lambda it: it.set_cursor("watch", "the operator's"))

    assert ended is Decision.LOST
    assert instance.cursor("watch") == "the operator's"
    assert (instance.ticks("watch"), instance.runs()) == ([], ())


def test_stop_during_a_tick_stands_and_the_tick_commits_nothing() -> None:
    instance, ended = edited_in_flight(lambda it: it.stop_sensor("watch"))

    assert ended is Decision.LOST
    assert instance.state("watch").status is InstigatorStatus.STOPPED
    assert instance.cursor("watch") == "before"
    assert instance.runs() == ()


def test_tick_that_lost_to_an_edit_is_no_death_and_no_failure() -> None:
    instance, _ = edited_in_flight(lambda it: it.set_cursor("watch", "the operator's"))

    state = instance.state("watch")
    assert (state.lease_owner, state.failure_streak) == (None, 0)
    decision(instance)
    assert instance.ticks("watch") == []


def test_each_edit_raises_the_epoch() -> None:
    instance = TreadleInstance([watch])
    edits: list[Edit] = [
        lambda it: it.set_cursor("watch", "5"),
        lambda it: it.stop_sensor("watch"),
        lambda it: it.start_sensor("watch"),
        lambda it: it.reset_sensor("watch"),
    ]

    assert [edit(instance).epoch for edit in edits] == [1, 2, 3, 4]


@pytest.mark.parametrize("default", [RUNNING, STOPPED])
def test_cursor_of_a_sensor_that_never_ticked_can_be_set_without_starting_or_stopping_it(
    default: DefaultSensorStatus,
) -> None:
    instance = TreadleInstance([watch], default_status=default)

    state = instance.set_cursor("watch", "41")

    assert state.is_running(default) is (default is RUNNING)
    assert decision(instance) is (Decision.SKIPPED if default is RUNNING else Decision.STOPPED)
    assert instance.cursor("watch") == ("42" if default is RUNNING else "41")


def test_next_tick_continues_from_the_cursor_that_an_operator_set_or_cleared() -> None:
    instance = TreadleInstance([watch])
    instance.tick("watch")
    instance.set_cursor("watch", "10")
    instance.tick("watch")
    assert instance.cursor("watch") == "11"

    instance.set_cursor("watch", None)
    instance.tick("watch")
    assert instance.cursor("watch") == "1"


def test_setting_the_cursor_keeps_what_is_known_of_start_and_completion() -> None:
    instance = TreadleInstance([watch])
    instance.tick("watch")
    before = instance.state("watch")

    after = instance.set_cursor("watch", "10")

    assert (after.started_at, after.last_completion, after.last_scheduled_for) == (
        before.started_at,
        before.last_completion,
        before.last_scheduled_for,
    )


def test_edit_of_what_the_operator_no_longer_saw_is_refused() -> None:
    tables = InMemoryTables()
    operations = SensorOperations(InMemorySensorStore(tables), VirtualClock())
    seen = operations.set_cursor("watch", "1", "ann").epoch
    operations.set_cursor("watch", "2", "ann", if_epoch=seen)

    with pytest.raises(LeaseLostError, match=f"no longer {seen}"):
        operations.set_cursor("watch", "3", "ann", if_epoch=seen)

    assert tables.sensors["watch"].cursor == "2"


def test_stop_inside_the_interval_and_start_again_bring_no_extra_tick() -> None:
    @sensor(job=job, name="watch", minimum_interval_seconds=30)
    def often() -> RunRequest:
        return RunRequest()

    instance = TreadleInstance([often])
    instance.tick("watch")
    instance.clock.advance(10)
    instance.stop_sensor("watch")
    instance.start_sensor("watch")
    instance.clock.advance(10)

    assert instance.tick_now("watch").outcome.decision is Decision.NOT_DUE
    assert decision(instance) is Decision.SUCCESS
    assert len(instance.runs()) == 2


def test_an_operator_cannot_set_a_cursor_that_no_table_could_keep() -> None:
    operations = SensorOperations(InMemorySensorStore(InMemoryTables()), VirtualClock())

    with pytest.raises(DagsterInvariantViolationError, match="has 300001 bytes; the limit is 300000"):
        operations.set_cursor("watch", "c" * 300_001, "ann")

    assert operations.set_cursor("watch", "c" * 300_000, "ann").epoch == 1
