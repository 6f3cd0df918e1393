"""Values from an author's code are checked at construction, and later changes when they are planned."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import Enum, StrEnum
from itertools import count
from typing import Any

import pytest

from tests.support.engine import JOB, RUN_IDS, EngineHarness, sensor_of
from treadle import (
    AssetKey,
    AssetMaterialization,
    DagsterInvalidDefinitionError,
    DagsterInvariantViolationError,
    DagsterRunReaction,
    JobDefinition,
    RunConfig,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    all_succeeded,
    assets_updated,
    build_sensor_context,
    deadline_sensor,
    resource,
    sensor,
)
from treadle.adapters.dynamodb.outcomes import Outcomes
from treadle.definitions import sensors
from treadle.definitions.bounds import MAX_LEVELS, MAX_LOG, MAX_REJECTED_BYTES, MAX_REJECTION
from treadle.definitions.errors import InvalidReportError, InvalidResultError
from treadle.definitions.payloads import MAX_PAYLOAD_BYTES
from treadle.definitions.results import SensorExecutionData
from treadle.definitions.runs import StepFailure
from treadle.definitions.sensors import DEFAULT_CAP
from treadle.definitions.status import TickStatus
from treadle.engine.identity import event_tick_id
from treadle.engine.outcomes import Decision
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.planning import Plan
from treadle.model.runs import MAX_STEPS, Failure, Run
from treadle.model.ticks import PlannedRun, Tick, TickTrouble
from treadle.testing import TreadleInstance

NOT_UTF8 = b"caf\xe9.csv".decode("utf-8", "surrogateescape")
SCHEMA = {"type": "object", "properties": {"day": {"type": "string"}}, "additionalProperties": False}
TICK = "2026-11-22T18:00:00.000Z-000000001"


class Color(StrEnum):
    RED = "red"


def nested(levels: int) -> dict[str, Any]:
    value: list[Any] = []
    for _ in range(levels - 2):
        value = [value]
    return {"x": value}


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({"partition_key": 20261129}, "partition_key must be a string or None, not int: 20261129"),
        ({"partition_key": date(2026, 11, 29)}, "partition_key must be a string or None, not date"),
        ({"partition_key": True}, "partition_key must be a string or None, not bool"),
        ({"partition_key": NOT_UTF8}, "partition_key cannot be written as UTF-8: .* position 3"),
        ({"run_key": b"a"}, "run_key must be a string or None, not bytes"),
        ({"run_key": NOT_UTF8}, "run_key cannot be written as UTF-8"),
        ({"job_name": 5}, "job_name must be a string or None, not int"),
        ({"job_name": "\ud800"}, "job_name cannot be written as UTF-8"),
        ({"run_config": [("a", 1)]}, "run_config must be a mapping, a RunConfig or None, not list"),
        ({"run_config": "abc"}, "run_config must be a mapping, a RunConfig or None, not str"),
        ({"run_config": 0}, "run_config must be a mapping, a RunConfig or None, not int"),
        ({"run_config": {"x": float("nan")}}, "run_config must be plain JSON"),
        ({"run_config": {"x": NOT_UTF8}}, "run_config must be plain JSON"),
        ({"run_config": nested(MAX_LEVELS + 1)}, f"run_config has more than {MAX_LEVELS} levels"),
        ({"run_config": nested(100_000)}, f"run_config has more than {MAX_LEVELS} levels"),
        ({"tags": ["a"]}, "tags must be a mapping, not list"),
        ({"tags": {NOT_UTF8: "a"}}, "The name of a tag cannot be written as UTF-8"),
        ({"tags": {1: "a", "1": "b"}}, "Two tags have the same name"),
        ({"tags": {"a": nested(100_000)}}, f"Tag 'a' has more than {MAX_LEVELS} levels"),
    ],
)
def test_request_refuses_what_could_not_be_stored_where_it_is_made(
    kwargs: dict[str, Any], expected: str
) -> None:
    with pytest.raises(InvalidResultError, match=expected):
        RunRequest(**kwargs)


def test_message_of_a_refusal_is_short_whatever_the_value() -> None:
    with pytest.raises(InvalidResultError) as refused:
        RunRequest("k", partition_key=["x" * 100_000])  # type: ignore[arg-type]

    assert len(str(refused.value)) < 300


def test_config_with_as_many_levels_as_may_be_and_many_brackets_is_taken() -> None:
    config = nested(MAX_LEVELS) | {"rows": [{"a": [1]}] * 200}

    assert RunRequest(run_config=config).run_config == config


def test_member_of_a_string_enum_is_its_text() -> None:
    request = RunRequest(Color.RED, {"c": Color.RED}, {"c": Color.RED}, partition_key=Color.RED)

    assert [type(request.run_key), type(request.partition_key), type(request.tags["c"])] == [str, str, str]
    assert request.partition_key == "red"


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({"run_requests": RunRequest()}, "run_requests must be a list of RunRequest, not RunRequest"),
        ({"run_requests": "a"}, "run_requests must be a list of RunRequest, not str"),
        ({"run_requests": [SkipReason("x")]}, "run_requests must be a list of RunRequest: .* SkipReason"),
        ({"skip_reason": 5}, "skip_reason must be a string, a SkipReason or None, not int"),
        ({"skip_reason": []}, "skip_reason must be a string, a SkipReason or None, not list"),
        ({"cursor": 7}, "cursor must be a string or None, not int"),
        ({"cursor": 0}, "cursor must be a string or None, not int"),
        ({"cursor": NOT_UTF8}, "cursor cannot be written as UTF-8"),
        ({"asset_events": [AssetKey("a")]}, "asset_events must be a list of AssetMaterialization"),
        (
            {"asset_events": AssetMaterialization("a")},
            "asset_events must be a list of AssetMaterialization and AssetObservation, not",
        ),
    ],
)
def test_result_refuses_what_is_of_another_type_where_it_is_made(
    kwargs: dict[str, Any], expected: str
) -> None:
    with pytest.raises(InvalidResultError, match=expected):
        SensorResult(**kwargs)


def test_events_and_requests_of_a_generator_are_all_there() -> None:
    result = SensorResult(
        run_requests=(RunRequest(str(n)) for n in range(2)),  # type: ignore[arg-type]
        asset_events=(AssetMaterialization(str(n)) for n in range(2)),  # type: ignore[arg-type]
    )

    assert [each.run_key for each in result.run_requests or ()] == ["0", "1"]
    assert len(result.asset_events or ()) == 2


@pytest.mark.parametrize("kwargs", [{"error": "broken"}, {"dagster_run": "r1"}, {"run_status": "SUCCESS!"}])
def test_reaction_refuses_what_is_of_another_type(kwargs: dict[str, Any]) -> None:
    with pytest.raises(InvalidResultError, match=f"{next(iter(kwargs))} must be"):
        DagsterRunReaction(**kwargs)


@pytest.mark.parametrize(
    "make",
    [
        lambda: AssetKey(NOT_UTF8),
        lambda: AssetKey(5),  # type: ignore[arg-type]
        lambda: AssetKey(None),  # type: ignore[arg-type]
        lambda: AssetMaterialization("a", partition=NOT_UTF8),
        lambda: AssetMaterialization("a", NOT_UTF8),
        lambda: AssetMaterialization("a", metadata=[1]),  # type: ignore[arg-type]
        lambda: AssetMaterialization("a", metadata={"x": nested(100_000)}),
    ],
)
def test_materialization_refuses_what_could_not_be_stored(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidReportError):
        make()


@pytest.mark.parametrize("tags", [{"a": object()}, ["a"], {NOT_UTF8: "a"}, {"a": NOT_UTF8}])
def test_jobs_tags_are_checked_when_the_job_is_defined(tags: Any) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=r"[Tt]ag"):
        JobDefinition("load", tags=tags)


def test_jobs_tags_that_are_no_strings_are_written_as_json() -> None:
    assert JobDefinition("load", tags={"a": 5}).tags == {"a": "5"}  # type: ignore[dict-item]


@pytest.mark.parametrize("name", [5, None, b"a"])
def test_jobs_name_that_is_no_string_is_a_definition_that_cannot_work(name: Any) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="cannot name a job"):
        JobDefinition(name)


@pytest.mark.parametrize("set_cursor", [SensorEvaluationContext.update_cursor])
def test_cursor_that_is_no_unicode_is_refused_where_it_is_set(set_cursor: Callable[..., None]) -> None:
    with pytest.raises(
        DagsterInvariantViolationError, match="cursor of sensor sensor cannot be written as UTF-8"
    ):
        set_cursor(build_sensor_context(), NOT_UTF8)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"on_invalid": "ignore"}, "on_invalid must be one of 'set_aside', 'fail', not 'ignore'"),
        ({"on_invalid": None}, "on_invalid must be one of"),
        ({"on_invalid": ["fail"]}, "on_invalid must be one of"),
        ({"retries_per_key": True}, "retries_per_key must be a whole number, not True"),
        ({"retries_per_key": 1.5}, "retries_per_key must be a whole number"),
        ({"retries_per_key": 10**40}, f"retries_per_key must be {sensors.MAX_RETRIES} at most"),
    ],
)
def test_options_of_requests_are_checked_at_definition(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=expected):
        sensor_of(lambda: None, **options)


def changing(what: str, value: Any) -> Callable[[], RunRequest]:
    def function() -> RunRequest:
        request = RunRequest("k", {"a": 1}, {"t": "1"})
        changed: Any = request.tags if what == "tags" else request.run_config
        changed["later"] = value
        return request

    return function


@pytest.mark.parametrize("what", ["tags", "run_config"])
@pytest.mark.parametrize("value", [object(), NOT_UTF8, float("nan")])
def test_what_is_changed_to_something_invalid_after_it_was_made_fails_the_tick(
    harness: EngineHarness, what: str, value: Any
) -> None:
    outcome = harness.leased(sensor_of(changing(what, value))).tick(harness.clock.now(), Budget())

    assert outcome.decision is Decision.FAILURE
    assert "must be plain JSON" in outcome.reason
    assert harness.state().lease_owner is None


def test_tag_that_is_changed_to_a_number_is_written_as_json(harness: EngineHarness) -> None:
    harness.leased(sensor_of(changing("tags", 5))).tick(harness.clock.now(), Budget())

    (tick,) = harness.tick_records()
    assert tick.requests[0].tags["later"] == "5"


class NotesError(Exception):
    """An error whose notes are its author's code."""

    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        msg = "no notes"
        raise RuntimeError(msg)


