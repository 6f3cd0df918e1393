"""Rehearsals: recorded ticks are evaluated again with changed code, and what differs is shown."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.rehearsal import END, deployed, export, rehearse, rehearsed, sensor_of, write_project
from treadle.definitions.status import DefaultSensorStatus
from treadle.operate.recorded_ticks import RecordedTicks
from treadle.testing import TreadleInstance
from treadle.testing.bus import NAMESPACE

POLLER = """
from treadle import RunRequest, SensorResult, SkipReason, sensor


@sensor(job_name="load", minimum_interval_seconds=60)
def watch(context):
    number = int(context.cursor or 0) + 1
    if number in (3, 4):
        context.update_cursor(str(number))
        return SkipReason("nothing")
    if number == 6 and "BROKEN":
        raise ValueError("no answer")
    orders = [RunRequest(f"order-{number}", {"order": number, "of": {"table": "orders"}}, {"team": "shop"})]
    return SensorResult(orders, cursor=str(number))
"""


def history(code: str, ticks: int) -> TreadleInstance:
    """Return a deployment in which the sensor has ticked."""
    instance = TreadleInstance([sensor_of(code)])
    for _ in range(ticks):
        instance.tick("watch")
    return instance


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project whose sensor has made five ticks, of which two were skipped, and failed at the next two."""
    export(history(POLLER, 7), tmp_path / "ticks")
    write_project(tmp_path, POLLER)
    return tmp_path


def change(root: Path, old: str, new: str) -> None:
    """Change the sensor's code."""
    assert old in POLLER
    write_project(root, POLLER.replace(old, new))


def differences(found: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(each["kind"], each["run_key"]) for tick in found["found"] for each in tick["differences"]]


ALL = "new,missing,changed,cursor,error,recovered,unrehearsed"


def test_unchanged_code_differs_in_nothing(root: Path) -> None:
    result = rehearse(root, "--fail-on", ALL)

    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[:2] == [
        "6 ticks: 6 the same, 0 different, 0 cannot be rehearsed.",
        "Requests: 3 the same. Differences: none.",
    ]


def test_changed_run_key_is_shown_as_missing_and_new_requests(root: Path) -> None:
    change(root, 'f"order-{number}"', 'f"orders/{number}"')

    result = rehearse(root, "--fail-on", "missing")
    found = rehearsed(root)

    assert result.exit_code == 1
    assert differences(found) == [
        (kind, key)
        for number in (1, 2, 5)
        for kind, key in (("missing", f"order-{number}"), ("new", f"orders/{number}"))
    ]
    assert "  missing   load  order-5" in result.stdout.splitlines()
    assert result.stdout.splitlines()[-1] == "Failed on: missing."


def test_changed_run_config_and_tags_are_shown_by_field(root: Path) -> None:
    change(root, '{"table": "orders"}}, {"team": "shop"}', '{"table": "all", "raw": True}}, {}')

    lines = rehearse(root, "--fail-on", "new,missing").stdout.splitlines()

    assert lines[1:5] == [
        "  changed   load  order-1",
        "    run_config.of.raw: - -> true",
        '    run_config.of.table: "orders" -> "all"',
        '    tags.team: "shop" -> -',
    ]
    assert rehearse(root, "--fail-on", "new,missing").exit_code == 0


def test_changed_cursor_is_shown_where_it_is_recorded(root: Path) -> None:
    change(root, "cursor=str(number))", 'cursor=f"{number}.0" if number == 2 else str(number))')

    found = rehearsed(root)

    assert [(each["kind"], each["changes"]) for tick in found["found"] for each in tick["differences"]] == [
        ("cursor", [{"field": "cursor", "before": '"2"', "after": '"2.0"'}])
    ]


def test_tick_that_fails_now_is_an_error_and_one_that_does_not_any_more_has_recovered(root: Path) -> None:
    change(root, 'number == 6 and "BROKEN"', "number == 2")

    found = rehearsed(root, "--fail-on", "error,recovered")

    assert differences(found) == [
        ("error", None),
        ("recovered", None),
        ("new", "order-6"),
        ("recovered", None),
    ]
    assert found["failed_on"] == ["error", "recovered"]
    assert "no answer" in found["found"][0]["differences"][0]["reason"]


def test_tick_after_skips_begins_with_the_cursor_that_they_left(root: Path) -> None:
    [_, *lines] = export(history(POLLER, 5), root / "ticks")

    assert [(line["skips"], line["cursor_before"], line["cursor_after"]) for line in lines] == [
        (0, None, "1"),
        (0, "1", "2"),
        (2, "2", "4"),
        (0, "4", "5"),
    ]


