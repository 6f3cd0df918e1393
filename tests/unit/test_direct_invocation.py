"""A sensor called like its function: how contexts and resources are given, and what is refused."""

import inspect
import re
from collections.abc import Callable, Iterator
from functools import partial, wraps
from typing import Any

import pytest

from treadle import (
    ConfigurableResource,
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DagsterInvariantViolationError,
    DagsterResourceFunctionError,
    InitResourceContext,
    JobDefinition,
    ResourceParam,
    RunConfig,
    RunRequest,
    SensorEvaluationContext,
    build_sensor_context,
    resource,
    sensor,
)
from treadle.definitions.sensors import SensorDefinition
from treadle.testing import TreadleInstance

job = JobDefinition("load")


class Api(ConfigurableResource):
    """Has a key."""

    key: str


@sensor(job=job)
def without() -> RunRequest:
    return RunRequest("none")


@sensor(job=job)
def with_underscore(_: Any) -> RunRequest:
    return RunRequest("underscore")


@sensor(job=job)
def with_arbitrary(_arbitrary_context: Any) -> RunRequest:
    return RunRequest("arbitrary")


@sensor(job=job)
def needing(context: SensorEvaluationContext, api: Api, other: ResourceParam[str]) -> RunRequest:
    return RunRequest(f"{context.cursor} {api.key} {other}")


@sensor(job=job)
def needing_alone(api: Api) -> RunRequest:
    return RunRequest(api.key)


@sensor(job=job)
def context_last(api: Api, other: ResourceParam[str], ctx: SensorEvaluationContext) -> RunRequest:
    return RunRequest(f"{ctx.cursor} {api.key} {other}")


@pytest.mark.parametrize("definition", [without, with_underscore, with_arbitrary])
@pytest.mark.parametrize("context", [None, build_sensor_context()])
def test_context_may_have_any_name_or_be_none_or_not_be_taken(
    definition: SensorDefinition, context: SensorEvaluationContext | None
) -> None:
    assert isinstance(definition(context), RunRequest)


def test_function_without_context_is_called_without() -> None:
    assert without().run_key == "none"


def test_context_may_be_given_by_its_own_name() -> None:
    assert with_underscore(_=None).run_key == "underscore"
    assert with_arbitrary(_arbitrary_context=build_sensor_context()).run_key == "arbitrary"


def test_wrong_name_is_refused_with_the_expected_one() -> None:
    message = "Sensor invocation expected argument '_arbitrary_context'."

    with pytest.raises(DagsterInvalidInvocationError, match=message):
        with_arbitrary(bad_name=build_sensor_context())


def test_context_given_twice_is_refused() -> None:
    message = (
        "Sensor invocation received multiple non-resource arguments. Only a first positional context parameter should "
        "be provided when invoking. It got '_' both by position and by name."
    )

    with pytest.raises(DagsterInvalidInvocationError, match=re.escape(message)):
        with_underscore(None, _=build_sensor_context())


def test_missing_context_is_refused() -> None:
    message = "expected context argument, but no context argument was provided when invoking. Give '_'"

    with pytest.raises(DagsterInvalidInvocationError, match=message):
        with_underscore()


def test_two_arguments_that_are_no_resources_are_refused_by_name() -> None:
    @sensor(job=job)
    def two(context: Any, other: Any) -> None:
        """Never called."""

    with pytest.raises(
        DagsterInvalidInvocationError, match="received multiple non-resource arguments: context, other"
    ):
        two(build_sensor_context(), 1)


def test_resources_come_from_the_context() -> None:
    context = build_sensor_context(cursor="c", resources={"api": Api(key="k"), "other": "o"})

    assert needing(context).run_key == "c k o"
    assert needing_alone(context).run_key == "k"
    assert context_last(context).run_key == "c k o"


def test_resource_definition_in_the_context_is_made_when_the_sensor_is_called() -> None:
    made = []

    @resource
    def other() -> str:
        made.append("other")
        return "o"

    context = build_sensor_context(resources={"api": Api(key="k"), "other": other})

    assert made == []
    assert needing(context).run_key == "None k o"
    assert made == ["other"]


def test_missing_resource_is_refused_naming_resource_and_sensor() -> None:
    message = "Resource with key 'other' required by sensor 'needing' was not provided."

    with pytest.raises(DagsterInvalidDefinitionError, match=message):
        needing(build_sensor_context(resources={"api": Api(key="k")}))


def test_resources_may_be_given_by_name_alone() -> None:
    assert needing_alone(api=Api(key="k")).run_key == "k"


