"""The objects that execute operators' commands in RECONCILE."""

from collections.abc import Mapping
from typing import Any

from treadle.adapters.dynamodb.tables import DynamoStores
from treadle.adapters.health.job_targets import check_target
from treadle.adapters.queues import SqsQueue
from treadle.adapters.system import RandomTokens, SystemClock
from treadle.adapters.targets.registry import LazyTargets
from treadle.adapters.targets.roles import Roles
from treadle.bootstrap.settings import Settings
from treadle.engine.identity import RunIds
from treadle.engine.registry.registry_cache import CachedRegistry, RegisteredJobs
from treadle.model.targets import JobSettings
from treadle.operate.commands import Commands
from treadle.operate.runs import RunOperations

SESSION = "reconcile"
"""The session name under which RECONCILE assumes the roles of jobs."""


def command_parts(environment: Mapping[str, str]) -> Commands:
    """Create what executes operators' commands in RECONCILE.

    Raises:
        SettingsError: with all problems at once.
    """
    settings = Settings(environment)
    tables, namespace = settings.tables(), settings.text("TREADLE_NAMESPACE")
    launches = settings.text("TREADLE_LAUNCH_QUEUE_URL")
    settings.check()
    stores, roles, clock = DynamoStores(tables, RandomTokens()), Roles(SESSION), SystemClock()
    registry = CachedRegistry(stores.registry, clock)
    jobs = RegisteredJobs(registry)

    def check(job: JobSettings) -> dict[str, Any]:
        return check_target(job, roles)

    runs = RunOperations(
        stores.runs,
        stores.sensors,
        SqsQueue(launches),
        jobs,
        LazyTargets(SESSION),
        RunIds.of(namespace),
        clock,
    )
    return Commands(runs, jobs, check, registry.forget)
