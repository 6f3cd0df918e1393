"""The windows of Dagster's run status sensors, each closed here.

Numbers and names are those of docs/reference/dagster-windows.md.
"""

import itertools
from collections.abc import Iterator

from treadle import (
    DagsterRunReaction,
    DagsterRunStatus,
    JobDefinition,
    RunFailureSensorContext,
    RunRequest,
    RunStatusSensorContext,
    SensorEvaluationContext,
    SkipReason,
    TickStatus,
    run_failure_sensor,
    run_status_sensor,
    sensor,
)
from treadle.definitions.errors import SensorEvaluationError
from treadle.model.runs import Run
from treadle.testing.instance import TreadleInstance

load, report = JobDefinition("load"), JobDefinition("report")
FAILURE, SUCCESS = DagsterRunStatus.FAILURE, DagsterRunStatus.SUCCESS


@sensor(job=load)
def upstream(context: SensorEvaluationContext) -> RunRequest:
    """Request a run in each tick."""
    number = int(context.cursor or 0) + 1
    context.update_cursor(str(number))
    return RunRequest(str(number))


def loaded(instance: TreadleInstance, number: int) -> list[Run]:
    """Start so many runs."""
    return [instance.tick("upstream").runs[0] for _ in range(number)]


def test_d7_nothing_for_one_run_and_a_skip_reason_for_the_next_call_the_function_once_each() -> None:
    calls: list[str] = []

    @run_status_sensor(SUCCESS, monitored_jobs=[load])
    def alert(context: RunStatusSensorContext) -> SkipReason | None:
        calls.append(context.dagster_run.run_key or "")
        return SkipReason("no alert for every second one") if len(calls) % 2 == 0 else None

    instance = TreadleInstance([upstream, alert])
    for run in loaded(instance, 4):
        instance.finish_run(run)

    assert calls == ["1", "2", "3", "4"]
    ends = [tick.status for tick in reversed(instance.ticks("alert"))]
    assert ends.count(TickStatus.SUCCESS) == ends.count(TickStatus.SKIPPED) == 2


def test_l1_alert_whose_function_raised_comes_again_until_it_is_out() -> None:
    sent: list[str] = []
    answers = itertools.chain([500, 500, 200], itertools.repeat(200))

    @run_failure_sensor(monitored_jobs=[load])
    def alert(context: RunFailureSensorContext) -> None:
        if next(answers) != 200:
            raise ConnectionError("the service answers 500")
        sent.append(context.dagster_run.run_key or "")

    instance = TreadleInstance([upstream, alert])
    [run] = loaded(instance, 1)
    instance.finish_run(run, FAILURE)
    _deliver_again(instance)

    assert sent == ["1"]
    assert [(tick.status, tick.attempts) for tick in instance.ticks("alert")] == [(TickStatus.SUCCESS, 3)]


def test_l2_success_for_a_later_run_leaves_an_earlier_ones_error_as_it_was() -> None:
    @run_status_sensor([FAILURE, SUCCESS], monitored_jobs=[load])
    def alert(context: RunStatusSensorContext) -> None:
        if context.dagster_run.is_failure:
            raise ConnectionError("the service is down")

    instance = TreadleInstance([upstream, alert])
    first, second = loaded(instance, 2)
    instance.finish_run(first, FAILURE)
    instance.finish_run(second)

    failed = [tick.error for tick in instance.ticks("alert") if tick.error]
    [error] = failed
    assert error.message.endswith("ConnectionError: the service is down")


def test_l3_first_status_after_the_deployment_is_seen_and_none_is_lost_to_a_first_tick() -> None:
    seen: list[str] = []

    @run_status_sensor(SUCCESS, monitored_jobs=[load])
    def watch(context: RunStatusSensorContext) -> None:
        seen.append(context.dagster_run.run_key or "")

    instance = TreadleInstance([upstream, watch])
    [run] = loaded(instance, 1)
    instance.finish_run(run)

    assert seen == ["1"]


def test_l12_reaction_beside_a_request_is_kept_and_an_error_in_it_is_recorded() -> None:
    @run_status_sensor([SUCCESS, FAILURE], monitored_jobs=[load], request_job=report)
    def both(context: RunStatusSensorContext) -> Iterator[RunRequest | DagsterRunReaction]:
        yield RunRequest(context.dagster_run.run_id)
        error = ValueError("half of it failed") if context.dagster_run.is_failure else None
        yield DagsterRunReaction(context.dagster_run, error)

    instance = TreadleInstance([upstream, both])
    first, second = loaded(instance, 2)
    acted = instance.finish_run(first).run
    instance.finish_run(second, FAILURE)
    failed = next(tick for tick in instance.ticks("both") if tick.status is TickStatus.FAILURE)

    assert [each.sensor for each in acted.reactions] == ["both"]
    assert failed.error is not None
    assert failed.error.message.endswith("ValueError: half of it failed")
    assert [run.run_key for run in instance.runs(lambda run: run.job == "report")] == [first.run_id]


def _deliver_again(instance: TreadleInstance) -> None:
    """Redeliver as the queue does, until nothing is left."""
    while instance.undelivered:
        event = instance.undelivered.pop(0)
        try:
            instance.send(event)
        except SensorEvaluationError:
            instance.undelivered.append(event)
