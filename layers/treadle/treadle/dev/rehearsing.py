"""Rehearses recorded ticks with a project's code, in this process."""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import treadle
from treadle.adapters.blobs import S3BlobStore
from treadle.adapters.system import RandomTokens
from treadle.adapters.tick_files import TickSource
from treadle.bootstrap.inbox import Inbox
from treadle.bootstrap.settings import Settings
from treadle.definitions.bounds import shown
from treadle.definitions.errors import CommandRefusedError, TreadleError
from treadle.definitions.run_status_contexts import RunFailureSensorContext
from treadle.definitions.sensors import SensorDefinition
from treadle.dev.config import NAME as CONFIG
from treadle.dev.config import read_config
from treadle.dev.loading import find_modules, sensor_handler
from treadle.dev.template import FUNCTIONS, SHARED, TEMPLATE, local_environment, read_template
from treadle.engine.assembly import Assembly, Stores
from treadle.engine.identity import RunIds
from treadle.engine.rehearsal.past import PastStores
from treadle.engine.rehearsal.recorded import RecordedTick
from treadle.engine.rehearsal.rehearser import PastClock, Rehearsal, Rehearser
from treadle.engine.rehearsal.unrecorded import Unrecorded, UnrecordedObject
from treadle.entrypoints.evaluator import Infrastructure
from treadle.integrations.alerts import channels
from treadle.integrations.s3.definition import S3SensorDefinition
from treadle.testing.blobs import BUCKET

if TYPE_CHECKING:
    from treadle.entrypoints.evaluator import EvaluatorParts

_OF_DEPLOYMENT = (
    "TREADLE_ENGINE_ID",
    "TREADLE_GRANTED_JOBS",
    "TREADLE_HOURS",
    "TREADLE_KIND",
    "TREADLE_PROJECT",
    "TREADLE_QUEUE_URL",
)
"""Variables of the deployed function that say nothing about what it evaluates, or that the code may have outdated."""


class _Past(Infrastructure):
    """The stores, the clock and the bucket of a rehearsal.

    Args:
        source: where the ticks are from.
        stores: the deployment's; None if only ticks are at hand.
    """

    def __init__(self, source: TickSource, stores: Stores | None) -> None:
        self._namespace = source.namespace
        self.unrecorded = Unrecorded()
        self.past = PastStores(stores, self.unrecorded)
        self.clock = PastClock(time.monotonic)

    def configured(self, definition: SensorDefinition, environment: Mapping[str, str]) -> SensorDefinition:
        definition = definition.configured(environment)
        if isinstance(definition, S3SensorDefinition):
            bucket = UnrecordedObject(self.unrecorded, "what the bucket contained then")
            return definition.with_lister(cast("Any", bucket), self.clock.now, lambda: None)
        return definition

    def inbox(self, origin: str, settings: Settings, *, is_needed: bool) -> Inbox:
        del settings, is_needed
        none = cast("Any", UnrecordedObject(self.unrecorded, "the sensor's queue"))
        return Inbox(origin, none, none)

    def assembly(self, settings: Settings) -> Assembly:
        settings.check()
        # Only for addresses: a rehearsal stores nothing.
        self.past.blobs = S3BlobStore(settings.text("TREADLE_OUTCOMES_BUCKET", BUCKET))
        return Assembly(self.past, self.clock, RandomTokens(), self._namespace)


def rehearsed(
    root: Path,
    parse: Callable[[str], Mapping[str, Any]],
    source: TickSource,
    ticks: Iterable[RecordedTick],
    stores: Stores | None,
) -> Iterator[Rehearsal]:
    """Yield the result of each tick with the project's code. Nothing is committed, and no alert is sent.

    Args:
        root: the project's folder.
        parse: parses its template, with functions in their long form.
        source: where the ticks are from.
        ticks: the ticks, oldest first.
        stores: the deployment's; None if only ticks are at hand.

    Raises:
        CommandRefusedError: if the project has no such sensor, or its module cannot be imported.
        SettingsError: if the template does not configure it.
        StoreError: if a store did not answer.
    """
    folder = root / FUNCTIONS / source.sensor
    if not (folder / "app.py").is_file():
        msg = f"{root} has no {FUNCTIONS}/{source.sensor}/app.py. Run the command in the sensor's project, or give --root."
        raise CommandRefusedError(msg)
    config = read_config(root / CONFIG)
    template = read_template(root / TEMPLATE, parse, config.parameters)
    deployed = {name: value for name, value in source.settings.items() if name not in _OF_DEPLOYMENT}
    environment = {
        **local_environment(template, folder.relative_to(root).as_posix()),
        **deployed,
        "TREADLE_NAMESPACE": source.namespace,
    }
    recorded = iter(ticks)
    with _function(folder, root / SHARED, environment):
        infrastructure = _Past(source, stores)
        parts = _parts(source.sensor, infrastructure)
        rehearser = Rehearser(
            parts.sensor,
            infrastructure.past,
            infrastructure.clock,
            infrastructure.unrecorded,
            RunIds.of(source.namespace),
            parts.time_zone,
            template.timeout,
        )
        for tick in recorded:
            # What the code prints is no result of the command.
            with redirect_stdout(sys.stderr), _without_log():
                found = rehearser.rehearse(tick)
            yield found


def _parts(name: str, infrastructure: Infrastructure) -> "EvaluatorParts":
    try:
        with redirect_stdout(sys.stderr):
            parts = sensor_handler().on(infrastructure).parts()
    except TreadleError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        msg = (
            f"{FUNCTIONS}/{name}/app.py cannot be loaded: {type(error).__name__}: {shown(error)}. Correct it."
        )
        raise CommandRefusedError(msg) from error
    if parts.name != name:
        msg = f"{FUNCTIONS}/{name}/app.py defines sensor {parts.name}, not {name}. Rename one of them."
        raise CommandRefusedError(msg)
    return parts


@contextmanager
def _function(folder: Path, shared: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Let this process be the one of a function; restore it afterwards."""
    variables, path, modules, place = dict(os.environ), list(sys.path), set(sys.modules), Path.cwd()
    writes_none, deliver = sys.dont_write_bytecode, channels.deliver
    try:
        os.environ.update(environment)
        os.chdir(folder)
        find_modules(folder, shared)
        channels.deliver = _keep_alert
        yield
    finally:
        channels.deliver = deliver
        sys.dont_write_bytecode = writes_none
        os.chdir(place)
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            file = getattr(sys.modules[name], "__file__", None)
            if file is not None and any(map(Path(file).is_relative_to, (folder, shared))):
                del sys.modules[name]
        os.environ.clear()
        os.environ.update(variables)


@contextmanager
def _without_log() -> Iterator[None]:
    """Write no lines of the sensor's log, as the function does to its log group."""
    library = logging.getLogger(treadle.__name__)
    handlers = library.handlers
    library.handlers = [logging.NullHandler()]
    try:
        yield
    finally:
        library.handlers = handlers


def _keep_alert(channel: channels.Channel, context: RunFailureSensorContext) -> str:
    """Send no alert."""
    del context
    return f"The alert for {channel.name} is not sent in a rehearsal."
