"""Every form in which a sensor's function may answer, and every misuse; both are Dagster's."""

from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from tests.support.engine import sensor_of
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import DagsterInvariantViolationError, InvalidResultError
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.results import RunRequest, SensorExecutionData, SensorResult, SkipReason
from treadle.definitions.sensors import SensorDefinition
from treadle.testing import TreadleInstance

EMPTY = "Sensor function returned an empty result"


def evaluate(function: Callable[..., Any], cursor: str | None = None) -> SensorExecutionData:
    return sensor_of(function).evaluate_tick(SensorEvaluationContext("watch", cursor))


def function_of(*yielded: Any, returned: Any = None) -> Callable[[], Any]:
    def function() -> Generator[Any, None, Any]:
        yield from yielded
        return returned

    return function


def returning(value: Any) -> Callable[[], Any]:
    return lambda: value


def keys(data: SensorExecutionData) -> list[str | None]:
    return [request.run_key for request in data.run_requests]


a, b = RunRequest("a"), RunRequest("b")


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        pytest.param(lambda: a, ["a"], id="one request"),
        pytest.param(lambda: [a, b], ["a", "b"], id="a list"),
        pytest.param(function_of(a, b), ["a", "b"], id="yielded"),
        pytest.param(function_of(a, returned=b), ["a", "b"], id="yielded and returned"),
        pytest.param(function_of(a, returned=[b]), ["a", "b"], id="yielded and returned in a list"),
        pytest.param(function_of(returned=a), ["a"], id="returned by a generator"),
        pytest.param(lambda: SensorResult([a, b]), ["a", "b"], id="a result"),
        pytest.param(lambda: SensorResult((a,)), ["a"], id="a result with a tuple"),
        pytest.param(lambda: [SensorResult([a])], ["a"], id="a result in a list"),
        pytest.param(function_of(SensorResult([a])), ["a"], id="a yielded result"),
    ],
)
def test_requests_are_taken_in_every_form_and_in_order(
    function: Callable[[], Any], expected: list[str]
) -> None:
    data = evaluate(function)

    assert keys(data) == expected
    assert {request.job_name for request in data.run_requests} == {"process_file"}
    assert data.skip_message is None


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        pytest.param(lambda: None, EMPTY, id="None"),
        pytest.param(returning([]), EMPTY, id="an empty list"),
        pytest.param(lambda: [None], EMPTY, id="None in a list"),
        pytest.param(function_of(), EMPTY, id="nothing yielded"),
        pytest.param(function_of(None), EMPTY, id="None yielded"),
        pytest.param(returning(SensorResult()), EMPTY, id="an empty result"),
        pytest.param(returning(SkipReason()), None, id="a reason without text"),
        pytest.param(lambda: SkipReason("why"), "why", id="a reason"),
        pytest.param(lambda: [SkipReason("why")], "why", id="a reason in a list"),
        pytest.param(function_of(SkipReason("why")), "why", id="a yielded reason"),
        pytest.param(function_of(returned=SkipReason("why")), "why", id="returned by a generator"),
        pytest.param(lambda: SensorResult(skip_reason="why"), "why", id="a result's reason"),
        pytest.param(lambda: [SensorResult(skip_reason=SkipReason("why"))], "why", id="in a list"),
    ],
)
def test_nothing_requested_is_a_skip_with_its_reason(
    function: Callable[[], Any], expected: str | None
) -> None:
    data = evaluate(function)

    assert (data.run_requests, data.skip_message) == ([], expected)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        pytest.param(lambda: (a, b), "unexpectedly returned output .* of type <class 'tuple'>", id="tuple"),
        pytest.param(lambda: "key", "unexpectedly returned output 'key' of type <class 'str'>", id="str"),
        pytest.param(lambda: {"run_key": "a"}, "of type <class 'dict'>", id="dict"),
        pytest.param(lambda: [a, "b"], "unexpectedly returned output 'b'", id="str in a list"),
        pytest.param(function_of([a]), "of type <class 'list'>", id="a yielded list"),
        pytest.param(
            function_of(a, returned="b"), "unexpectedly returned output 'b'", id="generator's value"
        ),
        pytest.param(lambda: SensorResult(["a"]), "unexpectedly returned output 'a'", id="str in a result"),  # type: ignore[list-item]
        pytest.param(function_of(None, a), "None together with other results", id="None, then a request"),
        pytest.param(function_of(a, None), "None together with other results", id="a request, then None"),
        pytest.param(
            function_of(None, returned=a), "None together with other results", id="None, then a value"
        ),
        pytest.param(
            lambda: [None, a], "None together with other results", id="None in a list with a request"
        ),
        pytest.param(lambda: [a, SkipReason("x")], "received both RunRequest and SkipReason", id="both"),
        pytest.param(function_of(SkipReason("x"), a), "both RunRequest and SkipReason", id="both yielded"),
        pytest.param(
            function_of(SkipReason("x"), SkipReason("y")), "received multiple SkipReasons", id="two reasons"
        ),
        pytest.param(lambda: [SensorResult(), SensorResult()], "must be the only object", id="two results"),
        pytest.param(function_of(a, SensorResult()), "must be the only object", id="a result and a request"),
        pytest.param(
            function_of(SkipReason("x"), returned=SensorResult([a])),
            "must be the only object",
            id="and a reason",
        ),
    ],
)
def test_misuse_is_refused_with_dagsters_message(function: Callable[[], Any], message: str) -> None:
    with pytest.raises(InvalidResultError, match=message):
        evaluate(function)


