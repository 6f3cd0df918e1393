"""The kinds of sensor that can be written, and what distinguishes them in the template."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SensorKind:
    """A kind of sensor.

    Attributes:
        name: as it is typed.
        texts: how the names of its code's and its test's text begin.
        status: of the runs that it hears of; None if it hears of none.
        has_schedule: whether it ticks.
        watches: whether a parameter says whose runs it hears of; else its code does.
        needs_job: whether it starts a job in any case.
        fewest_jobs: so many must be named that it hears of.
        assets: the fewest and the most assets that it hears of.
        has_deadlines: whether its schedule says by when a job must have succeeded, the only one named.
        has_objects: whether it watches a bucket.
        does: what it does, with its job, in words behind its name.
        does_without_job: the same without one.
    """

    name: str
    texts: str
    status: str | None
    has_schedule: bool
    watches: bool
    needs_job: bool
    fewest_jobs: int
    does: str
    does_without_job: str = ""
    assets: tuple[int, int] = (0, 0)
    has_deadlines: bool = False
    has_objects: bool = False

    @property
    def kind(self) -> str:
        """How its definition calls itself: a sensor of failed runs is one of runs."""
        return "run_status" if self.watches else self.name.replace("-", "_")

    @property
    def subscribes_to_assets(self) -> bool:
        """Whether events of assets set it off."""
        return self.assets != (0, 0)

    @property
    def subscribes(self) -> bool:
        """Whether events set it off."""
        return self.status is not None or self.subscribes_to_assets or self.has_objects

    @property
    def detail_type(self) -> str:
        """Of the events that set it off; "" if none do."""
        if self.has_objects:
            return "Object Created"
        if self.subscribes_to_assets:
            return "Asset Materialized"
        return "Run Status Changed" if self.status is not None else ""

    @property
    def interval(self) -> int:
        """Seconds between its ticks unless they are given; what events announce, ticks have only to complete."""
        return 300 if self.has_objects else 60

    @property
    def has_interval(self) -> bool:
        """Whether it is told how often to tick; what hears of something is woken by it, each minute at the latest."""
        return self.has_schedule and (self.has_objects or not self.subscribes)


SCHEDULE = "schedule"

SENSOR_KINDS: Mapping[str, SensorKind] = {
    kind.name: kind
    for kind in (
        SensorKind(SCHEDULE, "schedule", None, True, False, True, 0, "starts {{job}}"),
        SensorKind(
            *("run-status", "runs", "SUCCESS", False, True, False, 0),
            "starts {{job}} when a run has succeeded",
            "reacts to runs that have succeeded",
        ),
        SensorKind(
            *("run-failure", "runs", "FAILURE", False, True, False, 0),
            "starts {{job}} when a run has failed",
            "reacts to runs that have failed",
        ),
        SensorKind(
            *("all-succeeded", "all_succeeded", "SUCCESS", True, False, True, 2),
            "starts {{job}} when all of several jobs have succeeded",
        ),
        SensorKind(
            *("asset", "asset", None, False, False, True, 0),
            "starts {{job}} when an asset is materialized",
            assets=(1, 1),
        ),
        SensorKind(
            *("multi-asset", "multi_asset", None, True, False, True, 0),
            "starts {{job}} when all of several assets are materialized",
            assets=(2, 20),
        ),
        SensorKind(
            *("deadline", "deadline", None, False, False, False, 1),
            "starts {{job}} when a job has missed its deadline",
            "reacts when a job has missed its deadline",
            has_deadlines=True,
        ),
        SensorKind(
            *("s3", "s3", None, True, False, True, 0),
            "starts {{job}} for each object in a bucket",
            has_objects=True,
        ),
    )
}
