"""Names of metrics: in CloudWatch's style, and one for everything that requires an operator."""

import re

import pytest

from treadle.engine.outcomes import Decision, Outcome
from treadle.entrypoints import metric_names
from treadle.entrypoints.handler import metrics, report

STEPS = ("tick", "dispatch", "launch", "record")


def counted(outcome: Outcome, step: str = "tick") -> dict[str, float]:
    """Return what a reported outcome adds to the metrics, by name."""
    metrics().clear_metrics()
    try:
        report(outcome, step=step)
        return {name: sum(found["Value"]) for name, found in metrics().metric_set.items()}
    finally:
        metrics().clear_metrics()


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
        (Outcome(Decision.SUCCESS, "one of two", "t", set_aside=1), "tick", metric_names.REJECTED_REQUESTS),
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
