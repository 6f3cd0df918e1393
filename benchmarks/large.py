"""`make large`: a project of 60 polling sensors and 60 jobs of all kinds, written by the scaffold, deployed and examined.

Another one of 40 event sensors and 40 jobs is linted and counted. The sensors are deployed to a local cloud with IAM
enforced, RUNNING from the first minute on, and each asks for a run in its first tick. Everything is checked by the
commands and addresses that an operator has.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

from benchmarks import job_targets
from benchmarks.scale import PAGE, with_deployed
from tests.e2e.deployment import Deployed, pointing_at, running
from tests.support.console import ANN, TOKEN, Client
from tests.support.project import run
from tests.support.sam import translated
from tools import stack
from tools.local_cloud import temporary_cloud
from tools.project import SAM, ToolError, local_aws, run_tool
from tools.project_copy import copy_of_project
from treadle.adapters.system import SystemClock
from treadle.bootstrap.operator import operator_parts
from treadle.cli.fragments import pascal
from treadle.cli.sensor_kinds import SENSOR_KINDS
from treadle.cli.target_kinds import KINDS
from treadle.cli.template_edit import load
from treadle.console.app import Console
from treadle.console.static_token import Caller, Role, StaticTokenAuth
from treadle.definitions.errors import StoreError
from treadle.definitions.status import DagsterRunStatus, TickStatus
from treadle.model.runs import Run
from treadle.model.targets import UNANSWERING
from treadle.operate.limits import RESOURCES

STACK = "treadle-large"
POLLING, EVENT = 60, 40
SHIPPED = ("failure_alert", "large_files", "new_objects")
MOST_RESOURCES = {"polling sensor": 5, "event sensor": 7, "job": 2}
PATIENCE = 600
"""Seconds for the first tick of each sensor, and for the end of its run, on a machine of two processors."""

OPTIONS: Mapping[str, Sequence[str]] = {
    "s3": ("--bucket", "landing", "--prefix", "incoming/"),
    "run-status": ("--jobs", "extract,clean"),
    "run-failure": ("--jobs", "extract,clean"),
    "all-succeeded": ("--jobs", "extract,clean"),
    "deadline": ("--jobs", "extract"),
    "asset": ("--asset", "shop/orders"),
    "multi-asset": ("--asset", "shop/orders", "--asset", "prices"),
}
"""What `treadle new sensor` has to be given for each kind."""


@dataclass(slots=True)
class Report:
    """What was done, and how long it took.

    Attributes:
        lines: what, with seconds and result.
        wrong: what is not as promised.
    """

    lines: list[tuple[str, float, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def timed(self, what: str) -> Iterator[list[str]]:
        """Measure what is done meanwhile; what is appended is its result."""
        print(f"{what} …", file=sys.stderr, flush=True)
        began, said = time.monotonic(), list[str]()
        yield said
        self.lines.append((what, time.monotonic() - began, ", ".join(said)))

    def expect(self, is_so: bool, what: str) -> None:
        """Note what is wrong, unless it is so."""
        if not is_so:
            self.wrong.append(what)

    def table(self) -> str:
        """Return all of it as text."""
        width = max(len(what) for what, _, _ in self.lines)
        return "\n".join(f"{what:{width}} {took:7.1f} s  {said}".rstrip() for what, took, said in self.lines)


@dataclass(frozen=True, slots=True)
class Large:
    """A project of many sensors.

    Attributes:
        path: its folder.
        sensors: the kind of each, by its name.
        jobs: the target of each, by its name.
    """

    path: Path
    sensors: Mapping[str, str]
    jobs: Mapping[str, str]


def write(folder: Path, kinds: Sequence[str], count: int) -> Large:
    """A copy of the project with more sensors, each with a job of its own; the shipped ones stay.

    Args:
        folder: where it is written to.
        kinds: of the sensors, in turn.
        count: how many.
    """
    made = Large(
        copy_of_project(folder),
        {f"watch_{number}": kind for number, kind in enumerate(islice(cycle(kinds), count))},
        {f"load_{number}": target for number, target in enumerate(islice(cycle(KINDS), count))},
    )
    for (name, kind), (job, target) in zip(made.sensors.items(), made.jobs.items(), strict=True):
        subnets = ("--set", "subnets=subnet-0123456789abcdef0") if target == "ecs" else ()
        of_job = ("new", "job", job, "--target", target, *subnets)
        list_by_sensor = ("new", "sensor", name, "--kind", kind, "--job", job, *OPTIONS.get(kind, ()))
        for command in (of_job, list_by_sensor):
            done = run(*command, "--root", made.path)
            if done.exit_code:
                raise ToolError(f"treadle {' '.join(command)} failed:\n{done.output}")
    return made


def lint(large: Large) -> None:
    """`sam validate --lint`, which runs cfn-lint.

    Raises:
        ToolError: with what it found.
    """
    command = [str(SAM), "validate", "--lint", "--template", str(large.path / "template.yaml")]
    environment = local_aws("http://127.0.0.1:9") | {"SAM_CLI_TELEMETRY": "0"}
    done = subprocess.run(
        command, cwd=large.path, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ToolError(f"sam validate --lint failed:\n{done.stdout}{done.stderr}")


def count(large: Large, report: Report) -> str:
    """How many resources it has after the transform, by SAM's own translator: in all, and at most of each kind."""
    text = (large.path / "template.yaml").read_text()
    [resources] = translated([load(text)])
    report.expect(len(resources) <= RESOURCES.most, f"{len(resources)} resources, of {RESOURCES.most}")
    most: Counter[str] = Counter()
    for names, what in ((large.sensors, "sensor"), (large.jobs, "job")):
        for name in names:
            kind = "polling sensor" if names[name] == "schedule" else "event sensor"
            prefix = pascal(name) if what == "sensor" else f"{pascal(name)}Job"
            own = sum(_is_of(each, prefix) for each in resources)
            most[what if what == "job" else kind] = max(most[what if what == "job" else kind], own)
    for what, number in most.items():
        report.expect(number <= MOST_RESOURCES[what], f"{number} resources: {what}")
    of_each = ", ".join(f"{number} per {what}" for what, number in sorted(most.items()))
    return f"{len(resources)} resources of {RESOURCES.most}; at most {of_each}"


