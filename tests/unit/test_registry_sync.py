"""The registry's copy is kept in step with Parameter Store, and nothing is taken for absent that only was not read."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from treadle.adapters.targets.registry import KINDS
from treadle.definitions.errors import StoreError, StoreThrottledError
from treadle.engine.registry.registry_cache import CachedRegistry
from treadle.engine.registry.registry_sync import CLOSED_MS, LIST_MS, RegistrySync
from treadle.model.pools import Overlap, PoolState
from treadle.model.registry import Registry, RegistryCopy
from treadle.model.targets import JobSettings
from treadle.testing.pools import InMemoryPoolStore
from treadle.testing.registry import InMemoryParameters, InMemoryRegistryStore, job_text, sensor_text
from treadle.testing.system import VirtualClock
from treadle.testing.tables import InMemoryTables

T = TypeVar("T")

ENGINE = "main"
DAILY = "sensors/daily"
LOAD = "jobs/load"
SETTINGS = JobSettings("load", "glue", "load", "LoadJob")
MINUTE_S = 60


class Parameters(InMemoryParameters):
    """Parameter Store; a test sets what happens during a query, and that it fails."""

    error: Exception | None = None

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__(values)
        self.meanwhile: list[Callable[[], object]] = []
        self.lists = 0

    def list(self) -> Mapping[str, str]:
        """Return all values as of the query."""
        self.lists += 1
        return self._read(super().list())

    def get(self, path: str) -> str | None:
        """Return one value as of the query."""
        return self._read(super().get(path))

    def _read(self, answer: T) -> T:
        if self.error is not None:
            raise self.error
        while self.meanwhile:
            self.meanwhile.pop()()
        return answer


@dataclass
class Engine:
    """An engine with a sensor and a job that are registered."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    tables: InMemoryTables = field(default_factory=InMemoryTables)
    parameters: Parameters = field(
        default_factory=lambda: Parameters(
            {DAILY: sensor_text("shop", "load"), LOAD: job_text("shop", SETTINGS)}
        )
    )

    def __post_init__(self) -> None:
        self.store = InMemoryRegistryStore(self.tables)
        self.sync = self.process()

    def process(self, engine: str = ENGINE) -> RegistrySync:
        """RECONCILE's part in a process of its own."""
        registry = CachedRegistry(self.store, self.clock)
        pools = InMemoryPoolStore(self.tables)
        return RegistrySync(self.store, self.parameters, registry, engine, set(KINDS), self.clock, pools)

    @property
    def closed_until(self) -> int:
        """Return until when a pool is closed that jobs have joined just now."""
        return self.clock.now() + CLOSED_MS

    def listed(self) -> int:
        """Return a listing, once it is due."""
        self.clock.advance(LIST_MS / 1000)
        return self.sync.list_if_due()

    def deleted(self, path: str) -> int:
        """Delete an entry, and process Parameter Store's event."""
        self.parameters.values.pop(path, None)
        self.clock.advance(1)
        return self.sync.update(path, is_deleted=True)

    def updated(self, path: str, text: str) -> int:
        """Change an entry, and process Parameter Store's event."""
        self.parameters.values[path] = text
        self.clock.advance(1)
        return self.sync.update(path, is_deleted=False)

    @property
    def registry(self) -> Registry:
        return self.store.read()

    @property
    def names(self) -> set[str]:
        return {*self.registry.sensors, *self.registry.jobs}


@pytest.fixture
def engine() -> Engine:
    made = Engine()
    assert made.sync.list_if_due() == 2
    return made


def test_without_a_copy_all_entries_are_listed_at_once(engine: Engine) -> None:
    found = engine.registry

    assert found.may_start("daily", "load")
    assert (found.listed_at, found.engine) == (engine.clock.now(), ENGINE)