def test_cursor_that_an_operator_has_set_is_that_of_the_next_tick(tmp_path: Path) -> None:
    instance = history(POLLER, 2)
    instance.set_cursor("watch", "8")
    instance.tick("watch")

    [_, *lines] = export(instance, tmp_path)

    assert [line["cursor_before"] for line in lines] == [None, "1", "8"]


def test_tick_whose_cursor_is_too_long_to_be_recorded_cannot_be_rehearsed(tmp_path: Path) -> None:
    long = POLLER.replace("cursor=str(number))", "cursor=str(number).rjust(1_200))")
    export(history(long, 2), tmp_path / "ticks")
    write_project(tmp_path, long)

    result = rehearse(tmp_path, "--fail-on", "unrehearsed")

    assert result.exit_code == 1
    reason = "  cannot be rehearsed: the cursor with which it began is too long to be recorded in full"
    assert reason in result.stdout.splitlines()


def test_tick_whose_record_cannot_be_read_cannot_be_rehearsed_nor_the_next_one(tmp_path: Path) -> None:
    instance = history(POLLER, 2)
    [_, first] = instance.ticks("watch")
    instance._tables.unreadable["watch", first.tick_id] = "unreadable: status"
    export(instance, tmp_path / "ticks")
    write_project(tmp_path, POLLER)

    problems = [each["problem"] for each in rehearsed(tmp_path)["found"]]

    assert problems == [
        "its record is unreadable: status",
        "the tick before it is not recorded, and so not the cursor with which it began",
    ]


def test_range_begins_with_the_cursor_that_the_ticks_before_it_left(tmp_path: Path) -> None:
    instance = history(POLLER, 6)
    last = instance.ticks("watch")[0]

    [found] = RecordedTicks(instance._stores, NAMESPACE).of(deployed(), last.time, END)
    [before] = RecordedTicks(instance._stores, NAMESPACE).of(
        deployed(), last.time - 1, last.time - 1 + 60_000
    )

    assert (found.cursor_before, found.problem, found) == ("5", None, before)


def test_range_whose_history_has_expired_cannot_be_rehearsed(tmp_path: Path) -> None:
    instance = history(POLLER, 2)
    [_, first] = instance.ticks("watch")
    del instance._tables.ticks["watch", first.tick_id]

    [found] = RecordedTicks(instance._stores, NAMESPACE).of(deployed(), 0, END)

    assert found.problem == "the tick before it is not recorded, and so not the cursor with which it began"


def test_first_tick_after_an_operator_has_started_the_sensor_begins_without_a_cursor() -> None:
    instance = TreadleInstance([sensor_of(POLLER)], default_status=DefaultSensorStatus.STOPPED)
    instance.start_sensor("watch")
    instance.tick("watch")

    [found] = RecordedTicks(instance._stores, NAMESPACE).of(deployed(), 0, END)

    assert (found.cursor_before, found.problem) == (None, None)


def test_keys_that_were_taken_are_not_requested_again(tmp_path: Path) -> None:
    code = """
    from treadle import RunRequest, sensor


    @sensor(job_name="load")
    def watch(context):
        return [RunRequest("a"), RunRequest("b")]
    """
    export(history(code, 3), tmp_path / "ticks")
    write_project(tmp_path, code.replace('RunRequest("b")', 'RunRequest("c")'))

    found = rehearsed(tmp_path)

    assert differences(found) == [("missing", "b"), ("new", "c")]


def test_requests_without_a_run_key_are_compared_by_content(tmp_path: Path) -> None:
    code = """
    from treadle import RunRequest, sensor


    @sensor(job_name="load")
    def watch(context):
        return [RunRequest(run_config={"n": n}) for n in (1, 2, 3)]
    """
    export(history(code, 1), tmp_path / "ticks")
    write_project(tmp_path, code.replace("(1, 2, 3)", "(3, 1, 4, 5)"))

    found = rehearsed(tmp_path)

    assert found["requests"] == {"same": 2}
    assert differences(found) == [("changed", None), ("new", None)]


def test_evaluation_has_the_times_of_then(tmp_path: Path) -> None:
    code = """
    from treadle import RunRequest, sensor


    @sensor(job_name="load")
    def watch(context):
        return RunRequest(f"{context.last_run_key} {context.last_tick_completion_time}")
    """
    export(history(code, 3), tmp_path / "ticks")
    write_project(tmp_path, code)

    assert rehearse(tmp_path, "--fail-on", ALL).exit_code == 0