def raising(error: Exception) -> Callable[[], None]:
    def function() -> None:
        raise error

    return function


@pytest.mark.parametrize("error", [ValueError(NOT_UTF8), ValueError("x" * 1_000_000), NotesError("bad")])
def test_whatever_a_function_raises_is_a_failed_tick_that_can_be_stored(
    harness: EngineHarness, error: Exception
) -> None:
    outcome = harness.leased(sensor_of(raising(error))).tick(harness.clock.now(), Budget())

    (tick,) = harness.tick_records()
    assert outcome.decision is Decision.FAILURE
    assert tick.error is not None
    assert tick.error.type == type(error).__name__
    assert len(tick.error.message.encode()) <= 8_000
    assert len(tick.error.stack.encode()) <= 16_000


def test_failure_of_the_planning_is_a_failed_tick(harness: EngineHarness) -> None:
    """Whatever the engine itself does with the author's values."""
    definition = sensor_of(lambda: RunRequest("k"))
    evaluator = harness.evaluator(definition)
    planner: Any = evaluator._planner

    class Broken:
        def key_states(self, requests: object) -> dict[str, object]:
            return {}["x"]  # type: ignore[index]

    planner.known._runs = Broken()
    leased = harness.leased(definition)
    leased._evaluator = evaluator

    outcome = leased.tick(harness.clock.now(), Budget())

    assert outcome.decision is Decision.FAILURE
    assert "The result of sensor watch cannot be recorded: KeyError" in outcome.reason
    assert harness.state().lease_owner is None


