"""Every function runs under Lambda's own runtime emulator with every sample event."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.deployment import STEPS, Deployed
from tests.template.model import samples
from tools import stack
from tools.project import ROOT

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
