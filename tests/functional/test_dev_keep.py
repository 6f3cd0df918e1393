"""What `treadle dev --keep` continues with."""

import os
import pickle
from pathlib import Path

import pytest

from tests.support.dev_loop import started_loop
from tests.support.dev_project import eventually
from treadle.definitions.errors import SettingsError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.dev.state import read_state, write_state

pytestmark = pytest.mark.timeout(240)

WAITING = """["sh", "-c", "while [ ! -e go ]; do sleep 0.1; done"]"""


def test_runs_ticks_and_cursors_are_there_again_and_no_event_has_a_second_run(tmp_path: Path) -> None:
    with started_loop(tmp_path, keeps=True) as made:
        (tmp_path / "inbox" / "first.csv").write_text("a")
        made.ends("report", Status.SUCCESS)
        before = {run.run_id: run for job in ("load", "report") for run in made.runs(job)}
    # Nobody reports it, and the next sweep finds it.
    (tmp_path / "inbox" / "second.csv").write_text("b")

    with started_loop(tmp_path, keeps=True) as made:
        eventually(lambda: len(made.runs("report", Status.SUCCESS)) == 2, lambda: str(made.lines))
        after = {run.run_id: run for job in ("load", "report") for run in made.runs(job)}

    assert len(after) == 4
    assert {run_id: after[run_id] for run_id in before} == before


def test_a_run_in_progress_goes_on_and_its_end_is_recorded(tmp_path: Path) -> None:
    with started_loop(tmp_path, f"[jobs.load]\ncommand = {WAITING}\n", keeps=True) as made:
        (tmp_path / "inbox" / "first.csv").write_text("a")
        made.ends("load", Status.STARTED)

    (tmp_path / "demo" / "go").touch()
    with started_loop(tmp_path, keeps=True) as made:
        made.ends("load", Status.SUCCESS)
        made.ends("report", Status.SUCCESS)


def test_an_event_that_waited_for_its_sensor_is_not_lost(tmp_path: Path) -> None:
    with started_loop(tmp_path, keeps=True) as made:
        app = made.root / "functions/sensors/chain/app.py"
        app.write_text("import missing_module\n")
        made.says("chain", "does not load")
        (tmp_path / "inbox" / "first.csv").write_text("a")
        made.ends("load", Status.SUCCESS)

    with started_loop(tmp_path, keeps=True) as made:
        made.ends("report", Status.SUCCESS)


def test_without_keep_it_begins_without_runs(tmp_path: Path) -> None:
    with started_loop(tmp_path, keeps=True) as made:
        (tmp_path / "inbox" / "first.csv").write_text("a")
        made.ends("report", Status.SUCCESS)
    # A bucket's times are whole seconds: in the second of the start it would be new.
    os.utime(tmp_path / "inbox" / "first.csv", (1_700_000_000, 1_700_000_000))

    with started_loop(tmp_path) as made:
        made.says("files", "SKIPPED: 1 objects listed, 0 of them new")
        assert not made.runs("load"), made.lines


def test_state_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.pickle"
    path.write_bytes(pickle.dumps(("0.0.1", 1, b"")))

    with pytest.raises(SettingsError, match=r"it is of Treadle 0.0.1, and this is .* Delete the file"):
        read_state(path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.pickle"
    path.write_bytes(b"no pickle")

    with pytest.raises(SettingsError, match=r"cannot be used: UnpicklingError"):
        read_state(path)


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.pickle"
    assert read_state(path) is None

    write_state(path, 7, b"snapshot")

    kept = read_state(path)
    assert kept is not None
    assert (kept.started_at, kept.engine) == (7, b"snapshot")
