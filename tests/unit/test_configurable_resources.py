"""`ConfigurableResource`: its fields, its life cycle and its config, with pydantic and without, as in Dagster."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from functools import cached_property
from pathlib import Path
from types import new_class
from typing import Any, ClassVar, Literal

import pytest

import treadle
from treadle import (
    Config,
    ConfigurableResource,
    DagsterInvalidConfigError,
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DagsterInvariantViolationError,
    EnvVar,
    IAttachDifferentObjectToOpContext,
    InitResourceContext,
    JobDefinition,
    PermissiveConfig,
    ResourceDefinition,
    ResourceDependency,
    ResourceParam,
    RunConfig,
    RunRequest,
    SensorEvaluationContext,
    build_init_resource_context,
    build_resources,
    build_sensor_context,
    resource,
    sensor,
)
from treadle.definitions import configurable_resources
from treadle.definitions.configurable_resources import ConfigurableResourceFactory
from treadle.definitions.errors import DagsterInvalidPythonicConfigDefinitionError
from treadle.definitions.sensors import SensorDefinition
from treadle.engine.outcomes import Decision
from treadle.integrations.fields import Field, PrivateAttr
from treadle.testing import TreadleInstance

load = JobDefinition("load")
LIBRARY = Path(treadle.__file__).parents[1]


@pytest.fixture(autouse=True, params=["own", "pydantic"])
def fields_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whose rules the fields of classes made in the test follow."""
    if request.param == "pydantic":
        pytest.importorskip("pydantic")
    monkeypatch.setattr(configurable_resources, "is_pydantic_loaded", lambda: request.param == "pydantic")
    return str(request.param)


def with_field(annotation: Any) -> Any:
    """A resource with a field `it` of that type."""
    body = {"__module__": __name__, "__annotations__": {"it": annotation}}
    return new_class("Api", (ConfigurableResource,), exec_body=lambda namespace: namespace.update(body))


def key_of(definition: SensorDefinition, **resources: Any) -> str | None:
    """The run key that one tick requests."""
    result = TreadleInstance([definition], resources=resources).tick(definition.name)
    assert result.runs, result.outcome.reason
    return result.runs[0].run_key


def test_function_gets_what_create_resource_returns_and_what_yield_for_execution_opens() -> None:
    closed = []

    class Client(ConfigurableResource):
        url: str

        def create_resource(self, context: InitResourceContext) -> str:
            return f"connected to {self.url}"

    class Opened(ConfigurableResource):
        _state: str = "never opened"

        @contextmanager
        def yield_for_execution(self, context: InitResourceContext) -> Iterator["Opened"]:
            self._state = "open"
            yield self
            closed.append(self._state)

    @sensor(job=load)
    def watch(client: ResourceParam[str], opened: Opened) -> RunRequest:
        return RunRequest(f"{client} / {opened._state}")

    assert key_of(watch, client=Client(url="u"), opened=Opened()) == "connected to u / open"
    assert closed == ["open"]


def test_fields_are_converted_and_what_cannot_be_is_refused_with_all_problems() -> None:
    class Api(ConfigurableResource):
        limit: int
        rate: float = 1.0
        names: list[str] = []  # noqa: RUF012 - copied for each object
        is_live: bool = False

    assert Api(limit="5").limit == 5  # type: ignore[arg-type]
    assert Api(limit=5.0, rate="2", is_live="yes").rate == 2.0  # type: ignore[arg-type]
    assert Api(limit=1, is_live="yes").is_live is True  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="2 validation errors for Api") as raised:
        Api(limit="many", names="a")  # type: ignore[arg-type]
    message = str(raised.value)
    assert (
        "limit\n  Input should be a valid integer, unable to parse string as an integer [type=int_parsing"
        in message
    )
    assert "names\n  Input should be a valid list [type=list_type" in message


