"""The kinds of sensor that `treadle new` can write, and how they differ in the template."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SensorKind:
    """A kind of sensor.

    Attributes:
        name: as entered.
        texts: prefix of the names of its code's and its test's fragments.
        status: the run status that it subscribes to; None if it does not subscribe to runs.
        has_schedule: whether it ticks.
        watches: whether a parameter selects the jobs that it subscribes to; else its code does.
        needs_job: whether it always starts a job.
        fewest_jobs: the minimum number of upstream jobs.
        assets: the minimum and maximum number of assets that it subscribes to.
        has_deadlines: whether it has a schedule of deadlines, of exactly one job.
        has_objects: whether it watches a bucket.
        has_pattern: whether it watches the events that a pattern matches.
        consumes: whether it takes the messages of a queue that belongs to somebody else.
        has_endpoint: whether it receives HTTPS requests.
        has_stream: whether it takes the records of a stream.
        does: what it does with its job, as a phrase that follows its name.
        does_without_job: same without a job.
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
    has_pattern: bool = False
    consumes: bool = False
    has_endpoint: bool = False
    has_stream: bool = False

    @property
    def kind(self) -> str:
        """Return its kind in the definition: a sensor of failed runs is one of runs."""
        return "run_status" if self.watches else self.name.replace("-", "_")

    @property
    def subscribes_to_assets(self) -> bool:
        """Return whether events of assets trigger it."""
        return self.assets != (0, 0)

    @property
    def subscribes(self) -> bool:
        """Return whether events trigger it."""
        return self.status is not None or self.subscribes_to_assets or self.has_objects or self.has_pattern

    @property
    def detail_type(self) -> str:
        """Return the detail-type of the events that trigger it; "" if none do."""
        if self.has_objects:
            return "Object Created"
        if self.subscribes_to_assets:
            return "Asset Materialized"
        return "Run Status Changed" if self.status is not None else ""

    @property
    def interval(self) -> int:
        """Return the default seconds between its ticks; with events, ticks only find what the events missed."""
        return 300 if self.has_objects else 60

    @property
    def has_interval(self) -> bool:
        """Return whether its interval is configurable; other subscribers tick on events, and each minute."""
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
            assets=(1, 20),
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
        SensorKind(
            *("event", "event", None, False, False, True, 0),
            "starts {{job}} for each event",
            has_pattern=True,
        ),
        SensorKind(
            *("queue", "queue", None, False, False, True, 0),
            "starts {{job}} for each message of a queue",
            consumes=True,
        ),
        SensorKind(
            *("stream", "stream", None, False, False, True, 0),
            "starts {{job}} for each record of a stream",
            has_stream=True,
        ),
        SensorKind(
            *("webhook", "webhook", None, False, False, True, 0),
            "starts {{job}} for each HTTPS request",
            has_endpoint=True,
        ),
    )
}
