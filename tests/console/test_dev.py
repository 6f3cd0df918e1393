"""The command `treadle dev`, as its user starts it: a terminal, a browser, and an editor."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.browser import Visit, visiting
from tests.support.dev_project import POLLER, eventually, write_project, write_sensor
from tools.project import ROOT

pytestmark = pytest.mark.timeout(240)
PROGRAM = [sys.executable, "-c", "from treadle.cli import main; main()"]


@dataclass
class Terminal:
    """A running `treadle dev`, with its output.

    Attributes:
        root: the project's folder.
        process: the command.
        lines: what it has printed.
    """

    root: Path
    process: "subprocess.Popen[str]"
    lines: list[str] = field(default_factory=list)

    def read(self) -> None:
        """Collect the output until the end."""
        assert self.process.stdout is not None
        with self.process.stdout as output:
            self.lines.extend(iter(output.readline, ""))

    def says(self, text: str) -> str:
        """Wait for a line with a text, and return it."""
        eventually(
            lambda: any(text in each for each in [*self.lines]), lambda: f"no {text!r} in {self.lines}"
        )
        return next(each for each in self.lines if text in each)

    def put(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        """Run `treadle dev put` beside it."""
        return subprocess.run(
            [*PROGRAM, "dev", "put", *map(str, arguments)],
            cwd=self.root,
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )


def _environment() -> dict[str, str]:
    aws = {name for name in os.environ if name.startswith("AWS_")}
    kept = {name: value for name, value in os.environ.items() if name not in aws}
    return {**kept, "PYTHONPATH": str(ROOT / "layers" / "treadle"), "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """The command in a project whose job `load` fails."""
    root = write_project(tmp_path / "demo", '[jobs.load]\nseconds = 0\nstatus = "failure"\n')
    process = subprocess.Popen(
        [*PROGRAM, "dev", "--no-browser", "--port", "0", "--bucket", f"landing={tmp_path / 'inbox'}"],
        cwd=root,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    made = Terminal(root, process)
    reader = threading.Thread(target=made.read)
    reader.start()
    yield made
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0, made.lines
    reader.join()
    # A tick that was in progress may print its line last.
    assert "Ended.\n" in made.lines


@pytest.fixture
def visit(terminal: Terminal, browser: Browser) -> Iterator[Visit]:
    """A visit of the console at the address that the command printed."""
    found = re.search(r"(http://[^#]+)#token=(\S+)", terminal.says("#token="))
    assert found is not None
    with visiting(browser, found[1], token=found[2]) as made:
        yield made


def test_from_the_command_to_a_tick_an_edit_an_object_and_an_alert(
    terminal: Terminal, visit: Visit, tmp_path: Path
) -> None:
    visit.go("sensors/poller", "poller")
    visit.sees("hello from the first version")

    write_sensor(terminal.root, "poller", POLLER.replace("first version", "second version"))
    visit.sees("hello from the second version")

    (tmp_path / "orders.csv").write_text("a,b\n")
    stored = terminal.put(tmp_path / "orders.csv", "s3://landing/in/")
    assert (stored.returncode, stored.stdout) == (
        0,
        f"Stored {tmp_path / 'orders.csv'} as s3://landing/in/orders.csv.\n",
    )
    terminal.says("ALERT for SNS (Alerts): Run failed: load")
    visit.go("sensors/files", "files")
    visit.sees("in/orders.csv")


def test_an_import_error_is_on_the_sensor_s_page_with_its_frames(terminal: Terminal, visit: Visit) -> None:
    terminal.says("loaded")

    write_sensor(terminal.root, "poller", "def read():\n    import shop_missing\n\n\nread()\n")

    terminal.says("does not load: ModuleNotFoundError: No module named 'shop_missing'")
    visit.go("sensors/poller", "poller")
    notice = visit.page.locator(".notice.bad")
    visit.sees("Does not load", within=notice)
    text = notice.inner_text()
    assert "No module named 'shop_missing'" in text
    assert 'app.py", line 5, in <module>' in text
    assert 'app.py", line 2, in read' in text


def test_an_event_is_sent_from_the_console(terminal: Terminal, visit: Visit) -> None:
    terminal.says("failures loaded")
    visit.go("send-event", "Send an event")
    assert (visit.faults(), visit.overflow()) == ([], 0)
    visit.presses("A run of a job")
    visit.page.get_by_label("Job").select_option("load")
    visit.page.get_by_label("Ends with").select_option("FAILURE")

    visit.presses("Send")

    visit.sees_status("Started job load, which ends with FAILURE.")
    terminal.says("ALERT for SNS (Alerts): Run failed: load")
    visit.presses("An object")
    visit.page.get_by_label("Key", exact=True).fill("in/orders.csv")
    visit.presses("Send")
    visit.sees_status("Stored s3://landing/in/orders.csv.")
    terminal.says("s3://landing/in/orders.csv stored, 0 bytes")


def test_put_says_what_is_wrong(terminal: Terminal, tmp_path: Path) -> None:
    terminal.says("#token=")
    file = tmp_path / "orders.csv"
    file.write_text("a,b\n")

    assert "There is no bucket 'elsewhere'" in terminal.put(file, "s3://elsewhere/x").stderr
    assert "is no address of an object" in terminal.put(file, "landing/x").stderr
    assert "a part of it is empty or begins with a dot" in terminal.put(file, "s3://landing/../x").stderr


def test_put_needs_a_running_loop(tmp_path: Path) -> None:
    root = write_project(tmp_path / "demo")

    done = Terminal(root, process=None).put(root / "dev.toml", "s3://landing/x")  # type: ignore[arg-type]

    assert (done.returncode, done.stderr) == (
        2,
        f"treadle: `treadle dev` does not run in {root}. Start it there.\n",
    )
