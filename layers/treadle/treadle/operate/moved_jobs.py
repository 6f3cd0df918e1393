"""Finds runs in progress at targets that are no longer a job's, or that cannot be queried."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from treadle.engine.identity import timestamp
from treadle.engine.record.arns import arn_matches, former_of, full_address, kind_of_run
from treadle.model.runs import Run
from treadle.model.targets import UNANSWERING, JobSettings
from treadle.operate.findings import Finding, Severity

CHECK = "runs under way"
MOST = 1_000
"""Maximum number of runs in progress that are checked."""

_REVISED = {"batch", "ecs"}
"""Target types whose rules and permissions cover every revision."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """The current and former targets of a deployment's jobs.

    Attributes:
        jobs: the settings of each job, by name, with former targets.
        place: the engine's account and region, as `account/region`, with any suffix.
    """

    jobs: Mapping[str, JobSettings]
    place: str = ""

    def findings(self, runs: Iterable[Run]) -> Iterator[Finding]:
        """Report what prevents runs from being followed to their end, by job and address.

        Args:
            runs: the runs in progress.
        """
        at: dict[tuple[str, str], list[Run]] = {}
        for run in runs:
            address = (run.pending_start.target if run.pending_start else "") or run.target
            if address:
                at.setdefault((run.job, address), []).append(run)
        for (job, address), found in at.items():
            yield from self._of_address(job, address, found)
            yield from _of_unanswered(job, address, found)

    def _of_address(self, job: str, address: str, found: list[Run]) -> Iterator[Finding]:
        kind = kind_of_run(found[0], self.jobs.get(job))
        if kind in UNANSWERING or self._is_present(kind, address):
            return
        what = f"{len(found)} of its runs are in progress at {address}, which is no longer a job's target"
        if keeper := self._keeper(kind, address):
            message = f"{what}; the entry of job {keeper} lists it as a former target until they have ended."
            yield Finding(CHECK, f"job {job}", Severity.OK, message)
            return
        message = f"{what}: their end may be missed, and if access is denied for a day, they end with an unknown result."
        advice = "Deploy its entry and its role again until they have ended."
        if job in self.jobs:
            full = full_address(kind, address, self.place)
            advice = (
                f'Add {full} to "former" in the entry of job {job} and to the statements of its role, and deploy; remove '
                "it once they have ended."
            )
        yield Finding(CHECK, f"job {job}", Severity.PROBLEM, message, advice)

    def _keeper(self, kind: str, address: str) -> str | None:
        """Return the job whose entry lists the address as a former target."""
        for name, settings in self.jobs.items():
            for of, each in former_of(settings):
                if of == kind and (
                    arn_matches(kind, each, address, self.place)
                    or arn_matches(kind, address, each, self.place)
                ):
                    return name
        return None

    def _is_present(self, kind: str, address: str) -> bool:
        """Return whether a job has this target now, including by another name or with another revision."""
        for settings in self.jobs.values():
            if settings.target != kind or not settings.arn:
                continue
            if settings.arn == address or arn_matches(kind, address, settings.arn, self.place):
                return True
            if kind in _REVISED and settings.arn.rpartition(":")[0] == address.rpartition(":")[0]:
                return True
        return False


def _of_unanswered(job: str, address: str, found: list[Run]) -> Iterator[Finding]:
    silent = [run.unanswered for run in found if run.unanswered is not None]
    if silent:
        first = min(silent, key=lambda each: each.since)
        message = (
            f"{len(silent)} of its runs at {address} cannot be queried; the first since {timestamp(first.since)}: "
            f"{first.reason}"
        )
        advice = "Grant the job's role the missing permission; if access is denied for a day, the run ends with an unknown result."
        yield Finding(CHECK, f"job {job}", Severity.PROBLEM, message, advice)
