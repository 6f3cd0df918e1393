"""The cache of run keys: an entry is valid until somebody may have released the key."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from tests.support.dispatching import change, committed, dispatch
from tests.support.engine import RUN_IDS, EngineHarness, keyless, sensor_of
from tests.support.objects import BUCKET, object_of
from treadle.definitions.objects import ObjectCreated
from treadle.definitions.results import RunRequest
from treadle.definitions.runs import from_millis
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.outcomes import Decision
from treadle.engine.tick import run_key_cache
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.scheduled_ticks import ScheduledTickRunner
from treadle.integrations.s3 import S3SensorDefinition, s3_sensor
from treadle.integrations.s3.selection import S3Selection
from treadle.model.runs import KeyState
from treadle.operate.runs import RunOperations
from treadle.operate.sensors import SensorOperations
from treadle.testing.instance import TreadleInstance
from treadle.testing.stores import InMemoryRunStore, InMemoryStores

NOON = 1_795_370_400_000
STARTED = {"1/0": {"QUEUED": NOON, "STARTED": NOON, "FAILURE": NOON}}


@dataclass(slots=True)
class CountingHarness(EngineHarness):
    """Records the runs that the filter queries, and calls `on_query`."""

    queried: list[str] = field(default_factory=list)
    on_query: Callable[[], object] = lambda: None

    @property
    def stores(self) -> InMemoryStores:
        harness, stores = self, InMemoryStores(self.tables)

        class Counting(InMemoryRunStore):
            def key_states(self, requests: Mapping[str, str | None]) -> dict[str, KeyState]:
                harness.queried += requests
                found = super().key_states(requests)
                harness.on_query()
                return found

        stores.runs = Counting(self.tables)
        return stores


@pytest.fixture
def harness() -> CountingHarness:
    """With a run that was started, and has ended in failure, under the key "k"."""
    harness = CountingHarness()
    dispatch(harness, committed(harness, "k", number=900))
    harness.launches.drain()
    change(harness, "k", status=Status.FAILURE, reached=STARTED, external_id="e", next_at=None)
    return harness


def operations(harness: EngineHarness) -> RunOperations:
    return RunOperations(
        harness.runs,
        harness.sensors,
        harness.launches,
        harness.jobs,
        {"step_functions": harness.target},
        RUN_IDS,
        harness.clock,
    )


def minute(harness: EngineHarness, ticks: ScheduledTickRunner) -> Decision:
    """Let a minute pass, and tick."""
    harness.clock.advance(60)
    return ticks.tick(harness.clock.now(), Budget(60)).decision


def keys_of_last_tick(harness: EngineHarness) -> list[str | None]:
    return [request.run_key for request in harness.tick_records()[-1].requests]


def test_a_settled_key_is_requested_once_in_a_process(harness: CountingHarness) -> None:
    ticks = harness.leased(sensor_of(lambda: RunRequest("k")))

    decisions = {minute(harness, ticks) for _ in range(5)}

    assert decisions == {Decision.SKIPPED}
    assert harness.queried == [RUN_IDS.keyed("watch", "k")]


def test_a_released_key_is_requested_by_the_next_tick(harness: CountingHarness) -> None:
    ticks = harness.leased(sensor_of(lambda: RunRequest("k")))
    assert minute(harness, ticks) is Decision.SKIPPED

    operations(harness).release("watch", "k", "ann")

    assert minute(harness, ticks) is Decision.SUCCESS
    assert keys_of_last_tick(harness) == ["k"]
    [edit] = harness.sensors.edits("watch")
    assert (edit.action, edit.by, edit.after) == ("release", "ann", "k")


def test_a_key_released_by_a_command_that_died_is_free_once_that_is_repeated(
    harness: CountingHarness,
) -> None:
    """Its record was written, and the response was lost."""
    ticks = harness.leased(sensor_of(lambda: RunRequest("k")))
    minute(harness, ticks)
    change(harness, "k", granted=2)

    edit = operations(harness).release("watch", "k", "ann")

    assert not edit.is_new
    assert minute(harness, ticks) is Decision.SUCCESS


def test_a_tick_that_dropped_a_key_before_its_release_commits_nothing(harness: CountingHarness) -> None:
    """Its cursor would have moved past the request that the operator wants started."""
    ticks = harness.leased(sensor_of(lambda: RunRequest("k")))

    def release_once() -> None:
        harness.on_query = lambda: None
        operations(harness).release("watch", "k", "ann")

    harness.on_query = release_once

    assert minute(harness, ticks) is Decision.LOST
    assert minute(harness, ticks) is Decision.SUCCESS


def test_a_rerun_that_leaves_the_key_an_attempt_is_reported(harness: CountingHarness) -> None:
    change(harness, "k", status=Status.SUCCESS, retries=2)
    ticks = harness.leased(sensor_of(lambda: RunRequest("k")))
    minute(harness, ticks)

    operations(harness).rerun(harness.only_run().run_id, "ann")

    assert minute(harness, ticks) is Decision.SUCCESS


def test_a_rerun_that_leaves_the_key_taken_disturbs_no_tick(harness: CountingHarness) -> None:
    before = harness.state().epoch

    operations(harness).rerun(harness.only_run().run_id, "ann")

    assert harness.state().epoch == before


@pytest.mark.parametrize("freed", [{"retries": 1}, {"granted": 2}])
def test_a_key_that_may_come_free_by_itself_is_requested_each_time(
    harness: CountingHarness, freed: dict[str, int]
) -> None:
    """A queued run may turn out never to reach its target, or to have an attempt more."""
    change(harness, "k", reached={}, external_id=None)
    ticks = harness.leased(sensor_of(lambda: RunRequest("k")))
    minute(harness, ticks)

    change(harness, "k", **freed)

    assert minute(harness, ticks) is Decision.SUCCESS


def test_any_edit_and_any_other_process_s_tick_ends_the_memory(harness: CountingHarness) -> None:
    ours, theirs = (harness.leased(sensor_of(lambda: RunRequest("k"))) for _ in range(2))
    minute(harness, ours)
    harness.queried.clear()

    SensorOperations(harness.sensors, harness.clock).set_cursor("watch", "c", "ann")
    minute(harness, ours)
    assert len(harness.queried) == 1

    minute(harness, theirs)
    minute(harness, ours)
    assert len(harness.queried) == 3


def test_after_ten_minutes_all_is_requested_again(harness: CountingHarness) -> None:
    """So a change without a trace is noticed in the end."""
    ticks = harness.leased(sensor_of(lambda: RunRequest("k")))
    minute(harness, ticks)
    change(harness, "k", granted=2)

    decisions = [minute(harness, ticks) for _ in range(11)]

    assert decisions == [Decision.SKIPPED] * 10 + [Decision.SUCCESS]


def test_more_keys_than_are_remembered_are_requested(
    harness: CountingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_key_cache, "MAX_KEYS", 2)
    keys = ["k", "l", "m"]
    for number, key in enumerate(keys[1:], 901):
        dispatch(harness, committed(harness, key, number=number))
        change(harness, key, status=Status.FAILURE, reached=STARTED, external_id="e", next_at=None)
    ticks = harness.leased(sensor_of(lambda: [RunRequest(key) for key in keys]))

    assert [minute(harness, ticks) for _ in range(3)] == [Decision.SKIPPED] * 3
    assert harness.queried == [RUN_IDS.keyed("watch", key) for key in [*keys, "m", "m"]]


def test_an_event_after_the_release_starts_its_run(harness: CountingHarness) -> None:
    """Events come between the ticks: they go by the epoch that was read when they were received."""
    definition = S3SensorDefinition(
        "watch", evaluation_fn=keyless, selection=S3Selection(BUCKET), job_name="process_file"
    )
    key = f"s3://{BUCKET}/in/a.csv#e1"
    dispatch(harness, committed(harness, key, number=901))
    change(harness, key, status=Status.FAILURE, reached=STARTED, external_id="e", next_at=None)
    events = harness.events(definition)

    def deliver(second: int) -> Decision:
        event = ObjectCreated(object_of("in/a.csv"), from_millis(NOON + second * 1000), str(second))
        return events.evaluate(event, events.load_batch_state([event]), Budget(60)).decision

    assert [deliver(1), deliver(2)] == [Decision.SKIPPED, Decision.SKIPPED]
    assert len(harness.queried) == 1
    operations(harness).release("watch", key, "ann")
    assert deliver(3) is Decision.SUCCESS


def test_a_sweep_requests_what_is_new_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it was claimed, as it is met; not again when its run is requested."""
    queried: list[str] = []

    def key_states(runs: InMemoryRunStore, requests: Mapping[str, str | None]) -> dict[str, KeyState]:
        queried.extend(requests)
        return original(runs, requests)

    original = InMemoryRunStore.key_states
    monkeypatch.setattr(InMemoryRunStore, "key_states", key_states)
    watch = s3_sensor(BUCKET, name="watch", start_from="beginning", job_name="process_file")(keyless)
    instance = TreadleInstance([watch])
    for number in range(3):
        instance.objects.put(BUCKET, f"in/{number}.csv", b"")

    runs = instance.tick("watch").runs

    assert len(runs) == 3
    assert sorted(queried) == sorted(run.run_id for run in runs)
    assert instance.tick("watch").runs == ()