@pytest.mark.parametrize("line", ["x" * 30_000, "字" * 30_000, "😀" * 30_000, "\x00" * 30_000, NOT_UTF8])
def test_log_is_bounded_in_the_form_in_which_it_is_stored(line: str) -> None:
    @sensor(job_name=JOB)
    def talkative(context: SensorEvaluationContext) -> RunRequest:
        for _ in range(5):
            context.log.info(line)
        return RunRequest()

    tick = TreadleInstance([talkative]).tick("talkative").tick

    assert tick is not None
    assert tick.log
    assert len(json.dumps(tick.log)) < MAX_LOG + 1_000
    "".join(tick.log).encode()


def vetted(harness: EngineHarness, requests: list[RunRequest], **options: Any) -> Any:
    jobs = [JobDefinition(JOB, run_config_schema=SCHEMA), JobDefinition("other")]
    definition = SensorDefinition("watch", evaluation_fn=lambda: None, jobs=jobs, **options)
    return harness.planner(definition).validate_requests(SensorExecutionData(tuple(requests)), TICK)


def planned(harness: EngineHarness, requests: list[RunRequest]) -> Plan:
    jobs = [JobDefinition(JOB, run_config_schema=SCHEMA), JobDefinition("other")]
    planner = harness.planner(SensorDefinition("watch", evaluation_fn=lambda: None, jobs=jobs))
    return planner.plan(planner.validate_requests(SensorExecutionData(tuple(requests)), TICK))


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (RunRequest("k", {"day": "2"}, job_name=JOB), "different run config"),
        (RunRequest("k", {}, {"a": "b"}, JOB), "different tags"),
        (RunRequest("k", job_name="other"), "different job"),
        (RunRequest("k", job_name=JOB, partition_key="p"), "different partition key"),
    ],
)
def test_second_request_of_a_key_in_a_tick_that_differs_is_rejected(
    harness: EngineHarness, second: RunRequest, expected: str
) -> None:
    found = planned(harness, [RunRequest("k", job_name=JOB), second])

    (rejected,) = found.rejected
    assert len(found.runs) == 1
    assert "Run key 'k' was requested twice in this tick, with" in rejected.reason
    assert expected in rejected.reason


