"""One local cloud with IAM enforced, and one deployment on it, for all tests of a process.

Two processes share the tests, each with a cloud of its own. One runs the modules that need no further stack, the other
those that deploy some; whichever is done first takes over modules of the other, as both have nothing else on their clouds.
"""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.e2e.deployment import JOB, Deployed, edit, pointing_at
from tests.e2e.job_chain import deploy_sensors_of_runs
from tools import stack
from tools.local_cloud import temporary_cloud
from tools.project import RUN
from tools.project_copy import copy_of_project
from treadle.adapters import clients

EDITS = {
    "TREADLE_INTERVAL_SECONDS: '300'": "TREADLE_INTERVAL_SECONDS: '60', TREADLE_S3_START_FROM: beginning",
    '"interval":"300"': '"interval":"60"',
}
"""Each minute is a tick's, and what tests have stored before the first one counts."""


WITH_FURTHER_STACKS = (
    "test_move",
    "test_project_layer",
    "test_engine_takeover",
    "test_moved_job",
    "test_job_targets",
    "test_previous_contract",
    "test_runs",
    "test_second_project",
)
"""Modules that build and deploy stacks of their own, more than half of the time: those that take longest first."""


WITH_SENSORS_OF_RUNS = {"test_batches": "test_runs"}
"""Modules that use the stack of another one."""


def group(module: str) -> str:
    """Return the group of a module, whose tests are run by one process."""
    module = WITH_SENSORS_OF_RUNS.get(module, module)
    return module if module in WITH_FURTHER_STACKS else "one stack"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the groups; the first test's time includes the build, which on a fresh machine downloads packages."""
    ours = [item for item in items if "/e2e/" in item.path.as_posix()]
    for item in ours:
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(600))
    if len(ours) == len(items):
        order = ("one stack", *WITH_FURTHER_STACKS)
        items.sort(key=lambda item: order.index(group(item.path.stem)))


class Groups(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """Each group's tests in one process, in order."""

    def _split_scope(self, nodeid: str) -> str:
        return group(Path(nodeid.partition("::")[0]).stem)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups | None:
    """Replace xdist's own `loadgroup`, whose groups pytest 9.2 does not see."""
    if config.getoption("dist") != "loadgroup":
        return None
    config.option.loadscopereorder = False  # By the number of tests.
    return Groups(config, log)


@contextmanager
def building(once: Path) -> Iterator[bool]:
    """No other process of this checkout builds meanwhile.

    Args:
        once: the folder of this run of all tests; what has been built for it is not built again.

    Yields:
        Whether there is something to build.
    """
    RUN.mkdir(parents=True, exist_ok=True)
    with (RUN / "building.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = once / "built"
        yield not done.exists()
        done.touch()


@pytest.fixture(scope="session")
def build_once(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Callable[[str], None]:
    """Builds the repository's engine and project, given a cloud's URL, unless another process of this run has built them."""
    folder = tmp_path_factory.getbasetemp()
    # Processes that share the tests have folders beside one another.
    once = folder.parent if hasattr(request.config, "workerinput") else folder

    def build(endpoint: str) -> None:
        with building(once) as needed:
            if needed:
                stack.build_engine(endpoint)
                # What `make invoke` runs is the repository's own build; copies of the project take its layers over.
                stack.build(endpoint)

    return build


@pytest.fixture(scope="session")
def deployed(
    tmp_path_factory: pytest.TempPathFactory, build_once: Callable[[str], None]
) -> Iterator[Deployed]:
    """The engine and the project, as `make up` deploys them but for the edits; schedules rest unless a test wakes one."""
    project = copy_of_project(tmp_path_factory.mktemp("project"))
    edit(project / "template.yaml", EDITS)
    with temporary_cloud() as cloud, pointing_at(cloud.endpoint):
        build_once(cloud.endpoint)
        stack.build(cloud.endpoint, project)
        stack.deploy_engine(cloud.endpoint)
        stack.deploy(cloud.endpoint, project)
        made = Deployed.at(cloud.endpoint)
        made.schedule(enabled=False)
        # Tests make runs and ticks that seem lost, and check the result of one RECONCILE.
        made.schedule("Reconcile", enabled=False)
        made.knows_jobs(JOB)
        yield made
        made.close()


@pytest.fixture(scope="session")
def following(deployed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """A second stack on the same cloud: sensors of runs, as `treadle new sensor` writes them, and their jobs."""
    made = deploy_sensors_of_runs(deployed.endpoint, tmp_path_factory.mktemp("following"))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def own_clients() -> Iterator[None]:
    """No client or credentials are shared with tests of other folders, should they run in this process."""
    _forget_clients()
    yield
    _forget_clients()


def _forget_clients() -> None:
    boto3.DEFAULT_SESSION = None
    clients.forget()
