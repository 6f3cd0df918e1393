"""Dynamic partitions of ticks: committed with the tick, applied by DISPATCH before its runs."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tests.support.engine import EngineHarness, sensor_of
from treadle import (
    AddDynamicPartitionsRequest,
    ConfigurableResource,
    DagsterInstance,
    DagsterInvariantViolationError,
    DagsterUnknownPartitionError,
    DailyPartitionsDefinition,
    DefaultSensorStatus,
    DeleteDynamicPartitionsRequest,
    DynamicPartitionsDefinition,
    JobDefinition,
    MultiPartitionKey,
    MultiPartitionsDefinition,
    RunRequest,
    S3Object,
    SensorEvaluationContext,
    SensorResult,
    StaticPartitionsDefinition,
    build_sensor_context,
    sensor,
)
from treadle.definitions.errors import (
    CommandRefusedError,
    DagsterInvalidDefinitionError,
    InvalidResultError,
    TreadleError,
)
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import TickStatus
from treadle.engine.dispatch.chunks import CHUNK_SIZE
from treadle.engine.messages import ChunkRequest
from treadle.engine.outcomes import Decision
from treadle.engine.tick import partitions as tick_partitions
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.partitions import TickPartitions
from treadle.integrations.s3 import s3_sensor
from treadle.model.partitions import ChangeTime, PartitionChange
from treadle.model.ticks import DynamicPartitionsRequestResult as Result
from treadle.model.ticks import Tick
from treadle.operate.partitions import PartitionOperations
from treadle.testing import TreadleInstance

FRUITS = DynamicPartitionsDefinition(name="fruits")
load = JobDefinition("load", partitions_def=FRUITS)
Function = Callable[..., Any]


def watching(function: Function, job: JobDefinition | None = load, **options: Any) -> SensorDefinition:
    return SensorDefinition("watch", evaluation_fn=function, job=job, **options)


def deployed(function: Function, job: JobDefinition | None = load, **options: Any) -> TreadleInstance:
    return TreadleInstance([watching(function, job)], **options)


def last_tick(instance: TreadleInstance) -> Tick:
    return instance.ticks("watch")[0]


def results_of(instance: TreadleInstance) -> tuple[Result, ...]:
    return last_tick(instance).dynamic_partitions_request_results


def partitions_started(instance: TreadleInstance) -> list[str | None]:
    return [run.partition_key for run in instance.runs()]


# Dagster's own examples (test_add_delete_skip_dynamic_partitions and its neighbors).


def test_result_adds_deletes_and_requests_a_run_and_repeated_it_skips_all() -> None:
    def function() -> SensorResult:
        return SensorResult(
            [RunRequest(partition_key="1")],
            dynamic_partitions_requests=[
                FRUITS.build_add_request(["1"]),
                FRUITS.build_delete_request(["2", "3"]),
            ],
        )

    instance = deployed(function)
    instance.add_dynamic_partitions("fruits", ["2"])
    assert not instance.has_dynamic_partition("fruits", "1")

    instance.tick("watch")

    assert list(instance.get_dynamic_partitions("fruits")) == ["1"]
    assert partitions_started(instance) == ["1"]
    assert results_of(instance) == (
        Result("fruits", ("1",), None),
        Result("fruits", None, ("2",), ("3",)),
    )
    instance.tick("watch")
    assert results_of(instance) == (
        Result("fruits", (), None, ("1",)),
        Result("fruits", None, (), ("2", "3")),
    )
    assert list(instance.get_dynamic_partitions("fruits")) == ["1"]


def test_requests_alone_are_a_success_and_need_no_target() -> None:
    instance = deployed(
        lambda: SensorResult(dynamic_partitions_requests=[FRUITS.build_add_request(["a"])]), None
    )

    outcome = instance.tick("watch").outcome

    assert (outcome.decision, outcome.reason) == (Decision.SUCCESS, "1 requests of dynamic partitions")
    assert last_tick(instance).dispatched is not None
    assert instance.has_dynamic_partition("fruits", "a")


def test_run_for_a_key_that_the_result_deletes_fails_the_tick_and_changes_nothing() -> None:
    def function() -> SensorResult:
        return SensorResult(
            [RunRequest(partition_key="2")],
            cursor="moved",
            dynamic_partitions_requests=[FRUITS.build_delete_request(["2"]), FRUITS.build_add_request(["4"])],
        )

    instance = deployed(function)
    instance.add_dynamic_partitions("fruits", ["2"])

    instance.tick("watch")

    error = last_tick(instance).error
    assert error is not None
    assert error.type == "DagsterUnknownPartitionError"
    assert "Could not find a partition with key `2`" in error.message
    assert list(instance.get_dynamic_partitions("fruits")) == ["2"]
    assert (instance.runs(), instance.cursor("watch"), results_of(instance)) == ((), None, ())


def test_run_for_an_unknown_key_fails_the_tick_until_another_sensor_has_added_it() -> None:
    instance = deployed(lambda: SensorResult([RunRequest("k", partition_key="late")], cursor="1"))

    instance.tick("watch")
    failed = last_tick(instance)
    instance.add_dynamic_partitions("fruits", ["late"])
    instance.tick("watch")

    assert failed.status is TickStatus.FAILURE
    assert failed.error is not None
    assert "Add the key in the same result with build_add_request" in failed.error.message
    assert (partitions_started(instance), instance.cursor("watch")) == (["late"], "1")


@pytest.mark.parametrize(("key", "started"), [("a|1", ["a|1"]), ("1|a", [])])
def test_key_with_two_dynamic_dimensions_is_checked_in_each(key: str, started: list[str]) -> None:
    letters, numbers = (DynamicPartitionsDefinition(name=name) for name in ("letters", "numbers"))
    both = MultiPartitionsDefinition({"a_letter": letters, "b_number": numbers})

    def function() -> SensorResult:
        requests = [letters.build_add_request(["a"]), numbers.build_add_request(["1"])]
        return SensorResult([RunRequest(partition_key=key)], dynamic_partitions_requests=requests)

    instance = deployed(function, JobDefinition("load", partitions_def=both))

    instance.tick("watch")

    assert partitions_started(instance) == started
    if started:
        assert instance.runs()[0].tags["dagster/partition/a_letter"] == "a"


def test_key_may_have_a_stored_and_a_time_dimension() -> None:
    both = MultiPartitionsDefinition({"day": DailyPartitionsDefinition("2026-01-01"), "fruit": FRUITS})
    job = JobDefinition("load", partitions_def=both)
    key = MultiPartitionKey({"day": "2026-01-02", "fruit": "kiwi"})

    def function(context: SensorEvaluationContext) -> RunRequest:
        context.instance.add_dynamic_partitions("fruits", ["kiwi"])
        return job.run_request_for_partition(key, run_key="k")

    instance = deployed(function, job)

    instance.tick("watch")

    assert partitions_started(instance) == ["2026-01-02|kiwi"]
    assert instance.runs()[0].tags["dagster/partition/fruit"] == "kiwi"


# The instance, in an evaluation.


def test_evaluation_sees_its_own_changes() -> None:
    seen = []

    def function(context: SensorEvaluationContext) -> SensorResult:
        context.instance.add_dynamic_partitions("fruits", ["b", "a", "old"])
        context.instance.delete_dynamic_partition("fruits", "older")
        context.instance.delete_dynamic_partition("fruits", "a")
        keys = context.instance.get_dynamic_partitions("fruits")
        has = [context.instance.has_dynamic_partition("fruits", key) for key in ("a", "b", "old", "older")]
        listed = FRUITS.get_partition_keys(dynamic_partitions_store=context.instance)
        seen.append((list(keys), has, list(listed), list(FRUITS.get_partition_keys())))
        requested = load.run_request_for_partition("b", run_key="b")
        return SensorResult([requested], dynamic_partitions_requests=[FRUITS.build_add_request(["c"])])

    instance = deployed(function)
    instance.add_dynamic_partitions("fruits", ["older", "old"])

    instance.tick("watch")

    assert seen == [(["old", "b"], [False, True, True, False], ["old", "b"], ["old", "b"])]
    assert list(instance.get_dynamic_partitions("fruits")) == ["old", "b", "c"]
    assert results_of(instance) == (
        Result("fruits", ("b", "c"), None, ("old",)),
        Result("fruits", None, ("older",), ("a",)),
    )


def test_key_that_a_tick_adds_twice_keeps_its_place_unless_it_is_deleted_in_between() -> None:
    seen = []

    def change(instance: DagsterInstance) -> None:
        instance.add_dynamic_partitions("fruits", ["a", "b", "c"])
        instance.add_dynamic_partitions("fruits", ["a"])
        instance.delete_dynamic_partition("fruits", "b")
        instance.add_dynamic_partitions("fruits", ["b"])
        seen.append(list(instance.get_dynamic_partitions("fruits")))

    def function(context: SensorEvaluationContext) -> None:
        change(context.instance)

    instance = deployed(function)

    instance.tick("watch")
    change(DagsterInstance.ephemeral())

    assert seen == [["a", "c", "b"]] * 2
    assert list(instance.get_dynamic_partitions("fruits")) == ["a", "c", "b"]


def test_tick_that_fails_after_it_has_changed_partitions_changes_none() -> None:
    def function(context: SensorEvaluationContext) -> None:
        context.instance.add_dynamic_partitions("fruits", ["new"])
        context.instance.delete_dynamic_partition("fruits", "old")
        raise ValueError

    instance = deployed(function)
    instance.add_dynamic_partitions("fruits", ["old"])

    instance.tick("watch")
    instance.tick("watch")

    assert last_tick(instance).status is TickStatus.FAILURE
    assert list(instance.get_dynamic_partitions("fruits")) == ["old"]


def test_next_tick_sees_what_the_last_one_has_added() -> None:
    """The pattern of Dagster's documentation: request a run for each key that is not there yet."""

    def function(context: SensorEvaluationContext) -> SensorResult:
        found = ["a", "b"] if context.cursor is None else ["a", "b", "c"]
        new = [
            key
            for key in found
            if not FRUITS.has_partition_key(key, dynamic_partitions_store=context.instance)
        ]
        return SensorResult(
            [RunRequest(partition_key=key) for key in new],
            cursor="1",
            dynamic_partitions_requests=[FRUITS.build_add_request(new)],
        )

    instance = deployed(function)

    for _ in range(3):
        instance.tick("watch")

    assert partitions_started(instance) == ["a", "b", "c"]