def test_entries_are_listed_every_ten_minutes(engine: Engine) -> None:
    engine.parameters.values["jobs/clean"] = job_text("shop", JobSettings("clean", "glue", "clean", "C"))

    for _ in range(9):
        engine.clock.advance(MINUTE_S)
        assert engine.sync.list_if_due() == 0
    engine.clock.advance(MINUTE_S)

    assert engine.sync.list_if_due() == 1
    assert engine.parameters.lists == 2
    assert "clean" in engine.names


def test_lost_copy_is_made_again_within_a_minute(engine: Engine) -> None:
    """As after somebody has deleted the item."""
    engine.tables.registry = RegistryCopy()
    engine.clock.advance(MINUTE_S + 1)

    assert engine.sync.list_if_due() == 2


def test_change_is_taken_over_when_it_is_announced(engine: Engine) -> None:
    assert engine.updated(LOAD, job_text("shop", SETTINGS, arn="other")) == 1

    assert engine.registry.jobs["load"].settings.arn == "other"
    assert engine.parameters.lists == 1


def test_announcement_without_change_changes_nothing(engine: Engine) -> None:
    assert engine.updated(LOAD, job_text("shop", SETTINGS)) == 0


def test_announcement_before_the_first_listing_lists_all() -> None:
    engine = Engine()

    assert engine.sync.update(LOAD, is_deleted=False) == 2
    assert engine.names == {"daily", "load"}


def test_ce_1_malformed_value_never_replaces_a_valid_one(engine: Engine) -> None:
    """Announced or listed: the job is launched as before, and the problem is counted and shown."""
    assert engine.updated(LOAD, job_text("shop", SETTINGS, target="gleu")) == 1
    assert engine.listed() == 0

    assert engine.registry.jobs["load"].settings == SETTINGS
    assert engine.registry.problems == {
        LOAD: "its target is 'gleu'. Use one of: " + ", ".join(sorted(KINDS)) + "."
    }
    assert engine.sync.invalid() == 1
    assert engine.updated(LOAD, job_text("shop", SETTINGS)) == 1
    assert engine.sync.invalid() == 0


def test_first_value_that_is_malformed_is_a_problem_alone(engine: Engine) -> None:
    engine.updated("jobs/clean", "{")

    assert engine.names == {"daily", "load"}
    assert "it is not JSON" in engine.registry.problems["jobs/clean"]
    engine.deleted("jobs/clean")
    assert engine.registry.problems == {}


def test_deleted_entry_goes_with_its_announcement(engine: Engine) -> None:
    assert engine.deleted(LOAD) == 1

    assert engine.names == {"daily"}


def test_entry_that_was_reported_as_deleted_and_is_there_stays(engine: Engine) -> None:
    """It was created again, or never deleted."""
    assert engine.sync.update(LOAD, is_deleted=True) == 0

    assert engine.names == {"daily", "load"}


def test_entry_that_was_reported_as_changed_and_is_not_found_stays(engine: Engine) -> None:
    del engine.parameters.values[LOAD]

    assert engine.sync.update(LOAD, is_deleted=False) == 0
    assert engine.names == {"daily", "load"}


def test_entry_that_two_listings_in_a_row_lack_is_gone(engine: Engine) -> None:
    text = engine.parameters.values.pop(LOAD)
    assert engine.listed() == 0
    assert engine.names == {"daily", "load"}
    engine.parameters.values[LOAD] = text
    assert engine.listed() == 0
    del engine.parameters.values[LOAD]
    assert engine.listed() == 0
    assert engine.names == {"daily", "load"}

    assert engine.listed() == 1
    assert engine.names == {"daily"}


@pytest.mark.parametrize("error", [StoreError("no answer"), StoreThrottledError("throttled")])
def test_ce_1_error_of_parameter_store_is_never_absence(engine: Engine, error: Exception) -> None:
    engine.parameters.error = error
    before = engine.store.copy()

    for _ in range(3):
        with pytest.raises(StoreError):
            engine.listed()
        with pytest.raises(StoreError):
            engine.deleted(LOAD)

    assert engine.store.copy() == before