def test_what_code_reads_of_runs_cannot_be_rehearsed_from_a_folder(root: Path) -> None:
    change(root, 'if number == 6 and "BROKEN"', 'if number == 2 and context.instance.has_run("x")')
    caught = POLLER.replace(
        'if number == 6 and "BROKEN"',
        'try:\n        context.instance.has_run("x")\n    except Exception:\n        pass\n    if number == 6',
    )

    by_error = rehearsed(root)
    write_project(root, caught)
    also_if_caught = rehearsed(root)

    problem = "what the evaluation reads of runs is not recorded"
    assert [each["problem"] for each in by_error["found"] if each["problem"]] == [problem]
    assert also_if_caught["ticks"]["unrehearsed"] == 5


def test_process_is_left_as_it_was_and_output_of_the_code_is_no_result(root: Path) -> None:
    change(
        root, "number = int", 'print("from the code")\n    context.log.warning("logged")\n    number = int'
    )
    before = (dict(os.environ), list(sys.path), Path.cwd(), "app" in sys.modules)

    result = rehearse(root)

    assert (dict(os.environ), list(sys.path), Path.cwd(), "app" in sys.modules) == before
    assert "from the code" not in result.stdout
    assert result.stderr.splitlines() == ["from the code"] * 6


def test_settings_of_the_deployment_apply_except_those_of_its_own_code(tmp_path: Path) -> None:
    code = """
    import os

    from treadle import RunRequest, sensor


    @sensor(job_name="load")
    def watch(context):
        return RunRequest(os.environ["TABLE"])
    """
    settings = {"TABLE": "orders", "TREADLE_KIND": "s3", "TREADLE_GRANTED_JOBS": "other", "DB_PASSWORD": "x"}
    os.environ["TABLE"] = "orders"
    try:
        instance = history(code, 1)
    finally:
        del os.environ["TABLE"]
    [head, _] = export(instance, tmp_path / "ticks", deployed(settings=settings))
    write_project(tmp_path, code)

    assert rehearse(tmp_path, "--fail-on", ALL).exit_code == 0
    assert "DB_PASSWORD" not in head["settings"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import missing_module\n", "functions/sensors/watch/app.py cannot be loaded: ModuleNotFoundError"),
        (POLLER.replace("def watch", "def other") + "\nwatch = other\n", "defines sensor other, not watch"),
    ],
)
def test_code_that_cannot_be_rehearsed_is_refused(root: Path, code: str, message: str) -> None:
    write_project(root, code)

    result = rehearse(root)

    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_sensor_or_file_that_does_not_exist_is_refused(root: Path) -> None:
    (root / "functions/sensors/watch/app.py").unlink()
    no_code = rehearse(root)
    (root / "ticks/watch.jsonl").write_text('{"treadle": "x"}\n')
    no_ticks = rehearse(root)

    assert (no_code.exit_code, no_ticks.exit_code) == (2, 2)
    assert "has no functions/sensors/watch/app.py" in no_code.stderr
    assert "its first line is not that of a file of recorded ticks, version 1" in no_ticks.stderr


def test_unknown_kind_of_difference_is_refused(root: Path) -> None:
    result = rehearse(root, "--fail-on", "changed,gone")

    assert result.exit_code == 2
    assert "gone is no kind of difference: use new, missing" in result.stderr


def test_only_as_many_ticks_are_shown_as_wanted_and_only_those_in_the_range(root: Path) -> None:
    change(root, 'f"order-{number}"', 'f"orders/{number}"')

    shown = rehearse(root, "--max", "1").stdout
    none = rehearsed(root, "--until", "2020-01-01T00:00:00Z")

    assert "2 more ticks not shown: use --max or --json." in shown.splitlines()
    assert none["ticks"] == {"same": 0, "different": 0, "unrehearsed": 0}


def test_tick_outside_the_hours_of_the_changed_code_is_not_rehearsed(tmp_path: Path) -> None:
    instance = TreadleInstance([sensor_of(POLLER)], start=datetime(2026, 11, 30, 7, 58, tzinfo=UTC))
    for _ in range(3):
        instance.tick("watch")
    export(instance, tmp_path / "ticks")
    code = POLLER.replace("import RunRequest", "import Hours, RunRequest").replace(
        "minimum_interval_seconds=60", 'active=Hours("06:00-08:00", zone="UTC")'
    )
    write_project(tmp_path, code)
    template = tmp_path / "template.yaml"
    hours = "Environment: { Variables: { TREADLE_HOURS: '06:00-08:00 UTC' } }"
    template.write_text(template.read_text().replace("CodeUri:", f"{hours}, CodeUri:"))

    found = rehearsed(tmp_path)

    assert [each["problem"] for each in found["found"]] == [
        "it is outside the sensor's hours, 06:00-08:00 UTC"
    ]
    assert found["ticks"] == {"same": 2, "different": 0, "unrehearsed": 1}
