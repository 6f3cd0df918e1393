"""Names of metrics: in CloudWatch's style, and one for everything that requires an operator."""

import contextlib
import io
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from treadle.bootstrap.inbox import Inbox
from treadle.definitions.errors import StoreThrottledError, UnknownEventError
from treadle.engine.outcomes import Decision, Outcome
from treadle.entrypoints import metric_names
from treadle.entrypoints.handler import count, flush_metrics, metrics, process_queue, report
from treadle.testing.system import InMemoryDeadLetters, InMemoryQueue

STEPS = ("tick", "dispatch", "launch", "record")
FAILED = Outcome(Decision.FAILURE, "it raised", "t")


@pytest.fixture(autouse=True)
def _engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's name, and nothing that an earlier test has counted."""
    lines(lambda: None)
    monkeypatch.setattr(metrics().provider, "service", "main")


def lines(act: Callable[[], object]) -> list[dict[str, Any]]:
    """Return the metrics that an invocation writes, a dictionary for each line."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        act()
        flush_metrics()
    return [json.loads(line) for line in printed.getvalue().splitlines() if '"_aws"' in line]


def dimensions(line: dict[str, Any]) -> list[dict[str, str]]:
    """Return the sets of dimensions of a line, with their values."""
    [directive] = line["_aws"]["CloudWatchMetrics"]
    return [{name: line[name] for name in each} for each in directive["Dimensions"]]


def counts(line: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """The metrics of a line."""
    for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]:
        yield metric["Name"], sum(line[metric["Name"]])


def counted(outcome: Outcome, step: str = "tick", **keys: str) -> dict[str, float]:
    """What a reported outcome adds to the engine's metrics, by name."""
    written = lines(lambda: report(outcome, step=step, **keys))
    assert all(dimensions(line)[0] == {"service": "main"} for line in written)
    return dict(each for line in written for each in counts(line))


def process(origin: str, error: Exception) -> None:
    """Handle a message that fails."""

    def handle(_: object) -> None:
        raise error

    record = {"messageId": "m", "receiptHandle": "h", "body": "{}", "eventSource": "aws:sqs"}
    batch = {"Records": [{**record, "attributes": {"ApproximateReceiveCount": "1"}}]}
    process_queue(batch, handle, Inbox(origin, InMemoryQueue(), InMemoryDeadLetters()))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("decision", Decision)
def test_each_decision_has_a_name_of_its_own(step: str, decision: Decision) -> None:
    name = metric_names.of_decision(step, decision)
    others = {metric_names.of_decision(step, each) for each in Decision if each is not decision}

    assert name is None or re.fullmatch(r"([A-Z][a-z]+)+", name)
    assert name is None or name not in others


@pytest.mark.parametrize("decision", [Decision.SKIPPED, Decision.NOT_DUE])
def test_an_idle_sensor_writes_no_metric(decision: Decision) -> None:
    """A metric that is written each hour costs by the month, and a line of the log each minute."""
    assert counted(Outcome(decision, "nothing new", "t")) == {}


@pytest.mark.parametrize(
    ("outcome", "step", "name"),
    [
        (Outcome(Decision.FAILURE, "denied", "r"), "launch", metric_names.LAUNCHES_FAILED),
        (
            Outcome(Decision.FAILURE, "it raised", "t", paused="ten in a row"),
            "tick",
            metric_names.SENSORS_PAUSED,
        ),
        (Outcome(Decision.SUCCESS, "one of two", "t", rejected=1), "tick", metric_names.REJECTED_REQUESTS),
        (Outcome(Decision.SUCCESS, "one of two", "t", refused=1), "dispatch", metric_names.REFUSED_REQUESTS),
        (Outcome(Decision.HELD, "no grant", "t", held=1), "dispatch", metric_names.HELD_REQUESTS),
    ],
)
def test_what_waits_for_a_person_is_counted_as_that_too(outcome: Outcome, step: str, name: str) -> None:
    found = counted(outcome, step)

    assert found[name] == found[metric_names.ACTION_NEEDED] == 1


