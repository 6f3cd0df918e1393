"""Measures, shows the figures, and fails where a goal is missed."""

import os
import subprocess
import sys

import pytest

from tests.bench.idle_tick import measure, show
from tools.project import ROOT


@pytest.mark.timeout(300)
def test_an_execution_starts_within_five_seconds_of_its_objects_upload(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = [sys.executable, "-m", "tests.bench.event_to_execution"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    with capsys.disabled():
        print(f"\n{done.stdout}{done.stderr}")
    assert done.returncode == 0


@pytest.mark.timeout(400)
def test_a_job_starts_within_four_seconds_of_the_end_of_the_one_that_it_follows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = [sys.executable, "-m", "tests.bench.end_to_next_start"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    with capsys.disabled():
        print(f"\n{done.stdout}{done.stderr}")
    assert done.returncode == 0


@pytest.mark.timeout(600)
def test_ten_thousand_runs_of_one_tick_are_launched_once_within_256_megabytes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In a process of its own, whose memory is nothing else's."""
    command = [sys.executable, "-m", "tests.bench.ten_thousand"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    with capsys.disabled():
        print(f"\n{done.stdout}{done.stderr}")
    assert done.returncode == 0


@pytest.mark.timeout(900)
def test_a_sweep_over_a_million_objects_finds_ten_new_ones_within_256_megabytes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In a process of its own, whose memory is nothing else's."""
    command = [sys.executable, "-m", "tests.bench.sweep_million"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    with capsys.disabled():
        print(f"\n{done.stdout}{done.stderr}")
    assert done.returncode == 0


@pytest.mark.timeout(5_400)
def test_two_thousand_objects_at_once_get_a_run_each_though_events_are_lost_and_doubled(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The end-to-end test, with more objects than the suite has the time for."""
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-n", "0", "tests/e2e/test_many_objects.py"]
    environment = {**os.environ, "TREADLE_MANY_OBJECTS": "2000"}

    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    with capsys.disabled():
        print(f"\n{done.stdout}{done.stderr}")
    assert done.returncode == 0


def test_an_idle_tick_costs_two_write_requests_of_at_most_four_kilobytes(
    dynamodb_local: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = measure(dynamodb_local)

    with capsys.disabled():
        print()
        show(rows)
    idle = [row for row in rows if row.step.startswith("idle tick")]
    assert len(idle) == 2
    assert all(row.writes == row.items == 2 for row in idle)
    assert all(row.write_units <= 4 and row.reads <= 1 for row in idle)
