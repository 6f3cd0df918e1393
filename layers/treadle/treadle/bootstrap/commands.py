"""The objects that execute operators' commands in RECONCILE."""

from collections.abc import Mapping
from typing import Any

from treadle.adapters.health.job_targets import check_target
from treadle.adapters.queues import SqsQueue
from treadle.adapters.targets.registry import LazyTargets
from treadle.adapters.targets.roles import Roles
from treadle.bootstrap.engine import assembly
from treadle.bootstrap.settings import Settings
from treadle.engine.identity import RunIds
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
    launches = SqsQueue(settings.text("TREADLE_LAUNCH_QUEUE_URL"))
    engine = assembly(settings)
    stores, jobs, roles = engine.stores, engine.jobs(), Roles(SESSION)

    def check(job: JobSettings) -> dict[str, Any]:
        return check_target(job, roles)

    runs = RunOperations(
        stores.runs,
        stores.sensors,
        launches,
        jobs,
        LazyTargets(SESSION),
        RunIds.of(engine.namespace),
        engine.clock,
    )
    return Commands(runs, jobs, check, engine.registry.forget)
