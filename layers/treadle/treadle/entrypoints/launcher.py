"""LAUNCH as a Lambda handler: the launch queue."""

import functools
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from treadle.adapters.targets.registry import LazyTargets
from treadle.adapters.targets.roles import sts
from treadle.bootstrap.engine import assembly
from treadle.bootstrap.inbox import Inbox
from treadle.bootstrap.preparation import prepare
from treadle.bootstrap.settings import Settings
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
    return engine.launcher(inbox.queue, RegisteredJobs(engine.registry), LazyTargets("launch")), inbox


def launcher() -> Handler:
    """Return the handler of LAUNCH, for the launch queue."""
    parts = functools.cache(lambda: launcher_parts(os.environ))
    prepare(parts, sts)

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        launch, inbox = parts()

        def start(request: LaunchRequest) -> Outcome:
            return launch.launch(request, remaining_seconds(context))

        with ThreadPoolExecutor(LAUNCH_WORKERS, "launch") as pool:
            begun: dict[LaunchRequest, Future[Outcome]] = {}

            def begin(requests: Sequence[LaunchRequest]) -> None:
                begun.update({each: pool.submit(start, each) for each in dict.fromkeys(requests)})

            def handle(request: LaunchRequest) -> None:
                # A duplicate message is launched again, after the first one.
                outcome = begun.pop(request).result() if request in begun else start(request)
                report(outcome, step="launch", run_id=request.run_id, job=request.job)

            parse = LaunchRequest.from_json
            return process_queue(event, handle, inbox, parse, begin, kept_in_tables=True)

    return instrumented(handler)