def test_preview_shows_requests_and_applies_none() -> None:
    instance = deployed(lambda: SensorResult(dynamic_partitions_requests=[FRUITS.build_add_request(["a"])]))

    preview = instance.preview("watch")

    assert preview.tick.dynamic_partitions_request_results == (Result("fruits", ("a",), None),)
    assert list(instance.get_dynamic_partitions("fruits")) == []


def test_instance_that_a_resource_keeps_belongs_to_the_tick_that_uses_it() -> None:
    class Catalog(ConfigurableResource):
        def setup_for_execution(self, context: Any) -> None:
            self._instance = context.instance

        def add(self, key: str) -> None:
            self._instance.add_dynamic_partitions("fruits", [key])

    def function(context: SensorEvaluationContext, catalog: Catalog) -> SensorResult:
        number = int(context.cursor or 0) + 1
        catalog.add(str(number))
        return SensorResult(cursor=str(number))

    instance = deployed(function, resources={"catalog": Catalog()})

    for _ in range(2):
        instance.tick("watch")

    assert list(instance.get_dynamic_partitions("fruits")) == ["1", "2"]
    assert results_of(instance) == (Result("fruits", ("2",), None),)


def test_sensor_called_directly_changes_the_given_instance_at_once() -> None:
    @sensor(job=load)
    def watch(context: SensorEvaluationContext) -> SensorResult:
        context.instance.add_dynamic_partitions("fruits", ["a"])
        return SensorResult(dynamic_partitions_requests=[FRUITS.build_delete_request(["b"])])

    instance = DagsterInstance.ephemeral()

    result = watch(build_sensor_context(instance))

    assert instance.get_dynamic_partitions("fruits") == ["a"]
    assert result.dynamic_partitions_requests == [DeleteDynamicPartitionsRequest("fruits", ["b"])]


