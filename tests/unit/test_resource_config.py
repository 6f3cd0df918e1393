"""The config of `@resource(config_schema=…)`: types, defaults, `configured`, and how a resource is called in a test."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Literal
from unittest.mock import MagicMock

import pytest

from treadle import (
    Array,
    BoolSource,
    Config,
    DagsterConfigMappingFunctionError,
    DagsterInvalidConfigDefinitionError,
    DagsterInvalidConfigError,
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DagsterInvariantViolationError,
    DagsterResourceFunctionError,
    EnvVar,
    Field,
    InitResourceContext,
    IntSource,
    JobDefinition,
    Map,
    Noneable,
    Permissive,
    ResourceDefinition,
    ResourceParam,
    RunRequest,
    Selector,
    Shape,
    StringSource,
    build_init_resource_context,
    build_resources,
    configured,
    make_values_resource,
    resource,
    sensor,
)
from treadle.testing import TreadleInstance

load = JobDefinition("load")


@resource(config_schema={"url": str, "limit": Field(int, default_value=10, is_required=False)})
def api(context: InitResourceContext) -> dict[str, Any]:
    """The config itself."""
    return dict(context.resource_config)


def read(schema: Any, config: Any) -> Any:
    """What a resource with that schema gets as its config."""
    made = ResourceDefinition(lambda context: context.resource_config, schema)
    with build_resources({"it": made}, resource_config={"it": {"config": config}}) as resources:
        return resources.it


def test_configured_resource_gets_its_config_with_defaults_at_a_tick() -> None:
    @sensor(job=load)
    def watch(api: ResourceParam[dict[str, Any]]) -> RunRequest:
        return RunRequest(f"{api['url']} {api['limit']}")

    result = TreadleInstance([watch], resources={"api": api.configured({"url": "u"})}).tick("watch")

    assert result.runs[0].run_key == "u 10"


def test_missing_config_fails_the_tick_naming_resource_and_field() -> None:
    @sensor(job=load)
    def watch(api: ResourceParam[dict[str, Any]]) -> RunRequest:
        return RunRequest(str(api))

    reason = TreadleInstance([watch], resources={"api": api}).tick("watch").outcome.reason

    assert "Error in config for resource api" in reason
    assert 'Error 1: Missing required config entry "url" at path root:config' in reason


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"api": {"url": "u"}}, 'unexpected config entry "url" at path root:api'),
        ({"api": {"config": {"url": "u"}}, "other": {}}, 'unexpected config entry "other" at path root'),
        ({"api": "u"}, "Value at path root:api must be dict"),
    ],
)
def test_config_that_no_resource_would_get_is_refused(config: Any, problem: str) -> None:
    with (
        pytest.raises(DagsterInvalidConfigError, match=problem),
        build_resources({"api": api}, resource_config=config),
    ):
        pass


def test_configured_takes_a_function_of_a_config_of_its_own() -> None:
    stage = api.configured(lambda config: {"url": f"https://{config['stage']}"}, config_schema={"stage": str})

    @configured(stage)
    def for_test(_config: object) -> dict[str, str]:
        return {"stage": "test"}

    failing = api.configured(lambda _config: {"url": {}["missing"]})  # type: ignore[index]

    with build_resources(
        {"a": stage, "b": for_test}, resource_config={"a": {"config": {"stage": "x"}}}
    ) as made:
        assert (made.a["url"], made.b["url"]) == ("https://x", "https://test")
    with (
        build_resources({"c": failing}) as made,
        pytest.raises(DagsterConfigMappingFunctionError, match="'missing'"),
    ):
        _ = made.c
    with pytest.raises(DagsterInvalidDefinitionError, match="takes a ResourceDefinition"):
        configured("api")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("schema", "config", "expected"),
    [
        (str, "x", "x"),
        (float, 1, 1),
        ({"a": [int]}, {"a": [1]}, {"a": [1]}),
        ({"a": {str: int}}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": Noneable(str)}, {"a": None}, {"a": None}),
        ({"a": Noneable(str)}, {}, {"a": None}),
        ({"a": {"b": Field(int, default_value=1)}}, {}, {"a": {"b": 1}}),
        ({"a": Field(str, is_required=False)}, {}, {}),
        ({"a": Array(Shape({"b": bool}))}, {"a": [{"b": True}]}, {"a": [{"b": True}]}),
        ({"a": Map(str, int)}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        (Permissive({"a": int}), {"a": 1, "b": 2}, {"a": 1, "b": 2}),
        (Selector({"a": int, "b": str}), {"b": "x"}, {"b": "x"}),
        (dict, {"a": 1}, {"a": 1}),
        (None, {"any": "thing"}, {"any": "thing"}),
    ],
)
def test_config_of_the_schema_is_taken(schema: Any, config: Any, expected: Any) -> None:
    assert read(schema, config) == expected


@pytest.mark.parametrize(
    ("schema", "config", "problem"),
    [
        ({"a": int}, {"a": "1"}, "Invalid scalar at path root:config:a"),
        ({"a": int}, {"a": True}, 'not valid for expected type "Int"'),
        ({"a": int}, {"a": None}, "Value at path root:config:a must not be None"),
        ({"a": int}, {"a": 1, "b": 2}, 'Received unexpected config entry "b" at path root:config'),
        ({"a": int}, {"a": 1, 2: 0, "b": 2}, "Received unexpected config entries \"['b', 2]\""),
        ({"a": int, "b": int}, {}, "Missing required config entries ['a', 'b']"),
        ({"a": [int]}, {"a": ["x"]}, r"at path root:config:a[0]"),
        ({"a": [int]}, {"a": 1}, "Value at path root:config:a must be list"),
        ({"a": {"b": int}}, {"a": 1}, "Value at path root:config:a must be dict"),
        (Selector({"a": int, "b": str}), {"a": 1, 2: "x"}, "You specified ['a', 2]"),
        (Selector({"a": int, "b": str}), {"a": 1, "b": "x"}, "Must specify a single field"),
    ],
)
def test_config_of_another_form_is_refused_with_its_path(schema: Any, config: Any, problem: str) -> None:
    with pytest.raises(DagsterInvalidConfigError) as raised:
        read(schema, config)

    assert problem in str(raised.value)


def test_sources_read_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", "1")
    schema = {"a": StringSource, "b": IntSource, "c": BoolSource}
    config = {"a": {"env": "A"}, "b": {"env": "A"}, "c": {"env": "A"}}

    assert read(schema, config) == {"a": "1", "b": 1, "c": True}
    assert read(schema, {"a": "x", "b": 2, "c": False}) == {"a": "x", "b": 2, "c": False}
    with pytest.raises(DagsterInvalidConfigError, match='environment variable "MISSING" which is not set'):
        read({"a": StringSource}, {"a": {"env": "MISSING"}})


@pytest.mark.parametrize(
    ("kind", "variable"), [(str, EnvVar), (int, EnvVar.int), (IntSource, EnvVar.int), (float, EnvVar.int)]
)
def test_variable_for_a_class_s_field_is_refused_in_a_dict(kind: Any, variable: Any) -> None:
    with pytest.raises(DagsterInvalidConfigError, match=r'replace \w+\("A"\) with {"env": "A"}'):
        read({"a": [kind]}, {"a": [variable("A")]})


def test_variable_named_as_an_allowed_value_is_not_that_value() -> None:
    class Page(Config):
        color: Literal["red"]

    with pytest.raises(DagsterInvalidConfigError, match=r'replace EnvVar\("red"\) with {"env": "red"}'):
        read(Page.to_config_schema(), {"color": EnvVar("red")})


@pytest.mark.parametrize("schema", [{"a": None}, {"a": 1}, [int, str], {"a": tuple}])
def test_value_that_is_no_type_is_refused_at_the_definition(schema: Any) -> None:
    with pytest.raises(DagsterInvalidConfigDefinitionError, match="Error defining config"):
        resource(config_schema=schema)(lambda _context: None)


def test_schema_of_a_config_class_is_a_schema() -> None:
    class Page(Config):
        size: int = 10
        name: str

    made = ResourceDefinition(lambda context: context.resource_config, Page.to_config_schema())

    assert made(build_init_resource_context({"name": "n"})) == {"size": 10, "name": "n"}


def test_hardcoded_mock_none_string_and_values_resources() -> None:
    resources = {
        "hardcoded": ResourceDefinition.hardcoded_resource([1]),
        "none": ResourceDefinition.none_resource(),
        "mock": ResourceDefinition.mock_resource("A mock."),
        "string": ResourceDefinition.string_resource().configured("text"),
        "values": make_values_resource(a=str, b=int).configured({"a": "x", "b": 1}),
    }

    with build_resources(resources) as made:
        assert (made.hardcoded, made.none, made.string) == ([1], None, "text")
        assert isinstance(made.mock.anything(), MagicMock)
        assert made.values == {"a": "x", "b": 1}
    assert resources["mock"].description == "A mock."


def test_resource_is_called_with_a_context_as_its_function() -> None:
    @resource(required_resource_keys={"token"})
    def session(context: InitResourceContext) -> str:
        assert context.resource_def is session
        context.log.info("made")
        return str(context.resources.token)

    @resource
    def plain() -> Iterator[str]:
        yield "plain"

    assert api(build_init_resource_context({"url": "u"})) == {"url": "u", "limit": 10}
    assert session(context=build_init_resource_context(resources={"token": "t"})) == "t"
    opened = plain()
    assert isinstance(opened, AbstractContextManager)
    with opened as value:
        assert value == "plain"


def test_wrong_calls_of_a_resource_are_refused() -> None:
    @resource(required_resource_keys={"token"})
    def session(context: InitResourceContext) -> str:
        return str(context.resources.token)

    @resource
    def plain() -> str:
        return "plain"

    with pytest.raises(
        DagsterInvalidInvocationError, match="has context argument, but no context was provided"
    ):
        api()
    with pytest.raises(DagsterInvalidInvocationError, match="received multiple arguments"):
        api(None, None)
    with pytest.raises(DagsterInvalidInvocationError, match="expected argument 'context'"):
        api(other=None)
    with pytest.raises(DagsterInvalidInvocationError, match="function has no context argument"):
        plain(None)
    with pytest.raises(
        DagsterInvalidInvocationError, match="has required resources, but no context was provided"
    ):
        session(None)
    with pytest.raises(DagsterInvalidInvocationError, match="Use build_init_resource_context"):
        api("text")
    with pytest.raises(DagsterInvalidDefinitionError, match="'token' required by the resource"):
        session(build_init_resource_context())
    with pytest.raises(
        DagsterInvalidInvocationError, match="has required config schema, but no context was provided"
    ):
        api(None)
    with pytest.raises(DagsterInvalidConfigError, match='Missing required config entry "url"'):
        api(build_init_resource_context())


def test_context_of_a_test_needs_a_with_block_for_what_must_be_closed() -> None:
    trace: list[str] = []

    @resource
    def token() -> Iterator[str]:
        yield "t"
        trace.append("close")

    context = build_init_resource_context(resources={"token": token})
    with pytest.raises(DagsterInvariantViolationError, match="outside of context manager scope"):
        _ = context.resources.token
    with build_init_resource_context({"a": 1}, {"token": token}, instance="i") as context:
        assert (context.resources.token, context.resource_config, context.instance) == ("t", {"a": 1}, "i")
        assert (context.run, context.run_id) == (None, None)
    assert trace == ["close"]
    with pytest.raises(DagsterInvariantViolationError, match="has not been bound to resource definition"):
        _ = context.resource_def
    with pytest.raises(DagsterInvariantViolationError, match="no instance reference was provided"):
        _ = build_init_resource_context().instance


def test_generator_must_yield_exactly_one_item() -> None:
    @resource
    def none() -> Iterator[str]:
        yield from ()

    @resource
    def two() -> Iterator[str]:
        yield "a"
        yield "b"

    with (
        build_resources({"none": none}) as made,
        pytest.raises(DagsterResourceFunctionError, match="must yield one"),
    ):
        _ = made.none
    with (
        pytest.raises(DagsterResourceFunctionError, match="yielded more than one"),
        build_resources({"two": two}) as made,
    ):
        _ = made.two


def test_function_with_more_than_a_context_is_refused() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="Got required extra params other"):

        @resource
        def bad(context: InitResourceContext, other: str) -> None:
            """Never called."""