def test_update_that_failed_is_made_up_for_by_the_next_check(engine: Engine) -> None:
    engine.parameters.error = StoreError("no answer")
    with pytest.raises(StoreError):
        engine.updated(LOAD, job_text("shop", SETTINGS, arn="other"))
    engine.parameters.error = None
    engine.clock.advance(1)

    assert engine.sync.list_if_due() == 1
    assert engine.registry.jobs["load"].settings.arn == "other"
    engine.clock.advance(1)
    assert (engine.sync.list_if_due(), engine.parameters.lists) == (0, 2)


def test_listing_that_began_before_an_update_does_not_undo_it(engine: Engine) -> None:
    other = engine.process()

    def meanwhile() -> None:
        engine.clock.advance(1)
        engine.parameters.values |= {LOAD: job_text("shop", SETTINGS, arn="other")}
        other.update(LOAD, is_deleted=False)

    engine.parameters.meanwhile.append(meanwhile)
    engine.listed()

    assert engine.registry.jobs["load"].settings.arn == "other"


def test_listing_that_began_before_a_deletion_does_not_undo_it(engine: Engine) -> None:
    other = engine.process()

    def meanwhile() -> None:
        engine.clock.advance(1)
        del engine.parameters.values[LOAD]
        other.update(LOAD, is_deleted=True)

    engine.parameters.meanwhile.append(meanwhile)
    engine.listed()
    assert engine.names == {"daily"}

    engine.parameters.values[LOAD] = job_text("shop", SETTINGS)
    engine.listed()
    assert engine.names == {"daily", "load"}


def test_older_listing_never_overwrites_a_newer_one(engine: Engine) -> None:
    """It would also make one listing that lacks an entry count for two."""
    other = engine.process()
    text = engine.parameters.values.pop(LOAD)

    def meanwhile() -> None:
        engine.clock.advance(1)
        engine.parameters.values[LOAD] = text
        other.list_if_due()

    engine.parameters.meanwhile.append(meanwhile)
    engine.listed()

    copy = engine.store.copy()
    assert copy.listed_at == engine.clock.now()
    assert not any(kept.is_missing for kept in copy.entries.values())


def test_older_read_of_an_entry_never_overwrites_a_newer_one(engine: Engine) -> None:
    other = engine.process()

    def meanwhile() -> None:
        engine.clock.advance(1)
        engine.parameters.values[LOAD] = job_text("shop", SETTINGS, arn="newest")
        other.update(LOAD, is_deleted=False)

    engine.parameters.meanwhile.append(meanwhile)
    engine.updated(LOAD, job_text("shop", SETTINGS, arn="newer"))

    assert engine.registry.jobs["load"].settings.arn == "newest"


def test_updates_at_the_same_time_are_all_kept(engine: Engine) -> None:
    """Each is written upon the copy that the other has written."""
    other, reads = engine.process(), engine.store.copy
    engine.parameters.values["jobs/clean"] = job_text("shop", JobSettings("clean", "glue", "clean", "C"))

    def copy() -> RegistryCopy:
        found = reads()
        if engine.store.copy is copy:
            engine.store.copy = reads  # type: ignore[method-assign]
            other.update("jobs/clean", is_deleted=False)
        return found

    engine.clock.advance(1)
    engine.parameters.values[LOAD] = job_text("shop", SETTINGS, arn="other")
    engine.store.copy = copy  # type: ignore[method-assign]
    engine.sync.update(LOAD, is_deleted=False)

    assert engine.names == {"daily", "load", "clean"}
    assert engine.registry.jobs["load"].settings.arn == "other"


def test_engine_that_takes_over_the_tables_of_another_drops_its_entries(engine: Engine) -> None:
    engine.parameters.values = {"jobs/own": job_text("own", JobSettings("own", "glue", "own", "O"))}
    engine.sync = engine.process("another")

    assert engine.sync.list_if_due() == 3
    assert engine.names == {"own"}


