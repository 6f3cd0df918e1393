"""`make demo`: all of Treadle on this machine, with real files, and a verdict.

Two jobs that others start are followed by a third once both have succeeded. One of the files exists before
the sensor; the others are uploaded later, one of them twice and one of them broken. In the end all events are
sent again, and a last sweep checks all objects: nothing may start twice.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from tools import demo_files, demo_jobs, stack
from tools.demo_cloud import BUCKET, SENSOR, DemoCloud
from tools.demo_files import CsvFile
from tools.demo_jobs import (
    CUSTOMERS,
    FOLLOWER,
    LARGE,
    LARGE_ROWS,
    LARGE_SENSOR,
    ORDERS,
    REPORT,
    ScheduledElsewhere,
)
from tools.demo_report import Arrival, Count, Row, counts, differences, errors_in, row_of
from tools.demo_tables import line_of, new_console, show
from tools.local_cloud import temporary_cloud
from tools.ministack import LocalCloud
from tools.project import ToolError, run_tool
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import TickStatus
from treadle.engine.identity import timestamp
from treadle.model.ticks import TickKind

SWEEP_SECONDS = 100
"""A sweep runs each minute."""

EVENT_SECONDS = 60
"""An event's run usually ends within three seconds."""

CLEAR_SECONDS = 15
"""Uploads begin at least this long before the next sweep, so that they are found by their events."""


