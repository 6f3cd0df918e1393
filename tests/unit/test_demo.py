"""The demo's logic: its rows for ticks and runs, and that its verdict can be negative."""

import io
from collections.abc import Mapping
from dataclasses import replace

import pytest
from rich.console import Console

from tools import demo_files
from tools.demo_report import Arrival, Count, Row, Seen, counts, differences, errors_in, row_of
from tools.demo_tables import line_of, show
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import TickStatus
from treadle.model.runs import Failure, Run
from treadle.model.ticks import DispatchCounts, PlannedRun, Tick, TickKind

KEY, RUN_KEY, RUN_ID = "a.csv", "s3://bucket/a.csv#e1", "6f1b1cc1-9f2b-5f0d-9a38-3c6d6a0f2f3e"
ARRIVAL = Arrival(KEY, RUN_KEY, TickKind.EVENT, Status.SUCCESS, "2 rows, 3 columns")
EARLY = replace(ARRIVAL, found_by=TickKind.LEASED)
AGAIN = replace(ARRIVAL, status=None, summary="")
CAUSE = '{"errorMessage": "line 8: too short", "errorType": "MalformedCsvError", "stackTrace": []}'

PLANNED = PlannedRun(RUN_ID, RUN_KEY, "process_file", "{}", {})
EVENT_TICK = Tick(
    "new_objects",
    "2026-11-22T18:00:05.000Z-a758e9c4",
    TickKind.EVENT,
    TickStatus.SUCCESS,
    0,
    0,
    0,
    requests=(PLANNED,),
)
SWEEP_TICK = replace(EVENT_TICK, tick_id="2026-11-22T18:01:00.000Z-000000012", kind=TickKind.LEASED)
SECOND_TICK = replace(
    EVENT_TICK,
    tick_id="2026-11-22T18:02:00.000Z-b868e9c4",
    status=TickStatus.SKIPPED,
    requests=(),
    existing_keys=(RUN_KEY,),
)
RUN = Run(
    RUN_ID, "process_file", "new_objects", RUN_KEY, EVENT_TICK.tick_id, "{}", {}, 0, status=Status.SUCCESS
)
FAILED = replace(RUN, status=Status.FAILURE, failure=Failure("MalformedCsvError", CAUSE))
DONE = Row(KEY, "event", "18:00:05 a758e9", "6f1b1cc1", "SUCCESS", "2 rows, 3 columns", is_done=True)


def seen(*ticks: Tick, run: Run | None = None, summaries: Mapping[str, str] | None = None) -> Seen:
    return Seen(ticks, {RUN_KEY: run} if run else {}, summaries or {})


def test_an_upload_that_nothing_has_noticed_is_waiting() -> None:
    assert row_of(ARRIVAL, seen()) == Row(KEY, "waiting")


def test_an_upload_that_a_tick_requested_names_the_tick() -> None:
    row = row_of(ARRIVAL, seen(EVENT_TICK))

    assert row.cells == (KEY, "event", "18:00:05 a758e9", "", "requested", "")


def test_a_sweep_is_named_as_such() -> None:
    assert row_of(EARLY, seen(SWEEP_TICK)).cells[1:3] == ("sweep", "18:01:00 #12")


def test_of_two_ticks_the_one_that_got_the_run_is_named() -> None:
    row = row_of(ARRIVAL, seen(SECOND_TICK, EVENT_TICK, run=RUN, summaries={KEY: "2 rows, 3 columns"}))

    assert row == DONE


def test_a_run_that_succeeded_is_not_final_before_its_summary_is_there() -> None:
    assert not row_of(ARRIVAL, seen(EVENT_TICK, run=RUN)).is_done


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (Failure("MalformedCsvError", CAUSE), "line 8: too short"),
        (Failure("States.Timeout", "after 5 s"), "States.Timeout: after 5 s"),
        (Failure("States.Runtime", "[]"), "States.Runtime: []"),
    ],
)
def test_a_run_that_failed_shows_why(failure: Failure, message: str) -> None:
    row = row_of(ARRIVAL, seen(EVENT_TICK, run=replace(FAILED, failure=failure)))

    assert (row.status, row.summary, row.is_done) == ("FAILURE", message, True)