def test_ce_16_versions_of_the_contract_register_under_the_same_names(engine: Engine) -> None:
    """A second entry of a name has no path of its own: a later version is a field, and here not served yet."""
    fields = json.loads(sensor_text("other", "load"))
    engine.updated(DAILY, json.dumps(fields | {"contract": "2"}))

    assert engine.registry.sensors["daily"].project == "shop"
    assert "its contract is 2, but this engine supports 1" in engine.registry.problems[DAILY]


# ---- Since when an entry is as it is


def since(engine: Engine) -> int:
    return engine.registry.sensors["daily"].registered_at


def test_entry_is_registered_since_its_present_value_was_read_first(engine: Engine) -> None:
    first = engine.clock.now()
    assert since(engine) == first

    for _ in range(3):
        engine.listed()
    engine.updated(DAILY, engine.parameters.values[DAILY])
    assert since(engine) == first

    engine.updated(DAILY, sensor_text("shop", "load", status="STOPPED"))
    assert since(engine) == engine.clock.now() > first


def test_value_that_cannot_be_taken_leaves_the_one_before_it_as_old_as_it_is(engine: Engine) -> None:
    first = engine.clock.now()

    engine.updated(DAILY, "no JSON")
    engine.listed()

    assert since(engine) == first


def test_entry_that_was_deleted_is_registered_since_it_is_back(engine: Engine) -> None:
    text = engine.parameters.values[DAILY]
    engine.deleted(DAILY)

    engine.updated(DAILY, text)

    assert since(engine) == engine.clock.now()


# ---- Concurrency pools


def limited(**fields: str) -> str:
    return job_text("shop", SETTINGS, **fields)


POOL = json.dumps({"project": "shop", "limit": "2"})


def test_declared_pools_are_stored_before_the_copy_that_has_them(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(copy: RegistryCopy) -> bool:
        del copy
        raise StoreError("no answer")

    monkeypatch.setattr(engine.store, "replace", refuse)

    with pytest.raises(StoreError):
        engine.updated("pools/warehouse", POOL)

    assert engine.tables.pools == {"warehouse": PoolState("warehouse", 2, closed_until=engine.closed_until)}


def test_pool_that_known_jobs_join_is_closed_until_no_function_can_start_runs_outside_of_it(
    engine: Engine,
) -> None:
    engine.updated("pools/warehouse", POOL)
    engine.tables.pools["warehouse"] = PoolState("warehouse", 2)

    engine.updated(LOAD, limited(pools="warehouse"))

    assert engine.tables.pools == {"warehouse": PoolState("warehouse", 2, closed_until=engine.closed_until)}


def test_changed_overlap_is_stored_and_closes_nothing(engine: Engine) -> None:
    engine.updated(LOAD, limited(max_concurrent_runs="2"))
    engine.tables.pools["job:load"] = PoolState("job:load", 2)

    engine.updated(LOAD, limited(max_concurrent_runs="2", overlap="CANCEL"))

    assert engine.tables.pools["job:load"] == PoolState("job:load", 2, overlap=Overlap.CANCEL)


def test_stored_overlap_is_corrected(engine: Engine) -> None:
    engine.updated(LOAD, limited(overlap="SKIP"))
    engine.tables.pools["job:load"] = PoolState("job:load", 1, overlap=Overlap.LATEST)

    engine.listed()

    assert engine.tables.pools["job:load"] == PoolState("job:load", 1, overlap=Overlap.SKIP)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"overlap": "SKIP"}, (1, Overlap.SKIP)),
        ({"overlap": "QUEUE"}, (1, Overlap.QUEUE)),
        ({"overlap": "LATEST", "max_concurrent_runs": "3"}, (3, Overlap.LATEST)),
        ({}, (None, Overlap.QUEUE)),
    ],
)
def test_job_with_an_overlap_has_one_run_at_a_time_by_default(
    engine: Engine, fields: dict[str, str], expected: tuple[int | None, Overlap]
) -> None:
    engine.updated(LOAD, limited(**fields))

    job = engine.registry.jobs["load"]
    assert (job.max_concurrent_runs, job.overlap) == expected