@pytest.mark.parametrize(
    ("annotation", "given", "expected"),
    [
        (int, " 12 ", 12),
        (int, True, 1),
        (float, 3, 3.0),
        (str, b"x", "x"),
        (bool, "off", False),
        (bool, 1, True),
        (list[int], ("1", 2), [1, 2]),
        (dict[str, int], {"a": "1"}, {"a": 1}),
        (int | None, None, None),
        (int | None, "3", 3),
        (Literal["a", "b"], "b", "b"),
        (Any, "x", "x"),
        (dict, {"a": 1}, {"a": 1}),
    ],
)
def test_value_becomes_one_of_the_field_s_type(annotation: Any, given: Any, expected: Any) -> None:
    api = with_field(annotation)

    value = api(it=given).it

    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "given", "kind"),
    [
        (int, "1.5", "int_parsing"),
        (int, 1.5, "int_from_float"),
        (int, None, "int_type"),
        (int, "9" * 5_000, "int_parsing_size"),
        (float, "x", "float_parsing"),
        pytest.param(float, 10**400, "float_type", id="float-too-large"),
        (float, [], "float_type"),
        (str, 1, "string_type"),
        (bool, "maybe", "bool_parsing"),
        (bool, None, "bool_type"),
        (list[int], ["x"], "int_parsing"),
        (dict[str, int], [], "dict_type"),
        (Literal["a", "b"], "c", "literal_error"),
    ],
)
def test_value_of_another_type_is_refused_with_pydantic_s_kind(
    annotation: Any, given: Any, kind: str
) -> None:
    api = with_field(annotation)

    with pytest.raises(ValueError, match=rf"\[type={kind}, ") as raised:
        api(it=given)

    assert raised.value.errors()[0]["type"] == kind  # type: ignore[attr-defined]


def test_missing_field_is_refused_as_none() -> None:
    class Api(ConfigurableResource):
        url: str
        token: str | None

    assert Api(url="u").token is None  # type: ignore[call-arg]
    with pytest.raises(
        ValueError, match=r"Input should be a valid string \[type=string_type, input_value=None"
    ):
        Api()  # type: ignore[call-arg]


def test_defaults_of_field_are_values_and_new_ones_for_each_object() -> None:
    class Api(ConfigurableResource):
        limit: int = Field(default=100, ge=1)
        names: list[str] = Field(default_factory=list)
        tags: dict[str, str] = {}  # noqa: RUF012 - copied for each object
        path: str = Field("p", max_length=3)
        key_: str = Field("k", alias="key")

    @sensor(job=load)
    def watch(api: Api) -> RunRequest:
        return RunRequest(f"{api.limit} {api.names} {api.path} {api.key_}")

    assert key_of(watch, api=Api(key="x")) == "100 [] p x"  # type: ignore[call-arg]
    first, second = Api(), Api()
    assert first.names is not second.names
    assert first.tags is not second.tags
    with pytest.raises(ValueError, match="Input should be greater than or equal to 1"):
        Api(limit=0)
    with pytest.raises(ValueError, match="String should have at most 3 characters"):
        Api(path="long")


def test_fields_cannot_be_changed_and_private_attributes_can() -> None:
    class Api(ConfigurableResource):
        url: str
        _calls: list[str] = PrivateAttr(default_factory=list)
        _client: Any = PrivateAttr()

        def call(self) -> list[str]:
            self._client = "client"
            self._calls.append(self._client)
            return self._calls

    api, other = Api(url="u"), Api(url="u")

    assert api.call() == ["client"]
    assert other.call() == ["client"]
    for name in ("url", "undeclared"):
        with pytest.raises(
            DagsterInvalidInvocationError, match="'Api' is a Pythonic resource and does not support"
        ):
            setattr(api, name, "x")


def test_objects_with_equal_fields_are_equal() -> None:
    class Api(ConfigurableResource):
        url: str
        limit: int = 1

    assert Api(url="u") == Api(url="u", limit=1)
    assert Api(url="u") != Api(url="v")
    assert hash(Api(url="u")) == hash(Api(url="u"))
    assert repr(Api(url="u")) == "Api(url='u', limit=1)"
    assert Api(url="u").model_dump() == {"url": "u", "limit": 1}


