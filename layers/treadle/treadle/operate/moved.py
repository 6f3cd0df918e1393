"""Runs under way where no job is any more, and runs whose target cannot be queried: what a deployment may have taken."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from treadle.engine.addresses import full_address, is_at, kind_of_run
from treadle.engine.identity import timestamp
from treadle.operate.findings import Finding, Severity
from treadle.ports.launching import JobSettings
from treadle.ports.runs import Run

CHECK = "runs under way"
MOST = 1_000
"""So many of the runs that are under way are looked at."""

_KEPT = {"step_functions", "glue"}
"""Kinds whose former addresses FormerJobArns keeps."""

_REVISED = {"batch", "ecs"}
"""Kinds whose rules and permissions hold for every revision of what they run."""

_SILENT = {"lambda", "sqs", "eventbridge"}
"""Kinds that are asked nothing once they have taken a run."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the jobs of a deployment are, and were.

    Attributes:
        jobs: what each job's name launches.
        former: addresses whose rules and permissions the deployment keeps.
        place: the own account and region, as `account/region`, and whatever follows.
    """

    jobs: Mapping[str, JobSettings]
    former: Collection[str] = ()
    place: str = ""

    def findings(self, runs: Iterable[Run]) -> Iterator[Finding]:
        """What keeps runs from being seen to their end, by job and address.

        Args:
            runs: those that are under way.
        """
        at: dict[tuple[str, str], list[Run]] = {}
        for run in runs:
            address = (run.tried.target if run.tried else "") or run.target
            if address:
                at.setdefault((run.job, address), []).append(run)
        for (job, address), found in at.items():
            yield from self._of_address(job, address, found)
            yield from _of_unanswered(job, address, found)

    def _of_address(self, job: str, address: str, found: list[Run]) -> Iterator[Finding]:
        kind = kind_of_run(found[0], self.jobs.get(job))
        if kind in _SILENT or self._is_present(kind, address):
            return
        what = f"{len(found)} of its runs are under way at {address}, where no job is any more"
        if any(is_at(kind, each, address, self.place) for each in self.former):
            yield Finding(
                CHECK, f"job {job}", Severity.OK, f"{what}; FormerJobArns keeps it until they have ended."
            )
            return
        advice = (
            f"Deploy with FormerJobArns={full_address(kind, address, self.place)} until they have ended; "
            "name what it names already, too."
        )
        if kind not in _KEPT:
            advice = "Deploy the job's former settings once more until they have ended."
        says = f"{what}: nobody hears of their end, and those that deny access for a day end as unknown."
        yield Finding(CHECK, f"job {job}", Severity.PROBLEM, says, advice)

    def _is_present(self, kind: str, address: str) -> bool:
        """Whether a job is there now, by another name or of another revision, too."""
        for settings in self.jobs.values():
            if settings.target != kind or not settings.arn:
                continue
            if settings.arn == address or is_at(kind, address, settings.arn, self.place):
                return True
            if kind in _REVISED and settings.arn.rpartition(":")[0] == address.rpartition(":")[0]:
                return True
        return False


def _of_unanswered(job: str, address: str, found: list[Run]) -> Iterator[Finding]:
    silent = [run.unanswered for run in found if run.unanswered is not None]
    if silent:
        first = min(silent, key=lambda each: each.since)
        says = (
            f"{len(silent)} of its runs at {address} cannot be queried, the first since {timestamp(first.since)}: "
            f"{first.reason}"
        )
        advice = (
            "Give ReconcileRole what the words name; a denial that lasts for a day ends the run as unknown."
        )
        yield Finding(CHECK, f"job {job}", Severity.PROBLEM, says, advice)
