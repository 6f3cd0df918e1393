"""Rehearsals of what a stack on moto has recorded, with changed code; and the export of its ticks."""

import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import Result

from tests.functional.conftest import STACK, Deployment, object_created
from tests.support.project import run

PROJECT = Path(__file__).parents[2]
SENSOR = Path("functions/sensors/new_objects/app.py")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with the sensor of this one, to change."""
    (tmp_path / SENSOR).parent.mkdir(parents=True)
    shutil.copy(PROJECT / SENSOR, tmp_path / SENSOR)
    shutil.copy(PROJECT / "template.yaml", tmp_path)
    return tmp_path


def put_objects(stack: Deployment, *keys: str) -> None:
    for number, key in enumerate(keys):
        event = object_created(key, stack.put(key), time=f"2026-11-22T18:0{number}:00Z")
        stack.invoke("sensors/new_objects", event)
    stack.dispatch_pending()


def rehearse(root: Path, *options: str) -> Result:
    return run("rehearse", "new_objects", "--root", root, "--since", "2026-11-22", *options)


def without_durations(text: str) -> str:
    return re.sub(r"[0-9.]+ s\b", "0 s", text)


def change(root: Path, old: str, new: str) -> None:
    code = (root / SENSOR).read_text()
    assert old in code
    (root / SENSOR).write_text(code.replace(old, new))


def test_rehearsal_of_a_stack_shows_changed_run_keys_and_writes_nothing(
    stack: Deployment, root: Path
) -> None:
    put_objects(stack, "a.csv", "b.csv")
    before = [list(stack.stores.ticks.latest("new_objects", 9)), stack.stores.sensors.get("new_objects")]

    unchanged = rehearse(root, "--stack", STACK, "--fail-on", "missing,new,changed,error,unrehearsed")
    change(root, "RunRequest(", "RunRequest(run_key=stored.key, ")
    changed = rehearse(root, "--stack", STACK, "--fail-on", "missing,new", "--json")

    assert unchanged.exit_code == 0, unchanged.output
    assert "2 ticks: 2 the same, 0 different, 0 cannot be rehearsed." in unchanged.stdout.splitlines()
    assert changed.exit_code == 1, changed.output
    found = json.loads(changed.stdout)
    assert {kind: number for kind, number in found["differences"].items() if number} == {
        "new": 2,
        "missing": 2,
    }
    assert [
        list(stack.stores.ticks.latest("new_objects", 9)),
        stack.stores.sensors.get("new_objects"),
    ] == before


def test_guide_shows_what_is_printed(stack: Deployment, root: Path) -> None:
    put_objects(stack, "orders/1.csv", "orders/2.csv")
    change(root, "RunRequest()", "RunRequest(run_key=stored.key)")

    result = rehearse(root, "--stack", STACK, "--fail-on", "missing,changed,error")

    page = (PROJECT / "docs/guide/local-loop.md").read_text()
    assert without_durations(result.stdout) in without_durations(page)


def test_exported_ticks_are_rehearsed_without_the_stack(stack: Deployment, root: Path) -> None:
    put_objects(stack, "a.csv", "b.csv", "c.csv")
    ticks = root / "ticks"

    exported = run(
        *("tick", "export", "new_objects", "--stack", STACK, "--to", ticks, "--mask", "siz*"),
        *("--since", "2026-11-22", "--until", "2026-11-22T18:01:30Z"),
    )
    rehearsed = rehearse(root, "--from", str(ticks), "--fail-on", "missing,new,changed,error,unrehearsed")

    path = ticks / "new_objects.jsonl"
    assert exported.stdout == f"Wrote 2 ticks of sensor new_objects to {path}.\n", exported.output
    [head, *lines] = [json.loads(line) for line in path.read_text().splitlines()]
    assert (head["sensor"], "siz*" in head["masks"]) == ("new_objects", True)
    assert [line["requests"][0]["run_config"]["size"] for line in lines] == ["***", "***"]
    assert rehearsed.exit_code == 0, rehearsed.output


def test_sensor_that_the_stack_does_not_have_is_refused(stack: Deployment, root: Path) -> None:
    result = run("rehearse", "nothing", "--stack", STACK, "--root", root)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "new_objects" in result.stderr
