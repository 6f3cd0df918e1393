"""Any values from an author's code: committed whole, or refused with a reason; the others start, the lease is released.

On every backend, from the evaluation through DISPATCH to the run records.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.contract.conftest import Stores
from tests.support.engine import JOB, NAMESPACE
from treadle.adapters.system import RandomTokens
from treadle.definitions.assets import AssetMaterialization
from treadle.definitions.bounds import MAX_LEVELS, MAX_PARTITION_KEY, MAX_RUN_KEY, fit_some
from treadle.definitions.contexts import MAX_CURSOR_BYTES, SensorEvaluationContext
from treadle.definitions.errors import InvalidReportError, InvalidResultError
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.results import RunRequest, SensorResult, SkipReason
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import DefaultSensorStatus
from treadle.engine.assembly import Assembly
from treadle.engine.launch.launcher import payload
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.publish.publisher import statuses_reached
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.planning import MAX_RECORD_BYTES, MAX_REQUEST_BYTES
from treadle.engine.tick.scheduled_ticks import TickSettings
from treadle.model.runs import Run
from treadle.model.ticks import Tick
from treadle.ports.system import BlobStore
from treadle.testing.blobs import requested_config
from treadle.testing.bus import InMemoryBus
from treadle.testing.grants import FixedGrants
from treadle.testing.system import InMemoryQueue, VirtualClock

MOST_OF_AN_INPUT = 262_144
"""Bytes of UTF-8 that Step Functions takes as input ("Quotas" in its developer guide)."""

NUMBERS = count()
SCHEMA = {"type": "object", "properties": {"day": {"type": "string"}}}
JOBS_OF_SENSOR = (JobDefinition(JOB), JobDefinition("strict", tags={"é": "\x01"}, run_config_schema=SCHEMA))

EXAMPLES = {"memory": 100, "dev": 25, "moto": 8, "dynamodb-local": 12}
ANY = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

characters = st.characters(min_codepoint=0, max_codepoint=0x10FFFF)  # Lone surrogates included.
file_names = st.binary(max_size=8).map(lambda name: name.decode("utf-8", "surrogateescape"))
letters = st.sampled_from(["x", "é", "\x00", '"', "字", "😀", "\ufffe"])
texts = st.one_of(st.text(characters, max_size=12), file_names)
no_texts = st.one_of(
    st.integers(),
    st.booleans(),
    st.binary(max_size=4),
    st.just(date(2026, 11, 29)),
    st.just(float("nan")),
    st.builds(object),
    st.just(["a"]),
)


def around(most: int) -> st.SearchStrategy[str]:
    """Return texts about as long as a limit allows, in bytes of UTF-8 or in characters."""

    def text(letter: str, off: int, in_bytes: bool) -> str:
        number = (most + off) // (len(letter.encode()) if in_bytes else 1)
        return letter * number

    return st.builds(text, letters, st.integers(-3, 3), st.booleans())


def keys(most: int) -> st.SearchStrategy[Any]:
    """Run keys and partition keys, as they should be and otherwise."""
    return st.one_of(st.none(), texts, texts, around(most), no_texts)


def nested(levels: int) -> list[Any]:
    """Return nested lists."""
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


leaves = st.one_of(
    st.none(),
    texts,
    no_texts,
    st.floats(),
    st.integers(-(10**60), 10**60),
    st.sampled_from([MAX_LEVELS - 1, MAX_LEVELS, 2_000]).map(nested),
)
configs = st.one_of(
    st.none(),
    st.dictionaries(
        texts, st.recursive(leaves, lambda each: st.lists(each, max_size=3), max_leaves=4), max_size=3
    ),
    around(MAX_REQUEST_BYTES - 10).map(lambda text: {"x": text}),
    around(MAX_REQUEST_BYTES // 6).map(lambda text: {"x": text}),
    no_texts,
)
tags = st.one_of(
    st.just({}),
    st.dictionaries(texts, leaves, max_size=3),
    around(MAX_RECORD_BYTES // 6).map(lambda text: {"t": text}),
    around(MAX_REQUEST_BYTES - 20).map(lambda text: {"t": text}),
    no_texts,
)
wild_requests = st.fixed_dictionaries(
    {"job_name": st.sampled_from([JOB, JOB, "strict", "strict", 7, "\udc80"])},
    optional={
        "run_key": keys(MAX_RUN_KEY),
        "partition_key": keys(MAX_PARTITION_KEY),
        "run_config": configs,
        "tags": tags,
    },
)


@dataclass
class Flow:
    """A sensor of its own, from its evaluation to the run records."""

    stores: Stores
    function: Callable[[SensorEvaluationContext], Any]
    name: str = field(default_factory=lambda: f"any_{next(NUMBERS)}")
    clock: VirtualClock = field(default_factory=VirtualClock)
    launches: InMemoryQueue = field(default_factory=InMemoryQueue)

    @property
    def engine(self) -> Assembly:
        """The assembly of the engine's components."""
        return Assembly(self.stores, self.clock, RandomTokens(), NAMESPACE)

    def tick(self) -> tuple[Outcome, Tick | None]:
        """Return the outcome of a tick, and its record, unless it was a skip; dispatched."""
        definition = SensorDefinition(self.name, evaluation_fn=self.function, jobs=JOBS_OF_SENSOR)
        leased = self.engine.sensor(definition, TickSettings(0, DefaultSensorStatus.RUNNING)).scheduled
        self.clock.advance(60)
        outcome = leased.tick(self.clock.now(), Budget())
        tick = self.stores.ticks.get(self.name, outcome.subject)
        assert self.stores.sensors.get(self.name).lease_owner is None
        if tick is not None and tick.is_to_be_dispatched:
            self._dispatch(tick)
        return outcome, tick

    def _dispatch(self, tick: Tick) -> None:
        bus = InMemoryBus()
        grants = FixedGrants({self.name: frozenset(job.name for job in JOBS_OF_SENSOR)})
        self.engine.dispatcher(self.launches, grants, bus).dispatch(tick)
        publisher = self.engine.publisher(bus)
        for request in tick.requests:
            run = self.stores.runs.get(request.run_id)
            assert run is not None
            publisher.publish(statuses_reached(run))
        after = self.stores.ticks.get(self.name, tick.tick_id)
        assert after is not None
        assert after.dispatched is not None
        assert after.dispatched.refused == 0


