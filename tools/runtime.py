"""Runs a built function under Lambda's real Python runtime, without a container.

The runtime interface emulator is part of the SAM command line, the runtime client is on PyPI:
together they are what `sam local invoke` starts inside its container.
"""

import contextlib
import http.client
import json
import platform
import re
import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tools import processes
from tools.built import BuiltFunction
from tools.project import TOOLS, VENV_BIN, ToolError

ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


PORT_TRIES = 3
"""Between the choice of a free port and its use, another process may take it."""

_PORT_TAKEN = re.compile(r"\[PANIC\] \(rapid\).*address already in use")
"""The emulator's own line, before it ends; what the function prints has no such beginning."""


class PortTakenError(ToolError):
    """Another process listens on a port that was chosen for the runtime."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """The result of one invocation."""

    response: object
    failed: bool
    log: str
    """The function's output, and the emulator's INIT and REPORT lines."""


def emulator() -> Path:
    """Return the runtime interface emulator for this machine.

    Raises:
        ToolError: it is a Linux program, and this is another system; or it is not installed.
    """
    architecture = ARCHITECTURES.get(platform.machine().lower())
    if sys.platform != "linux" or architecture is None:
        raise ToolError(
            "Lambda's runtime emulator runs on Linux only; use `sam local invoke`, which needs Docker."
        )
    pattern = f"sam/lib/python3.*/site-packages/samcli/local/rapid/aws-lambda-rie-{architecture}"
    for program in TOOLS.glob(pattern):
        return program
    raise ToolError("the SAM command line is not set up. Bring it: make setup")


def run(
    function: BuiltFunction,
    event: bytes,
    environment: Mapping[str, str],
    free_port: Callable[[], int] = processes.free_port,
) -> Invocation:
    """Start the function cold, send it one event, end it.

    Args:
        function: to run.
        event: as JSON.
        environment: the whole environment of the function's process.
        free_port: finds a port that nothing listens on, twice for each of a few tries.

    Raises:
        ToolError: the runtime did not start or did not respond within the function's timeout.
    """
    for _ in range(PORT_TRIES - 1):
        with contextlib.suppress(PortTakenError):
            return _run(function, event, environment, free_port(), free_port())
    return _run(function, event, environment, free_port(), free_port())


def _run(
    function: BuiltFunction, event: bytes, environment: Mapping[str, str], front: int, back: int
) -> Invocation:
    folder = Path(tempfile.mkdtemp(prefix="treadle-invoke-"))
    program = folder / "aws-lambda-rie"
    shutil.copy(emulator(), program)
    program.chmod(0o755)  # The installed copy is not executable.
    command = [
        str(program),
        *("--runtime-interface-emulator-address", f"{processes.HOST}:{front}"),
        *("--runtime-api-address", f"{processes.HOST}:{back}"),
        *(str(VENV_BIN / "python"), "-m", "awslambdaric", function.handler),
    ]
    log = folder / "log"
    server = processes.start(command, environment=environment, log=log, cwd=function.code)
    try:
        ready = lambda: processes.is_listening(front)  # noqa: E731 - a name for the line below
        processes.wait_until(ready, server, name="the Lambda runtime", log=log, seconds=20)
        text, failed = _post(f"http://{processes.HOST}:{front}", event, seconds=function.timeout + 15)
        # The report follows the answer; what the emulator says on shutting down interests nobody.
        return _invocation(text, _log_with(log, "REPORT RequestId"), failed=failed)
    except ToolError:
        _log_with(log)
        raise
    except (OSError, http.client.HTTPException) as error:
        # Another process may answer sooner than the emulator says that its port is taken.
        _log_with(log, "REPORT RequestId")
        raise ToolError(f"the function did not answer: {error}.\n{processes.tail(log, 40)}") from error
    finally:
        processes.stop_group(server.pid)
        shutil.rmtree(folder, ignore_errors=True)


def _log_with(log: Path, awaited: str = "") -> str:
    """Return the runtime's log as soon as it has the awaited text, or after a short wait.

    Raises:
        PortTakenError: another process has a port of the runtime, so whatever answered there is not the function.
    """
    deadline = time.monotonic() + 2
    while True:
        text = log.read_text(errors="replace")
        if _PORT_TAKEN.search(text):
            raise PortTakenError(f"the Lambda runtime cannot listen.\n{processes.tail(log)}")
        if awaited in text or time.monotonic() > deadline:
            return text
        time.sleep(0.02)


def _post(address: str, event: bytes, *, seconds: float) -> tuple[str, bool]:
    url = f"{address}/2015-03-31/functions/function/invocations"
    request = urllib.request.Request(url, data=event, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return answer.read().decode(errors="replace"), "X-Amz-Function-Error" in answer.headers
    except urllib.error.HTTPError as refusal:
        # The emulator returns 4xx and 5xx if the function could not be run at all.
        with refusal:
            return refusal.read().decode(errors="replace"), True


def _invocation(text: str, log: str, *, failed: bool) -> Invocation:
    lines = [line for line in log.splitlines() if "(rapid)" not in line or "INIT REPORT" in line]
    try:
        response: object = json.loads(text) if text else None
    except ValueError:
        # A function's response is JSON; plain text is the emulator's own, such as "Task timed out".
        return Invocation(text, failed=True, log="\n".join(lines))
    raised = isinstance(response, dict) and {"errorMessage", "errorType"} <= response.keys()
    return Invocation(response, failed or raised, "\n".join(lines))
