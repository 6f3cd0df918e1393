"""The API does what its description says, and nothing that fits the description, or nearly does, breaks it."""

import copy
import functools
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.support.console import CHANGE, TOKEN, MemoryStack, console_of, served
from treadle import AssetMaterialization, RunRequest, SensorDefinition
from treadle.console.openapi import document
from treadle.console.routes import OPERATIONS
from treadle.console.server import LocalServer
from treadle.testing import Pool
from treadle.testing.instance import TreadleInstance

pytest_plugins = ("schemathesis.pytest.plugin",)
EXAMPLES = 12
"""For each operation, of requests that fit and of requests that do not, each."""


def watch(context: Any) -> RunRequest:
    """A sensor's function that requests a run each time."""
    del context
    return RunRequest()


@functools.cache
def stack() -> MemoryStack:
    """Return a deployment with something of everything."""
    instance = TreadleInstance(
        [SensorDefinition("watch", evaluation_fn=watch, job_name="load")],
        pools=[Pool("warehouse", 2, jobs=["load"])],
    )
    for _ in range(3):
        instance.tick("watch")
    instance.report_runless_asset_event(AssetMaterialization("orders"))
    instance.backfill("load", ["a", "b", "c"], name="may", limit=1)
    made = MemoryStack(instance)
    made.dead_letters.send('{"treadle": "launch", "run_id": "r"}', origin="launch", reason="no")
    return made


def known() -> dict[str, Any]:
    """Return the description with names that exist: otherwise nearly all requests would name nothing.

    Access is tested elsewhere, as are the limits of a cursor and of a request.
    """
    described = copy.deepcopy(dict(document(OPERATIONS)))
    del described["security"]
    [run, *_] = stack().instance.runs()
    [tick, *_] = stack().instance.ticks("watch")
    names = {
        "sensor": "watch",
        "run_id": run.run_id,
        "tick_id": tick.tick_id,
        "backfill": "may",
        "pool": "warehouse",
    }
    for operation in (each for path in described["paths"].values() for each in path.values()):
        operation["parameters"] = [each for each in operation["parameters"] if each["in"] != "header"]
        for parameter in operation["parameters"]:
            if parameter["name"] in names and parameter["in"] == "path":
                parameter["schema"] = {"enum": [names[parameter["name"]], "unknown"]}
    cursor = described["paths"]["/api/sensors/{sensor}/cursor"]["put"]["requestBody"]["content"]
    cursor["application/json"]["schema"]["properties"]["cursor"]["maxLength"] = 1_000
    return described


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with served(console_of(stack())) as made:
        yield made


def described(mode: GenerationMode) -> Any:
    """Return the description as schemathesis takes it, to generate what fits it or what does not."""
    config = schemathesis.Config()
    config.projects.default.generation.update(modes=[mode])
    return schemathesis.openapi.from_dict(known(), config=config)


bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
WITHOUT_INPUT = [
    path
    for path, operations in known()["paths"].items()
    if not any(each["parameters"] or "requestBody" in each for each in operations.values())
]
"""Nothing that is sent there can fail to fit."""

fitting = described(GenerationMode.POSITIVE)
unfitting = described(GenerationMode.NEGATIVE).exclude(path=WITHOUT_INPUT)


@fitting.parametrize()  # type: ignore[untyped-decorator]
@bounded
def test_what_fits_the_description_is_answered_as_it_says(case: Any, server: LocalServer) -> None:
    # That parameters exclude each other, or that a text is no time, is no matter of one parameter's schema.
    with_more_rules = {"/api/runs", "/api/why", "/api/sensors/{sensor}/preview"}
    excluded = [positive_data_acceptance] if case.path in with_more_rules else []
    case.call_and_validate(
        base_url=server.address.rstrip("/"), headers=headers(case), excluded_checks=excluded
    )


@unfitting.parametrize()  # type: ignore[untyped-decorator]
@bounded
def test_what_does_not_fit_is_refused_and_breaks_nothing(case: Any, server: LocalServer) -> None:
    case.call_and_validate(base_url=server.address.rstrip("/"), headers=headers(case))


def headers(case: Any) -> dict[str, str]:
    """Return an operator's headers, unless the case has others."""
    return {"Authorization": f"Bearer {TOKEN}", **(CHANGE if case.method != "GET" else {})}


def test_the_description_names_every_operation_once() -> None:
    names = [each["operationId"] for path in known()["paths"].values() for each in path.values()]

    assert len(names) == len(set(names)) == len(OPERATIONS)


def test_every_address_of_the_description_is_below_api() -> None:
    assert all(re.match(r"/api/[a-z]", path) for path in known()["paths"])