def test_changes_of_a_test_and_of_sensors_apply_in_the_order_in_which_they_are_made() -> None:
    def of(name: str, *requests: Any) -> SensorDefinition:
        result = SensorResult(dynamic_partitions_requests=requests)
        return SensorDefinition(name, evaluation_fn=lambda: result)

    adds, deletes = (
        of("b_adds", FRUITS.build_add_request(["k"])),
        of("a_deletes", FRUITS.build_delete_request(["k"])),
    )
    instance = TreadleInstance([adds, deletes])
    seen = []

    for change in (
        lambda: instance.tick_now("b_adds"),
        lambda: instance.tick_now("a_deletes"),
        lambda: instance.add_dynamic_partitions("fruits", ["k"]),
        lambda: instance.delete_dynamic_partition("fruits", "k"),
        lambda: instance.add_dynamic_partitions("fruits", ["k"]),
    ):
        change()
        seen.append(instance.has_dynamic_partition("fruits", "k"))

    assert seen == [True, False, True, False, True]


# What is refused.


def test_key_in_two_requests_is_refused() -> None:
    add, delete = FRUITS.build_add_request(["a", "b"]), FRUITS.build_delete_request(["b"])
    other = AddDynamicPartitionsRequest("animals", ["a"])

    refused: list[tuple[list[Any], str]] = [
        ([add, delete], "both add and delete requests"),
        ([delete, add], "both add and delete requests"),
        ([add, other, FRUITS.build_add_request(["b"])], "to add duplicate dynamic partition keys"),
        ([delete, delete], "to delete duplicate dynamic partition keys"),
    ]
    for twice, message in refused:
        with pytest.raises(DagsterInvariantViolationError, match=message):
            SensorResult(dynamic_partitions_requests=twice)
    given: Any = iter([add, other])
    assert SensorResult(dynamic_partitions_requests=given).dynamic_partitions_requests == [add, other]


