"""An engine of the contract's next version runs a project of the one before, which the doctor says is behind."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.deployment import Deployed, edit, eventually
from tools import stack
from tools.project import ROOT
from treadle.definitions.status import DagsterRunStatus, TickStatus
from treadle.model.contract import parameter_of

pytestmark = pytest.mark.timeout(900)
NAME, ENGINE = "previous", "next"
PREVIOUS, NEXT = 1, 2
"""The project in the folder `previous` is of the first of them. Once the code's own contract is the second, its engine
is deployed as it is."""


@dataclass(frozen=True)
class EngineHarness:
    """The project, and its engine.

    Attributes:
        project: as it is deployed.
        library: the folder of the library that its engine has.
    """

    project: Deployed
    library: Path


@pytest.fixture(scope="module")
def harness(deployed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineHarness]:
    """The project on an engine of the next version; its schedules rest."""
    folder = tmp_path_factory.mktemp("contract")
    engine, project = folder / "next", folder / "previous"
    shutil.copytree(Path(__file__).with_name("previous"), project)
    unwanted = shutil.ignore_patterns(".*", "__pycache__")
    for name in ("engine", "functions/engine", "layers/deps", "layers/treadle"):
        shutil.copytree(ROOT / name, engine / name, ignore=unwanted)
    (project / "layers").symlink_to(ROOT / "layers")
    shutil.copy(ROOT / "samconfig.yaml", project)
    _raise_contract(engine)
    values = ["--parameter-overrides", f"EngineName={ENGINE}", "LogRetentionDays=1"]
    stack.build_engine(deployed.endpoint, engine / "engine")
    stack.deploy_engine(deployed.endpoint, ["--stack-name", f"{ENGINE}-engine", *values], engine / "engine")
    stack.build(deployed.endpoint, project)
    values = ["--parameter-overrides", f"Engine={parameter_of(ENGINE, PREVIOUS)}"]
    stack.deploy(deployed.endpoint, project, ["--stack-name", NAME, *values])
    made = Deployed.at(deployed.endpoint, NAME)
    for function in ("Polled", "Reconcile"):
        made.schedule(function, enabled=False)
    made.knows_jobs("finish")
    yield EngineHarness(made, engine / "layers" / "treadle")
    made.close()


def _raise_contract(folder: Path) -> None:
    """Let an engine's code be of the next version, and its template publish both."""
    edit(
        folder / "layers/treadle/treadle/model/registry.py",
        {f"CONTRACT = {PREVIOUS}\n": f"CONTRACT = {NEXT}\n"},
    )
    path = folder / "engine" / "template.yaml"
    before, begin, rest = path.read_text().partition("\n  Contract:\n")
    block, end, after = rest.partition("\n  # ====")
    assert f"/v{PREVIOUS}\n" in block
    following = block.replace(f"/v{PREVIOUS}\n", f"/v{NEXT}\n").replace(f"- '{PREVIOUS}'", f"- '{NEXT}'")
    path.write_text(f"{before}{begin}{block}\n  NextContract:\n{following}{end}{after}")


def test_engine_publishes_both_versions(harness: EngineHarness) -> None:
    ssm = harness.project.client("ssm")

    published = {
        version: ssm.get_parameter(Name=parameter_of(ENGINE, version))["Parameter"]["Value"].split(",")
        for version in (PREVIOUS, NEXT)
    }

    assert {version: parts[0] for version, parts in published.items()} == {PREVIOUS: "1", NEXT: "2"}
    assert harness.project.contract["version"] == "1"


def test_project_of_the_version_before_runs(harness: EngineHarness) -> None:
    """Its schedule may have ticked already, and its run is the only one then."""
    answer = harness.project.invoke("Polled", {"treadle": "tick", "at_once": True})

    [run] = eventually(
        lambda: [each for each in harness.project.stores.runs.list_by_sensor("polled", 5) if each.ended_at],
        "its run has ended",
    )

    assert answer.value["decision"] in {TickStatus.SUCCESS.value, TickStatus.SKIPPED.value}, answer.log
    assert (run.job, run.status) == ("finish", DagsterRunStatus.SUCCESS)


def test_doctor_of_the_engines_version_says_that_the_project_is_behind(harness: EngineHarness) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from treadle.cli import main; main()", "doctor", "--stack", NAME, "--json"],
        env={**os.environ, "PYTHONPATH": str(harness.library)},
        capture_output=True,
        text=True,
        check=False,
        cwd=harness.library,
    )

    assert done.returncode in {0, 1}, done.stderr
    [found] = [each for each in json.loads(done.stdout) if each["subject"] == f"project {NAME}"]
    assert found["message"] == (
        f"Project {NAME} is outdated: 2 of its entries were written for contract {PREVIOUS}, but the engine's contract is {NEXT}."
    )
    assert "with the engine's version of Treadle" in found["advice"]