def test_methods_properties_and_class_variables_are_no_fields() -> None:
    class Api(ConfigurableResource):
        kind: ClassVar[str] = "kind"
        url: str

        @cached_property
        def client(self) -> list[str]:
            return [self.url]

        @property
        def upper(self) -> str:
            return self.url.upper()

        @classmethod
        def kind_of(cls) -> str:
            return cls.kind

    api = Api(url="u")

    assert (api.client is api.client, api.upper, api.kind_of()) == (True, "U", "kind")
    assert repr(api) == "Api(url='u')"
    assert str(api) == "url='u'"
    with build_resources({"api": api}) as resources:
        assert resources.api.client == ["u"]


def test_subclass_has_the_fields_of_its_base() -> None:
    class Base(ConfigurableResource):
        url: str
        limit: int = 1

    class Derived(Base):
        limit: int = 2
        name: str = "n"

    assert dict(Derived(url="u")) == {"url": "u", "limit": 2, "name": "n"}
    assert isinstance(Derived(url="u"), ConfigurableResource)


def test_enum_is_given_by_value_or_name_and_config_by_fields() -> None:
    class Color(Enum):
        RED = "r"
        BLUE = "b"

    class Page(Config):
        size: int = 10

    class Api(ConfigurableResource):
        color: Color
        page: Page = Page()

    @sensor(job=load)
    def watch(api: Api) -> RunRequest:
        return RunRequest(f"{api.color.name} {api.page.size}")

    assert key_of(watch, api=Api(color="RED", page={"size": "5"})) == "RED 5"  # type: ignore[arg-type]
    assert key_of(watch, api=Api(color="b", page=Page(size=6))) == "BLUE 6"  # type: ignore[arg-type]
    assert key_of(watch, api=Api(color=Color.RED)) == "RED 10"
    with pytest.raises(ValueError, match="Input should be 'r' or 'b'"):
        Api(color="green")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"page\.size\n  Input should be a valid integer"):
        Api(color="r", page={"size": "x"})  # type: ignore[arg-type]


def test_config_of_an_op_is_plain_and_names_environment_variables() -> None:
    class Settings(Config):
        token: str
        limit: int = 1
        color: Literal["red", "blue"] = "red"

    request = RunRequest(run_config=RunConfig(ops={"load": Settings(token=EnvVar("TOKEN"))}))

    config = {"token": {"env": "TOKEN"}, "limit": 1, "color": "red"}
    assert request.run_config == {"ops": {"load": {"config": config}}}


def test_annotations_may_be_texts_also_of_local_names() -> None:
    class Inner(ConfigurableResource):
        name: str = "n"

    class Outer(ConfigurableResource):
        inner: "Inner"
        text: "ResourceDependency[str]"
        limit: "int | None" = None

    @resource
    def text() -> str:
        return "t"

    with build_resources({"it": Outer(inner=Inner(), text=text)}) as resources:
        assert (resources.it.inner.name, resources.it.text, resources.it.limit) == ("n", "t", None)


def test_permissive_config_keeps_other_fields() -> None:
    class Page(PermissiveConfig):
        size: int = 10

    page = Page(size=1, other="o")  # type: ignore[call-arg]

    assert page.other == "o"  # type: ignore[attr-defined]
    assert dict(page) == {"size": 1, "other": "o"}


@pytest.mark.parametrize("annotation", [tuple[int, ...], bytes, int | str, Path])
def test_type_that_config_cannot_have_is_refused(annotation: Any) -> None:
    api = with_field(annotation)
    value = {bytes: b"x", Path: Path("p")}.get(annotation, (1,) if annotation == tuple[int, ...] else 1)

    with pytest.raises(DagsterInvalidPythonicConfigDefinitionError, match="Unable to resolve config type"):
        api(it=value)