def test_key_that_one_request_names_twice_is_added_once() -> None:
    assert FRUITS.build_add_request(["a", "b", "a"]).partition_keys == ["a", "b"]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: FRUITS.build_add_request("abc"), InvalidResultError, "must be a list of strings, not str"),
        (
            lambda: FRUITS.build_add_request([1]),  # type: ignore[list-item]
            InvalidResultError,
            "A partition key must be a string, not int",
        ),
        (
            lambda: FRUITS.build_delete_request([""]),
            InvalidResultError,
            "has 0 bytes: it must have 1 to 1024",
        ),
        (lambda: FRUITS.build_add_request(["ü" * 513]), InvalidResultError, "has 1026 bytes"),
        (lambda: FRUITS.build_add_request(["\ud800"]), InvalidResultError, "lone surrogate"),
        (
            lambda: AddDynamicPartitionsRequest("", ["a"]),
            InvalidResultError,
            "partitions_def_name '' has 0 bytes",
        ),
        (lambda: AddDynamicPartitionsRequest("n" * 513, []), InvalidResultError, "has 513 bytes"),
        (
            lambda: DynamicPartitionsDefinition(name="n" * 513),
            DagsterInvalidDefinitionError,
            "has 513 bytes: it must have 1 to 512",
        ),
        (
            lambda: DynamicPartitionsDefinition(lambda _: []).build_add_request(["a"]),
            DagsterInvariantViolationError,
            "must have a name to fetch dynamic partitions",
        ),
        (
            lambda: DynamicPartitionsDefinition(lambda _: []).build_delete_request(["a"]),
            DagsterInvariantViolationError,
            "must have a name to fetch dynamic partitions",
        ),
        (
            lambda: SensorResult(dynamic_partitions_requests=FRUITS.build_add_request(["a"])),  # type: ignore[arg-type]
            InvalidResultError,
            "must be a list of AddDynamicPartitionsRequest and DeleteDynamicPartitionsRequest, not AddDynamic",
        ),
        (
            lambda: SensorResult(dynamic_partitions_requests=["a"]),  # type: ignore[list-item]
            InvalidResultError,
            "unexpectedly returned output 'a'",
        ),
    ],
)
def test_what_cannot_be_stored_is_refused(
    make: Callable[[], object], error: type[TreadleError], message: str
) -> None:
    with pytest.raises(error, match=message):
        make()


def test_instance_refuses_what_cannot_be_stored() -> None:
    instance = DagsterInstance.ephemeral()

    with pytest.raises(InvalidResultError, match="must be a list of strings, not str"):
        instance.add_dynamic_partitions("fruits", "abc")
    with pytest.raises(InvalidResultError, match="has 0 bytes"):
        instance.delete_dynamic_partition("fruits", "")
    with pytest.raises(InvalidResultError, match="partitions_def_name must be a string, not NoneType"):
        instance.get_dynamic_partitions(None)


