"""Jobs that join a pool while runs of theirs are in progress, and what RECONCILE does about pools."""

from dataclasses import dataclass, field, replace
from typing import Any

from treadle.definitions.errors import LaunchDelayedError, LaunchUncertainError
from treadle.definitions.runs import PRIORITY_TAG
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.assembly import Assembly
from treadle.engine.launch.attempts import queue_next_attempt
from treadle.engine.launch.launcher import RETRY_SECONDS
from treadle.engine.messages import LaunchRequest
from treadle.engine.outcomes import Decision
from treadle.engine.record.pool_slots import with_wait
from treadle.engine.record.run_state import LAUNCH_DUE_MS, Report, fold
from treadle.model.pools import Holder, PoolState, Slot, start_times, turn_of
from treadle.model.runs import Failure, Run
from treadle.model.targets import JobSettings, StartContract
from treadle.testing.pools import DeclaredPools, Pool
from treadle.testing.stores import InMemoryStores
from treadle.testing.system import InMemoryQueue, SequentialIds, VirtualClock
from treadle.testing.targets import NAMED, InMemoryTarget

JOB = JobSettings("load", "in_memory", "memory:load", "-")
NAMESPACE = "1/r/n"
LISTED = StartContract(listing_ms=14 * 86_400_000)


@dataclass
class Engine:
    """An engine with one job."""

    declared: dict[str, Pool] = field(default_factory=dict)
    clock: VirtualClock = field(default_factory=VirtualClock)
    stores: InMemoryStores = field(default_factory=InMemoryStores)
    contract: StartContract = NAMED

    def __post_init__(self) -> None:
        self.launches = InMemoryQueue()
        self.target = InMemoryTarget(self.clock, self.contract)
        pools = DeclaredPools(self.declared)
        self.assembly = Assembly(self.stores, self.clock, SequentialIds(), NAMESPACE, pools)
        jobs, targets = {"load": JOB}, {"in_memory": self.target}
        self.launcher = self.assembly.launcher(self.launches, jobs, targets)
        dispatcher = self.assembly.dispatcher(self.launches, Any, Any)  # type: ignore[arg-type]
        self.dispatches = InMemoryQueue()
        self.reconciler = self.assembly.reconciler(
            dispatcher, self.launches, jobs, targets, dispatches=self.dispatches
        )
        self.granter = self.assembly.granter(self.launches)

    def declare(self, limit: int, closed_ms: int | None = None) -> None:
        """Declare a pool that has the job's runs, closed for some time."""
        self.declared["warehouse"] = Pool("warehouse", limit, jobs=["load"])
        until = None if closed_ms is None else self.clock.now() + closed_ms
        self.stores.pools.declare([PoolState("warehouse", limit, closed_until=until)], ())

    def create(self, *names: str, **tags: str) -> None:
        """Create queued runs that are in no pool, and send their launch messages; with tags, create them in its pools."""
        now, declared = self.clock.now(), DeclaredPools(self.declared)
        for name in names:
            run = Run(
                name,
                "load",
                "watch",
                name,
                "t",
                "{}",
                {},
                now,
                reached={"1/0": {"QUEUED": now}},
                next_at=now + LAUNCH_DUE_MS,
            )
            if tags:
                pools = declared.of("load", tags)
                tagged = replace(run, tags=tags, pools=pools, turns=declared.turns(pools, tags))
                assert self.stores.runs.create(with_wait(tagged)) is None
                self.clock.advance(0.001)
                now = self.clock.now()
                continue
            assert self.stores.runs.create(run) is None
            self.launches.send([LaunchRequest.of(run).to_json()])

    def launch(self) -> list[Decision]:
        """Launch what the queue has."""
        messages = self.launches.drain()
        return [self.launcher.launch(LaunchRequest.from_json(body), 60.0).decision for body in messages]

    def report(self, name: str, status: Status, **details: Any) -> None:
        """Record a report of a run's target."""
        run = self.run(name)
        folded = fold(run, Report(run.attempt, status, self.clock.now(), **details))
        assert self.stores.runs.replace(folded, run) is None

    def reconcile(self) -> None:
        """Let a minute pass, and RECONCILE do its work."""
        self.clock.advance(60)
        self.reconciler.reconcile(60.0)
        self.launch()

    def run(self, name: str) -> Run:
        """Return a run."""
        found = self.stores.runs.get(name)
        assert found is not None
        return found

    @property
    def started(self) -> list[str]:
        """Return the names of the runs in progress."""
        runs = self.stores.tables.runs.values()
        return sorted(run.run_id for run in runs if run.status is Status.STARTED)


