"""A running `treadle dev` without its server."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.dev_project import QUICK_JOBS, eventually, write_project
from treadle.cli.template_edit import load
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.dev.functions import Zygote
from treadle.dev.operator import LocalDeployment
from treadle.dev.project import DevProject
from treadle.model.run_queries import RunQuery
from treadle.model.runs import Run

if TYPE_CHECKING:
    from treadle.dev.lines import Line


class Loop:
    """A running `treadle dev` without its server.

    Args:
        root: the project's folder.
        keeps: whether it keeps its state.
        buckets: the folder of each bucket.

    Attributes:
        lines: what it prints.
    """

    def __init__(self, root: Path, *, keeps: bool = False, **buckets: Path) -> None:
        self.root = root
        self.lines: list[Line] = []
        self.project = DevProject(root, load, buckets, self.lines.append, Zygote(), keeps=keeps)
        self.deployment = LocalDeployment(self.project)

    def says(self, *texts: str) -> None:
        """Wait for a line with all the texts."""
        eventually(
            lambda: any(
                all(text in f"{each.subject} {each.text}" for text in texts) for each in [*self.lines]
            ),
            lambda: f"no line with {texts} in {self.lines}",
        )

    def runs(self, job: str, status: Status | None = None) -> list[Run]:
        """Return the runs of a job, of a status."""
        found = self.project.engine.stores.runs.find(RunQuery(job=job))
        return [each for each in found if status in {None, each.status}]

    def ends(self, job: str, status: Status) -> Run:
        """Wait for a run of a job that has ended."""
        eventually(lambda: self.runs(job, status), lambda: f"no run of {job} is at {status}: {self.lines}")
        return self.runs(job, status)[0]


@contextlib.contextmanager
def started_loop(folder: Path, dev_toml: str = QUICK_JOBS, *, keeps: bool = False) -> Iterator[Loop]:
    """Start `treadle dev` in a new project, whose bucket "landing" is the folder `inbox`."""
    made = Loop(write_project(folder / "demo", dev_toml), keeps=keeps, landing=folder / "inbox")
    try:
        made.project.start()
        for name in ("poller", "files", "chain", "failures"):
            made.says(name, "loaded")
        yield made
    finally:
        made.project.stop()