def test_only_a_string_is_looked_up() -> None:
    found: list[bool] = []

    def look_up(instance: Any, *keys: object) -> None:
        found.extend(instance.has_dynamic_partition("fruits", key) for key in keys)

    def function(context: SensorEvaluationContext) -> None:
        look_up(context.instance, "", "x" * 2_000, "\ud800", None)

    instance = deployed(function)

    instance.tick("watch")

    error = last_tick(instance).error
    assert error is not None
    assert "A partition key must be a string, not NoneType" in error.message
    assert found == [False] * 3
    with pytest.raises(InvalidResultError, match="A partition key must be a string, not int: 5"):
        look_up(instance, 5)


def test_run_request_for_an_unknown_key_names_the_set() -> None:
    instance = DagsterInstance.ephemeral()

    with pytest.raises(DagsterUnknownPartitionError, match="its keys are those added to 'fruits'"):
        load.run_request_for_partition("a", dynamic_partitions_store=instance)
    instance.add_dynamic_partitions("fruits", ["a"])
    assert load.run_request_for_partition("a", dynamic_partitions_store=instance).partition_key == "a"


@pytest.mark.parametrize("requests", [True, False], ids=["requested", "through-the-instance"])
def test_too_many_changes_fail_the_tick(monkeypatch: pytest.MonkeyPatch, requests: bool) -> None:
    monkeypatch.setattr(tick_partitions, "MAX_CHANGES", 2)
    keys = iter([["a", "b"], ["c", "d", "e"]])

    def function(context: SensorEvaluationContext) -> SensorResult:
        if requests:
            return SensorResult(dynamic_partitions_requests=[FRUITS.build_add_request(next(keys))])
        context.instance.add_dynamic_partitions("fruits", next(keys))
        return SensorResult()

    instance = deployed(function)

    instance.tick("watch")
    instance.tick("watch")

    error = last_tick(instance).error
    assert error is not None
    assert "changed 3 dynamic partitions in one tick; the limit is 2" in error.message
    assert list(instance.get_dynamic_partitions("fruits")) == ["a", "b"]


def test_tick_changes_at_most_25_000_keys(harness: EngineHarness) -> None:
    partitions = TickPartitions(harness.stores.partitions)
    partitions.request([FRUITS.build_add_request([str(number) for number in range(25_000)])], "watch")

    with pytest.raises(InvalidResultError, match="changed 25001 dynamic partitions in one tick"):
        partitions.request([FRUITS.build_delete_request(["kiwi"])], "watch")


def test_tick_lists_the_stored_keys_after_its_own_changes(harness: EngineHarness) -> None:
    stored = [PartitionChange("fruits", key, exists=True) for key in ("a", "b")]
    harness.stores.partitions.apply(stored, ChangeTime(harness.clock.now(), "watch/tick"))
    partitions = TickPartitions(harness.stores.partitions)

    partitions.add_dynamic_partitions("fruits", ["c"])
    partitions.delete_dynamic_partition("fruits", "a")

    assert partitions.get_dynamic_partitions("fruits") == ["b", "c"]


def test_operator_whose_clock_is_behind_is_refused_what_a_later_change_has_decided(
    harness: EngineHarness,
) -> None:
    later = ChangeTime(harness.clock.now() + 1, "watch/tick")
    harness.stores.partitions.apply([PartitionChange("fruits", "b", exists=False)], later)
    operations = PartitionOperations(harness.stores.partitions, harness.clock)

    message = "1 of 2 keys of 'fruits', the first of them 'b', were not added: .* Check its clock"
    with pytest.raises(CommandRefusedError, match=message):
        operations.add("fruits", ["a", "b"], "ann")
    assert keys_of(harness) == ["a"]
    harness.clock.advance(1)
    assert [each.changed_by for each in operations.add("fruits", ["b"], "ann")] == ["ann", "ann"]


# S3 sensors.


def test_object_adds_its_partition_by_event_and_by_sweep() -> None:
    @s3_sensor("incoming", job=load)
    def files(context: SensorEvaluationContext, obj: S3Object) -> SensorResult:
        del context
        request = RunRequest(partition_key=obj.key)
        return SensorResult([request], dynamic_partitions_requests=[FRUITS.build_add_request([obj.key])])

    instance = TreadleInstance([files])
    instance.tick("files")
    instance.put_object("incoming", "by-event")
    instance.objects.put("incoming", "by-sweep")

    instance.clock.advance(3_600)
    instance.tick("files")

    assert list(instance.get_dynamic_partitions("fruits")) == ["by-event", "by-sweep"]
    assert partitions_started(instance) == ["by-event", "by-sweep"]


