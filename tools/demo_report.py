"""The demo's logic: from ticks and runs to a table, the counts, and the verdict. Calls no cloud."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import TickStatus
from treadle.model.runs import Run
from treadle.model.ticks import Tick, TickKind

WAITING = "waiting"
NO_NEW_RUN = "no new run"
FOUND_BY = {TickKind.LEASED: "sweep", TickKind.EVENT: "event"}


@dataclass(frozen=True, slots=True)
class Arrival:
    """One upload, and its expected result.

    Attributes:
        key: the object's.
        run_key: the object's identity for the sensor.
        found_by: how it must be found.
        status: how its run must end; None if it must get none, as the same object already has one.
        summary: the expected summary.
    """

    key: str
    run_key: str
    found_by: TickKind
    status: Status | None
    summary: str


@dataclass(frozen=True, slots=True)
class Seen:
    """The contents of the cloud at one time.

    Attributes:
        ticks: of the sensor.
        runs: of the sensor, by run key.
        summaries: the job's results, by the object's key.
    """

    ticks: Sequence[Tick] = ()
    runs: Mapping[str, Run] = field(default_factory=dict)
    summaries: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table.

    Attributes:
        key: the object's.
        found: by event or sweep.
        tick: the tick's id, shortened.
        run: the run's id, shortened.
        status: the run's status.
        summary: rows and columns, or why there are none.
        is_done: whether nothing more will happen.
    """

    key: str
    found: str = WAITING
    tick: str = ""
    run: str = ""
    status: str = ""
    summary: str = ""
    is_done: bool = False

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells' text, in order."""
        return (self.key, self.found, self.tick, self.run, self.status, self.summary)


@dataclass(frozen=True, slots=True)
class Count:
    """A counted number.

    Attributes:
        what: as text.
        expected: the correct number.
        seen: the actual number.
    """

    what: str
    expected: int
    seen: int


def row_of(arrival: Arrival, seen: Seen) -> Row:
    """Return the row of an upload with its current status."""
    run = seen.runs.get(arrival.run_key)
    requesting = [tick for tick in seen.ticks if _asks_for(tick, arrival.run_key)]
    if arrival.status is None:
        return _repeated(arrival, run, requesting)
    tick = next((tick for tick in requesting if run is None or tick.tick_id == run.tick_id), None)
    if tick is None:
        return Row(arrival.key)
    row = Row(arrival.key, FOUND_BY[tick.kind], short_tick(tick), status="requested")
    if run is None:
        return row
    summary = seen.summaries.get(arrival.key, "") if run.status is Status.SUCCESS else _failure(run)
    is_done = run.status.is_finished and bool(summary)
    return Row(row.key, row.found, row.tick, run.run_id[:8], run.status.value, summary, is_done)


def _repeated(arrival: Arrival, run: Run | None, requesting: Sequence[Tick]) -> Row:
    """Return the row of a second upload of an object that has its run: another tick, and nothing else."""
    tick = next((tick for tick in requesting if run and tick.tick_id != run.tick_id), None)
    if tick is None or run is None:
        return Row(arrival.key)
    is_over = tick.status is TickStatus.SKIPPED or tick.dispatched is not None
    text = f"the run exists already: {run.run_id[:8]}"
    return Row(
        arrival.key, FOUND_BY[tick.kind], short_tick(tick), NO_NEW_RUN, tick.status.value, text, is_over
    )


def _asks_for(tick: Tick, run_key: str) -> bool:
    return run_key in tick.existing_keys or any(request.run_key == run_key for request in tick.requests)


def short_tick(tick: Tick) -> str:
    """Return its scheduled time, and the beginning (event) or end (epoch) of its id."""
    name = tick.tick_id.rpartition("Z-")[2]
    return f"{tick.tick_id[11:19]} {name[:6] if tick.kind is TickKind.EVENT else f'#{int(name)}'}"


def _failure(run: Run) -> str:
    """Return why a run failed; a Lambda function's message is JSON in the cause."""
    if run.failure is None:
        return ""
    try:
        return str(json.loads(run.failure.cause)["errorMessage"])
    except (ValueError, TypeError, KeyError):
        return f"{run.failure.error}: {run.failure.cause}"


def counts(arrivals: Sequence[Arrival], rows: Sequence[Row], seen: Seen) -> list[Count]:
    """Count what must exist after the uploads, and what does."""
    wanted = [arrival for arrival in arrivals if arrival.status]
    first = [row for row, arrival in zip(rows, arrivals, strict=True) if arrival.status]
    again = [row for row, arrival in zip(rows, arrivals, strict=True) if not arrival.status]
    statuses = [run.status for run in seen.runs.values()]
    found = {label: sum(row.found == label for row in first) for label in FOUND_BY.values()}
    return [
        Count("uploads that were detected", len(arrivals), sum(row.found != WAITING for row in rows)),
        Count("objects found by the sweep alone", _number(wanted, TickKind.LEASED), found["sweep"]),
        Count("objects found by their event", _number(wanted, TickKind.EVENT), found["event"]),
        Count("runs, one for each distinct object", len(wanted), len(seen.runs)),
        Count("runs that succeeded", _ends(wanted, Status.SUCCESS), statuses.count(Status.SUCCESS)),
        Count("runs that failed, as expected", _ends(wanted, Status.FAILURE), statuses.count(Status.FAILURE)),
        Count(
            "uploads of a known object that got no run",
            len(again),
            sum(row.run == NO_NEW_RUN for row in again),
        ),
    ]


def _number(arrivals: Sequence[Arrival], kind: TickKind) -> int:
    return sum(arrival.found_by is kind for arrival in arrivals)


def _ends(arrivals: Sequence[Arrival], status: Status) -> int:
    return sum(arrival.status is status for arrival in arrivals)


def differences(arrivals: Sequence[Arrival], rows: Sequence[Row], counted: Sequence[Count]) -> list[str]:
    """Describe all differences from the expected results; empty if there are none."""
    found = [
        f"{one.what}: expected {one.expected}, seen {one.seen}" for one in counted if one.expected != one.seen
    ]
    for arrival, row in zip(arrivals, rows, strict=True):
        expected = (FOUND_BY[arrival.found_by], arrival.status.value if arrival.status else row.status)
        if (row.found, row.status) != expected:
            found.append(
                f"{arrival.key}: expected {' '.join(expected)}, seen {row.found} {row.status}".rstrip()
            )
        elif arrival.status and row.summary != arrival.summary:
            found.append(f"{arrival.key}: expected {arrival.summary!r}, seen {row.summary!r}")
    return found


def errors_in(log: str, most: int = 3) -> list[str]:
    """Return the last lines of a log that report an error, each shortened.

    Args:
        log: of the local cloud, including the functions' own lines.
        most: the maximum number of lines.
    """
    marks = (" ERROR ", '"level":"ERROR"')
    lines = [line.strip() for line in log.splitlines() if any(mark in line for mark in marks)]
    return [f"{line[:400]} …" if len(line) > 400 else line for line in lines[-most:]]
