"""Starting and stopping development servers, without leaving any behind.

Each server leads its own process group, so that the processes it started end with it.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tools.project import ToolError

HOST = "127.0.0.1"

# Processes that this one started, stored so that they can be waited for when they are stopped.
_children: dict[int, subprocess.Popen[bytes]] = {}


def free_port() -> int:
    """Return a TCP port that nothing listens on at present."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def is_listening(port: int) -> bool:
    """Return whether something accepts connections on `port` of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def start(
    command: Sequence[str], *, environment: Mapping[str, str], log: Path, cwd: Path, outlive: bool = False
) -> subprocess.Popen[bytes]:
    """Start `command` as a new process group, with its output in the file `log`.

    Args:
        command: program and arguments.
        environment: the whole environment of the new process.
        log: overwritten; its folder is created.
        cwd: the command's working directory.
        outlive: keep it running when this process ends; otherwise it ends too, even after a kill.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    keeper = () if outlive else (sys.executable, str(Path(__file__).with_name("keeper.py")))
    with log.open("wb") as output:
        child = subprocess.Popen(
            [*keeper, *command],
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL if outlive else subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _children[child.pid] = child
    return child


def wait_until(
    ready: Callable[[], bool], server: subprocess.Popen[bytes], *, name: str, log: Path, seconds: float
) -> None:
    """Return once `ready()` is true.

    Raises:
        ToolError: the server ended, or `seconds` passed; with the end of its log.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if server.poll() is not None:
            raise ToolError(f"{name} ended with status {server.returncode}.\n{tail(log)}")
        if time.monotonic() > deadline:
            stop_group(server.pid)
            raise ToolError(f"{name} was not ready after {seconds:.0f} s.\n{tail(log)}")
        time.sleep(0.05)


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log file, indented, under the file's name."""
    with contextlib.suppress(OSError):
        text = log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([f"The end of {log}:", *(f"    {line}" for line in text)])
    return f"There is no log at {log}."


def stop_group(leader: int, *, seconds: float = 5) -> None:
    """End the process group of `leader`: SIGTERM first, SIGKILL after `seconds`. Without it, do nothing."""
    for request, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, seconds)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, request)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not _group_lives(leader):
                return
            time.sleep(0.05)


def _group_lives(leader: int) -> bool:
    # A child of ours stays a zombie, and its group alive, until its status is collected.
    child = _children.get(leader)
    if child is not None and child.poll() is not None:
        if child.stdin is not None:
            child.stdin.close()
        _children.pop(leader, None)
    try:
        os.killpg(leader, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def command_line(pid: int) -> str:
    """Return the command of a running process, "" if there is none: identifies our own."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    with contextlib.suppress(OSError):
        answer = subprocess.run(
            ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return answer.stdout.strip()
    return ""