def test_attribute_without_annotation_is_refused(fields_by: str) -> None:
    with pytest.raises(Exception, match="non-annotated attribute was detected"):

        class Api(ConfigurableResource):
            limit = 5


def test_environment_variables_are_read_when_the_resource_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    class Api(ConfigurableResource):
        token: str
        limit: int = 1
        names: list[str] = []  # noqa: RUF012 - copied for each object

    @sensor(job=load)
    def watch(api: Api) -> RunRequest:
        return RunRequest(f"{api.token} {api.limit + 1} {api.names}")

    api = Api(token=EnvVar("TOKEN"), limit=EnvVar.int("LIMIT"), names=[EnvVar("TOKEN")])
    monkeypatch.setenv("TOKEN", "secret")
    monkeypatch.setenv("LIMIT", "5")

    assert key_of(watch, api=api) == "secret 6 ['secret']"
    with pytest.raises(
        RuntimeError, match=r'Attempted to directly retrieve environment variable EnvVar\("TOKEN"\)'
    ):
        str(api.token)
    assert EnvVar("TOKEN").get_value() == "secret"
    assert EnvVar.int("LIMIT").get_value() == 5
    assert EnvVar("MISSING").get_value("default") == "default"


def test_missing_environment_variable_fails_the_tick_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Api(ConfigurableResource):
        token: str
        limit: int = 1

    @sensor(job=load)
    def watch(api: Api) -> RunRequest:
        return RunRequest(api.token)

    instance = TreadleInstance([watch], resources={"api": Api(token=EnvVar("NO_SUCH_TOKEN"))})
    reason = instance.tick("watch").outcome.reason

    assert "Error in config for resource api" in reason
    assert 'attempted to fetch the environment variable "NO_SUCH_TOKEN" which is not set' in reason
    monkeypatch.setenv("LIMIT", "secret text")
    instance = TreadleInstance([watch], resources={"api": Api(token="t", limit=EnvVar.int("LIMIT"))})
    reason = instance.tick("watch").outcome.reason
    assert 'Value stored in env variable "LIMIT" cannot be coerced into an int.' in reason
    assert "secret text" not in reason


def test_resource_is_set_up_and_torn_down_in_reverse_order_also_when_the_function_fails() -> None:
    trace: list[str] = []

    class Traced(ConfigurableResource):
        name: str

        def setup_for_execution(self, context: InitResourceContext) -> None:
            trace.append(f"set up {self.name}")

        def teardown_after_execution(self, context: InitResourceContext) -> None:
            trace.append(f"tear down {self.name}")

    @sensor(job=load)
    def failing(a: Traced, b: Traced) -> None:
        trace.append("evaluate")
        raise ValueError(a.name + b.name)

    instance = TreadleInstance([failing], resources={"a": Traced(name="a"), "b": Traced(name="b")})

    assert instance.tick("failing").outcome.decision is Decision.FAILURE
    assert trace == ["set up a", "set up b", "evaluate", "tear down b", "tear down a"]


def test_failed_setup_is_the_tick_s_failure_with_the_resource_s_name_and_is_not_torn_down() -> None:
    trace: list[str] = []

    class Bad(ConfigurableResource):
        def setup_for_execution(self, context: InitResourceContext) -> None:
            msg = "no route to host"
            raise ConnectionError(msg)

        def teardown_after_execution(self, context: InitResourceContext) -> None:
            trace.append("tear down")

    @sensor(job=load)
    def watch(db: Bad) -> RunRequest:
        trace.append("evaluate")
        return RunRequest(str(db))

    result = TreadleInstance([watch], resources={"db": Bad()}).tick("watch")

    assert result.outcome.decision is Decision.FAILURE
    assert (
        "Error executing resource_fn on ResourceDefinition db: ConnectionError: no route to host"
        in result.outcome.reason
    )
    assert trace == []