def test_nothing_is_rejected_for_a_key_that_was_taken_before(harness: EngineHarness) -> None:
    """A sensor may request all it sees at each tick; the key's run is what is said of both."""
    run_id = RUN_IDS.keyed("watch", "k")
    harness.tables.runs[run_id] = Run(run_id, JOB, "watch", "k", "tick", "{}", {}, 0)

    found = planned(harness, [RunRequest("k", job_name=JOB), RunRequest("k", {"day": "2"}, job_name=JOB)])

    assert (found.runs, found.existing_keys, found.rejected) == ((), ("k",), ())


def test_same_request_twice_in_a_tick_starts_one_run_and_the_log_says_so() -> None:
    @sensor(job_name=JOB)
    def twice() -> list[RunRequest]:
        return [RunRequest("k", {"a": 1}), RunRequest("k", {"a": 1})]

    result = TreadleInstance([twice]).tick("twice")

    assert result.tick is not None
    assert len(result.runs) == 1
    assert result.tick.rejected == ()
    assert result.tick.log == (
        "INFO 1 requests repeat earlier ones of this tick; each run is started only once",
    )


@pytest.mark.parametrize(
    "invalid",
    [
        RunRequest("bad", {"night": "x"}, job_name=JOB),
        RunRequest("bad", {"x": "x" * MAX_PAYLOAD_BYTES}, job_name="other"),
        RunRequest("bad" + "x" * 3_000, job_name=JOB),
        RunRequest("good", job_name="other"),
    ],
    ids=["schema", "size", "run key", "twice"],
)
def test_sensor_that_fails_on_invalid_requests_commits_nothing(
    harness: EngineHarness, invalid: RunRequest
) -> None:
    def function(context: SensorEvaluationContext) -> list[RunRequest]:
        context.update_cursor("moved")
        return [RunRequest("good", job_name=JOB), invalid]

    jobs = [JobDefinition(JOB, run_config_schema=SCHEMA), JobDefinition("other")]
    definition = SensorDefinition("watch", evaluation_fn=function, jobs=jobs, on_invalid="fail")

    outcome = harness.leased(definition).tick(harness.clock.now(), Budget())

    (tick,) = harness.tick_records()
    assert outcome.decision is Decision.FAILURE
    assert "returned 1 invalid requests" in outcome.reason
    assert str(invalid.run_key)[:10] in outcome.reason
    assert (tick.status, tick.requests, harness.state().cursor) == (TickStatus.FAILURE, (), None)


def test_error_of_many_invalid_requests_names_some_and_counts_all(harness: EngineHarness) -> None:
    requests = [RunRequest(f"bad{n}", {"night": "x" * 500}, job_name=JOB) for n in range(1_000)]

    with pytest.raises(InvalidResultError) as failed:
        vetted(harness, requests, on_invalid="fail")

    assert "returned 1000 invalid requests" in str(failed.value)
    assert "and 980 more" in str(failed.value)
    assert len(str(failed.value)) < 8_000