def test_runs_in_progress_of_a_job_that_joins_count_against_the_limit() -> None:
    engine = Engine()
    engine.create("a", "b", "c")
    engine.launch()
    engine.declare(2, closed_ms=60_000)
    engine.create("d")

    assert engine.launch() == [Decision.DELAYED]
    engine.stores.pools.note_queue("warehouse", "t")
    engine.reconcile()

    assert engine.run("a").slots == (Slot("warehouse", 0, 1),)
    engine.report("a", Status.SUCCESS)
    engine.reconcile()
    assert engine.started == ["b", "c"]
    engine.report("b", Status.SUCCESS)
    engine.reconcile()
    assert engine.started == ["c", "d"]
    assert engine.run("d").slots == (Slot("warehouse", 1, 1),)


def test_runs_in_doubt_of_a_job_that_joins_count_against_the_limit() -> None:
    engine = Engine()
    engine.create("a", "b", "c")
    engine.launch()
    engine.report("a", Status.FAILURE, failure=Failure("OutcomeUnknownError", "?", assumed=True))
    engine.report("b", Status.FAILURE, failure=Failure("States.Timeout", "late"))
    engine.report("c", Status.SUCCESS)
    engine.declare(1, closed_ms=60_000)
    engine.create("d")
    engine.launch()
    engine.stores.pools.note_queue("warehouse", "t")

    engine.reconcile()
    engine.reconcile()

    assert [engine.run(name).slots for name in "abc"] == [(Slot("warehouse", 0, 1),), (), ()]
    assert engine.started == []
    engine.report("a", Status.SUCCESS)
    engine.reconcile()
    assert engine.started == ["d"]


def test_run_in_doubt_of_a_pool_by_tag_counts_too() -> None:
    engine = Engine()
    engine.create("a", "b")
    engine.launch()
    for name, status in (("a", Status.FAILURE), ("b", Status.SUCCESS)):
        run = engine.run(name)
        engine.stores.tables.runs[name] = replace(run, tags={"team": "x"})
        engine.report(name, status, failure=Failure("OutcomeUnknownError", "?", assumed=True))
    engine.declared["teams"] = Pool("teams", 1, tag="team", per_value=True)
    engine.stores.pools.declare([PoolState("teams", 1, closed_until=engine.clock.now())], ())

    engine.reconcile()

    assert [engine.run(name).slots for name in "ab"] == [(Slot("teams=x", 0, 1),), ()]


def test_nothing_starts_while_the_pool_is_closed() -> None:
    engine = Engine()
    engine.declare(2, closed_ms=180_000)
    engine.create("a")
    assert engine.launch() == [Decision.DELAYED]
    engine.stores.pools.note_queue("warehouse", "t")

    for _ in range(2):
        engine.reconcile()
        assert engine.started == []
    engine.reconcile()
    engine.reconcile()

    assert engine.started == ["a"]


def test_message_for_a_run_that_waits_changes_nothing() -> None:
    engine = Engine()
    engine.declare(0)
    engine.create("a")
    engine.launch()
    before = engine.run("a")
    assert (before.claim, before.pending_start, before.next_at) == (None, None, None)
    engine.launches.send([LaunchRequest.of(before).to_json()])

    assert engine.launch() == [Decision.DUPLICATE]

    assert engine.run("a") == before


def test_slot_of_an_attempt_in_doubt_is_kept_until_its_target_reports_the_end() -> None:
    engine = Engine()
    engine.declare(1)
    engine.create("a", "b")
    engine.launch()
    engine.stores.pools.note_queue("warehouse", "t")
    engine.reconcile()
    assert engine.started == ["a"]

    engine.report("a", Status.FAILURE, failure=Failure("OutcomeUnknownError", "?", assumed=True))
    engine.reconcile()

    assert engine.started == []
    assert engine.run("a").slots == (Slot("warehouse", 1, 1),)
    engine.report("a", Status.SUCCESS)
    engine.reconcile()
    assert engine.started == ["b"]