def test_each_tick_sets_up_a_copy_of_its_own() -> None:
    seen: list[int] = []

    class Counter(ConfigurableResource):
        _count: int = 0

        def setup_for_execution(self, context: InitResourceContext) -> None:
            self._count += 1

    @sensor(job=load)
    def watch(counter: Counter) -> None:
        seen.append(counter._count)

    counter = Counter()
    instance = TreadleInstance([watch], resources={"counter": counter})
    instance.tick("watch")
    instance.tick("watch")

    assert seen == [1, 1]
    assert counter._count == 0


def test_nested_resources_live_around_the_resource_that_has_them() -> None:
    trace: list[str] = []

    class Credentials(ConfigurableResource):
        user: str

        @contextmanager
        def yield_for_execution(self, context: InitResourceContext) -> Iterator["Credentials"]:
            trace.append(f"open {self.user}")
            yield self
            trace.append(f"close {self.user}")

    @resource
    def token() -> Iterator[str]:
        trace.append("open token")
        yield "t"
        trace.append("close token")

    class Store(ConfigurableResource):
        credentials: Credentials
        token: ResourceDependency[str]
        limit: int = 1

        def setup_for_execution(self, context: InitResourceContext) -> None:
            trace.append(f"set up with {self.credentials.user} and {self.token}")

        def teardown_after_execution(self, context: InitResourceContext) -> None:
            trace.append("tear down")

    @sensor(job=load)
    def watch(store: Store) -> RunRequest:
        return RunRequest(f"{store.credentials.user} {store.token}")

    store = Store(credentials=Credentials(user=EnvVar("STORE_USER")), token=token)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORE_USER", "ann")
        assert key_of(watch, store=store) == "ann t"
    assert trace == [
        "open ann",
        "open token",
        "set up with ann and t",
        "tear down",
        "close token",
        "close ann",
    ]


def test_context_has_config_log_instance_and_other_resources() -> None:
    class Api(ConfigurableResource):
        url: str
        limit: int = 3

        def setup_for_execution(self, context: InitResourceContext) -> None:
            assert context.log is not None
            context.log.info("opening %s", self.url)
            found = context.instance.get_run_records is not None
            assert (context.resource_config, found) == ({"url": "u", "limit": 3}, True)
            assert context.resources.other == "o"
            assert self.get_resource_context() is context

    @sensor(job=load)
    def watch(api: Api) -> RunRequest:
        return RunRequest(api.url)

    result = TreadleInstance([watch], resources={"api": Api(url="u"), "other": "o"}).tick("watch")

    assert result.tick is not None
    assert (result.outcome.decision, result.tick.log) == (Decision.SUCCESS, ("INFO opening u",))


def test_context_s_resources_have_the_attached_object_and_parameters_the_resource_itself() -> None:
    class Attached(ConfigurableResource, IAttachDifferentObjectToOpContext):
        text: str

        def get_object_to_set_on_execution_context(self) -> str:
            return self.text

    @sensor(job=load, required_resource_keys={"it"})
    def by_context(context: SensorEvaluationContext) -> RunRequest:
        return RunRequest(context.resources.it)

    @sensor(job=load)
    def by_parameter(it: Attached) -> RunRequest:
        return RunRequest(it.text)

    assert key_of(by_context, it=Attached(text="a")) == "a"
    assert key_of(by_parameter, it=Attached(text="a")) == "a"


def test_parameter_annotated_with_a_factory_is_refused_with_the_annotation_to_use() -> None:
    class Client:
        """What the factory makes."""

    class ClientFactory(ConfigurableResourceFactory[Client]):
        def create_resource(self, context: InitResourceContext) -> Client:
            return Client()

    def function(client: ClientFactory) -> None:
        """Never called."""

    with pytest.raises(DagsterInvalidDefinitionError, match=r"should instead be 'ResourceParam\[Client\]'"):
        SensorDefinition("s", evaluation_fn=function, job=load)


