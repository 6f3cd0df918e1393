"""A project under `treadle dev`: its functions are loaded, watched, loaded again, and triggered."""

import json
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from treadle.definitions.errors import SettingsError, TreadleError
from treadle.dev.buckets import FolderBuckets, object_event
from treadle.dev.config import NAME as CONFIG
from treadle.dev.config import read_config
from treadle.dev.engine import LocalEngine, LocalSensor
from treadle.dev.functions import SensorFunction, Zygote
from treadle.dev.lines import Line, logged
from treadle.dev.messages import STORES, Load
from treadle.dev.state import NAME as STATE_FILE
from treadle.dev.state import read_state, write_state
from treadle.dev.template import FUNCTIONS, SHARED, TEMPLATE, Template, local_environment, read_template
from treadle.dev.watch import Snapshot, snapshot
from treadle.engine.outcomes import Decision, Outcome
from treadle.testing.stores import InMemoryStores

WATCH_SECONDS = 0.2
SAVE_MS = 10_000
"""How often state is saved that the next start continues: a process that is killed loses what happened since."""

STATE = ".treadle"
"""The folder, in the project's, of what belongs to `treadle dev`; no part of the project."""

_QUIET = {Decision.DUPLICATE, Decision.NOT_DUE, Decision.STOPPED}
_LOADERS = 8


