"""A project's functions, each in a process of its own."""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import treadle
from treadle.definitions.errors import DeploymentError, TreadleError
from treadle.dev.calls import Call, answered
from treadle.dev.messages import Failed, Invoke, Load, Loaded, Response
from treadle.model.deployment import LogLine

KEPT_LINES = 5_000
GRACE_SECONDS = 2
"""Time that an invocation has to end, after its timeout, or after a newer version of its function was saved."""

LOAD_SECONDS = 60
LIBRARY = str(Path(treadle.__file__).parents[1])
_numbers = itertools.count(1)


class Zygote:
    """Starts workers quickly, by forking a process that has imported what they need."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair()
        with theirs:
            # Appended, as a checkout is on no other path.
            code = (
                f"import sys; sys.path.append({LIBRARY!r}); "
                f"from treadle.dev.zygote import main; main({theirs.fileno()})"
            )
            # -P: a folder of the project that is called like a package must not hide it.
            # A session of its own: an interrupt of the terminal does not reach it, and it ends with all its workers.
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-P", "-c", code],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._lock = threading.Lock()

    def fork(self) -> tuple[int, Connection, int]:
        """Start a worker; return its process id, the connection to it, and its output."""
        ours, theirs = socket.socketpair()
        readable, writable = os.pipe()
        try:
            with self._lock:
                socket.send_fds(self._requests, [b"f"], [theirs.fileno(), writable])
                answer = self._requests.recv(8, socket.MSG_WAITALL)
        except OSError:
            answer = b""
        finally:
            theirs.close()
            os.close(writable)
        if not answer:
            ours.close()
            os.close(readable)
            msg = (
                "No function can be loaded: the process that loads them has ended. Start `treadle dev` again."
            )
            raise DeploymentError(msg)
        return int.from_bytes(answer, "big"), Connection(ours.detach()), readable

    def close(self) -> None:
        """End the process and all workers."""
        self._requests.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):  # It has ended.
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class _Worker:
    """A process that has loaded a function.

    Args:
        zygote: starts it.
        objects: what it calls, by name.
        print_line: takes each line of its output.
    """

    def __init__(
        self, zygote: Zygote, objects: Mapping[str, Any], print_line: Callable[[str], object]
    ) -> None:
        self._objects = objects
        self._print_line = print_line
        self._pid, self._connection, output = zygote.fork()
        self._reader = threading.Thread(target=self._read, args=(output,), daemon=True)
        self._reader.start()
        self.lock = threading.Lock()
        self.has_ended = False

    def load(self, load: Load) -> Loaded | Failed:
        """Load a function."""
        return cast("Loaded | Failed", self._answer(LOAD_SECONDS, load))

    def invoke(self, event: Mapping[str, Any], seconds: float) -> Response | Failed:
        """Execute one invocation."""
        return cast("Response | Failed", self._answer(seconds + GRACE_SECONDS, Invoke(event, seconds)))

    def _answer(self, seconds: float, message: Load | Invoke) -> Any:
        """Send a message, and answer the worker's calls until it returns its result."""
        ends_at = time.monotonic() + seconds
        try:
            self._connection.send(message)
            while self._connection.poll(max(0.0, ends_at - time.monotonic())):
                received = self._connection.recv()
                if not isinstance(received, Call):
                    return received
                self._connection.send_bytes(answered(received, self._objects))
        except (EOFError, OSError):
            self.has_ended = True
            return Failed("Runtime.ExitError: the process of the function ended. See its log.")
        self.has_ended = True
        self.kill()
        return Failed(f"Sandbox.Timedout: it did not end within {seconds:.0f} s, and was stopped.")

    def _read(self, output: int) -> None:
        with open(output, errors="replace") as lines:
            for line in lines:
                self._print_line(line.rstrip("\n"))

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)

    def close(self) -> None:
        """End the process after its invocation, or without that if it takes long."""
        if self.lock.acquire(timeout=GRACE_SECONDS):
            self._connection.close()  # The worker ends at the end of the connection.
        else:
            self.kill()


class SensorFunction:
    """A sensor's function, which is loaded again when its code changes.

    Args:
        zygote: starts its processes.
        folder: with its app.py.
        load: returns the first message to a new process.
        objects: what it may call, by name.
        seconds: its timeout.
        now: returns the time, in milliseconds.
        on_line: takes each line of its log.

    Attributes:
        loaded: the function as it last loaded; None if it never did.
        failure: why the current code does not load; None if it does.
        changed_at: when it was last loaded, or failed to.
        lines: its log.
    """

    def __init__(
        self,
        zygote: Zygote,
        folder: Path,
        load: Callable[[], Load],
        objects: Mapping[str, Any],
        seconds: float,
        now: Callable[[], int],
        on_line: Callable[["SensorFunction", str], object],
    ) -> None:
        self.folder = folder
        self._zygote = zygote
        self._load = load
        self._objects = objects
        self._seconds = seconds
        self._now = now
        self._on_line = on_line
        self._worker: _Worker | None = None
        self._starting: _Worker | None = None
        self._loading = threading.Lock()
        self.loaded: Loaded | None = None
        self.failure: Failed | None = None
        self.changed_at = now()
        self.lines: deque[LogLine] = deque(maxlen=KEPT_LINES)

    @property
    def name(self) -> str:
        """Return its sensor's name; that of its folder until it has loaded."""
        return self.loaded.name if self.loaded else self.folder.name

    @property
    def is_ready(self) -> bool:
        """Return whether it can be invoked."""
        return self._worker is not None

    def reload(self) -> bool:
        """Load the current code; return whether that succeeded. The previous process ends after its invocation."""
        starting = self._starting
        if starting is not None:
            starting.kill()  # It loads former code.
        with self._loading:
            former, worker = self._worker, None
            try:
                load = self._load()
                worker = self._starting = _Worker(self._zygote, self._objects, self._print_line)
                found = worker.load(load)
            except TreadleError as error:
                found = Failed(f"{type(error).__name__}: {error}")
            self._starting = None
            if isinstance(found, Loaded):
                self.loaded, self.failure, self._worker = found, None, worker
            else:
                self.failure, self._worker = found, None
                if worker is not None:
                    worker.close()
            self.changed_at = self._now()
        if former is not None:
            former.close()
        return self.failure is None

    def invoke(self, event: Mapping[str, Any]) -> Response | Failed:
        """Execute an invocation, after those that began before."""
        while True:
            with self._loading:
                worker, failure = self._worker, self.failure
            if worker is None:
                return failure or Failed("it is loading")
            with worker.lock:
                if worker is not self._worker:
                    continue  # It was reloaded meanwhile.
                found = worker.invoke(event, self._seconds)
                has_ended = worker.has_ended and worker is self._worker
            if has_ended:
                self.reload()  # As Lambda does, for the next invocation.
            return found

    def close(self) -> None:
        """End its process."""
        with self._loading:
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def _print_line(self, text: str) -> None:
        self.lines.append(LogLine(f"{next(_numbers)}", self._now(), text))
        self._on_line(self, text)
