"""The registry cache of a step: read once a minute, again before a refusal, and stale while the store fails."""

from dataclasses import dataclass, field

import pytest

from treadle.definitions.errors import StoreError, UnreadableRecordError
from treadle.engine.registry.registry_cache import (
    ABSENT_MS,
    MAX_AGE_MS,
    RETRY_MS,
    CachedRegistry,
    ObservedJobs,
    RegisteredJobs,
)
from treadle.model.registry import KeptEntry, Registry, RegistryCopy
from treadle.model.targets import JobSettings
from treadle.testing.registry import InMemoryRegistryStore, job_text, sensor_text
from treadle.testing.system import VirtualClock
from treadle.testing.tables import InMemoryTables

LOAD = JobSettings("load", "glue", "load", "LoadJob")
CLEAN = JobSettings("clean", "glue", "clean", "CleanJob")


class Store(InMemoryRegistryStore):
    """The copy, whose reads are counted; a test says that it does not answer."""

    error: Exception | None = None
    reads = 0

    def read(self) -> Registry:
        """Return the copy."""
        self.reads += 1
        if self.error is not None:
            raise self.error
        return super().read()


@dataclass
class Step:
    """A process of a step."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    tables: InMemoryTables = field(default_factory=InMemoryTables)

    def __post_init__(self) -> None:
        self.store = Store(self.tables)
        self.registry = CachedRegistry(self.store, self.clock)
        self.jobs = RegisteredJobs(self.registry)
        self.register("load")

    def register(self, *granted: str, jobs: tuple[JobSettings, ...] = (LOAD, CLEAN)) -> None:
        """Write RECONCILE's copy: the jobs, and that the sensor may start some of them."""
        texts = {"sensors/watch": sensor_text("shop", *granted)}
        texts |= {f"jobs/{job.job}": job_text("shop", job) for job in jobs}
        entries = {path: KeptEntry(text, self.clock.now()) for path, text in texts.items()}
        self.tables.registry = RegistryCopy("main", entries, self.clock.now(), 1)

    def may_start(self, job: str) -> bool:
        """Return whether a tick that was committed just now may start a job."""
        return self.registry.may_start("watch", job, self.clock.now())


@pytest.fixture
def step() -> Step:
    return Step()


def test_ce_15_copy_is_read_once_a_minute_however_much_is_started(step: Step) -> None:
    for _ in range(600):
        assert step.may_start("load")
        assert step.jobs["load"] == LOAD
        assert [each.job for each in step.jobs.values()] == ["load", "clean"]
        step.clock.advance(0.1)

    assert step.store.reads == 1
    step.clock.advance(0.1)
    assert step.may_start("load")
    assert step.store.reads == 2


def test_ce_1_no_is_said_only_of_a_copy_that_was_read_after_the_commit(step: Step) -> None:
    assert step.may_start("load")
    step.clock.advance(1)
    step.register("load", "clean")

    assert step.may_start("clean")
    assert step.store.reads == 2


def test_no_that_was_read_after_the_commit_is_not_read_again(step: Step) -> None:
    committed = step.clock.now()
    step.clock.advance(1)
    for _ in range(100):
        assert not step.registry.may_start("watch", "clean", committed)

    assert step.store.reads == 1


def test_commit_by_a_clock_that_is_ahead_is_read_for_once(step: Step) -> None:
    assert not step.registry.may_start("watch", "clean", step.clock.now() + 60_000)
    assert not step.registry.may_start("watch", "clean", step.clock.now() + 60_000)

    assert step.store.reads == 1


@pytest.mark.parametrize("error", [StoreError("no answer"), UnreadableRecordError("the copy", "no zlib")])
def test_ce_15_stale_copy_is_used_while_the_store_does_not_answer(
    step: Step, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    assert step.may_start("load")
    step.store.error = error
    step.clock.advance(MAX_AGE_MS / 1000 + 1)

    assert step.may_start("load")
    assert not step.may_start("clean")
    assert step.store.reads == 2
    assert "Using the registry as of" in caplog.text
    step.clock.advance(RETRY_MS / 1000)
    step.store.error = None
    step.register("load", "clean")
    assert step.may_start("clean")


@pytest.mark.parametrize("error", [StoreError("no answer"), UnreadableRecordError("the copy", "no zlib")])
def test_process_without_a_copy_says_neither_yes_nor_no(step: Step, error: Exception) -> None:
    """What cannot be read is the copy, and not the tick's record: it is no UnreadableRecordError."""
    step.store.error = error

    with pytest.raises(StoreError):
        step.may_start("load")
    with pytest.raises(StoreError):
        step.jobs.get("load")


def test_job_that_is_not_there_is_looked_up_past_the_cache(step: Step) -> None:
    step.register("load", jobs=(LOAD,))
    assert step.jobs.get("clean") is None
    step.register("load")
    assert "clean" not in step.jobs
    step.clock.advance(ABSENT_MS / 1000 + 0.001)

    assert step.jobs["clean"] == CLEAN
    assert (len(step.jobs), list(step.jobs), dict(step.jobs.items())) == (
        2,
        ["load", "clean"],
        dict(step.jobs),
    )


def test_job_that_is_nowhere_costs_one_read_in_a_few_seconds(step: Step) -> None:
    for _ in range(ABSENT_MS // 10):
        assert step.jobs.get("nowhere") is None
        step.clock.advance(0.01)

    assert step.store.reads == 1


def test_jobs_have_changed_if_a_read_past_the_cache_shows_others(step: Step) -> None:
    assert not step.registry.jobs_changed()
    step.register("load", jobs=(LOAD,))
    step.clock.advance(ABSENT_MS / 1000 + 0.001)

    assert step.registry.jobs_changed()
    assert not step.registry.jobs_changed()


def test_jobs_are_observed_as_their_entries_say_now(step: Step) -> None:
    observed = ObservedJobs(step.registry)

    assert (list(observed), len(observed), "load" in observed) == ([], 0, False)
    entries = {"jobs/load": job_text("shop", LOAD, observed="true"), "jobs/clean": job_text("shop", CLEAN)}
    kept = {path: KeptEntry(text, step.clock.now()) for path, text in entries.items()}
    step.tables.registry = RegistryCopy("main", kept, step.clock.now(), 1)
    step.registry.forget()

    assert (list(observed), len(observed), "load" in observed) == (["load"], 1, True)
    assert "clean" not in observed
    assert "lode" not in observed