def test_a_failure_without_its_reason_is_still_awaited() -> None:
    assert not row_of(ARRIVAL, seen(EVENT_TICK, run=replace(FAILED, failure=None))).is_done


def test_a_second_upload_is_awaited_until_its_own_tick_is_there() -> None:
    assert row_of(AGAIN, seen(EVENT_TICK, run=RUN)) == Row(KEY, "waiting")


@pytest.mark.parametrize(
    "tick", [SECOND_TICK, replace(EVENT_TICK, tick_id=SECOND_TICK.tick_id, dispatched=DispatchCounts(0, 1))]
)
def test_a_second_upload_gets_no_run(tick: Tick) -> None:
    """Whether its evaluation saw that the key is taken, or DISPATCH did."""
    row = row_of(AGAIN, seen(tick, EVENT_TICK, run=RUN))

    assert (row.run, row.is_done) == ("no new run", True)
    assert RUN_ID[:8] in row.summary


def test_counts_agree_when_all_came_as_expected() -> None:
    arrivals, rows = [ARRIVAL, AGAIN], [DONE, row_of(AGAIN, seen(SECOND_TICK, run=RUN))]
    counted = counts(arrivals, rows, seen(EVENT_TICK, SECOND_TICK, run=RUN))

    assert differences(arrivals, rows, counted) == []


def test_a_run_too_many_is_a_difference() -> None:
    state = Seen((EVENT_TICK,), {RUN_KEY: RUN, "another": RUN}, {})

    wrong = differences([ARRIVAL], [DONE], counts([ARRIVAL], [DONE], state))

    assert "runs, one for each distinct object: expected 1, seen 2" in wrong


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (replace(DONE, found="sweep"), "a.csv: expected event SUCCESS, seen sweep SUCCESS"),
        (replace(DONE, status="FAILURE"), "a.csv: expected event SUCCESS, seen event FAILURE"),
        (Row(KEY), "a.csv: expected event SUCCESS, seen waiting"),
        (
            replace(DONE, summary="1 rows, 3 columns"),
            "a.csv: expected '2 rows, 3 columns', seen '1 rows, 3 columns'",
        ),
    ],
)
def test_a_row_that_differs_is_named(row: Row, message: str) -> None:
    assert differences([ARRIVAL], [row], []) == [message]


def test_a_count_that_differs_is_named() -> None:
    assert differences([], [], [Count("dead letters", 0, 2)]) == ["dead letters: expected 0, seen 2"]


def test_output_without_a_terminal_is_plain_and_whole() -> None:
    long = replace(DONE, summary="[red]no markup[/red] " + "x" * 60)
    screen = Console(file=io.StringIO(), markup=False, highlight=False, width=160, soft_wrap=True)

    show(screen, [long, replace(DONE, status="FAILURE")], {"first round": [Count("runs", 1, 2)]})

    assert isinstance(screen.file, io.StringIO)
    text = screen.file.getvalue()
    assert "\x1b" not in text
    assert long.summary in text
    assert "first round" in text


def test_a_line_of_progress_keeps_its_columns_apart() -> None:
    assert line_of(replace(DONE, key=demo_files.BROKEN)).startswith(f"{demo_files.BROKEN}  event")


def test_the_last_errors_of_a_log_are_shown_in_short() -> None:
    own, cloud = '{"level":"ERROR","message":"no"}', "2026-11-22 20:12:06 ERROR [lambda] " + "x" * 900
    log = f"2026-11-22 INFO [hypercorn.error] Running\n{own}\n{cloud}\n{{}}"

    assert errors_in(log) == [own, f"{cloud[:400]} …"]
    assert errors_in(log, most=1) == [f"{cloud[:400]} …"]


def test_real_files_are_counted_from_their_bytes() -> None:
    file = demo_files.real_file(demo_files.EARLY)

    assert file.summary == "51 rows, 3 columns"
    assert file.body.startswith(b"year,source,net_generation")


def test_the_broken_file_breaks_where_it_says() -> None:
    file = demo_files.broken_file()
    lines = file.body.split(b"\n")

    assert file.is_broken
    assert file.summary == "line 8: row 7 has 4 cells, the header 6"
    assert [line.count(b",") + 1 for line in lines] == [6] * 7 + [4]
