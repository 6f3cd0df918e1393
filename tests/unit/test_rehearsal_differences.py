"""What a rehearsal compares, and how the cursor is followed through recorded ticks."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.rehearsal import END, deployed, export, over_stores, rehearse, sensor_of, write_project
from treadle.engine.rehearsal.recorded import RecordedTick
from treadle.model.ticks import ErrorInfo
from treadle.operate.recorded_ticks import RecordedTicks
from treadle.operate.rehearsal import Change
from treadle.testing import TreadleInstance
from treadle.testing.bus import NAMESPACE

MADE = """
from treadle import AssetMaterialization, DynamicPartitionsDefinition, RunRequest, SensorResult, sensor

fruits = DynamicPartitionsDefinition(name="fruits")


@sensor(job_name="load")
def watch(context):
    return SensorResult(
        [RunRequest("a", {"parts": [{"n": 1}, {"n": 2}], "password": "old", "any": [1]}), RunRequest("b")],
        asset_events=[AssetMaterialization("orders", metadata={"rows": 1, "token": "t"})],
        dynamic_partitions_requests=[fruits.build_add_request(["apple"])],
    )
"""


def changes(root: Path, old: str, new: str) -> list[tuple[str, tuple[Change, ...]]]:
    """Return what differs for the sensor's only tick after a change of its code."""
    assert old in MADE
    instance = TreadleInstance([sensor_of(MADE)])
    instance.tick("watch")
    write_project(root, MADE.replace(old, new))
    [found] = over_stores(root, instance, deployed())
    assert found.problem is None
    return [(each.kind.value, each.changes) for each in found.differences]


def test_nothing_differs_with_the_same_code(tmp_path: Path) -> None:
    assert changes(tmp_path, "job_name", "job_name") == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('{"n": 2}', '{"n": 3}', Change("run_config.parts[1].n", "2", "3")),
        ('"any": [1]', '"any": [1, 2]', Change("run_config.any", "[1]", "[1, 2]")),
        ('"password": "old"', '"password": "new"', Change("run_config.password", '"***"', '"***"')),
        ('"password": "old", ', "", Change("run_config.password", '"***"', None)),
    ],
)
def test_values_that_differ_are_named_by_their_path_and_secrets_are_hidden(
    tmp_path: Path, old: str, new: str, expected: Change
) -> None:
    assert changes(tmp_path, old, new) == [("changed", (expected,))]


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('"rows": 1', '"rows": 2', "asset_events"),
        ('["apple"]', '["apple", "pear"]', "dynamic_partitions_requests"),
        ('build_add_request(["apple"])', 'build_delete_request(["apple"])', "dynamic_partitions_requests"),
    ],
)
def test_other_asset_events_and_partitions_are_a_change(
    tmp_path: Path, old: str, new: str, field: str
) -> None:
    [(kind, [change])] = changes(tmp_path, old, new)

    assert (kind, change.field) == ("changed", field)
    assert '"t"' not in f"{change.before}{change.after}"


def test_request_that_is_rejected_now_is_missing_with_the_reason(tmp_path: Path) -> None:
    instance = counted(1)
    export(instance, tmp_path / "ticks")
    write_project(
        tmp_path,
        COUNTER.replace("RunRequest(str(number))", 'RunRequest(str(number), {"x": "x" * 7_000_000})'),
    )

    [line] = [each for each in rehearse(tmp_path).stdout.splitlines() if "missing   load  1 : " in each]

    assert "6000000" in line


def test_sensor_that_changes_dynamic_partitions_cannot_be_rehearsed_from_a_file(tmp_path: Path) -> None:
    instance = TreadleInstance([sensor_of(MADE)])
    instance.tick("watch")
    export(instance, tmp_path / "ticks")
    write_project(tmp_path, MADE)

    shown = rehearse(tmp_path).stdout.splitlines()

    assert "  cannot be rehearsed: what the evaluation reads of dynamic partitions is not recorded" in shown