def _is_of(logical_id: str, prefix: str) -> bool:
    """Whether a resource is of a block: Watch1 has none of those of Watch10."""
    return logical_id.startswith(prefix) and not logical_id.removeprefix(prefix)[:1].isdigit()


def awaited(look: Callable[[], set[str]], wanted: set[str], what: str, seconds: float = PATIENCE) -> None:
    """Wait until a look has found all that is wanted; a store that does not answer in time is read again.

    Raises:
        ToolError: with what is missing.
    """
    deadline = time.monotonic() + seconds
    while missing := wanted - _found(look):
        if time.monotonic() > deadline:
            shown = ", ".join(sorted(missing)[:10])
            raise ToolError(f"after {seconds:.0f} s {len(missing)} {what} are missing: {shown}.")
        time.sleep(1)


def _found(look: Callable[[], set[str]]) -> set[str]:
    try:
        return look()
    except StoreError:  # So many functions start at a time that the local cloud answers late.
        return set()


def ticked(deployed: Deployed, large: Large) -> set[str]:
    """The sensors that have a successful tick."""
    return {
        name
        for name in large.sensors
        if any(
            each.status is TickStatus.SUCCESS and each.requests
            for each in deployed.stores.ticks.latest(name, 5)
        )
    }


def under_way(deployed: Deployed, large: Large) -> tuple[set[str], Counter[str]]:
    """The sensors whose run is as far as it comes by itself, and how many runs have which status."""
    settled, statuses = set(), Counter[str]()
    targets = dict(zip(large.sensors, large.jobs.values(), strict=True))
    for name in large.sensors:
        runs = deployed.stores.runs.list_by_sensor(name, 5)
        statuses.update(each.status.value for each in runs)
        if runs and all(_is_settled(each, targets[name]) for each in runs):
            settled.add(name)
    return settled, statuses


def _is_settled(found: Run, target: str) -> bool:
    """Where nobody can be asked, a run stays STARTED until whoever does the work reports its end."""
    wanted = DagsterRunStatus.STARTED if target in UNANSWERING else DagsterRunStatus.SUCCESS
    return found.status is wanted