@pytest.mark.many
def test_all_that_was_rejected_is_named_with_reasons_as_long_as_there_is_room(
    harness: EngineHarness,
) -> None:
    misfit = {f"file_{number:06d}": number for number in range(200)}
    found = vetted(harness, [RunRequest(f"bad{n}", misfit, job_name=JOB) for n in range(2_000)])

    assert [each.run_key for each in found.rejected] == [f"bad{n}" for n in range(2_000)]
    assert len(found.rejected[0].reason) == MAX_REJECTION
    assert sum(len(each.reason) for each in found.rejected) < MAX_REJECTED_BYTES + 2_000 * 200 + MAX_REJECTION


def test_last_run_key_is_cut_where_no_run_could_have_it(harness: EngineHarness) -> None:
    harness.leased(sensor_of(lambda: RunRequest("k" * 500_000))).tick(harness.clock.now(), Budget())

    assert harness.state().last_run_key == "k" * 2_048


def test_failure_of_a_run_has_bounded_texts_and_parts() -> None:
    step = StepFailure("s" * 5_000, "e" * 5_000, "\x01" * 5_000)
    failure = Failure("e" * 5_000, f"{NOT_UTF8}{'字' * 5_000}", steps=(step,) * 50)

    stored = json.dumps(
        [failure.error, failure.cause, [[s.step_key, s.error, s.cause] for s in failure.steps]]
    )
    failure.cause.encode()
    assert len(failure.steps) == MAX_STEPS
    assert len(stored) < 100_000


@pytest.mark.parametrize("name", ["reason", "trigger", "paused", "held", "acted_on", "cursor"])
def test_texts_of_a_tick_are_cut_and_made_unicode(harness: EngineHarness, name: str) -> None:
    harness.leased(sensor_of(lambda: RunRequest("k"))).tick(harness.clock.now(), Budget())
    (tick,) = harness.tick_records()

    changed: dict[str, Any] = {name: NOT_UTF8 + "ü" * 100_000}
    text = getattr(replace(tick, **changed), name)

    assert text.startswith("caf\ufffd.csv")
    assert len(text.encode()) <= 2_000


def test_request_of_an_older_tick_with_values_that_are_no_texts_is_read_with_texts() -> None:
    """It was committed before its values were checked, and waits for its dispatch."""
    harness = EngineHarness()
    harness.leased(sensor_of(lambda: RunRequest("k"))).tick(harness.clock.now(), Budget())
    (tick,) = harness.tick_records()
    poisoned: Any = PlannedRun(RUN_IDS.keyed("watch", "b"), "b", JOB, "{}", {"t": 5}, 20261129)  # type: ignore[dict-item, arg-type]
    old: Tick = replace(tick, requests=(poisoned,))
    outcomes = Outcomes(None)

    (read,) = outcomes.unpack("watch", outcomes.pack(old)).requests

    assert (read.partition_key, read.tags) == ("20261129", {"t": "5"})


def test_event_whose_identity_is_no_unicode_has_a_tick_id() -> None:
    assert event_tick_id(0, ["\ud800"]) != event_tick_id(0, ["\ud801"])


def test_parts_of_a_run_config_are_checked_like_a_plain_one() -> None:
    with pytest.raises(InvalidResultError, match="run_config must be plain JSON"):
        RunRequest(run_config=RunConfig(ops={"a": {"x": NOT_UTF8}}))


class Model:
    """Reads as its author says, or does not."""

    def model_dump(self) -> Any:
        raise RuntimeError("no model")


@dataclass
class Parts:
    lock: Any


@pytest.mark.parametrize(
    "parts",
    [
        {"ops": ["load"]},
        {"ops": None},
        {"resources": 5},
        {"loggers": None},
        {"execution": 3},
        {"ops": {"load": Model()}},
        {"ops": {"load": Parts(threading.Lock())}},
    ],
)
def test_parts_of_a_run_config_that_cannot_be_read_are_refused_where_the_request_is_made(parts: Any) -> None:
    with pytest.raises(
        InvalidResultError, match=r"run_config cannot be read: \w+: .*Give a dict, or a RunConfig"
    ):
        RunRequest("k", RunConfig(**parts))


