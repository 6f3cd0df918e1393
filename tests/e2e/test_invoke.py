"""Every function runs under Lambda's own runtime emulator with every sample event."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.deployment import STEPS, Deployed
from tests.support.sam import local_invocation
from tests.template.model import samples
from tools import stack
from tools.project import BUILD, ROOT

ALL_TAKEN: dict[str, list[object]] = {"batchItemFailures": []}
RECONCILED = {"dispatched", "relaunched", "described", "observed", "failed", "unreadable", "is_complete"}
RESPONSES: dict[str, object] = {
    "new_objects-direct": {"decision"},
    "new_objects-schedule": {"decision"},
    "new_objects-preview": {"decision", "requests", "settings"},
    "new_objects-s3-event-direct": {"decision"},
    "reconcile-schedule": RECONCILED,
    "reconcile-registry": RECONCILED,
    "summarize_csv-execution-input": {"rows"},
    "console-config": {"statusCode", "headers", "body"},
    "console-overview": {"statusCode", "headers", "body"},
}
"""Fields that an answer has at least; of all others, what it is."""


def logical_id(sample: str) -> str:
    """`new_objects-direct` → `NewObjects`, `launch-message` → `LaunchFunction`."""
    owner = sample.partition("-")[0]
    name = "".join(map(str.capitalize, owner.split("_")))
    return f"{name}Function" if owner in {*STEPS, "console"} else name


@pytest.fixture(scope="module")
def sample_object(deployed: Deployed) -> None:
    """The object that the sample events are about."""
    stack.put_sample_object(deployed.endpoint)


@pytest.fixture(scope="module")
def console(deployed: Deployed) -> None:
    """The console, as `make up` deploys it."""
    stack.build_console(deployed.endpoint)
    stack.deploy_console(deployed.endpoint)


@pytest.mark.parametrize("sample", samples())
@pytest.mark.usefixtures("sample_object", "console")
def test_make_invoke_works(deployed: Deployed, sample: str) -> None:
    deployed.let_time_pass()
    event = (Path("events") / f"{sample}.json").as_posix()
    port = deployed.endpoint.rpartition(":")[2]

    done = subprocess.run(
        [sys.executable, "-m", "tools.invoke", logical_id(sample), event],
        cwd=ROOT,
        env={**os.environ, "TREADLE_CLOUD_PORT": port},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "INIT REPORT" in done.stdout
    response = json.loads(done.stdout.rpartition("\nResponse:\n")[2])
    expected = RESPONSES.get(sample, ALL_TAKEN)
    assert response == expected or (isinstance(expected, set) and expected <= response.keys())


def test_sam_local_invoke_has_function_layers_and_variables_of_the_deployment(deployed: Deployed) -> None:
    """As far as it goes without a container; the address of this machine is that which a container reaches."""
    template = BUILD / "template.yaml"
    file = stack.write_container_environment(deployed.endpoint, deployed.name)
    deployed_with = stack.function_environment(deployed.endpoint, deployed.name, "NewObjects")

    found = local_invocation(template, "NewObjects", file)

    layers = [Path(each).name for each in found["layers"]]
    assert layers == ["DepsLayer", "TreadleLayer", "ProjectLayer"]
    assert all((ROOT / each / "python").is_dir() for each in found["layers"][:2])
    assert (ROOT / found["code"] / "app.py").is_file()
    variables, port = found["variables"], deployed.endpoint.rpartition(":")[2]
    reachable = f"host.docker.internal:{port}"
    expected = {
        name: value.replace(f"127.0.0.1:{port}", reachable).replace(f"localhost:{port}", reachable)
        for name, value in deployed_with.items()
        # Other tests give the deployed function further variables.
        if name in variables
    }
    assert variables["AWS_ENDPOINT_URL"] == f"http://{reachable}"
    assert {name: variables[name] for name in expected} == expected
    assert all(expected[f"TREADLE_{name}_TABLE"] for name in ("SENSORS", "TICKS", "RUNS", "EVENTS"))