def test_generator_runs_to_its_end_before_anything_is_taken() -> None:
    def function() -> Iterator[RunRequest]:
        yield a
        msg = "after the first"
        raise ValueError(msg)

    with pytest.raises(ValueError, match="after the first"):
        evaluate(function)


@pytest.mark.parametrize(
    "function",
    [lambda: a, lambda _: a, lambda anything: a, lambda *rest: a, lambda context, limit=3: a],
    ids=["none", "underscore", "any name", "variadic", "with a default"],
)
def test_function_may_leave_out_the_context_or_name_it_as_it_likes(function: Callable[..., Any]) -> None:
    assert keys(evaluate(function)) == ["a"]


def test_function_gets_the_context_that_the_tick_has() -> None:
    seen: list[SensorEvaluationContext] = []

    sensor_of(seen.append).evaluate_tick(context := SensorEvaluationContext("watch"))

    assert seen == [context]


def test_cursor_set_by_the_function_comes_out_with_requests() -> None:
    def function(context: SensorEvaluationContext) -> RunRequest:
        context.update_cursor(f"{context.cursor}+")
        return a

    assert evaluate(function, "0").cursor == "0+"


def test_cursor_that_nobody_sets_stays() -> None:
    assert evaluate(lambda: a, "0").cursor == "0"


def test_cursor_may_be_set_while_skipping() -> None:
    data = evaluate(lambda: SensorResult(cursor="5"), "4")

    assert (data.cursor, data.skip_message) == ("5", EMPTY)


def test_cursor_is_cleared_by_update_cursor_alone() -> None:
    assert evaluate(lambda context: context.update_cursor(None), "4").cursor is None
    assert evaluate(lambda: SensorResult(cursor=""), "4").cursor == "4"
    assert evaluate(lambda: SensorResult(cursor=None), "4").cursor == "4"


def test_cursor_set_in_two_ways_is_refused() -> None:
    def function(context: SensorEvaluationContext) -> SensorResult:
        context.update_cursor("1")
        return SensorResult(cursor="2")

    with pytest.raises(
        DagsterInvariantViolationError, match=r"cannot be set if context.update_cursor\(\) was"
    ):
        evaluate(function)


def test_cursor_set_twice_in_one_way_ends_at_the_last() -> None:
    def function(context: SensorEvaluationContext) -> None:
        context.update_cursor("1")
        context.update_cursor("2")

    assert evaluate(function).cursor == "2"


def test_each_request_of_a_sensor_with_several_jobs_goes_to_the_one_it_names() -> None:
    definition = SensorDefinition(
        "watch",
        evaluation_fn=lambda: [RunRequest(job_name="y"), RunRequest(job_name="x")],
        jobs=[JobDefinition("x"), JobDefinition("y")],
    )

    data = definition.evaluate_tick(SensorEvaluationContext("watch"))

    assert [request.job_name for request in data.run_requests] == ["y", "x"]


def test_request_of_a_sensor_without_jobs_is_refused() -> None:
    definition = SensorDefinition("watch", evaluation_fn=lambda: a)

    with pytest.raises(InvalidResultError, match=r"Error in sensor watch: .* lacking a specified target"):
        definition.evaluate_tick(SensorEvaluationContext("watch"))


def test_sensors_own_tags_are_not_put_on_its_requests() -> None:
    definition = sensor_of(lambda: RunRequest(tags={"own": "1"}), tags={"team": "data"})

    (request,) = definition.evaluate_tick(SensorEvaluationContext("watch")).run_requests

    assert request.tags == {"own": "1", "dagster/sensor_name": "watch"}


def test_data_has_lists_as_dagsters_has() -> None:
    data = evaluate(lambda: None)

    assert (data.run_requests, data.asset_events, data.dagster_run_reactions) == ([], [], [])


def test_result_beside_others_is_refused_in_dagsters_words() -> None:
    message = "When a SensorResult is returned from a sensor, it must be the only object returned"

    with pytest.raises(InvalidResultError, match=message):
        evaluate(lambda: [SensorResult([a]), b])


def test_skip_without_a_reason_is_shown_as_an_empty_result() -> None:
    watch = SensorDefinition("watch", evaluation_fn=returning(SkipReason()))

    assert TreadleInstance([watch]).tick("watch").outcome.reason == EMPTY