def test_redrive_holds_a_slot_beyond_the_limit() -> None:
    engine = Engine()
    engine.declare(1)
    engine.create("a", "b", "c")
    engine.launch()
    engine.stores.pools.note_queue("warehouse", "t")
    engine.reconcile()
    engine.report("a", Status.FAILURE)
    engine.reconcile()
    assert engine.started == ["b"]

    engine.report("a", Status.STARTED, retry=1)
    assert engine.run("a").slots == (Slot("warehouse", 0, 1),)
    engine.report("b", Status.SUCCESS)
    engine.reconcile()
    assert engine.started == ["a"]

    engine.report("a", Status.SUCCESS, retry=1)
    engine.reconcile()
    assert engine.started == ["c"]


def test_lost_end_of_a_run_that_others_wait_for_is_found_within_minutes() -> None:
    engine = Engine()
    engine.declare(1)
    engine.create("a", "b")
    engine.launch()
    engine.stores.pools.note_queue("warehouse", "t")
    engine.reconcile()
    assert engine.started == ["a"]
    engine.target.finish(engine.run("a").external_id or "", Status.SUCCESS, None)

    for _ in range(4):
        engine.reconcile()

    assert engine.run("a").status is Status.SUCCESS
    assert engine.started == ["b"]


def test_note_of_an_empty_queue_is_removed() -> None:
    engine = Engine()
    engine.declare(1)
    engine.stores.pools.note_queue("warehouse", "t")

    engine.reconcile()

    assert engine.stores.pools.queues() == {}


def test_limits_are_lowered_raised_and_removed() -> None:
    engine = Engine()
    engine.declare(2)
    engine.create(*"abcdef")
    engine.launch()
    engine.stores.pools.note_queue("warehouse", "t")
    engine.reconcile()
    assert engine.started == ["a", "b"]

    engine.stores.pools.set_override("warehouse", 1, "ada", 0)
    engine.report("a", Status.SUCCESS)
    engine.reconcile()
    assert engine.started == ["b"]

    engine.stores.pools.set_override("warehouse", None, "ada", 0)
    engine.reconcile()
    assert engine.started == ["b", "c"]

    engine.stores.pools.declare([], ["warehouse"])
    engine.reconcile()
    assert engine.started == ["b", "c", "d", "e", "f"]
    assert replace(engine.run("f"), slots=()).waiting is None


def test_throttled_start_is_tried_again_soon_however_long_the_run_waited_for_its_slot() -> None:
    engine = Engine()
    engine.declare(1)
    engine.create("a", "b")
    engine.launch()
    engine.stores.pools.note_queue("warehouse", "t")
    engine.reconcile()
    engine.clock.advance(7_200)
    engine.report("a", Status.SUCCESS)
    engine.target.refusals = iter([LaunchDelayedError("slow down")])

    engine.reconcile()

    delayed = engine.run("b").delayed
    assert delayed is not None
    assert delayed.until - delayed.at <= RETRY_SECONDS * 1000
    assert engine.run("b").slots[0].granted_at == delayed.at
    engine.clock.advance(RETRY_SECONDS)
    engine.launch()
    assert engine.started == ["b"]


def test_redrive_of_an_earlier_attempt_holds_a_slot_beside_the_current_one() -> None:
    engine = Engine()
    engine.declare(1)
    engine.create("a", "b")
    engine.launch()
    engine.stores.pools.note_queue("warehouse", "t")
    engine.reconcile()
    engine.report("a", Status.FAILURE)
    failed = engine.run("a")
    assert engine.stores.runs.replace(queue_next_attempt(failed, engine.clock.now()), failed) is None

    run = engine.run("a")
    redriven = fold(run, Report(1, Status.STARTED, engine.clock.now(), retry=1))
    assert engine.stores.runs.replace(redriven, run) is None

    assert (redriven.attempt, redriven.slots) == (2, (Slot("warehouse", 0, 1),))
    engine.reconcile()
    assert engine.started == []
    run = engine.run("a")
    ended = fold(run, Report(1, Status.FAILURE, engine.clock.now(), retry=1))
    assert engine.stores.runs.replace(ended, run) is None
    engine.reconcile()
    assert engine.started == ["b"]


def test_start_in_doubt_that_turns_out_not_to_have_been_waits_for_a_slot() -> None:
    """It was entered beyond the limit when its job joined, as it might have been in progress."""
    engine = Engine(contract=LISTED)
    engine.create("a", "b")
    engine.target.refusals = iter([LaunchUncertainError("no response")])
    engine.launch()
    engine.declare(1, closed_ms=60_000)
    engine.reconcile()
    assert [run.slots for run in (engine.run("a"), engine.run("b"))] == [
        (Slot("warehouse", 0, 1),),
        (Slot("warehouse", 0, 1),),
    ]

    for _ in range(4):
        engine.reconcile()

    waiting = engine.run("a")
    assert (waiting.status, waiting.slots, waiting.waiting is not None) == (Status.QUEUED, (), True)
    assert engine.started == ["b"]


