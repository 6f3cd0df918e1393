"""`make large`: creates a project of 60 polling sensors and 60 jobs of all target types, deploys and checks it.

Another one of 40 event sensors and 40 jobs is linted and counted. The sensors are deployed to a local cloud with IAM
enforced, RUNNING from the beginning, and each requests a run in its first tick. Operators' commands and the console
check the result.
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
"""The maximum seconds for the first tick of each sensor, and for the end of its run, on two processors."""

OPTIONS: Mapping[str, Sequence[str]] = {
    "s3": ("--bucket", "landing", "--prefix", "incoming/"),
    "run-status": ("--jobs", "extract,clean"),
    "run-failure": ("--jobs", "extract,clean"),
    "all-succeeded": ("--jobs", "extract,clean"),
    "deadline": ("--jobs", "extract"),
    "asset": ("--asset", "shop/orders"),
    "multi-asset": ("--asset", "shop/orders", "--asset", "prices"),
}
"""The options of `treadle new sensor` for each kind."""


@dataclass(slots=True)
class Report:
    """The results and durations of all steps.

    Attributes:
        lines: each step, with its seconds and its result.
        wrong: the failed expectations.
    """

    lines: list[tuple[str, float, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def timed(self, what: str) -> Iterator[list[str]]:
        """Measure a block, which appends its results to the list."""
        print(f"{what} …", file=sys.stderr, flush=True)
        began, said = time.monotonic(), list[str]()
        yield said
        self.lines.append((what, time.monotonic() - began, ", ".join(said)))

    def expect(self, is_so: bool, what: str) -> None:
        """Record a failed expectation, unless it is met."""
        if not is_so:
            self.wrong.append(what)

    def table(self) -> str:
        """Return all of it as text."""
        width = max(len(what) for what, _, _ in self.lines)
        return "\n".join(f"{what:{width}} {took:7.1f} s  {said}".rstrip() for what, took, said in self.lines)


@dataclass(frozen=True, slots=True)
class Large:
    """A project with many sensors.

    Attributes:
        path: its folder.
        sensors: the kind of each, by its name.
        jobs: the target of each, by its name.
    """

    path: Path
    sensors: Mapping[str, str]
    jobs: Mapping[str, str]


def write(folder: Path, kinds: Sequence[str], count: int) -> Large:
    """Write a copy of the project with more sensors, each with its own job.

    Args:
        folder: the destination.
        kinds: the kinds of the sensors, in turn.
        count: the number of sensors.
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
    """Run `sam validate --lint`, which runs cfn-lint.

    Raises:
        ToolError: with its findings.
    """
    command = [str(SAM), "validate", "--lint", "--template", str(large.path / "template.yaml")]
    environment = local_aws("http://127.0.0.1:9") | {"SAM_CLI_TELEMETRY": "0"}
    done = subprocess.run(
        command, cwd=large.path, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ToolError(f"sam validate --lint failed:\n{done.stdout}{done.stderr}")


def count(large: Large, report: Report) -> str:
    """Return the number of resources after SAM's transform, in total and at most for each kind."""
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
    """Return whether a resource belongs to a block: those of Watch10 do not belong to Watch1."""
    return logical_id.startswith(prefix) and not logical_id.removeprefix(prefix)[:1].isdigit()


def wait_for(query: Callable[[], set[str]], wanted: set[str], what: str, seconds: float = PATIENCE) -> None:
    """Wait until a query finds everything expected; retry a store that does not respond in time.

    Raises:
        ToolError: with the missing ones.
    """
    deadline = time.monotonic() + seconds
    while missing := wanted - _found(query):
        if time.monotonic() > deadline:
            shown = ", ".join(sorted(missing)[:10])
            raise ToolError(f"after {seconds:.0f} s {len(missing)} {what} are missing: {shown}.")
        time.sleep(1)


def _found(query: Callable[[], set[str]]) -> set[str]:
    try:
        return query()
    except StoreError:  # Many functions start at the same time, so the local cloud responds late.
        return set()


def ticked(deployed: Deployed, large: Large) -> set[str]:
    """Return the sensors that have a successful tick."""
    return {
        name
        for name in large.sensors
        if any(
            each.status is TickStatus.SUCCESS and each.requests
            for each in deployed.stores.ticks.latest(name, 5)
        )
    }


def under_way(deployed: Deployed, large: Large) -> tuple[set[str], Counter[str]]:
    """Return the sensors whose runs are settled, and the number of runs by status."""
    settled, statuses = set(), Counter[str]()
    targets = dict(zip(large.sensors, large.jobs.values(), strict=True))
    for name in large.sensors:
        runs = deployed.stores.runs.list_by_sensor(name, 5)
        statuses.update(each.status.value for each in runs)
        if runs and all(_is_settled(each, targets[name]) for each in runs):
            settled.add(name)
    return settled, statuses


def _is_settled(found: Run, target: str) -> bool:
    """Return whether a run is settled: of a fire-and-forget target it stays STARTED until a report."""
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
        wait_for(lambda: set(registry.read().sensors), {*large.sensors, *SHIPPED}, "sensors")
        wait_for(lambda: set(registry.read().jobs), set(large.jobs), "jobs")
        said.append(f"{len(registry.read().sensors)} sensors, {len(registry.read().jobs)} jobs")
    with report.timed("each sensor has a successful tick"):
        wait_for(lambda: ticked(deployed, large), set(large.sensors), "sensors' ticks")
    with report.timed("each sensor's run is started, and ended where its service announces that") as said:
        wait_for(lambda: under_way(deployed, large)[0], set(large.sensors), "sensors' runs")
        said += [f"{number} {status}" for status, number in sorted(under_way(deployed, large)[1].items())]
    return deployed


def examine(deployed: Deployed, large: Large, report: Report) -> None:
    """Check the doctor, the list of sensors, and the console's first page."""
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
    """Create, deploy and check the projects; return 1 if an expectation fails."""
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
            # The doctor warns about a topic without a subscription.
            with deployed.subscribed_to("Alerts"):
                examine(deployed, large, report)
            deployed.close()
    print(report.table())
    for each in report.wrong:
        print(f"failed: {each}")
    if options.write and not report.wrong:
        PAGE.write_text(with_deployed(PAGE.read_text(), report.table()))
    return 1 if report.wrong else 0


if __name__ == "__main__":
    run_tool(main)