def test_metadata_whose_names_become_one_is_refused() -> None:
    metadata: Any = {1: "first", "1": "second"}
    with pytest.raises(
        InvalidReportError, match="two entries with the same name once it is written as a string"
    ):
        AssetMaterialization("a", metadata=metadata)


def test_texts_of_a_materialization_are_plain_ones() -> None:
    class Word(str, Enum):  # noqa: UP042 - whose text as a format differs from its value
        RED = "red"

    made = AssetMaterialization("a", Word.RED, partition=Word.RED)

    assert [type(text) for text in (made.description, made.partition)] == [str, str]
    assert f"{made.description} {made.partition}" == "red red"


@pytest.mark.parametrize("added", ["x" * 100_000, float("nan"), NOT_UTF8, date(2026, 11, 29)])
def test_metadata_that_became_invalid_after_it_was_made_fails_the_tick(added: Any) -> None:
    def function() -> SensorResult:
        made = AssetMaterialization("a", metadata={"rows": [1]})
        made.metadata["rows"].value.append(added)
        return SensorResult(asset_events=[made], cursor="5")

    instance = TreadleInstance([sensor_of(function)])

    tick = instance.tick("watch").tick

    assert tick is not None
    assert tick.error is not None
    assert "Metadata of asset a" in tick.error.message
    assert instance.cursor("watch") is None


def test_empty_skip_reason_contradicts_no_request() -> None:
    result = TreadleInstance([sensor_of(lambda: SensorResult([RunRequest("a")], skip_reason=""))]).tick(
        "watch"
    )

    assert [run.run_key for run in result.runs] == ["a"]


def endless() -> Iterator[RunRequest]:
    for number in count():
        assert number < 2 * DEFAULT_CAP, "read on without end"
        yield RunRequest(str(number))


@pytest.mark.parametrize("function", [endless, lambda: SensorResult(endless())])  # type: ignore[arg-type]
def test_endless_generator_is_read_no_further_than_the_cap(function: Callable[[], Any]) -> None:
    result = TreadleInstance([sensor_of(function)]).tick("watch")

    assert result.outcome.decision is Decision.FAILURE
    assert "the limit of 10000" in result.outcome.reason


def test_generator_that_gives_something_invalid_ends_before_its_resources_are_closed() -> None:
    ended: list[str] = []

    @resource
    def connection() -> Iterator[str]:
        yield "open"
        ended.append("closed")

    def function(context: SensorEvaluationContext) -> Iterator[Any]:
        assert context.resources.connection == "open"
        try:
            yield "no request"
        finally:
            ended.append("function")

    definition = sensor_of(function, required_resource_keys={"connection"})
    result = TreadleInstance([definition], resources={"connection": connection}).tick("watch")

    assert result.outcome.decision is Decision.FAILURE
    assert ended == ["function", "closed"]


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize("value", [Unshowable(), "x" * 100_000, b"\xff", NOT_UTF8])
def test_error_of_a_wrong_value_says_what_to_return_whatever_the_value_is(value: Any) -> None:
    result = TreadleInstance([sensor_of(lambda: value)]).tick("watch")

    assert "unexpectedly returned output" in result.outcome.reason
    assert "Should only return SkipReason or RunRequest objects." in result.outcome.reason


def test_line_with_no_extra_fields_is_logged() -> None:
    def function(context: SensorEvaluationContext) -> RunRequest:
        context.log.info("listed", extra=None)
        return RunRequest("a")

    tick = TreadleInstance([sensor_of(function)]).tick("watch").tick

    assert tick is not None
    assert tick.log == ("INFO listed",)


async def asynchronous() -> None:
    """Is no function that a sensor can call."""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"minimum_interval_seconds": "60"}, "minimum_interval_seconds must be a whole number, not '60'"),
        ({"minimum_interval_seconds": 1.5}, "minimum_interval_seconds must be a whole number, not 1.5"),
        ({"minimum_interval_seconds": True}, "minimum_interval_seconds must be a whole number, not True"),
        ({"job": "load"}, "job must be a JobDefinition, not 'load'"),
        ({"jobs": ["load"]}, r"jobs must be a list of JobDefinitions, not \['load'\]"),
        ({"jobs": "load"}, "jobs must be a list of JobDefinitions, not 'load'"),
        ({"job_name": 5}, "5 cannot name a job"),
        ({"default_status": "running"}, "default_status must be a DefaultSensorStatus, not 'running'"),
        ({"required_resource_keys": "abc"}, "required_resource_keys must be a set of names, not 'abc'"),
        ({"tags": [1]}, r"tags must be a mapping, not \[1\]"),
        ({"metadata": 5}, "metadata must be a mapping, not 5"),
        ({"evaluation_fn": asynchronous}, "its function is async: make it a plain one"),
    ],
)
def test_option_of_another_type_is_refused_where_the_sensor_is_defined(options: Any, expected: str) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=expected):
        SensorDefinition("watch", **{"evaluation_fn": lambda: None, **options})