def test_everything_that_waits_is_one_number() -> None:
    outcome = Outcome(Decision.HELD, "no grant", "t", held=3, refused=2)

    assert counted(outcome, "dispatch")[metric_names.ACTION_NEEDED] == 5


def test_a_failed_evaluation_alone_waits_for_nobody() -> None:
    """It is evaluated again by itself; three within 15 minutes have an alarm of their own."""
    assert metric_names.ACTION_NEEDED not in counted(Outcome(Decision.FAILURE, "it raised", "t"))


@pytest.mark.parametrize(
    ("outcome", "step", "keys", "dimension"),
    [
        (FAILED, "tick", {"sensor": "daily", "tick_id": "t"}, {"sensor": "daily"}),
        (Outcome(Decision.LOST, "edited", "t"), "tick", {"sensor": "daily"}, {"sensor": "daily"}),
        (
            Outcome(Decision.HELD, "no grant", "t", held=1),
            "dispatch",
            {"sensor": "daily"},
            {"sensor": "daily"},
        ),
        (FAILED, "launch", {"run_id": "r", "job": "load"}, {"job": "load"}),
    ],
)
def test_a_problem_is_written_for_the_engine_and_for_its_sensor_or_job_in_one_line(
    outcome: Outcome, step: str, keys: dict[str, str], dimension: dict[str, str]
) -> None:
    """A run or a tick is no dimension: their number is not limited."""
    by_dimension = [
        line for line in lines(lambda: report(outcome, step=step, **keys)) if len(dimensions(line)) > 1
    ]

    [line] = by_dimension
    assert dimensions(line) == [{"service": "main"}, {"service": "main", **dimension}]
    assert dict(counts(line)).keys() <= metric_names.PROBLEMS | {metric_names.ACTION_NEEDED}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "decision", [each for each in Decision if each not in {Decision.FAILURE, Decision.LOST}]
)
def test_what_is_no_problem_costs_no_metric_by_sensor_or_job(step: str, decision: Decision) -> None:
    outcome = Outcome(decision, "it worked", "t", latency=5)

    written = lines(lambda: report(outcome, step=step, sensor="daily", job="load"))

    assert all(dimensions(line) == [{"service": "main"}] for line in written)


@pytest.mark.parametrize(
    ("origin", "dimension"),
    [("launch", {"component": "launch"}), ("sensor daily", {"sensor": "daily"})],
)
@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ConnectionError("no such host"), metric_names.MESSAGES_RETRIED),
        (StoreThrottledError("too many"), metric_names.MESSAGES_THROTTLED),
        (UnknownEventError("no such run"), metric_names.DEAD_LETTERS),
    ],
)
def test_a_message_that_fails_is_counted_for_its_component_or_sensor(
    origin: str, dimension: dict[str, str], error: Exception, name: str
) -> None:
    [line] = lines(lambda: process(origin, error))

    assert dimensions(line) == [{"service": "main"}, {"service": "main", **dimension}]
    assert dict(counts(line)) == {name: 1}


def test_problems_of_several_sensors_are_a_line_each_and_end_with_the_invocation() -> None:
    def act() -> None:
        for sensor in ("daily", "hourly", "daily"):
            count(metric_names.HELD_REQUESTS, 2, ("sensor", sensor))
        count(metric_names.STATUSES_PUBLISHED, dimension=("sensor", "daily"))

    [engine, daily, hourly] = lines(act)

    assert dimensions(engine) == [{"service": "main"}]
    assert dict(counts(engine)) == {metric_names.STATUSES_PUBLISHED: 1}
    assert (daily["sensor"], daily[metric_names.HELD_REQUESTS]) == ("daily", [2, 2])
    assert (hourly["sensor"], hourly[metric_names.ACTION_NEEDED]) == ("hourly", [2])
    assert lines(lambda: None) == []