@pytest.mark.parametrize("fields", [{"pools": "warehouse"}, {"max_concurrent_runs": "2"}])
def test_pool_of_a_new_job_is_open_at_once(engine: Engine, fields: dict[str, str]) -> None:
    engine.updated("pools/warehouse", POOL)
    engine.tables.pools["warehouse"] = PoolState("warehouse", 2)

    engine.updated("jobs/clean", job_text("shop", JobSettings("clean", "glue", "clean", "C"), **fields))

    assert {each.closed_until for each in engine.tables.pools.values()} == {None}


def test_limit_of_one_job_is_a_pool_of_its_own(engine: Engine) -> None:
    engine.updated(LOAD, limited(max_concurrent_runs="3"))

    assert engine.tables.pools == {"job:load": PoolState("job:load", 3, closed_until=engine.closed_until)}
    assert engine.registry.pools_of("load", {}) == ("job:load",)


@pytest.mark.parametrize(
    "members", [{"all_jobs": "true"}, {"tag": "customer"}, {"tag": "customer", "per_value": "true"}]
)
def test_pool_whose_members_change_is_closed(engine: Engine, members: dict[str, str]) -> None:
    engine.updated("pools/warehouse", POOL)
    engine.tables.pools["warehouse"] = PoolState("warehouse", 2)

    engine.updated("pools/warehouse", json.dumps({"project": "shop", "limit": "2", **members}))

    assert engine.tables.pools["warehouse"].closed_until == engine.closed_until


def test_changed_limit_closes_nothing_and_keeps_the_limit_of_an_operator(engine: Engine) -> None:
    engine.updated("pools/warehouse", POOL)
    engine.tables.pools["warehouse"] = PoolState("warehouse", 2, override=1)

    engine.updated("pools/warehouse", json.dumps({"project": "shop", "limit": "5"}))

    assert engine.tables.pools["warehouse"] == PoolState("warehouse", 5, override=1)


def test_pool_that_is_no_longer_declared_is_removed(engine: Engine) -> None:
    engine.updated("pools/warehouse", POOL)
    engine.updated(LOAD, limited(max_concurrent_runs="3"))

    engine.deleted("pools/warehouse")
    engine.updated(LOAD, limited())

    assert engine.tables.pools == {}


@pytest.mark.parametrize("limit", ["5", None])
def test_limit_that_an_older_change_overwrote_is_stored_by_the_next_listing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, limit: str | None
) -> None:
    """Between a process's declaration of pools and its write of the copy, another process changes or removes the pool."""
    pools = InMemoryPoolStore(engine.tables)
    engine.updated("pools/warehouse", POOL)
    pools.set_override("warehouse", 1, "ann", 0)
    replace_copy = engine.store.replace
    late = [True]

    def after_another_change(copy: RegistryCopy) -> bool:
        if late.pop() if late else False:
            engine.parameters.values.pop("pools/warehouse")
            if limit is not None:
                engine.parameters.values["pools/warehouse"] = json.dumps({"project": "shop", "limit": limit})
            engine.clock.advance(1)
            engine.process().update("pools/warehouse", is_deleted=limit is None)
            pools.declare([PoolState("warehouse", 3)], ())
        return replace_copy(copy)

    monkeypatch.setattr(engine.store, "replace", after_another_change)
    engine.updated("pools/warehouse", json.dumps({"project": "shop", "limit": "3"}))
    monkeypatch.undo()

    engine.listed()

    states = pools.states()
    assert {name: state.limit for name, state in states.items()} == ({"warehouse": 5} if limit else {})
    assert engine.registry.pool_states().keys() == states.keys()


def test_pool_that_is_not_stored_is_closed_as_its_runs_are_not_known(engine: Engine) -> None:
    engine.updated("pools/warehouse", POOL)
    engine.tables.pools.clear()

    engine.listed()

    assert engine.tables.pools == {"warehouse": PoolState("warehouse", 2, closed_until=engine.closed_until)}