STARTS = "starts:crm"


def rated(limit: int, *names: str) -> Engine:
    """Return an engine with a pool of starts per minute, and the runs that wait for it."""
    engine = Engine({"crm": Pool("crm", jobs=["load"], starts_per_minute=limit)})
    engine.stores.pools.declare(DeclaredPools(engine.declared).states, ())
    engine.create(*names)
    assert engine.launch() == [Decision.DELAYED] * len(names)
    engine.stores.pools.note_queue(STARTS, "t")
    return engine


def grant(engine: Engine) -> list[str]:
    """Grant what is free; return all runs that have started."""
    engine.granter.grant(STARTS, engine.clock.now() + 60_000)
    engine.launch()
    return engine.started


def test_starts_of_the_next_minute_are_planned_by_each_pass() -> None:
    engine = rated(3, *"abcdefgh")
    for seconds in (0, 1, 20):
        engine.clock.advance(seconds)
        taken = len(engine.started)
        engine.stores.pools.set_override(STARTS, taken + 1, "ann", 0)
        assert len(grant(engine)) == taken + 1
    engine.stores.pools.set_override(STARTS, None, "", 0)

    engine.clock.advance(10)
    engine.reconciler.reconcile(60.0)

    # Thirty seconds ago, and ten: the first two are granted together, once the second one is possible.
    assert [each.delay_seconds for each in engine.dispatches.messages] == [31, 51]
    assert engine.dispatches.drain() == [{"treadle": "grant", "pool": STARTS}] * 2
    engine.clock.advance(31)
    assert len(grant(engine)) == 5
    engine.clock.advance(20)
    assert len(grant(engine)) == 6


def test_no_more_looks_are_planned_than_runs_wait() -> None:
    engine = rated(3, *"abcd")
    assert grant(engine) == ["a", "b", "c"]
    engine.stores.pools.set_override(STARTS, 1, "ann", 0)

    engine.clock.advance(1)
    engine.reconciler.reconcile(60.0)
    assert [each.delay_seconds for each in engine.dispatches.messages] == [60]
    engine.dispatches.drain()
    engine.clock.advance(60)
    assert grant(engine) == ["a", "b", "c", "d"]

    engine.reconciler.reconcile(60.0)
    assert engine.dispatches.drain() == []
    assert engine.stores.pools.queues() == {}


def test_limit_of_starts_is_lowered_to_nothing_and_removed_with_its_pool() -> None:
    engine = rated(1, *"abcd")
    assert grant(engine) == ["a"]
    engine.stores.pools.set_override(STARTS, 0, "ann", 0)
    for _ in range(3):
        engine.reconcile()
    assert engine.started == ["a"]
    assert engine.dispatches.drain() == []

    engine.stores.pools.set_override(STARTS, 2, "ann", 0)
    assert grant(engine) == ["a", "b", "c"]
    engine.stores.pools.declare((), [STARTS])
    engine.declared.clear()
    assert grant(engine) == ["a", "b", "c", "d"]


def test_starts_beyond_a_lowered_limit_count_for_a_minute() -> None:
    engine = rated(1, *"abc")
    assert grant(engine) == ["a"]
    engine.clock.advance(50)
    engine.stores.pools.set_override(STARTS, 2, "ann", 0)
    assert grant(engine) == ["a", "b"]
    engine.stores.pools.set_override(STARTS, 1, "ann", 0)

    engine.clock.advance(59)
    assert grant(engine) == ["a", "b"]
    engine.clock.advance(1)
    assert grant(engine) == ["a", "b", "c"]


def test_throttled_start_is_tried_again_soon_however_long_the_run_waited_for_its_minute() -> None:
    engine = rated(1, *"ab")
    assert grant(engine) == ["a"]
    engine.clock.advance(7_200)
    engine.target.refusals = iter([LaunchDelayedError("slow down")])

    assert grant(engine) == ["a"]

    delayed = engine.run("b").delayed
    assert delayed is not None
    assert delayed.until - delayed.at <= RETRY_SECONDS * 1000


