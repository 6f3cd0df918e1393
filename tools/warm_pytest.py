"""Runs the same tests again and again, each time in a fork of a process that has imported what does not change."""

import importlib
import io
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, Listener, wait
from pathlib import Path

import pytest
from hypothesis import Phase, settings

FORK = get_context("fork")

CLIENT = """\
import multiprocessing.connection, sys
status, output, *_ = multiprocessing.connection.Client(sys.argv[1]).recv()
print(output)
sys.exit(status)
"""


@contextmanager
def warm_pytest(folder: Path, module: str, arguments: list[str]) -> Iterator[str | None]:
    """Start a process that runs pytest whenever a command asks for it.

    Args:
        folder: where it runs.
        module: the one that changes; it, and what imports it, is imported each time.
        arguments: those of pytest.

    Yields:
        The command, which ends as pytest does; None if the tests fail at the beginning.
    """
    address = folder / "pytest.socket"
    address.unlink(missing_ok=True)
    server = [sys.executable, "-m", "tools.warm_pytest", str(address), module, *arguments]
    variables = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    with subprocess.Popen(server, cwd=folder, env=variables, stdout=subprocess.PIPE) as process:
        try:
            ready = process.stdout and process.stdout.readline()
            yield shlex.join([sys.executable, "-c", CLIENT, str(address)]) if ready else None
        finally:
            process.kill()


def serve(address: str, module: str, *arguments: str) -> None:
    """Run the tests once, print a line if they pass, and then run them for each client; it may end them by leaving."""
    # One example that fails is enough.
    settings.register_profile("warm", phases=[Phase.explicit, Phase.reuse, Phase.generate])
    settings.load_profile("warm")
    ours, theirs = FORK.Pipe()
    FORK.Process(target=run, args=(theirs, arguments)).start()
    status, _, sys.path[:], names = ours.recv()
    if status:
        return
    sys.dont_write_bytecode = True  # Several changes may come in a second.
    sys.modules[module] = None  # type: ignore[assignment]  # Neither it nor what needs it can be imported.
    for name in names:
        # pytest imports tests itself, and rewrites their assertions.
        if not name.startswith(("tests", "__mp_main__")):
            with suppress(ImportError):
                importlib.import_module(name)
    del sys.modules[module]
    with Listener(address) as listener:
        print("ready", flush=True)
        while True:
            with listener.accept() as client:
                process = FORK.Process(target=run, args=(client, arguments))
                process.start()
                wait([client, process.sentinel])
                process.kill()
                process.join()


def run(client: Connection, arguments: tuple[str, ...]) -> None:
    """Run pytest, and send its exit status, its output, and what it has imported from where."""
    with redirect_stdout(io.StringIO()) as output, redirect_stderr(output):
        # Its plugins have been imported, but for the first time.
        status = int(pytest.main([*arguments, "-Wignore::pytest.PytestAssertRewriteWarning"]))
    client.send((status, output.getvalue(), sys.path, list(sys.modules)))


if __name__ == "__main__":
    serve(*sys.argv[1:])