def test_parameter_annotated_with_a_class_of_unknown_resources_is_refused() -> None:
    class Factory(ConfigurableResourceFactory):
        def create_resource(self, context: InitResourceContext) -> str:
            return "made"

    def of_factory(it: Factory) -> None:
        """Never called."""

    def of_definition(it: ResourceDefinition) -> None:
        """Never called."""

    for function in (of_factory, of_definition):
        with pytest.raises(
            DagsterInvalidDefinitionError, match=r"outputs an unknown value .* 'ResourceParam"
        ):
            SensorDefinition("s", evaluation_fn=function, job=load)


def test_resource_given_directly_is_made_as_from_a_context() -> None:
    class Client(ConfigurableResource):
        url: str

        def create_resource(self, context: InitResourceContext) -> str:
            return f"connected to {self.url}"

    @sensor(job=load)
    def watch(client: ResourceParam[str]) -> RunRequest:
        return RunRequest(client)

    assert watch(client=Client(url="u")).run_key == "connected to u"
    assert (
        watch(context=build_sensor_context(resources={"client": Client(url="v")})).run_key == "connected to v"
    )
    assert watch(build_sensor_context(), client="text").run_key == "text"


def test_resource_is_made_in_a_test_without_a_sensor(monkeypatch: pytest.MonkeyPatch) -> None:
    class Client(ConfigurableResource):
        url: str

        def create_resource(self, context: InitResourceContext) -> str:
            return f"connected to {self.url}"

    class Opened(Client):
        def teardown_after_execution(self, context: InitResourceContext) -> None:
            """Close."""

    monkeypatch.setenv("URL", "u")

    assert Client(url=EnvVar("URL")).process_config_and_initialize() == "connected to u"
    assert Client.from_resource_context(build_init_resource_context({"url": "v"})) == "connected to v"
    with Opened(url=EnvVar("URL")).process_config_and_initialize_cm() as client:
        assert client == "connected to u"
    with pytest.raises(DagsterInvariantViolationError, match="Use from_resource_context_cm"):
        Opened(url="u").process_config_and_initialize()
    with pytest.raises(DagsterInvariantViolationError, match="before resource was initialized"):
        Client(url="u").get_resource_context()


def test_config_for_a_resource_is_checked_and_wins_over_its_fields() -> None:
    class Api(ConfigurableResource):
        limit: int = 1

    with build_resources({"api": Api()}, resource_config={"api": {"config": {"limit": 2}}}) as resources:
        assert resources.api.limit == 2
    with (
        build_resources({"api": Api()}, resource_config={"api": {"config": {"limits": 2}}}) as resources,
        pytest.raises(DagsterInvalidConfigError, match='Received unexpected config entry "limits"'),
    ):
        _ = resources.api


def test_class_made_before_pydantic_was_loaded_may_be_extended_after(
    fields_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configurable_resources, "is_pydantic_loaded", lambda: False)

    class Base(ConfigurableResource):
        url: str
        limit: int = Field(default=1, ge=1)
        _state: str = "new"

        def create_resource(self, context: InitResourceContext) -> str:
            return f"{self.url} {self.limit} {self._state}"

    monkeypatch.setattr(configurable_resources, "is_pydantic_loaded", lambda: fields_by == "pydantic")

    class Derived(Base):
        name: str = "n"

    with build_resources({"it": Derived(url="u", limit="2")}) as resources:  # type: ignore[arg-type]
        assert resources.it == "u 2 new"
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        Derived(url="u", limit=0)


def test_configurable_resource_loads_no_pydantic() -> None:
    script = (
        "import sys\nfrom treadle import ConfigurableResource\n"
        "class Api(ConfigurableResource):\n    url: str\n"
        "Api(url='u').process_config_and_initialize()\nprint('pydantic' in sys.modules)"
    )
    path = ":".join([str(LIBRARY), *sys.path])

    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "False"