def test_object_with_an_unknown_partition_does_not_block_the_others_of_a_sweep() -> None:
    @s3_sensor("incoming", job=load)
    def files(context: SensorEvaluationContext, obj: S3Object) -> RunRequest:
        del context
        return RunRequest(partition_key=obj.key)

    instance = TreadleInstance([files])
    instance.tick("files")
    instance.add_dynamic_partitions("fruits", ["known"])
    for key in ("known", "unknown"):
        instance.objects.put("incoming", key)

    instance.clock.advance(3_600)
    instance.tick("files")

    assert partitions_started(instance) == ["known"]
    assert "Could not find a partition with key `unknown`" in instance.ticks("files")[0].rejected[0].reason


# The engine.


def adding(*keys: str, job: str = "load", runs: Sequence[str] = ()) -> SensorDefinition:
    def function() -> SensorResult:
        requests = [RunRequest(key, partition_key=key, job_name=job) for key in runs]
        return SensorResult(requests, dynamic_partitions_requests=[FRUITS.build_add_request(list(keys))])

    return watching(function, JobDefinition(job, partitions_def=FRUITS))


def tick_of(harness: EngineHarness, definition: SensorDefinition) -> Any:
    harness.clock.advance(60)
    return harness.leased(definition).tick(harness.clock.now(), Budget())


def keys_of(harness: EngineHarness) -> list[str]:
    return [each.partition_key for each in harness.stores.partitions.partitions("fruits")]


@pytest.fixture
def chunk_handled(harness: EngineHarness) -> Callable[[], Iterator[str]]:
    """Dispatch the chunks in the queue, one by one."""

    def handled() -> Iterator[str]:
        while bodies := harness.chunks.drain():
            for body in bodies:
                request = ChunkRequest.from_json(body)
                assert isinstance(request, ChunkRequest)
                yield harness.dispatcher(watch="load").dispatch_chunk(request).reason

    return handled


def test_tick_waits_until_the_changes_of_the_last_one_are_applied(harness: EngineHarness) -> None:
    definition = adding("a")
    tick_of(harness, definition)
    [tick] = harness.tick_records()
    assert harness.state().partitions_tick == tick.tick_id

    early = tick_of(harness, definition)
    harness.dispatcher(watch="load").dispatch(tick)
    late = tick_of(harness, sensor_of(lambda: None))

    assert early.decision is Decision.DELAYED
    assert f"that tick {tick.tick_id} changed are not stored yet" in early.reason
    assert late.decision is Decision.SKIPPED
    state = harness.state()
    assert (state.partitions_tick, state.lease_owner, state.failure_streak) == (None, None, 0)


def test_tick_does_not_wait_for_runs_of_the_last_one_that_are_held(harness: EngineHarness) -> None:
    definition = adding("a", runs=["a"])
    tick_of(harness, definition)
    [tick] = harness.tick_records()

    held = harness.dispatcher(watch="other").dispatch(tick)
    after = tick_of(harness, sensor_of(lambda: None))

    assert held.decision is Decision.HELD
    assert keys_of(harness) == ["a"]
    assert after.decision is Decision.SKIPPED


def test_held_tick_does_not_apply_its_changes_again(harness: EngineHarness) -> None:
    tick_of(harness, adding("a", runs=["a"]))
    harness.dispatcher(watch="other").dispatch(harness.tick_records()[0])
    harness.tables.partitions.clear()

    harness.dispatcher(watch="load").dispatch(harness.tick_records()[0])

    assert (keys_of(harness), len(harness.tables.runs)) == ([], 1)


@pytest.mark.parametrize("pause_after", [0, 1])
def test_tick_that_dies_does_not_forget_the_changes_before_it(
    harness: EngineHarness, pause_after: int
) -> None:
    definition = adding("a")
    tick_of(harness, definition)
    changing = harness.state().partitions_tick
    runner = harness.leased(definition, pause_after=pause_after)
    harness.clock.advance(60)
    harness.sensors.acquire(runner._request(harness.clock.now(), harness.clock.now(), Budget(60)))
    harness.clock.advance(3_600)

    outcome = runner.tick(harness.clock.now(), Budget())

    assert outcome.decision is (Decision.FAILURE if pause_after else Decision.DELAYED)
    assert harness.state().partitions_tick == changing