def made(kwargs: dict[str, Any]) -> RunRequest | None:
    """Return the request, or None if its constructor refuses it with a message."""
    try:
        return RunRequest(**kwargs)
    except InvalidResultError as refused:
        event("refused where it is made")
        str(refused).encode()
        return None


def is_whole(run: Run, request: RunRequest, blobs: BlobStore) -> bool:
    """Return whether a record has all that was requested, or refers to it."""
    own = {name: value for name, value in run.tags.items() if name in request.tags}
    reserved = {
        "dagster/sensor_name",
        "dagster/tick",
        "dagster/run_key",
        "dagster/partition",
        "treadle/depth",
    }
    return (
        run.run_key == (request.run_key or None)
        and run.partition_key == request.partition_key
        and requested_config(blobs, json.loads(run.run_config)) == request.run_config
        and {n: v for n, v in own.items() if n not in reserved}
        == {n: v for n, v in request.tags.items() if n not in reserved}
        and len(payload(run).encode()) <= MOST_OF_AN_INPUT
    )


GOOD = (RunRequest("good-1", {"a": 1}, job_name=JOB), RunRequest("good-2", job_name="strict"))


def assert_each_is_whole_or_rejected(stores: Stores, requested: Sequence[RunRequest]) -> tuple[int, int]:
    """Return how many of the requests of a tick were committed, and how many rejected."""
    flow = Flow(stores, lambda context: list(requested))

    outcome, tick = flow.tick()

    assert outcome.decision is Decision.SUCCESS, outcome.reason
    assert tick is not None
    runs = list(stores.runs.get_many([each.run_id for each in tick.requests]).values())
    assert {each.run_key for each in GOOD} <= {run.run_key for run in runs}
    assert len(flow.launches.messages) == len(runs) == len(tick.requests)
    named = {each.run_key for each in tick.rejected if each.reason}
    for each in requested:
        is_committed = any(is_whole(run, each, stores.blobs) for run in runs)
        assert is_committed or fit_some(each.run_key or None, MAX_RUN_KEY) in named, each
    return len(runs), len(tick.rejected)