def test_resources_by_name_win_over_the_contexts_and_may_be_mixed() -> None:
    context = build_sensor_context(cursor="c", resources={"api": Api(key="from context"), "other": "o"})

    assert needing(context, api=Api(key="by name")).run_key == "c by name o"
    assert needing(context=context, api=Api(key="k"), other="x").run_key == "c k x"
    assert context_last(ctx=context, api=Api(key="k")).run_key == "c k o"


@pytest.mark.parametrize(
    "call",
    [
        lambda: needing(build_sensor_context(), Api(key="k"), "o"),
        lambda: needing_alone(Api(key="k")),
        lambda: needing_alone(build_sensor_context(), Api(key="k")),
    ],
)
def test_resources_by_place_are_refused(call: Callable[[], Any]) -> None:
    message = (
        "If directly invoking a sensor, you may not provide resources as positional arguments, only as keyword "
        "arguments."
    )

    with pytest.raises(DagsterInvalidInvocationError, match=message):
        call()


def test_generator_resource_needs_a_with_block_and_is_closed_at_its_end() -> None:
    trace = []

    @resource
    def other() -> Iterator[str]:
        trace.append("open")
        yield "o"
        trace.append("close")

    resources = {"api": Api(key="k"), "other": other}

    with pytest.raises(DagsterInvariantViolationError, match="At least one provided resource is a generator"):
        needing(build_sensor_context(resources=resources))
    assert trace == []

    with build_sensor_context(resources=resources) as context:
        assert needing(context).run_key == "None k o"
        assert trace == ["open"]
    assert trace == ["open", "close"]

    with pytest.raises(DagsterInvariantViolationError, match="outside of context manager scope"):
        needing(context)
    assert trace == ["open", "close"]


def test_resource_with_a_teardown_needs_a_with_block_too() -> None:
    trace = []

    class Closing(ConfigurableResource):
        def teardown_after_execution(self, context: InitResourceContext) -> None:
            trace.append(context.resource_key)

    @sensor(job=job)
    def using(closing: Closing) -> RunRequest:
        assert isinstance(closing, Closing)
        return RunRequest("k")

    with pytest.raises(DagsterInvariantViolationError, match="has a teardown"):
        using(build_sensor_context(resources={"closing": Closing()}))

    with build_sensor_context(resources={"closing": Closing()}) as context:
        using(context)
    assert trace == ["closing"]


def test_instance_is_what_the_context_was_given_and_refused_without() -> None:
    instance = object()

    assert build_sensor_context(instance).instance is instance
    with pytest.raises(DagsterInvariantViolationError, match="no instance reference was provided"):
        _ = build_sensor_context().instance


def test_run_config_object_of_a_request_becomes_a_plain_one() -> None:
    @sensor(job=job)
    def configured() -> RunRequest:
        return RunRequest(run_config=RunConfig(ops={"load": Api(key="k")}))

    assert configured().run_config == {"ops": {"load": {"config": {"key": "k"}}}}


def test_calling_a_generator_gives_the_generator_itself() -> None:
    @sensor(job=job)
    def yielding(context: SensorEvaluationContext) -> Iterator[RunRequest]:
        yield RunRequest(context.cursor)
        context.update_cursor("after")

    context = build_sensor_context(cursor="before")

    assert [request.run_key for request in yielding(context)] == ["before"]
    assert context.cursor == "after"


def test_context_says_what_it_was_built_with() -> None:
    context = build_sensor_context(
        repository_name="stack",
        sensor_name="watch",
        last_sensor_start_time=2.0,
        last_tick_completion_time=1.0,
        last_run_key="k",
    )

    assert (context.repository_name, context.sensor_name, context.last_run_key) == ("stack", "watch", "k")
    assert context.is_first_tick_since_sensor_start


def test_function_without_context_takes_its_resources_from_one_given_by_name() -> None:
    context = build_sensor_context(resources={"api": Api(key="k")})

    assert needing_alone(context=context).run_key == "k"
    assert without(context=context).run_key == "none"
    with pytest.raises(DagsterInvalidInvocationError, match="expected argument 'ctx'"):
        context_last(context=context, api=Api(key="k"), other="o")


def test_resource_definition_given_by_name_is_made() -> None:
    @resource
    def other() -> str:
        return "made"

    context = build_sensor_context(cursor="c", resources={"api": Api(key="k")})

    assert needing(context, other=other).run_key == "c k made"


def test_resource_given_by_name_that_must_be_closed_is_closed_with_the_context() -> None:
    trace = []

    @resource
    def other() -> Iterator[str]:
        yield "opened"
        trace.append("close")

    with pytest.raises(DagsterInvariantViolationError, match="outside of context manager scope"):
        needing(build_sensor_context(), api=Api(key="k"), other=other)
    with build_sensor_context() as context:
        assert needing(context, api=Api(key="k"), other=other).run_key == "None k opened"
        assert trace == []
    assert trace == ["close"]