class DevProject:
    """A project under `treadle dev`.

    Args:
        root: its folder.
        parse: parses the text of its template.
        buckets: the folders of buckets, by name; those of dev.toml are added.
        say: takes each line for the terminal.
        zygote: starts the functions' processes; it is ended with the project.
        keeps: whether the state is that of the last start, and is saved for the next one.

    Attributes:
        engine: the engine.
        buckets: the buckets.
    """

    def __init__(
        self,
        root: Path,
        parse: Callable[[str], Mapping[str, Any]],
        buckets: Mapping[str, Path],
        say: Callable[[Line], object],
        zygote: Zygote,
        *,
        keeps: bool = False,
    ) -> None:
        self.root = root
        self._keeps = keeps
        self._parse = parse
        self._say = say
        self._config = read_config(root / CONFIG)
        self._template = self._read_template()
        self._zygote = zygote
        self._stopped = threading.Event()
        self._loaders = ThreadPoolExecutor(_LOADERS)
        self._seen: dict[Path, Snapshot] = {}
        self._environments: dict[Path, Mapping[str, str]] = {}
        self._address = ""
        saved = read_state(self.state / STATE_FILE) if keeps else None
        snapshot = saved.engine if saved else None
        self.engine = LocalEngine(InMemoryStores(), lambda: self._config.jobs, root, self._report, snapshot)
        self.buckets = FolderBuckets(self.engine.clock)
        # Of saved state, when it began: objects that were stored since then are new to a sensor.
        self._started_at = saved.started_at if saved else self.engine.clock.now()
        self._saved_at = self.engine.clock.now()
        self._threads = [
            threading.Thread(target=task, daemon=True) for task in (self.engine.run, self._watch)
        ]
        for name, folder in self._config.buckets.items():
            self.buckets.add(name, root / folder)
        for name, path in buckets.items():
            self.buckets.add(name, path)

    @property
    def state(self) -> Path:
        """Return the folder of what belongs to `treadle dev`."""
        return self.root / STATE

    @property
    def _place(self) -> Path:
        return self.state / "dev.json"

    def start(self) -> None:
        """Load all functions, and run the engine."""
        self._register()
        if self._template.unknown_parameters:
            names = ", ".join(self._template.unknown_parameters)
            self._say(Line(CONFIG, f"template.yaml has no parameter {names}", is_problem=True))
        self._note_all()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End all processes."""
        self._stopped.set()
        self.engine.stop()
        self._loaders.shutdown(wait=False, cancel_futures=True)
        self._zygote.close()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        if self._keeps:
            self._save()
        self._place.unlink(missing_ok=True)

    def _watch(self) -> None:
        while not self._stopped.is_set():
            try:
                self._note_all()
                for event in self.buckets.poll():
                    stored = event.object
                    self._say(Line(f"s3://{stored.bucket}/{stored.key}", f"stored, {stored.size} bytes"))
                    self.engine.send(object_event(event))
                if self._keeps and self.engine.clock.now() - self._saved_at > SAVE_MS:
                    self._save()
            except Exception as error:  # noqa: BLE001 - the next change is to be noticed
                self._fail("treadle dev", error)
            self._stopped.wait(WATCH_SECONDS)

    def _save(self) -> None:
        write_state(self.state / STATE_FILE, self._started_at, self.engine.snapshot())
        self._saved_at = self.engine.clock.now()

    def _note_all(self) -> None:
        """Load the functions whose code or environment has changed, or that are new; forget those that are gone."""
        if self._has_changed(self.root / CONFIG):
            self._read_again(self._take_config)
        if self._has_changed(self.root / TEMPLATE):
            self._read_again(self._take_template)
        is_shared = self._has_changed(self.root / SHARED)
        folders = {each.parent for each in (self.root / FUNCTIONS).glob("*/app.py")}
        for folder in sorted(folders):
            if self._has_changed(folder) or is_shared:
                self._load(folder)
        for name in self.engine.sensors.keys() - {folder.name for folder in folders}:
            self._seen.pop(self.root / FUNCTIONS / name, None)
            self.engine.sensors.pop(name).function.close()
            self._say(Line(name, "removed"))

    def _fail(self, subject: str, error: Exception) -> None:
        if not self._stopped.is_set():
            self._say(Line(subject, f"{type(error).__name__}: {error}", is_problem=True))

    def _has_changed(self, place: Path) -> bool:
        before, found = self._seen.get(place), snapshot(place)
        self._seen[place] = found
        return before != found

    def _read_again(self, take: Callable[[], object]) -> None:
        try:
            take()
        except TreadleError as error:
            self._say(Line("treadle dev", f"{error} The former contents still apply.", is_problem=True))

    def _take_config(self) -> None:
        config = read_config(self.root / CONFIG)
        if config != self._config:
            self._config = config
            self._say(Line(CONFIG, "read again: buckets take effect at the next start"))
            self._take_template()

    def _take_template(self) -> None:
        self._template = self._read_template()
        self._register()
        for local in list(self.engine.sensors.values()):
            folder = local.function.folder
            try:
                is_changed = self._environments.get(folder) != self._environment(folder)
            except SettingsError:
                is_changed = True  # Loading it shows the reason.
            if is_changed:
                self._load(folder)

    def _register(self) -> None:
        """Register the template's jobs and pools."""
        for name in self._template.jobs():
            self.engine.add_job(name)
        for path, problem in self.engine.declare(self._template.entries()).items():
            self._say(Line("template.yaml", f"{path} is invalid: {problem}", is_problem=True))

    def _read_template(self) -> Template:
        return read_template(self.root / TEMPLATE, self._parse, self._config.parameters)

    def _environment(self, folder: Path) -> Mapping[str, str]:
        return local_environment(self._template, folder.relative_to(self.root).as_posix())

    def _load(self, folder: Path) -> None:
        name = folder.name
        if name not in self.engine.sensors:
            self.engine.sensors[name] = self._local_sensor(folder)
        self._loaders.submit(self._loaded, self.engine.sensors[name])

    def _local_sensor(self, folder: Path) -> LocalSensor:
        engine, queue = self.engine, self.engine.queue(folder.name)
        stores = {name: getattr(engine.stores, name) for name in STORES}
        objects = {**stores, "objects": self.buckets.objects, "queue": queue}
        objects["dead_letters"] = engine.dead_letters

        def load() -> Load:
            set_by_template = self._environments[folder] = self._environment(folder)
            return Load(folder, self.root / SHARED, {**os.environ, **set_by_template}, self._started_at)

        function = SensorFunction(
            *(self._zygote, folder, load, objects),
            *(self._template.timeout, engine.clock.now, self._on_line),
        )
        return LocalSensor(function, queue)

    def _loaded(self, local: LocalSensor) -> None:
        try:
            self._reload(local)
        except Exception as error:  # noqa: BLE001 - nobody waits for the result of a loader
            self._fail(local.function.name, error)

    def _reload(self, local: LocalSensor) -> None:
        function, is_first = local.function, local.function.loaded is None
        if not function.reload() or function.loaded is None:
            self._say(Line(function.name, f"does not load: {function.failure}", is_problem=True))
            return
        others = [each.function for each in list(self.engine.sensors.values()) if each is not local]
        for other in others:
            if other.loaded is not None and other.name == function.name:
                text = f"{function.folder} and {other.folder} define a sensor of this name. Rename one."
                self._say(Line(function.name, text, is_problem=True))
        for bucket in function.loaded.buckets:
            if bucket not in self.buckets.folders:
                self.buckets.add(bucket, self.state / "buckets" / bucket)
                self._write_state()
        self._say(Line(function.name, "loaded" if is_first else "reloaded"))
        self.engine.loaded(local)

    def serve_at(self, address: str) -> None:
        """Record where the console is served, for `treadle dev put`."""
        self._address = address
        self._write_state()

    def _write_state(self) -> None:
        folders = {name: str(folder.resolve()) for name, folder in self.buckets.folders.items()}
        self.state.mkdir(exist_ok=True)
        (self.state / ".gitignore").write_text("*\n")
        new = self.state / "dev.json.new"
        new.touch(mode=0o600)  # The address contains the console's token.
        new.write_text(json.dumps({"pid": os.getpid(), "address": self._address, "buckets": folders}))
        new.replace(self._place)

    def _on_line(self, function: SensorFunction, text: str) -> None:
        line = logged(function.name, text)
        if line is not None:
            self._say(line)

    def _report(self, step: str, subject: str, outcome: Outcome) -> None:
        if outcome.decision in _QUIET or self._stopped.is_set():
            return
        failed = outcome.decision is Decision.FAILURE
        self._say(Line(subject or step, f"{outcome.decision.value}: {outcome.reason}", failed))
