"""The cache of run keys: an entry is valid until somebody may have released the key."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from tests.support.dispatching import change, committed, dispatch
from tests.support.house import RUN_IDS, House, keyless, sensor_of
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
class CountingHouse(House):
    """Records the runs that the filter queries, and calls `on_query`."""

    queried: list[str] = field(default_factory=list)
    on_query: Callable[[], object] = lambda: None

    @property
    def stores(self) -> InMemoryStores:
        house, stores = self, InMemoryStores(self.tables)

        class Counting(InMemoryRunStore):
            def key_states(self, requests: Mapping[str, str | None]) -> dict[str, KeyState]:
                house.queried += requests
                found = super().key_states(requests)
                house.on_query()
                return found

        stores.runs = Counting(self.tables)
        return stores


@pytest.fixture
def house() -> CountingHouse:
    """With a run that was started, and has ended in failure, under the key "k"."""
    house = CountingHouse()
    dispatch(house, committed(house, "k", number=900))
    house.launches.drain()
    change(house, "k", status=Status.FAILURE, reached=STARTED, external_id="e", next_at=None)
    return house


def operations(house: House) -> RunOperations:
    return RunOperations(
        house.runs,
        house.sensors,
        house.launches,
        house.jobs,
        {"step_functions": house.target},
        RUN_IDS,
        house.clock,
    )


def minute(house: House, ticks: ScheduledTickRunner) -> Decision:
    """Let a minute pass, and tick."""
    house.clock.advance(60)
    return ticks.tick(house.clock.now(), Budget(60)).decision


def keys_of_last_tick(house: House) -> list[str | None]:
    return [request.run_key for request in house.tick_records()[-1].requests]


def test_a_settled_key_is_requested_once_in_a_process(house: CountingHouse) -> None:
    ticks = house.leased(sensor_of(lambda: RunRequest("k")))

    decisions = {minute(house, ticks) for _ in range(5)}

    assert decisions == {Decision.SKIPPED}
    assert house.queried == [RUN_IDS.keyed("watch", "k")]


def test_a_released_key_is_requested_by_the_next_tick(house: CountingHouse) -> None:
    ticks = house.leased(sensor_of(lambda: RunRequest("k")))
    assert minute(house, ticks) is Decision.SKIPPED

    operations(house).release("watch", "k", "ann")

    assert minute(house, ticks) is Decision.SUCCESS
    assert keys_of_last_tick(house) == ["k"]
    [edit] = house.sensors.edits("watch")
    assert (edit.action, edit.by, edit.after) == ("release", "ann", "k")


def test_a_key_released_by_a_command_that_died_is_free_once_that_is_repeated(house: CountingHouse) -> None:
    """Its record was written, and the response was lost."""
    ticks = house.leased(sensor_of(lambda: RunRequest("k")))
    minute(house, ticks)
    change(house, "k", granted=2)

    edit = operations(house).release("watch", "k", "ann")

    assert not edit.is_new
    assert minute(house, ticks) is Decision.SUCCESS


def test_a_tick_that_dropped_a_key_before_its_release_commits_nothing(house: CountingHouse) -> None:
    """Its cursor would have moved past the request that the operator wants started."""
    ticks = house.leased(sensor_of(lambda: RunRequest("k")))

    def release_once() -> None:
        house.on_query = lambda: None
        operations(house).release("watch", "k", "ann")

    house.on_query = release_once

    assert minute(house, ticks) is Decision.LOST
    assert minute(house, ticks) is Decision.SUCCESS


def test_a_rerun_that_leaves_the_key_an_attempt_is_reported(house: CountingHouse) -> None:
    change(house, "k", status=Status.SUCCESS, retries=2)
    ticks = house.leased(sensor_of(lambda: RunRequest("k")))
    minute(house, ticks)

    operations(house).rerun(house.only_run().run_id, "ann")

    assert minute(house, ticks) is Decision.SUCCESS


def test_a_rerun_that_leaves_the_key_taken_disturbs_no_tick(house: CountingHouse) -> None:
    before = house.state().epoch

    operations(house).rerun(house.only_run().run_id, "ann")

    assert house.state().epoch == before


@pytest.mark.parametrize("freed", [{"retries": 1}, {"granted": 2}])
def test_a_key_that_may_come_free_by_itself_is_requested_each_time(
    house: CountingHouse, freed: dict[str, int]
) -> None:
    """A queued run may turn out never to reach its target, or to have an attempt more."""
    change(house, "k", reached={}, external_id=None)
    ticks = house.leased(sensor_of(lambda: RunRequest("k")))
    minute(house, ticks)

    change(house, "k", **freed)

    assert minute(house, ticks) is Decision.SUCCESS


def test_any_edit_and_any_other_process_s_tick_ends_the_memory(house: CountingHouse) -> None:
    ours, theirs = (house.leased(sensor_of(lambda: RunRequest("k"))) for _ in range(2))
    minute(house, ours)
    house.queried.clear()

    SensorOperations(house.sensors, house.clock).set_cursor("watch", "c", "ann")
    minute(house, ours)
    assert len(house.queried) == 1

    minute(house, theirs)
    minute(house, ours)
    assert len(house.queried) == 3


def test_after_ten_minutes_all_is_requested_again(house: CountingHouse) -> None:
    """So a change without a trace is noticed in the end."""
    ticks = house.leased(sensor_of(lambda: RunRequest("k")))
    minute(house, ticks)
    change(house, "k", granted=2)

    decisions = [minute(house, ticks) for _ in range(11)]

    assert decisions == [Decision.SKIPPED] * 10 + [Decision.SUCCESS]


def test_more_keys_than_are_remembered_are_requested(
    house: CountingHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_key_cache, "MAX_KEYS", 2)
    keys = ["k", "l", "m"]
    for number, key in enumerate(keys[1:], 901):
        dispatch(house, committed(house, key, number=number))
        change(house, key, status=Status.FAILURE, reached=STARTED, external_id="e", next_at=None)
    ticks = house.leased(sensor_of(lambda: [RunRequest(key) for key in keys]))

    assert [minute(house, ticks) for _ in range(3)] == [Decision.SKIPPED] * 3
    assert house.queried == [RUN_IDS.keyed("watch", key) for key in [*keys, "m", "m"]]


def test_an_event_after_the_release_starts_its_run(house: CountingHouse) -> None:
    """Events come between the ticks: they go by the epoch that was read when they were received."""
    definition = S3SensorDefinition(
        "watch", evaluation_fn=keyless, selection=S3Selection(BUCKET), job_name="process_file"
    )
    key = f"s3://{BUCKET}/in/a.csv#e1"
    dispatch(house, committed(house, key, number=901))
    change(house, key, status=Status.FAILURE, reached=STARTED, external_id="e", next_at=None)
    events = house.events(definition)

    def deliver(second: int) -> Decision:
        event = ObjectCreated(object_of("in/a.csv"), from_millis(NOON + second * 1000), str(second))
        return events.evaluate(event, events.load_batch_state([event]), Budget(60)).decision

    assert [deliver(1), deliver(2)] == [Decision.SKIPPED, Decision.SKIPPED]
    assert len(house.queried) == 1
    operations(house).release("watch", key, "ann")
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