@pytest.mark.parametrize("within", [3600, None, "1h", timedelta(0), timedelta.max])
def test_window_that_cannot_be_is_refused_where_the_sensor_is_defined(within: Any) -> None:
    load, clean, report = map(JobDefinition, ("load", "clean", "report"))
    with pytest.raises(DagsterInvalidDefinitionError, match="within must be"):
        deadline_sensor(job=load, within=within)(lambda: None)
    with pytest.raises(DagsterInvalidDefinitionError, match="within must be"):
        all_succeeded("both", jobs=[load, clean], within=within, request_job=report)
    with pytest.raises(DagsterInvalidDefinitionError, match="within must be"):
        assets_updated("any", any_of=[AssetKey("a")], within=within, request_job=report)


def batch_of(run_config_fn: Callable[..., Any]) -> TreadleInstance:
    """After both jobs have succeeded that a batch is made of."""
    upstream = [JobDefinition("orders"), JobDefinition("customers")]
    feed = SensorDefinition(
        "feed",
        evaluation_fn=lambda: [RunRequest(job.name, job_name=job.name) for job in upstream],
        jobs=upstream,
    )
    both = all_succeeded(
        "both",
        jobs=upstream,
        within=timedelta(hours=1),
        request_job=JobDefinition(JOB),
        run_config_fn=run_config_fn,
    )
    instance = TreadleInstance([feed, both])
    for run in instance.tick("feed").runs:
        instance.finish_run(run)
    return instance


@pytest.mark.parametrize("returned", [None, "x", 5, [("a", 1)]])
def test_batch_without_a_run_config_fails_the_tick_and_keeps_the_batch(returned: Any) -> None:
    instance = batch_of(lambda batch: returned)

    [failed, _] = instance.ticks("both")

    assert failed.error is not None
    assert "run_config_fn of sensor both returned" in failed.error.message
    assert '"waiting":{"":{"orders"' in (instance.cursor("both") or "")


def test_run_config_of_a_batch_may_be_an_object() -> None:
    instance = batch_of(lambda batch: RunConfig(ops={"load": {"config": {"day": 1}}}))

    [run] = instance.runs(lambda run: run.sensor == "both")

    assert json.loads(run.run_config) == {"ops": {"load": {"config": {"day": 1}}}}


def test_partition_key_that_is_no_string_fails_its_tick_and_no_later_one() -> None:
    keys: list[Any] = [date(2026, 11, 29), 2026, "2026-11-29"]
    instance = TreadleInstance([sensor_of(lambda: RunRequest("a", partition_key=keys.pop(0)))])

    ticks = [instance.tick("watch") for _ in range(3)]

    assert [result.outcome.decision for result in ticks[:2]] == [Decision.FAILURE] * 2
    assert ["partition_key must be a string or None" in result.outcome.reason for result in ticks[:2]] == [
        True,
        True,
    ]
    assert [run.partition_key for run in ticks[2].runs] == ["2026-11-29"]


def test_request_that_is_too_large_is_shown_while_its_cursor_moves_and_fails_the_tick_on_demand() -> None:
    def function(context: SensorEvaluationContext) -> RunRequest:
        context.update_cursor("after")
        return RunRequest("batch-1", {"files": ["x" * 100] * 60_000})

    instance = TreadleInstance([sensor_of(function)])
    shown = instance.tick("watch")
    failing = TreadleInstance([sensor_of(function, on_invalid="fail")])
    failed = failing.tick("watch")

    assert "1 invalid requests were rejected: Run request too large" in shown.outcome.reason
    assert (instance.cursor("watch"), shown.outcome.rejected) == ("after", 1)
    assert shown.tick is not None
    assert shown.tick.trouble is TickTrouble.REJECTED
    assert (failed.outcome.decision, failing.cursor("watch")) == (Decision.FAILURE, None)
