"""One local cloud with IAM enforced, and one deployment on it, for all tests of a session."""

from collections.abc import Iterator

import boto3
import pytest

from tests.e2e.deployment import JOB, Deployed, edit, pointing_at
from tests.e2e.following import deploy_sensors_of_runs
from tools import stack
from tools.local_cloud import temporary_cloud
from tools.project_copy import copy_of_project
from treadle.adapters import clients

EDITS = {
    "TREADLE_INTERVAL_SECONDS: '300'": "TREADLE_INTERVAL_SECONDS: '60', TREADLE_S3_START_FROM: beginning",
    '"interval":"300"': '"interval":"60"',
}
"""Each minute is a tick's, and what tests have stored before the first one counts."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test's time includes the build, which on a fresh machine downloads packages."""
    for item in items:
        if "/e2e/" in item.path.as_posix() and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """The engine and the project, as `make up` deploys them but for the edits; schedules rest unless a test wakes one."""
    project = copy_of_project(tmp_path_factory.mktemp("project"))
    edit(project / "template.yaml", EDITS)
    with temporary_cloud() as cloud, pointing_at(cloud.endpoint):
        stack.build_engine(cloud.endpoint)
        # What `make invoke` runs is the repository's own build.
        stack.build(cloud.endpoint)
        stack.build(cloud.endpoint, project)
        stack.deploy_engine(cloud.endpoint)
        stack.deploy(cloud.endpoint, project)
        made = Deployed.at(cloud.endpoint)
        made.schedule(enabled=False)
        # Tests make runs and ticks that seem lost, and look at what one RECONCILE makes of them.
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
