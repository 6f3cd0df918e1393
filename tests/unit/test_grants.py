"""A tick that requests a job which is not granted fails before it commits: nothing is lost behind its cursor."""

from datetime import UTC, datetime

import pytest

from tests.support.engine import JOB, EngineHarness, keyless, sensor_of
from treadle.bootstrap.settings import Settings
from treadle.definitions.errors import SensorEvaluationError
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.objects import ObjectCreated, S3Object
from treadle.definitions.results import RunRequest, SensorResult
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import TickStatus
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.scheduled_ticks import ScheduledTickRunner
from treadle.integrations.s3 import S3Selection, S3SensorDefinition

OTHER = "load_orders"
NOON = 1_795_370_400_000


def two_jobs() -> SensorDefinition:
    """Return a sensor that requests a granted job and one that may not be granted."""

    def function() -> SensorResult:
        return SensorResult([RunRequest("a", job_name=JOB), RunRequest("b", job_name=OTHER)], cursor="moved")

    jobs = [JobDefinition(JOB), JobDefinition(OTHER)]
    return sensor_of(function, name="orders_poll", job=None, jobs=jobs)


def leased(harness: EngineHarness, granted: frozenset[str] | None) -> ScheduledTickRunner:
    return harness.leased(two_jobs(), granted=granted)


def test_tick_fails_and_neither_its_cursor_moves_nor_its_granted_requests_start(
    harness: EngineHarness,
) -> None:
    """I6."""
    leased(harness, frozenset({JOB})).tick(NOON, Budget())

    [tick] = harness.tick_records("orders_poll")
    assert (tick.status, tick.requests, harness.state("orders_poll").cursor) == (TickStatus.FAILURE, (), None)
    assert tick.error is not None
    assert tick.error.type == "InvalidResultError"
    for part in (
        "1 runs of job 'load_orders'",
        "run key 'b'",
        "its granted jobs are process_file",
        "registry entry",
    ):
        assert part in tick.error.message


@pytest.mark.parametrize("granted", [None, frozenset({JOB, OTHER})])
def test_tick_commits_where_all_is_granted_or_nothing_is_known(
    harness: EngineHarness, granted: frozenset[str] | None
) -> None:
    leased(harness, granted).tick(NOON, Budget())

    [tick] = harness.tick_records("orders_poll")
    assert (tick.status, len(tick.requests)) == (TickStatus.SUCCESS, 2)
    assert harness.state("orders_poll").cursor == "moved"


def test_tick_commits_once_the_job_is_granted(harness: EngineHarness) -> None:
    leased(harness, frozenset({JOB})).tick(NOON, Budget())
    harness.clock.advance(60)
    leased(harness, frozenset({JOB, OTHER})).tick(NOON + 60_000, Budget())

    assert [tick.status for tick in harness.tick_records("orders_poll")] == [
        TickStatus.FAILURE,
        TickStatus.SUCCESS,
    ]


def test_event_tick_fails_and_its_message_goes_back_to_the_queue(harness: EngineHarness) -> None:
    definition = S3SensorDefinition(
        "arrivals", evaluation_fn=keyless, selection=S3Selection("landing"), job_name=JOB
    )
    time = datetime.fromtimestamp(NOON / 1000, UTC)
    event = ObjectCreated(time=time, object=S3Object("landing", "a.csv", "e", "null", 1, time), sequencer="1")

    def evaluate(granted: frozenset[str]) -> None:
        events = harness.events(definition, granted=granted)
        events.evaluate(event, events.load_batch_state([event]), Budget())

    with pytest.raises(SensorEvaluationError, match="the jobs of its registry entry"):
        evaluate(frozenset())
    evaluate(frozenset({JOB}))

    [tick] = harness.tick_records("arrivals")
    assert (tick.status, tick.attempts) == (TickStatus.SUCCESS, 2)


def test_preview_says_so_too(harness: EngineHarness) -> None:
    preview = harness.sensor(two_jobs(), granted=frozenset({JOB})).previewer.preview(Budget())

    assert preview.tick.status is TickStatus.FAILURE
    assert preview.tick.error is not None
    assert "the jobs of its registry entry" in preview.tick.error.message


@pytest.mark.parametrize(
    ("environment", "granted"),
    [
        ({}, None),
        ({"TREADLE_GRANTED_JOBS": ""}, frozenset()),
        ({"TREADLE_GRANTED_JOBS": "load, clean,"}, frozenset({"load", "clean"})),
    ],
)
def test_environment_says_which_jobs_are_granted(
    environment: dict[str, str], granted: frozenset[str] | None
) -> None:
    assert Settings(environment).granted() == granted
