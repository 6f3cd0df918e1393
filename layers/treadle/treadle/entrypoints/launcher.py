"""LAUNCH as a Lambda handler: the launch queue."""

import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

from treadle.adapters.targets.registry import LazyTargets
from treadle.adapters.targets.roles import sts
from treadle.bootstrap.engine import assembly
from treadle.bootstrap.inbox import Inbox
from treadle.bootstrap.settings import Settings
from treadle.engine.invocation_batch import InvocationBatch
from treadle.engine.launch.launcher import Launcher
from treadle.engine.lazy import lazy
from treadle.engine.messages import LaunchRequest
from treadle.engine.outcomes import Outcome
from treadle.engine.registry.registry_cache import RegisteredJobs
from treadle.entrypoints.handler import Handler, instrumented, process_queue, remaining_seconds, report
from treadle.ports.system import BlobStore

LAUNCH_WORKERS = 5
"""How many runs of a batch LAUNCH starts concurrently, as it mostly waits for DynamoDB and for targets."""


def launcher_parts(environment: Mapping[str, str]) -> tuple[Launcher, Inbox]:
    """Create LAUNCH's objects.

    Raises:
        SettingsError: with all problems at once.
    """
    settings = Settings(environment)
    inbox = Inbox.of("launch", settings, "TREADLE_LAUNCH_QUEUE_URL")
    bucket = settings.text("TREADLE_OUTCOMES_BUCKET")

    def blobs() -> BlobStore:
        # Imported here, as most run configs are small.
        from treadle.adapters.blobs import S3BlobStore

        return S3BlobStore(bucket)

    engine = assembly(settings, lazy(blobs))
    jobs, targets = RegisteredJobs(engine.registry), LazyTargets("launch")
    return engine.launcher(inbox.queue, jobs, targets, workers=LAUNCH_WORKERS), inbox


def launcher() -> Handler:
    """Return the handler of LAUNCH, for the launch queue."""
    parts = functools.cache(lambda: launcher_parts(os.environ))

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        launch, inbox = parts()

        def start(requests: Sequence[LaunchRequest]) -> list[Outcome | Exception]:
            return launch.launch_many(requests, remaining_seconds(context))

        batch = InvocationBatch(start)

        def handle(request: LaunchRequest) -> None:
            report(batch.result(request), step="launch", run_id=request.run_id, job=request.job)

        parse = LaunchRequest.from_json
        return process_queue(event, handle, inbox, parse, batch.begin, kept_in_tables=True)

    return instrumented(handler, parts, sts)