COUNTER = """
from treadle import RunRequest, SensorResult, sensor


@sensor(job_name="load")
def watch(context):
    number = int(context.cursor or 0) + 1
    return SensorResult([RunRequest(str(number))], cursor=str(number))
"""


def counted(ticks: int) -> TreadleInstance:
    instance = TreadleInstance([sensor_of(COUNTER)])
    for _ in range(ticks):
        instance.tick("watch")
    return instance


def recorded(instance: TreadleInstance) -> list[RecordedTick]:
    return list(RecordedTicks(instance._stores, NAMESPACE).of(deployed(), 0, END))


def cursors(instance: TreadleInstance) -> list[Any]:
    """Return the cursor with which each tick began, or why it is not known."""
    return [each.problem or each.cursor_before for each in recorded(instance)]


UNKNOWN = "the tick before it is not recorded, and so not the cursor with which it began"


def test_cursor_is_unknown_when_edits_in_between_are_not_recorded_any_more() -> None:
    instance = counted(2)
    for _ in range(26):
        instance.stop_sensor("watch")
        instance.start_sensor("watch")
    instance.tick("watch")
    few = counted(2)
    few.stop_sensor("watch")
    few.start_sensor("watch")
    few.tick("watch")

    assert cursors(instance) == [None, "1", UNKNOWN]
    assert cursors(few) == [None, "1", "2"]


def test_cursor_that_an_operator_has_set_is_unknown_if_it_is_cut_in_the_record_of_the_edit() -> None:
    instance = counted(1)
    instance.set_cursor("watch", "7".rjust(300))
    instance.tick("watch")

    assert cursors(instance) == [
        None,
        "the cursor with which it began is too long to be recorded in full",
    ]


def test_tick_that_died_leaves_the_cursor_and_is_rehearsed_with_it() -> None:
    instance = counted(3)
    ticks = instance._tables.ticks
    died = instance.ticks("watch")[1]
    error = ErrorInfo("EvaluationDiedError", "It ended without a result.")
    ticks["watch", died.tick_id] = replace(died, error=error, requests=(), cursor=None)

    assert cursors(instance) == [None, "1", "1"]


def test_tick_on_the_state_of_another_project_cannot_be_rehearsed() -> None:
    instance = counted(2)
    ticks = instance._tables.ticks
    refused = instance.ticks("watch")[0]
    error = ErrorInfo("SensorOwnershipError", "It was not evaluated.")
    ticks["watch", refused.tick_id] = replace(refused, error=error, requests=(), cursor=None)

    assert cursors(instance) == [
        None,
        "it evaluated nothing, because the sensor's state belonged to another project",
    ]


def test_skips_that_were_recorded_without_a_cursor_hide_that_of_the_next_tick() -> None:
    code = COUNTER.replace(
        "    return",
        '    if number == 2:\n        context.update_cursor("2")\n        return None\n    return',
    )
    instance = TreadleInstance([sensor_of(code)])
    for _ in range(3):
        instance.tick("watch")
    [skips] = [each for each in instance.ticks("watch") if each.skips]
    with_cursor = cursors(instance)
    instance._tables.ticks["watch", skips.tick_id] = replace(skips, cursor=None)

    assert with_cursor == [None, "1", "2"]
    assert cursors(instance) == [
        None,
        "1",
        "1 skip came before it, and the cursor afterwards is not recorded",
    ]


def test_current_streak_of_skips_is_rehearsed(tmp_path: Path) -> None:
    code = COUNTER.replace("    return", "    if number > 1:\n        return None\n    return")
    instance = TreadleInstance([sensor_of(code)])
    for _ in range(4):
        instance.tick("watch")
    write_project(tmp_path, COUNTER)

    [first, streak] = over_stores(tmp_path, instance, deployed())

    assert first.kinds == set()
    assert [(each.kind.value, each.run_key) for each in streak.differences] == [("new", "2")]