class Demo:
    """Plays the demo on a running cloud."""

    def __init__(self, local: LocalCloud, console: Console) -> None:
        self._local = local
        self._cloud = DemoCloud(local.endpoint)
        self._elsewhere = ScheduledElsewhere(local.endpoint)
        self._console = console
        self._began = time.monotonic()
        self._arrivals: list[Arrival] = []
        self._rows: list[Row] = []

    def play(self) -> int:
        """Play all of it; return 0 if everything is as expected.

        Raises:
            ToolError: something did not happen in time, or could not be deployed.
        """
        self._cloud.create_bucket()
        self._say(f"bucket {BUCKET} exists; no sensor is deployed yet")
        self._upload([demo_files.real_file(demo_files.EARLY)], TickKind.LEASED)
        self._deploy()
        following = self._jobs_that_follow()
        self._follow("the first sweep", SWEEP_SECONDS)
        self._keep_clear_of_the_sweep()
        self._upload(
            [*map(demo_files.real_file, (*demo_files.OTHERS, demo_files.TWICE)), demo_files.broken_file()]
        )
        self._follow("the events and their runs", EVENT_SECONDS)
        self._say(f"{demo_files.TWICE} again, unchanged")
        self._upload([demo_files.real_file(demo_files.TWICE)], again=True)
        self._follow("the second upload's event", EVENT_SECONDS)
        first = counts(self._arrivals, self._rows, self._cloud.seen())
        first.append(
            Count("executions, as Step Functions counts them", self._wanted, self._cloud.executions())
        )
        first += [self._alerts(), self._large_files()]
        second = self._everything_again()
        return self._conclude({"jobs": following, "first round": first, "second round": second})

    def _deploy(self) -> None:
        for sensor in demo_jobs.SENSORS:
            self._say(f"treadle new sensor {sensor.name}: {sensor.does}")
        with TemporaryDirectory(prefix="treadle-demo-") as folder:
            project = demo_jobs.write_project(Path(folder))
            self._say("sam build …")
            stack.build_engine(self._local.endpoint)
            stack.build(self._local.endpoint, project)
            self._say("sam deploy, the engine and then the project …")
            self._cloud.deploy(project)
        self._wait(
            self._cloud.is_registered, "the engine's copy of what the project registers", SWEEP_SECONDS
        )
        self._say(f"sensor {SENSOR} is deployed; it ticks at each full minute and sweeps the bucket")

    def _jobs_that_follow(self) -> list[Count]:
        """Run two jobs that others start, and one that starts once when both have succeeded."""
        seen = []
        for job in (CUSTOMERS, ORDERS, ORDERS):
            self._let_succeed(job)
            seen.append(len(self._cloud.runs_of(REPORT)))
            self._say(f"{FOLLOWER} has received it; runs of {REPORT}: {seen[-1]}")
        started = len(self._cloud.runs_of(ORDERS)) + len(self._cloud.runs_of(CUSTOMERS))
        return [
            Count(f"runs of {CUSTOMERS} and {ORDERS} that others started", 3, started),
            Count(f"runs of {REPORT} after the first success", 0, seen[0]),
            Count(f"runs of {REPORT} when both had succeeded", 1, seen[1]),
            Count(f"runs of {REPORT} after a third success", 1, seen[2]),
            Count(f"executions of {REPORT}", 1, self._elsewhere.executions(REPORT)),
        ]

    def _let_succeed(self, job: str) -> None:
        """Start a job as an outsider; wait until its success was recorded and nothing more follows."""
        before = len(self._cloud.runs_of(job))
        self._elsewhere.start(job)
        self._say(f"{job} was started outside of Treadle")
        self._wait(
            lambda: (
                self._cloud.received_ends(FOLLOWER, job) > before and self._cloud.is_done(FOLLOWER, REPORT)
            ),
            f"what follows {job}",
            EVENT_SECONDS,
        )

    @property
    def _wanted(self) -> int:
        return sum(arrival.status is not None for arrival in self._arrivals)

    def _upload(
        self, files: Iterable[CsvFile], kind: TickKind = TickKind.EVENT, *, again: bool = False
    ) -> None:
        for file in files:
            run_key = self._cloud.upload(file.key, file.body)
            status = None if again else Status.FAILURE if file.is_broken else Status.SUCCESS
            self._arrivals.append(Arrival(file.key, run_key, kind, status, file.summary))
            self._rows.append(Row(file.key))
            self._say(f"uploaded {file.key} ({len(file.body)} bytes)")

    def _follow(self, what: str, seconds: float) -> None:
        """Show the progress of each upload, until nothing more will happen."""

        def is_over() -> bool:
            seen = self._cloud.seen()
            rows = [row_of(arrival, seen) for arrival in self._arrivals]
            for before, row in zip(self._rows, rows, strict=True):
                if row != before:
                    self._say(line_of(row))
            self._rows = rows
            return all(row.is_done for row in rows)

        self._wait(is_over, what, seconds)

    def _keep_clear_of_the_sweep(self) -> None:
        left = 60 - time.time() % 60
        if left < CLEAR_SECONDS:
            with self._console.status("letting the next sweep pass"):
                time.sleep(left + 3)

    def _alerts(self) -> Count:
        """Check that the project's topic sent an alert for each failed run."""
        failed = sum(arrival.status is Status.FAILURE for arrival in self._arrivals)
        self._wait(lambda: len(self._cloud.alerts()) >= failed, "the alert of the failed run", EVENT_SECONDS)
        for subject in self._cloud.alerts():
            self._say(f"alert to the operator: {subject}")
        return self._count_of_alerts()

    def _large_files(self) -> Count:
        """Check that each summary is reported as an asset, and that large files start a second job."""
        summaries = [arrival.summary for arrival in self._arrivals if arrival.status is Status.SUCCESS]
        large = sum(int(summary.split()[0]) > LARGE_ROWS for summary in summaries)
        self._wait(
            lambda: len(self._cloud.runs_of(LARGE)) >= large and self._cloud.is_done(LARGE_SENSOR, LARGE),
            f"{LARGE} of each file with more than {LARGE_ROWS:,} rows",
            EVENT_SECONDS,
        )
        self._say(f"{LARGE_SENSOR} has started {LARGE} for {len(self._cloud.runs_of(LARGE))} files")
        what = f"files with more than {LARGE_ROWS:,} rows that got a run of {LARGE}"
        return Count(what, large, self._elsewhere.executions(LARGE))

    def _count_of_alerts(self) -> Count:
        failed = sum(arrival.status is Status.FAILURE for arrival in self._arrivals)
        return Count("alerts, one for each run that failed", failed, len(self._cloud.alerts()))

    def _everything_again(self) -> list[Count]:
        """Repeat all events and a sweep, which must find nothing new."""
        events, runs = self._cloud.caught(), len(self._cloud.seen().runs)
        large = self._elsewhere.executions(LARGE)
        self._say(f"second round: all {len(events)} events again, and one more sweep")
        self._cloud.send_again(events)
        self._wait(
            lambda: self._cloud.waiting_messages() == 0, "the events that were sent again", EVENT_SECONDS
        )
        swept = self._cloud.state().last_scheduled_for or 0

        def is_swept() -> bool:
            state = self._cloud.state()
            return (state.last_scheduled_for or 0) > swept and state.lease_owner is None

        self._wait(is_swept, "one more sweep", SWEEP_SECONDS)
        state = self._cloud.state()
        if state.skips:
            self._say(f"the sweep of {timestamp(state.skips.last_at)[11:19]}: {state.skips.reason}")
        self._wait(
            lambda: self._cloud.waiting_messages() == 0,
            "whatever the sweep may have asked for",
            EVENT_SECONDS,
        )
        seen = self._cloud.seen()
        failed = sum(tick.status is TickStatus.FAILURE for tick in seen.ticks)
        return [
            Count("events sent again", len(self._arrivals), len(events)),
            Count("runs that they and the sweep started", 0, len(seen.runs) - runs),
            Count("executions, as Step Functions counts them", self._wanted, self._cloud.executions()),
            self._count_of_alerts(),
            Count(f"executions of {LARGE}", large, self._elsewhere.executions(LARGE)),
            Count("evaluations that failed", 0, failed),
            Count("dead letters", 0, len(self._cloud.dead_letters())),
        ]

    def _conclude(self, counted: Mapping[str, list[Count]]) -> int:
        show(self._console, self._rows, counted)
        wrong = differences(self._arrivals, self._rows, list(chain(*counted.values())))
        seconds = time.monotonic() - self._began
        if not wrong:
            self._console.print(f"\nAll results are as expected, after {seconds:.0f} s.", style="bold green")
            return 0
        self._console.print(f"\nNot as it must be, after {seconds:.0f} s:", style="bold red")
        for difference in wrong:
            self._console.print(f"  {difference}")
        self._console.print(self._log_hint())
        return 1

    def _wait(self, is_over: Callable[[], bool], what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with self._console.status(f"waiting for {what}"):
            while not is_over():
                if time.monotonic() > deadline:
                    missing = [row.key for row in self._rows if not row.is_done]
                    named = f" Still open: {', '.join(missing)}." if missing else ""
                    msg = f"{what} did not come within {seconds:.0f} s.{named}\n{self._log_hint()}"
                    raise ToolError(msg)
                time.sleep(0.2)

    def _log_hint(self) -> str:
        dead_letters = [
            f"A dead letter of {each.origin}: {each.reason}" for each in self._cloud.dead_letters()
        ]
        errors = [f"An error: {line}" for line in errors_in(self._local.log.read_text(errors="replace"))]
        logs = f"The functions' logs are in {self._local.log}"
        return "\n".join([*(dead_letters or ["There are no dead letters."]), *errors, logs])

    def _say(self, text: str) -> None:
        self._console.print(f"{time.monotonic() - self._began:6.1f} s  {text}")


def main() -> int:
    """Run `python -m tools.demo`; return 1 if anything differed."""
    console = new_console()
    console.print("A local cloud, with IAM enforced …")
    with temporary_cloud() as cloud:
        return Demo(cloud, console).play()


if __name__ == "__main__":
    run_tool(main)