class Check:
    """An object that is called like a function."""

    prefix: str = "of "

    def __call__(self, context: SensorEvaluationContext, api: Api, other: ResourceParam[str]) -> RunRequest:
        return RunRequest(f"{context.cursor} {api.key} {other}")

    def method(self, api: Api, context: SensorEvaluationContext, other: ResourceParam[str]) -> RunRequest:
        return self(context, api, other)

    @classmethod
    def class_method(cls, context: Any, api: Api, other: ResourceParam[str]) -> RunRequest:
        return cls()(context, api, other)

    @staticmethod
    def static_method(context: Any, api: Api, other: ResourceParam[str]) -> RunRequest:
        return Check()(context, api, other)


def by_name_only(*, context: SensorEvaluationContext, api: Api, other: ResourceParam[str]) -> RunRequest:
    return Check()(context, api, other)


def with_prefix(prefix: str, context: Any, api: Api, other: ResourceParam[str]) -> RunRequest:
    assert prefix == "p"
    return Check()(context, api, other)


def with_suffix(context: Any, api: Api, other: ResourceParam[str], suffix: str) -> RunRequest:
    assert suffix == "s"
    return Check()(context, api, other)


def with_limit(context: Any, api: Api, other: ResourceParam[str], limit: int = 3) -> RunRequest:
    assert limit == 3
    return Check()(context, api, other)


class Wrapped:
    """Takes anything, and says by `__signature__` what."""

    def __init__(self, function: Callable[..., RunRequest]) -> None:
        self.function = function
        self.__signature__ = inspect.signature(function)

    def __call__(self, **kwargs: Any) -> RunRequest:
        return self.function(**kwargs)


@pytest.mark.parametrize(
    "function",
    [
        Check(),
        Check().method,
        Check.class_method,
        Check.static_method,
        Check.__dict__["static_method"],
        by_name_only,
        partial(with_prefix, "p"),
        partial(with_suffix, suffix="s"),
        with_limit,
        Wrapped(by_name_only),
        wraps(by_name_only)(lambda *args, **kwargs: by_name_only(*args, **kwargs)),  # noqa: PLW0108 - a wrapper
    ],
    ids=(
        "object",
        "method",
        "class method",
        "static method",
        "static method unbound",
        "keywords only",
        "partial by position",
        "partial by name",
        "with a default",
        "signature given",
        "wrapped",
    ),
)
def test_callable_of_any_form_gets_context_and_resources(function: Callable[..., Any]) -> None:
    definition = SensorDefinition("s", evaluation_fn=function, job=job)
    decorated = sensor(name="s", job=job)(function)
    context = build_sensor_context(resources={"api": Api(key="k"), "other": "o"})
    instance = TreadleInstance([definition], resources={"api": Api(key="k"), "other": "o"})

    assert definition(context).run_key == "None k o"
    assert decorated(context).run_key == "None k o"
    assert definition.required_resource_keys == {"api", "other"}
    assert instance.tick("s").runs[0].run_key == "None k o"


def test_lambda_gets_its_context() -> None:
    definition = SensorDefinition("s", evaluation_fn=lambda context: RunRequest(context.sensor_name), job=job)

    assert TreadleInstance([definition]).tick("s").runs[0].run_key == "s"
    assert definition.description is None


def test_value_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="it is not callable"):
        SensorDefinition("s", evaluation_fn="function", job=job)  # type: ignore[arg-type]


@pytest.mark.parametrize("is_tick", [False, True])
def test_resources_that_a_sensor_requires_are_made_before_its_function_is_called(is_tick: bool) -> None:
    made: list[str] = []

    def note(name: str) -> Callable[[], str]:
        def function() -> str:
            made.append(name)
            return name

        return function

    @sensor(job=job, required_resource_keys={"api"})
    def watch() -> RunRequest:
        made.append("called")
        return RunRequest("a")

    given = {"api": resource(note("api")), "other": resource(note("other"))}
    context = build_sensor_context(resources=given)
    _ = watch.evaluate_tick(context) if is_tick else watch(context)

    assert made == ["api", "called"]


@pytest.mark.parametrize("is_tick", [False, True])
def test_a_required_resource_that_cannot_be_made_fails_before_the_function_is_called(is_tick: bool) -> None:
    class Broken(ConfigurableResource):
        def create_resource(self, context: InitResourceContext) -> None:
            raise ConnectionError("no database")

    @sensor(job=job, required_resource_keys={"database"})
    def watch() -> RunRequest:
        raise AssertionError("the function was called")

    context = build_sensor_context(resources={"database": Broken()})
    with pytest.raises(DagsterResourceFunctionError, match="no database"):
        _ = watch.evaluate_tick(context) if is_tick else watch(context)