def sized(letter: str, off: int) -> list[RunRequest]:
    """Return a request at each limit, or as many characters beside it."""

    def text(most: int) -> str:
        return letter * (most // len(letter.encode()) + off)

    name = f"{letter!a}{off}"
    return [
        RunRequest(text(MAX_RUN_KEY - 8) + name, job_name=JOB),
        RunRequest(f"partition {name}", job_name=JOB, partition_key=text(MAX_PARTITION_KEY)),
        RunRequest(f"config {name}", {"x": text(MAX_REQUEST_BYTES - 10)}, job_name=JOB),
        RunRequest(f"tags {name}", tags={"t": text(MAX_REQUEST_BYTES - 10)}, job_name=JOB),
        RunRequest(
            text(MAX_RUN_KEY - 10) + f"+{name}",
            {"x": text(MAX_REQUEST_BYTES // 2)},
            {"t": text(MAX_REQUEST_BYTES // 2 - 20)},
            JOB,
            partition_key=text(MAX_PARTITION_KEY),
        ),
    ]


def test_requests_at_each_limit_are_committed_whole_and_those_beyond_are_rejected(stores: Stores) -> None:
    requested = [each for letter in ("x", "é", "\x01", "😀") for off in (0, 8) for each in sized(letter, off)]

    committed, rejected = assert_each_is_whole_or_rejected(stores, [*GOOD, *requested])

    assert committed > 10
    assert rejected > 10


def examples_of(request: pytest.FixtureRequest) -> settings:
    """As many examples as the backend has time for."""
    return settings(ANY, max_examples=EXAMPLES[request.node.callspec.params["stores"]])


def test_request_is_committed_whole_or_refused_and_its_neighbors_start(
    stores: Stores, request: pytest.FixtureRequest
) -> None:
    @examples_of(request)
    @given(wild=st.lists(wild_requests, min_size=1, max_size=5), come_last=st.booleans())
    def holds(wild: list[dict[str, Any]], come_last: bool) -> None:
        strange = [each for each in map(made, wild) if each is not None]
        requested = [*GOOD, *strange] if come_last else [*strange, *GOOD]

        assert_each_is_whole_or_rejected(stores, requested)

    holds()


wild_ends = st.one_of(
    st.tuples(st.just("skip"), st.one_of(texts, around(4_000), no_texts)),
    st.tuples(st.just("raise"), st.one_of(texts, around(20_000))),
    st.tuples(st.just("cursor"), st.one_of(texts, around(MAX_CURSOR_BYTES), no_texts)),
    st.tuples(st.just("result cursor"), st.one_of(texts, around(MAX_CURSOR_BYTES), no_texts)),
    st.tuples(st.just("log"), st.one_of(texts, around(20_000), no_texts)),
    st.tuples(st.just("result"), no_texts),
    st.tuples(st.just("asset"), st.one_of(texts, around(1_024), no_texts)),
    st.tuples(st.just("metadata"), st.one_of(leaves, around(64 * 1_024 - 20))),
    st.tuples(st.just("changed tags"), leaves),
    st.tuples(st.just("changed config"), leaves),
)


def ended(kind: str, value: Any, context: SensorEvaluationContext) -> Any:
    """Return the result of a function for a value that is no request's."""
    if kind == "skip":
        return SkipReason(value)
    if kind == "raise":
        raise ValueError(value)
    if kind == "cursor":
        context.update_cursor(value)
    if kind == "result cursor":
        return SensorResult([RunRequest("k", job_name=JOB)], cursor=value)
    if kind == "log":
        for _ in range(30):
            context.log.warning("found %s", value)
        context.log.warning(value)
    if kind == "result":
        return value
    if kind in {"asset", "metadata"}:
        materialization = (
            AssetMaterialization("a", metadata={"m": value})
            if kind == "metadata"
            else AssetMaterialization(value, str(value), partition=value)
        )
        return SensorResult(asset_events=[materialization])
    request = RunRequest("k", {"a": 1}, {"t": "1"}, JOB)
    if kind.startswith("changed"):
        changed: Any = request.tags if kind == "changed tags" else request.run_config
        changed["later"] = value
    return request


def test_evaluation_ends_as_a_tick_that_can_be_read_and_the_next_one_is_due(
    stores: Stores, request: pytest.FixtureRequest
) -> None:
    @examples_of(request)
    @given(end=wild_ends)
    def holds(end: tuple[str, Any]) -> None:
        flow = Flow(stores, lambda context: ended(*end, context))

        outcome, tick = flow.tick()

        event(f"{end[0]}: {outcome.decision}")
        assert outcome.decision in {Decision.SUCCESS, Decision.SKIPPED, Decision.FAILURE}
        outcome.reason.encode()
        state = stores.sensors.get(flow.name)
        if outcome.decision is Decision.SKIPPED:
            assert state.skips is not None
        else:
            assert tick is not None
            assert (tick.error is None) is (outcome.decision is Decision.SUCCESS)
            "".join([tick.reason or "", *tick.log, tick.error.message if tick.error else ""]).encode()
        if outcome.decision is Decision.FAILURE:
            assert stores.sensors.cursor(state) is None
            assert tick is not None
            assert tick.requests == ()
        flow.function = lambda context: RunRequest("after", job_name=JOB)
        assert flow.tick()[0].decision is Decision.SUCCESS

    holds()


@given(value=st.one_of(texts, around(1_024), no_texts))
@settings(max_examples=200, deadline=None)
def test_an_assets_name_or_partition_is_refused_where_it_is_made_or_can_be_stored(value: Any) -> None:
    for kwargs in ({"asset_key": value}, {"asset_key": "a", "partition": value}):
        try:
            materialization = AssetMaterialization(**kwargs)
        except InvalidReportError as refused:
            str(refused).encode()
            continue
        json.dumps(
            [materialization.asset_key.to_user_string(), materialization.partition], ensure_ascii=False
        ).encode()
