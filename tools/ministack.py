"""One MiniStack process: a local cloud with IAM enforced, its state in memory.

Independent of the stack that is deployed to it.
"""

import contextlib
import json
import os
import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tools import processes
from tools.project import LOCAL_CREDENTIALS, REGION, ROOT, RUN, TOOLS, ToolError, clean_environment

PORT_VARIABLE = "TREADLE_CLOUD_PORT"
DEFAULT_PORT = 4566
SERVER = ROOT / "tools" / "ministack_server.py"


def configured_port() -> int:
    """Return the port in `TREADLE_CLOUD_PORT`, or 4566."""
    text = os.environ.get(PORT_VARIABLE) or str(DEFAULT_PORT)
    if not text.isdecimal():
        raise ToolError(f"{PORT_VARIABLE} is {text!r}; it must be a port number.")
    return int(text)


@dataclass(frozen=True, slots=True)
class LocalCloud:
    """The local cloud on one port of this machine; any number may run side by side.

    Attributes:
        port: the port.
        script: what serves, with MiniStack's interpreter.
    """

    port: int
    script: Path = SERVER

    @property
    def endpoint(self) -> str:
        """The endpoint URL for AWS clients."""
        return f"http://{processes.HOST}:{self.port}"

    @property
    def folder(self) -> Path:
        """The folder of its pid, log and temporary files."""
        return RUN / f"cloud-{self.port}"

    @property
    def log(self) -> Path:
        """MiniStack's log, including the functions' output."""
        return RUN / f"cloud-{self.port}.log"

    def is_ours(self) -> bool:
        """Return whether the process we started on this port is up and responds."""
        return self._leader() is not None and self.is_up()

    def is_up(self) -> bool:
        """Return whether a MiniStack responds on this port, whoever started it."""
        try:
            with urllib.request.urlopen(f"{self.endpoint}/_ministack/ready", timeout=2) as answer:
                return isinstance(json.load(answer), dict)
        except (OSError, ValueError, urllib.error.URLError):
            return False

    def start(self, *, outlive: bool = False) -> bool:
        """Start it unless it runs already, and return once it responds; True if it was started.

        Args:
            outlive: keep it running when this process ends.

        Raises:
            ToolError: the port is taken by something else, or MiniStack does not start.
        """
        if self.is_ours():
            return False
        self.stop()
        if processes.is_listening(self.port):
            raise ToolError(
                f"port {self.port} is taken by another program (or another checkout's local cloud).\n"
                f"Choose another one: {PORT_VARIABLE}={self.port + 100} make …"
            )
        temporary = self.folder / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        # The functions inherit all of this, so it must contain no credentials except the local ones.
        environment = clean_environment(
            **LOCAL_CREDENTIALS,
            AUTH="true",
            BIND_HOST=processes.HOST,
            GATEWAY_PORT=str(self.port),
            IOT_MTLS_ENABLED="0",  # Otherwise it listens on a second, fixed port of every interface.
            LAMBDA_EXECUTOR="local",
            MINISTACK_REGION=REGION,
            PYTHONUNBUFFERED="1",
            TMPDIR=str(temporary),
        )
        python = str(TOOLS / "cloud" / "bin" / "python")
        # -P: the script's own folder has a module ministack, too.
        command = [python, "-P", str(self.script)]
        server = processes.start(command, environment=environment, log=self.log, cwd=ROOT, outlive=outlive)
        (self.folder / "pid").write_text(str(server.pid))
        processes.wait_until(self.is_up, server, name="the local cloud", log=self.log, seconds=60)
        return True

    def stop(self) -> bool:
        """End it with every function it runs, and remove its files; True if it was running."""
        leader = self._leader()
        if leader is not None:
            processes.stop_group(leader)
        shutil.rmtree(self.folder, ignore_errors=True)
        return leader is not None

    def _leader(self) -> int | None:
        """Return the pid on file, unless the process is gone and another one has its number."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.folder / "pid").read_text())
            if "ministack" in processes.command_line(pid):
                return pid
        return None
