"""Resources: made when first requested, in order of dependency, and closed in reverse at the end of a tick."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from treadle import (
    ConfigurableResource,
    DagsterInvalidDefinitionError,
    DagsterResourceFunctionError,
    InitResourceContext,
    JobDefinition,
    ResourceDefinition,
    ResourceParam,
    RunRequest,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    build_resources,
    build_sensor_context,
    resource,
    s3_sensor,
    sensor,
)
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import TickStatus
from treadle.engine.outcomes import Decision
from treadle.testing import TreadleInstance

load = JobDefinition("load")


class Trace(list[str]):
    """What happened, in order."""

    def opened(self, name: str, **options: Any) -> ResourceDefinition:
        """Return a resource of that name, which says when it is opened and closed."""

        @resource(**options)
        def made() -> Iterator[str]:
            self.append(f"open {name}")
            try:
                yield name
            finally:
                self.append(f"close {name}")

        return made


@pytest.fixture
def trace() -> Trace:
    return Trace()


def test_resource_decorator_is_used_bare_or_called() -> None:
    @resource
    def bare() -> int:
        """One."""
        return 1

    @resource(description="Two.", required_resource_keys={"bare"}, reusable=True)
    def called(context: InitResourceContext) -> int:
        return int(context.resources.bare) + 1

    assert (bare.description, bare.required_resource_keys, bare.reusable) == ("One.", frozenset(), False)
    assert (called.description, called.required_resource_keys) == ("Two.", frozenset({"bare"}))
    assert called.reusable
    with build_resources({"bare": bare, "called": called}) as resources:
        assert (resources.bare, resources.called) == (1, 2)


def test_plain_value_is_a_resource_too() -> None:
    with build_resources({"bucket": "raw"}) as resources:
        assert resources.bucket == "raw"


def test_resource_is_made_when_first_requested_and_once(trace: Trace) -> None:
    with build_resources({"a": trace.opened("a"), "never": trace.opened("never")}) as resources:
        assert trace == []
        assert (resources.a, resources.a) == ("a", "a")
        assert trace == ["open a"]

    assert trace == ["open a", "close a"]


def test_resources_are_closed_in_reverse_of_the_order_in_which_they_were_made(trace: Trace) -> None:
    with build_resources({"a": trace.opened("a"), "b": trace.opened("b")}) as resources:
        _ = resources.b, resources.a

    assert trace == ["open b", "open a", "close a", "close b"]


def test_what_a_resource_depends_on_is_made_before_it_and_closed_after_it(trace: Trace) -> None:
    made = {
        "client": trace.opened("client", required_resource_keys={"token", "url"}),
        "token": trace.opened("token", required_resource_keys={"url"}),
        "url": trace.opened("url"),
    }

    with build_resources(made) as resources:
        _ = resources.client

    assert trace == ["open url", "open token", "open client", "close client", "close token", "close url"]


def test_context_manager_function_is_entered_and_left(trace: Trace) -> None:
    @resource
    @contextmanager
    def session() -> Iterator[str]:
        trace.append("enter")
        yield "session"
        trace.append("leave")

    with build_resources({"session": session}) as resources:
        assert resources.session == "session"

    assert trace == ["enter", "leave"]


def test_configurable_resource_is_set_up_and_torn_down_with_what_it_depends_on(trace: Trace) -> None:
    class Api(ConfigurableResource):
        url: str
        retries: int = 3

        def setup_for_execution(self, context: InitResourceContext) -> None:
            trace.append(f"set up {context.resource_key} with {context.resources.token}")

        def teardown_after_execution(self, context: InitResourceContext) -> None:
            trace.append(f"tear down with {context.resources.token}")

    with build_resources({"api": Api(url="https://x"), "token": trace.opened("token")}) as resources:
        assert (resources.api.url, resources.api.retries) == ("https://x", 3)

    assert trace == ["open token", "set up api with token", "tear down with token", "close token"]


def test_configurable_resource_takes_its_fields_by_keyword_alone_and_ignores_others_as_in_dagster() -> None:
    class Api(ConfigurableResource):
        url: str

    with pytest.raises(TypeError):
        Api("x")  # type: ignore[call-arg]
    assert dict(Api(url="x", path="y")) == {"url": "x"}  # type: ignore[call-arg]


def test_circle_is_refused_with_its_path() -> None:
    made = {
        "a": resource(required_resource_keys={"b"})(lambda: 1),
        "b": resource(required_resource_keys={"a"})(lambda: 2),
    }

    with (
        build_resources(made) as resources,
        pytest.raises(DagsterInvalidDefinitionError, match="a -> b -> a"),
    ):
        _ = resources.a


def test_missing_dependency_names_itself_and_who_needs_it() -> None:
    made = {"api": resource(required_resource_keys={"token"})(lambda: 1)}

    with (
        build_resources(made) as resources,
        pytest.raises(DagsterInvalidDefinitionError, match="'token' required by resource 'api'"),
    ):
        _ = resources.api


def test_resource_that_failed_to_be_made_is_made_again_when_queried_again() -> None:
    attempts = []

    @resource
    def flaky() -> str:
        attempts.append(1)
        if len(attempts) == 1:
            raise ConnectionError
        return "there"

    with build_resources({"flaky": flaky}) as resources:
        with pytest.raises(DagsterResourceFunctionError, match="ResourceDefinition flaky: ConnectionError"):
            _ = resources.flaky
        assert resources.flaky == "there"


def by_parameter(api: ResourceParam[str]) -> RunRequest:
    return RunRequest(api)


def by_parameter_after_context(context: SensorEvaluationContext, api: ResourceParam[str]) -> RunRequest:
    assert context.sensor_name
    return RunRequest(api)


def by_parameter_before_context(api: ResourceParam[str], weird: Any) -> RunRequest:
    assert weird.sensor_name
    return RunRequest(api)


def by_context(context: SensorEvaluationContext) -> RunRequest:
    return RunRequest(context.resources.api)


def by_generator(api: ResourceParam[str]) -> Iterator[RunRequest]:
    yield RunRequest(api)


def in_a_result(api: ResourceParam[str]) -> SensorResult:
    return SensorResult([RunRequest(api)])


FUNCTIONS = [
    by_parameter,
    by_parameter_after_context,
    by_parameter_before_context,
    by_context,
    by_generator,
    in_a_result,
]
TARGETS: dict[str, dict[str, Any]] = {
    "job": {"job": load},
    "jobs": {"jobs": [load]},
    "job_name": {"job_name": "load"},
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("is_generator", [False, True])
def test_tick_fills_resources_in_whatever_way_they_are_taken(
    function: Callable[..., Any], target: str, is_generator: bool, trace: Trace
) -> None:
    keys = {"api"} if function is by_context else None
    definition = SensorDefinition(evaluation_fn=function, required_resource_keys=keys, **TARGETS[target])
    api = trace.opened("key") if is_generator else "key"

    (run,) = TreadleInstance([definition], resources={"api": api}).tick(definition.name).runs

    assert run.run_key == "key"
    assert trace == (["open key", "close key"] if is_generator else [])


def test_object_and_resources_come_to_an_s3_sensor() -> None:
    @s3_sensor("raw", job=load)
    def files(context: SensorEvaluationContext, stored: Any, prefix: ResourceParam[str]) -> RunRequest:
        return RunRequest(f"{prefix}{stored.key}")

    instance = TreadleInstance([files], resources={"prefix": "p-"})

    assert instance.put_object("raw", "a.csv")["files"].runs[0].run_key == "p-a.csv"


def test_s3_sensor_takes_resources_from_the_context_too() -> None:
    @s3_sensor("raw", job=load, required_resource_keys={"prefix"}, owners=["team:data"])
    def files(context: SensorEvaluationContext) -> RunRequest:
        return RunRequest(context.resources.prefix)

    instance = TreadleInstance([files], resources={"prefix": "p"})

    assert instance.put_object("raw", "a.csv")["files"].runs[0].run_key == "p"
    assert files.owners == ["team:data"]


def test_annotation_that_only_type_checkers_can_resolve_hides_no_resource() -> None:
    def function(context: "ImportedForTypeCheckers", api: "ResourceParam[str]") -> RunRequest:  # type: ignore[name-defined]  # noqa: F821
        return RunRequest(api + context.sensor_name)

    definition = SensorDefinition("watch", evaluation_fn=function, job=load)

    assert definition.required_resource_keys == {"api"}
    (run,) = TreadleInstance([definition], resources={"api": "of "}).tick("watch").runs
    assert run.run_key == "of watch"


def test_resources_are_closed_at_the_end_of_the_tick_also_when_the_function_fails(trace: Trace) -> None:
    @sensor(job=load)
    def failing(a: ResourceParam[str], b: ResourceParam[str]) -> None:
        trace.append("evaluate")
        raise ValueError(a + b)

    instance = TreadleInstance([failing], resources={"a": trace.opened("a"), "b": trace.opened("b")})

    assert instance.tick("failing").outcome.decision is Decision.FAILURE
    assert trace == ["open a", "open b", "evaluate", "close b", "close a"]


def test_generator_that_yields_requests_has_its_resources_open_until_it_ends(trace: Trace) -> None:
    @sensor(job=load)
    def yielding(a: ResourceParam[str]) -> Iterator[RunRequest]:
        trace.append("first")
        yield RunRequest(a)
        trace.append("last")

    TreadleInstance([yielding], resources={"a": trace.opened("a")}).tick("yielding")

    assert trace == ["open a", "first", "last", "close a"]


def test_resource_that_fails_to_close_fails_the_tick_and_the_others_are_closed(trace: Trace) -> None:
    @resource
    def bad() -> Iterator[str]:
        yield "bad"
        msg = "disk full"
        raise OSError(msg)

    @sensor(job=load)
    def using(a: ResourceParam[str], bad: ResourceParam[str]) -> RunRequest:
        return RunRequest(a + bad)

    result = TreadleInstance([using], resources={"a": trace.opened("a"), "bad": bad}).tick("using")

    assert result.outcome.decision is Decision.FAILURE
    assert "disk full" in result.outcome.reason
    assert result.runs == ()
    assert trace == ["open a", "close a"]


def test_each_tick_makes_its_own_resources(trace: Trace) -> None:
    @sensor(job=load)
    def using(a: ResourceParam[str]) -> SkipReason:
        return SkipReason(a)

    instance = TreadleInstance([using], resources={"a": trace.opened("a")})
    instance.tick("using")
    instance.tick("using")

    assert trace == ["open a", "close a"] * 2


def test_reusable_resource_and_what_it_needs_are_kept_across_ticks_and_never_closed(trace: Trace) -> None:
    @sensor(job=load)
    def using(pool: ResourceParam[str], own: ResourceParam[str]) -> SkipReason:
        return SkipReason(pool + own)

    resources = {
        "pool": trace.opened("pool", reusable=True, required_resource_keys={"url"}),
        "url": trace.opened("url"),
        "own": trace.opened("own"),
    }
    instance = TreadleInstance([using], resources=resources)
    instance.tick("using")
    instance.tick("using")

    assert trace == ["open url", "open pool", "open own", "close own", "open own", "close own"]


def test_two_sensors_share_no_reusable_resource(trace: Trace) -> None:
    def using(pool: ResourceParam[str]) -> SkipReason:
        return SkipReason(pool)

    sensors = [SensorDefinition(name, evaluation_fn=using, job=load) for name in ("one", "other")]
    instance = TreadleInstance(sensors, resources={"pool": trace.opened("pool", reusable=True)})
    instance.tick("one")
    instance.tick("other")

    assert trace == ["open pool", "open pool"]


@pytest.mark.parametrize("by_key", [False, True])
def test_missing_resource_fails_the_tick_naming_resource_and_sensor(by_key: bool) -> None:
    called: list[Any] = []

    def by_name(api: ResourceParam[str]) -> None:
        called.append(api)

    def from_context(context: SensorEvaluationContext) -> None:
        called.append(context)

    definition = SensorDefinition(
        "watch",
        evaluation_fn=from_context if by_key else by_name,
        job=load,
        required_resource_keys={"api"} if by_key else None,
    )

    tick = TreadleInstance([definition]).tick("watch").tick

    assert tick is not None
    assert tick.status is TickStatus.FAILURE
    assert tick.error is not None
    assert "Resource with key 'api' required by sensor 'watch' was not provided." in tick.error.message
    assert called == []


def test_resource_that_no_key_declares_is_there_all_the_same_and_missing_ones_are_named() -> None:
    context = build_sensor_context(resources={"api": 1}, sensor_name="watch")

    assert context.resources.api == 1
    with pytest.raises(DagsterInvalidDefinitionError, match="'bpi' required by sensor 'watch'"):
        _ = context.resources.bpi


def test_resources_both_declared_and_taken_by_parameter_are_refused() -> None:
    def function(api: ResourceParam[str]) -> None:
        """Never called."""

    with pytest.raises(DagsterInvalidDefinitionError, match="in both @sensor decorator and as arguments"):
        SensorDefinition(evaluation_fn=function, job=load, required_resource_keys={"api"})


def test_sensor_with_another_job_keeps_its_resource_parameters() -> None:
    @sensor(job=load)
    def watch(api: ResourceParam[str]) -> RunRequest:
        return RunRequest(api)

    other = watch.with_updated_job(JobDefinition("other"))

    assert other.required_resource_keys == {"api"}
    (run,) = TreadleInstance([other], resources={"api": "k"}).tick("watch").runs
    assert (run.job, run.run_key) == ("other", "k")