def test_changes_of_a_large_tick_are_applied_in_chunks_before_its_runs_start(
    harness: EngineHarness, chunk_handled: Callable[[], Iterator[str]]
) -> None:
    keys = [f"key-{number:04d}" for number in range(2 * CHUNK_SIZE + 1)]
    tick_of(harness, adding(*keys, runs=keys[: CHUNK_SIZE + 1]))
    [tick] = harness.tick_records()
    dispatcher = harness.dispatcher(watch="load")

    first = dispatcher.dispatch(tick)
    seen = [(reason, len(keys_of(harness)), len(harness.tables.runs)) for reason in chunk_handled()]

    assert first.reason == "501 requests and 1001 partitions: 3 of 5 chunks sent to the dispatch queue"
    assert [(number, runs) for _, number, runs in seen] == [
        (333, 0),
        (667, 0),
        (1001, 0),
        (1001, 250),
        (1001, 501),
    ]
    assert keys_of(harness) == keys
    [tick] = harness.tick_records()
    assert tick.dispatched is not None
    assert tick.dispatched.started == CHUNK_SIZE + 1


@pytest.mark.parametrize(("keys", "runs"), [(2 * CHUNK_SIZE, 0), (1, CHUNK_SIZE + 1), (CHUNK_SIZE + 1, 1)])
def test_each_chunk_may_come_twice_and_in_any_order(harness: EngineHarness, keys: int, runs: int) -> None:
    names = [f"key-{number:04d}" for number in range(max(keys, runs))]
    present = [PartitionChange("fruits", key, exists=True) for key in names[keys:]]
    harness.stores.partitions.apply(present, ChangeTime(harness.clock.now()))
    tick_of(harness, adding(*names[:keys], runs=names[:runs]))
    dispatcher = harness.dispatcher(watch="load")
    dispatcher.dispatch(harness.tick_records()[0])

    handled: list[ChunkRequest] = []
    while bodies := harness.chunks.drain():
        for request in map(ChunkRequest.from_json, reversed(bodies)):
            assert isinstance(request, ChunkRequest)
            if handled.count(request) < 3:
                dispatcher.dispatch_chunk(request)
                harness.chunks.send([request.to_json()])
                handled.append(request)

    assert sorted(keys_of(harness)) == names
    assert len(harness.tables.runs) == runs
    assert not harness.tick_records()[0].is_to_be_dispatched


def test_other_sensor_reads_and_changes_no_partitions(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("treadle.testing.stores.InMemoryPartitionStore.existing", refused)
    monkeypatch.setattr("treadle.testing.stores.InMemoryPartitionStore.partitions", refused)
    monkeypatch.setattr("treadle.testing.stores.InMemoryPartitionStore.apply", refused)
    monkeypatch.setattr("treadle.testing.stores.InMemoryTickStore.has_changed_partitions", refused)
    letters = StaticPartitionsDefinition(["a"])
    definition = watching(
        lambda: RunRequest(partition_key="a"), JobDefinition("load", partitions_def=letters)
    )

    for _ in range(2):
        tick_of(harness, definition)
        harness.dispatcher(watch="load").dispatch(harness.tick_records()[-1])

    assert [run.partition_key for run in harness.tables.runs.values()] == ["a", "a"]


def test_each_stored_key_is_read_once_in_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[str, ...]] = []

    def counted(name: str, keys: Sequence[str]) -> set[str]:
        read.append(tuple(sorted(keys)))
        return existing(name, keys)

    def function(context: SensorEvaluationContext) -> SensorResult:
        context.instance.has_dynamic_partition("fruits", "a")
        context.instance.has_dynamic_partition("fruits", "a")
        add = FRUITS.build_add_request(["a", "b", "c"])
        requests = [RunRequest(key, partition_key=key) for key in ("a", "b", "d", "e")]
        return SensorResult(requests, dynamic_partitions_requests=[add])

    instance = deployed(function, default_status=DefaultSensorStatus.RUNNING)
    instance.add_dynamic_partitions("fruits", ["d", "e"])
    existing = instance._stores.partitions.existing
    monkeypatch.setattr(instance._stores.partitions, "existing", counted)

    instance.tick("watch")

    assert read == [("a",), ("d", "e"), ("b", "c")]
    assert partitions_started(instance) == ["a", "b", "d", "e"]