def deploy(large: Large, endpoint: str, report: Report) -> Deployed:
    """Build and deploy the engine and the project, and wait until each sensor has started a run."""
    with report.timed("build the engine and the project (sam build)"):
        stack.build_engine(endpoint)
        stack.build(endpoint, large.path)
    job_targets.create(endpoint, {**large.jobs, "process_large_file": "step_functions"})
    with report.timed("deploy the engine (sam deploy)"):
        stack.deploy_engine(endpoint)
    with report.timed("deploy the project (sam deploy)"):
        stack.deploy(endpoint, large.path, ["--stack-name", STACK])
    deployed = Deployed.at(endpoint, STACK)
    with report.timed("the engine's copy of the registry has all sensors and jobs") as said:
        registry = deployed.stores.registry
        awaited(lambda: set(registry.read().sensors), {*large.sensors, *SHIPPED}, "sensors")
        awaited(lambda: set(registry.read().jobs), set(large.jobs), "jobs")
        said.append(f"{len(registry.read().sensors)} sensors, {len(registry.read().jobs)} jobs")
    with report.timed("each sensor has a successful tick"):
        awaited(lambda: ticked(deployed, large), set(large.sensors), "sensors' ticks")
    with report.timed("each sensor's run is started, and ended where its service announces that") as said:
        awaited(lambda: under_way(deployed, large)[0], set(large.sensors), "sensors' runs")
        said += [f"{number} {status}" for status, number in sorted(under_way(deployed, large)[1].items())]
    return deployed


def examine(deployed: Deployed, large: Large, report: Report) -> None:
    """The doctor, the list of sensors, and the console's first page."""
    with report.timed("treadle doctor") as said:
        done = run("doctor", "--stack", STACK, "--json")
        findings = json.loads(done.stdout) if done.stdout.startswith("[") else []
        problems = [each for each in findings if each["severity"] != "ok"]
        said.append(f"exit status {done.exit_code}, {len(problems)} problems")
    report.expect(done.exit_code == 0 and bool(findings), f"doctor: {done.output[-3000:]}")
    report.wrong += [f"doctor: {each['check']} {each['subject']}: {each['says']}" for each in problems]
    with report.timed("treadle sensor list") as said:
        done = run("sensor", "list", "--stack", STACK, "--json")
        listed = json.loads(done.stdout) if done.exit_code == 0 else []
        said.append(f"{len(listed)} sensors")
    report.expect(
        {each["name"] for each in listed} == {*large.sensors, *SHIPPED}, f"sensor list: {done.output[-500:]}"
    )
    parts = operator_parts(STACK)
    console = Client(
        Console(lambda: parts, StaticTokenAuth(TOKEN, Caller(ANN, Role.OPERATOR)), SystemClock())
    )
    with report.timed("console: the page, and the overview that it shows first") as said:
        page, overview = console.get("/"), console.get("/api/overview")
        said.append(f"{len(overview.text) / 1000:.0f} KB")
    report.expect(
        (page.status, overview.status) == (200, 200), f"console: {page.status}, {overview.text[:300]}"
    )


def main() -> int:
    """Entry point of `python -m benchmarks.large`; 1 if something is not as promised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the table into docs/scale.md")
    options = parser.parse_args()
    report = Report()
    event_kinds = sorted(set(SENSOR_KINDS) - {"schedule"})
    with tempfile.TemporaryDirectory(prefix="treadle-large-") as folder:
        projects = []
        for what, kinds, number in (("polling", ["schedule"], POLLING), ("event", event_kinds, EVENT)):
            with report.timed(f"treadle new, {number} {what} sensors and {number} jobs"):
                projects.append(write(Path(folder) / what, kinds, number))
            with report.timed(f"sam validate --lint, {number} {what} sensors"):
                lint(projects[-1])
            with report.timed(f"after the SAM transform, {number} {what} sensors and {number} jobs") as said:
                said.append(count(projects[-1], report))
        large = projects[0]
        running(large.path, *large.sensors)
        with temporary_cloud() as cloud, pointing_at(cloud.endpoint):
            deployed = deploy(large, cloud.endpoint, report)
            # As an operator who wants alerts: without a subscription, the doctor warns.
            with deployed.subscribed_to("Alerts"):
                examine(deployed, large, report)
            deployed.close()
    print(report.table())
    for each in report.wrong:
        print(f"not as promised: {each}")
    if options.write and not report.wrong:
        PAGE.write_text(with_deployed(PAGE.read_text(), report.table()))
    return 1 if report.wrong else 0


if __name__ == "__main__":
    run_tool(main)