def test_redrive_takes_no_start() -> None:
    engine = rated(1, *"ab")
    assert grant(engine) == ["a"]
    engine.report("a", Status.FAILURE)
    engine.report("a", Status.STARTED, retry=1)

    assert engine.run("a").slots == ()
    assert [each.launch_id for each in engine.stores.pools.holders(STARTS)] == ["a-1"]


def test_start_in_doubt_of_a_job_that_is_limited_later_takes_no_start() -> None:
    engine = Engine()
    engine.create("a")
    engine.target.refusals = iter([LaunchUncertainError("no response")])
    assert engine.launch() == [Decision.DELAYED]
    engine.declared["crm"] = Pool("crm", jobs=["load"], starts_per_minute=0)
    engine.stores.pools.declare(DeclaredPools(engine.declared).states, ())

    assert engine.launch() == [Decision.LAUNCHED]

    assert (engine.run("a").pools, engine.run("a").slots) == ((STARTS,), ())


def test_slot_of_a_start_is_reported_with_the_time_at_which_it_is_free_after_a_lowered_limit() -> None:
    holders = [Holder(number, f"r-{number}", number * 1_000) for number in range(1, 6)]

    assert start_times(holders, 5, 6_000) == [61_000, 62_000, 63_000, 64_000, 65_000]
    assert start_times(holders, 2, 6_000) == [64_000, 65_000]
    assert start_times(holders, 5, 62_000) == [63_000, 64_000, 65_000]
    assert start_times(holders, 0, 6_000) == []


def test_turns_that_are_declared_and_removed_while_runs_wait_lose_none() -> None:
    """Those that wait keep their places; runs without a turn share one, and are not passed over."""
    engine = Engine({"crm": Pool("crm", 1, jobs=["load"])})
    engine.stores.pools.declare(DeclaredPools(engine.declared).states, ())
    engine.create("a", "old1", "old2", "old3", customer="acme")
    engine.declared["crm"] = Pool("crm", 1, jobs=["load"], turns_by="customer")
    engine.create("x1", "x2", "x3", customer="x")
    engine.create("y1", customer="y")
    engine.declared["crm"] = Pool("crm", 1, jobs=["load"])
    engine.create("new1", "new2", customer="acme")
    assert len(engine.stores.pools.waiters("crm", 20)) == 10
    started: list[str] = []

    for _ in range(10):
        engine.granter.grant("crm", engine.clock.now() + 60_000)
        engine.launch()
        [running] = engine.started
        started.append(running)
        engine.report(running, Status.SUCCESS)

    first, later = started[:6], started[6:]
    assert len(set(started)) == 10
    assert {each[0] for each in first[:3]} == {"a", "x", "y"}
    assert [each for each in started if each[0] in "aon"] == ["a", "old1", "old2", "old3", "new1", "new2"]
    assert [each for each in started if each[0] == "x"] == ["x1", "x2", "x3"]
    assert {each[0] for each in first} == {"a", "o", "x", "y"}
    assert later[-2:] == ["new1", "new2"]
    assert engine.stores.pools.waiters("crm", 20) == []


def test_run_that_cannot_start_leaves_its_turn_to_the_next_of_its_value() -> None:
    later = next(name for name in "bcdefghijk" if turn_of(name) > turn_of("acme"))
    engine = Engine(
        {
            "crm": Pool("crm", 1, jobs=["load"], turns_by="customer"),
            "zoo": Pool("zoo", 0, tag="zoo"),
        }
    )
    engine.stores.pools.declare(DeclaredPools(engine.declared).states, ())
    engine.create("a1", zoo="1", customer="acme")
    engine.create("a2", customer="acme")
    engine.create("later", customer=later)

    engine.granter.grant("crm", engine.clock.now() + 60_000)

    assert engine.launch() == [Decision.LAUNCHED]
    assert engine.started == ["a2"]
    moved = engine.run("a1").waiting
    assert moved is not None
    assert moved.pool == "zoo"


def test_only_runs_of_the_highest_priority_are_in_turn() -> None:
    engine = Engine({"crm": Pool("crm", 1, jobs=["load"], turns_by="customer")})
    engine.stores.pools.declare(DeclaredPools(engine.declared).states, ())
    engine.create("low", customer="b")
    engine.create("high1", "high2", customer="acme", **{PRIORITY_TAG: "1"})
    started: list[str] = []

    for _ in range(3):
        engine.granter.grant("crm", engine.clock.now() + 60_000)
        engine.launch()
        [running] = engine.started
        started.append(running)
        engine.report(running, Status.SUCCESS)

    assert started == ["high1", "high2", "low"]
