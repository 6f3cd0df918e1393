"""A queue and two targets that processes share in a directory: each step is one atomic file operation."""

import json
import os
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from treadle.definitions.errors import LaunchDelayedError, LaunchRejectedError, LaunchUncertainError
from treadle.definitions.status import DagsterRunStatus
from treadle.model.targets import Execution, JobSettings, Listed, Start, StartContract

DAY_MS = 86_400_000


def now_ms() -> int:
    """Return the time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def append(path: Path, *values: object) -> None:
    """Append a line to a file; lines of other processes never mix with it."""
    line = " ".join(map(str, values)) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def lines(path: Path) -> list[list[str]]:
    """Return the values of each line of a file; none if there is no such file."""
    return [line.split(" ") for line in path.read_text().splitlines()] if path.exists() else []


@dataclass(frozen=True, slots=True)
class DirectoryQueue:
    """An at-least-once queue; a message is a file whose name has the time from which it is visible.

    Args:
        folder: of the messages.
        visibility_ms: for how long a received message is hidden from others.
        doubled: the fraction of the messages that arrive twice.
    """

    folder: Path
    visibility_ms: int = 3_000
    doubled: float = 0.1

    def send(self, bodies: list[Mapping[str, object]], *, delay_seconds: int | list[int] = 0) -> None:
        """Send the messages, some of them twice."""
        delays = delay_seconds if isinstance(delay_seconds, list) else [delay_seconds] * len(bodies)
        for body, delay in zip(bodies, delays, strict=True):
            for _ in range(1 + (random.random() < self.doubled)):
                name = uuid4().hex
                draft = self.folder / f"draft-{name}"
                draft.write_text(json.dumps(body))
                draft.rename(self.folder / f"{now_ms() + delay * 1000:015d}.{name}")

    def receive(self) -> tuple[Path, dict[str, object]] | None:
        """Receive any visible message with its receipt, and hide it; None if there is none."""
        now = now_ms()
        names = [name for name in self._names() if int(name[:15]) <= now]
        if not names:
            return None
        name = random.choice(names)
        receipt = self.folder / f"{now + self.visibility_ms:015d}.{name[16:]}"
        try:
            (self.folder / name).rename(receipt)
            body: dict[str, object] = json.loads(receipt.read_text())
        except FileNotFoundError:
            return None  # Another process was faster.
        return receipt, body

    def delete(self, receipt: Path) -> None:
        """Delete a message, unless it has become visible again meanwhile."""
        receipt.unlink(missing_ok=True)

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> list[str]:
        return [path.name for path in self.folder.iterdir() if not path.name.startswith("draft-")]


class SharedTarget:
    """A target whose executions are files or lines of one; some responses are lost, some starts are delayed.

    Args:
        folder: of the executions.
        is_named: whether the launch id is a token; otherwise executions are listed, with a lag.
        listing_lag_ms: how long a listing does not show an execution.
        failure_rate: the fraction of the calls that are delayed, and of those whose response is lost.
    """

    def __init__(self, folder: Path, *, is_named: bool, listing_lag_ms: int, failure_rate: float) -> None:
        self._started = folder / "started"
        self._queried = folder / "queries"
        self._names = folder / "names"
        self._names.mkdir(parents=True, exist_ok=True)
        self._is_named = is_named
        self._lag = listing_lag_ms
        self._failure_rate = failure_rate

    @property
    def contract(self) -> StartContract:
        """A token that is valid for a long time, or a listing that shows all."""
        return StartContract(token_ms=90 * DAY_MS if self._is_named else None, listing_ms=90 * DAY_MS)

    def prepare(self, settings: JobSettings) -> None:
        """Prepare nothing, and fail now and then."""
        del settings
        if random.random() < self._failure_rate:
            msg = "Too many requests for credentials at the moment."
            raise LaunchDelayedError(msg)

    def start(self, start: Start) -> Execution:
        """Start, unless there is a token and an execution was started with it."""
        if random.random() < self._failure_rate:
            msg = "Too many starts at the moment."
            raise LaunchDelayedError(msg)
        if not self._is_named:
            append(self._started, start.launch_id, now_ms())
        elif not self._take_name(start.launch_id):
            append(self._queried, start.launch_id, "again")
        if random.random() < self._failure_rate:
            msg = "The connection was closed."
            raise LaunchUncertainError(msg)
        return self._execution(start.launch_id)

    def resolve(self, start: Start) -> Execution | None:
        """Return the execution in the listing."""
        until = now_ms() - self._lag
        found = any(
            values[0] == start.launch_id and int(values[1]) <= until for values in lines(self._started)
        )
        append(self._queried, start.launch_id, "found" if found else "unseen")
        return self._execution(start.launch_id) if found else None

    def describe(self, external_id: str, role: str = "") -> Execution:
        """Return an execution that is running, always."""
        return self._execution(external_id)

    def recent(self, settings: JobSettings, since: int) -> Iterator[Listed]:
        """Raise an error: there is no listing of external runs."""
        del since
        raise LaunchRejectedError(settings.arn)

    def cancel(self, external_id: str, role: str = "", reason: str = "") -> None:
        """Refuse to cancel.

        Raises:
            LaunchRejectedError: always.
        """
        raise LaunchRejectedError(external_id)

    def started(self) -> list[str]:
        """Return the launch ids of all executions, each as often as it was started."""
        if self._is_named:
            return [path.name for path in self._names.iterdir()]
        return [values[0] for values in lines(self._started)]

    def queried(self) -> list[str]:
        """Return the result of each call that started nothing, and of each listing."""
        return [values[1] for values in lines(self._queried)]

    def _take_name(self, launch_id: str) -> bool:
        try:
            os.close(os.open(self._names / launch_id, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def _execution(self, launch_id: str) -> Execution:
        return Execution(launch_id, "shared", DagsterRunStatus.STARTED, now_ms())
