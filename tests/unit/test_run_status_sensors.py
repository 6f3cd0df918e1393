"""Run status sensors in a whole deployment in memory: what they see, what they start, what they note."""

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.support.alerts import serving
from treadle import (
    CodeLocationSelector,
    DagsterInvalidDefinitionError,
    DagsterInvariantViolationError,
    DagsterRun,
    DagsterRunReaction,
    DagsterRunStatus,
    JobDefinition,
    JobSelector,
    RepositorySelector,
    RunFailureSensorContext,
    RunRequest,
    RunStatusSensorContext,
    RunStatusSensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    TickStatus,
    build_run_status_sensor_context,
    build_sensor_context,
    run_failure_sensor,
    run_status_sensor,
    sensor,
)
from treadle.definitions.errors import InvalidResultError, SensorEvaluationError
from treadle.definitions.results import SensorExecutionData
from treadle.definitions.run_events import RunStatusEvent, SerializableErrorInfo, run_event
from treadle.definitions.runs import RunFailure, StepFailure
from treadle.model.runs import Failure
from treadle.testing.bus import NAMESPACE
from treadle.testing.instance import TreadleInstance

SUCCESS, FAILURE, STARTED = DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.STARTED
load, report, clean = JobDefinition("load"), JobDefinition("report"), JobDefinition("clean")


@sensor(jobs=[load, clean])
def upstream(context: SensorEvaluationContext) -> list[RunRequest]:
    """One run of each job at each tick."""
    number = int(context.cursor or 0) + 1
    context.update_cursor(str(number))
    return [
        RunRequest(f"load-{number}", job_name="load", partition_key=f"day-{number}"),
        RunRequest(f"clean-{number}", job_name="clean"),
    ]


def ended_elsewhere(location: str, job: str = "load", status: DagsterRunStatus = SUCCESS) -> RunStatusEvent:
    """Return an event that another stack's bus sent on."""
    run = DagsterRun("5b1f0a52-0000-5000-8000-000000000001", job, status, location=location)
    return RunStatusEvent(run, status, datetime(2026, 11, 25, 6, tzinfo=UTC), number=1)


class TestWhichEventsFire:
    def test_each_status_fires_the_sensors_of_that_status_once(self) -> None:
        seen: list[tuple[str, str]] = []

        def note(kind: str, *statuses: DagsterRunStatus) -> RunStatusSensorDefinition:
            def function(context: RunStatusSensorContext) -> None:
                seen.append((kind, context.dagster_run.job_name))

            return RunStatusSensorDefinition(f"on_{kind}", statuses, function, monitored_jobs=[load])

        ends = note("ends", SUCCESS, FAILURE)
        sensors = [upstream, note("started", STARTED), note("success", SUCCESS), ends]
        instance = TreadleInstance(sensors)

        first = instance.tick("upstream").runs[0]
        assert seen == [("started", "load")]
        instance.finish_run(first, FAILURE)
        assert seen == [("started", "load"), ("ends", "load")]
        instance.finish_run(instance.tick("upstream").runs[0])

        assert seen[2:] == [("started", "load"), ("success", "load"), ("ends", "load")]

    def test_events_are_taken_in_the_order_of_the_ends_not_of_the_starts(self) -> None:
        seen: list[str] = []

        @run_failure_sensor(monitored_jobs=[load])
        def failed(context: RunFailureSensorContext) -> None:
            seen.append(context.dagster_run.run_key or "")

        instance = TreadleInstance([upstream, failed])
        first, second = instance.tick("upstream").runs[0], instance.tick("upstream").runs[0]
        instance.finish_run(second, FAILURE)
        instance.finish_run(first, FAILURE)

        assert seen == ["load-2", "load-1"]

    def test_job_that_is_not_monitored_does_not_fire(self) -> None:
        @run_failure_sensor(monitored_jobs=[load])
        def failed() -> None:
            """React."""

        instance = TreadleInstance([upstream, failed])
        loading, cleaning = instance.tick("upstream").runs
        instance.finish_run(cleaning, FAILURE)
        assert instance.ticks("failed") == []
        instance.finish_run(loading, FAILURE)

        assert [tick.status for tick in instance.ticks("failed")] == [TickStatus.SUCCESS]

    @pytest.mark.parametrize(
        ("monitored", "fires"),
        [
            ([CodeLocationSelector("shop")], True),
            ([CodeLocationSelector("210987654321/eu-west-1/shop")], True),
            ([CodeLocationSelector("other")], False),
            ([RepositorySelector("shop", "any")], True),
            ([JobSelector("shop", None, "load")], True),
            ([JobSelector("shop", job_name="clean")], False),
            ([JobSelector("other", job_name="load")], False),
            ([load], False),
            (None, False),
        ],
    )
    def test_selectors_choose_jobs_of_other_stacks(self, monitored: list[object], fires: bool) -> None:
        @run_status_sensor(SUCCESS, monitored_jobs=monitored)  # type: ignore[arg-type]
        def watch() -> None:
            """React."""

        instance = TreadleInstance([watch])
        result = instance.send(ended_elsewhere("210987654321/eu-west-1/shop"))["watch"]

        assert (result.outcome.decision == "SUCCESS") is fires
        if not fires:
            assert "not watched" in result.outcome.reason

    def test_monitor_all_code_locations_fires_for_success_and_failure_anywhere(self) -> None:
        @run_status_sensor([SUCCESS, FAILURE], monitor_all_code_locations=True)
        def watch() -> None:
            """React."""

        instance = TreadleInstance([upstream, watch])
        foreign = ended_elsewhere("210987654321/eu-west-1/shop", status=FAILURE)

        assert instance.send(foreign)["watch"].outcome.decision == "SUCCESS"
        instance.finish_run(instance.tick("upstream").runs[0])
        assert len(instance.ticks("watch")) == 2

    def test_without_monitored_jobs_every_job_of_the_own_stack_fires_and_no_other(self) -> None:
        @run_status_sensor(SUCCESS)
        def watch() -> None:
            """React."""

        instance = TreadleInstance([upstream, watch])
        for run in instance.tick("upstream").runs:
            instance.finish_run(run)
        instance.send(ended_elsewhere("210987654321/eu-west-1/treadle"))

        assert [tick.status.value for tick in instance.ticks("watch")].count("SUCCESS") == 2

    def test_deployment_says_which_jobs_are_watched(self) -> None:
        @run_status_sensor(SUCCESS, monitored_jobs=[load])
        def watch() -> None:
            """React."""

        def count(monitored: str) -> int:
            instance = TreadleInstance(
                [upstream, watch], settings={"watch": {"TREADLE_MONITORED_JOBS": monitored}}
            )
            for run in instance.tick("upstream").runs:
                instance.finish_run(run)
            instance.send(ended_elsewhere("1/2/3"))
            return sum(tick.status is TickStatus.SUCCESS for tick in instance.ticks("watch"))

        assert [count(""), count("clean"), count("load, clean"), count("*")] == [1, 1, 2, 3]

    def test_stopped_sensor_drops_events_and_says_so(self) -> None:
        @run_status_sensor(SUCCESS, monitor_all_code_locations=True)
        def watch() -> None:
            """React."""

        instance = TreadleInstance([watch])
        instance.stop_sensor("watch")

        assert instance.send(ended_elsewhere("1/2/3"))["watch"].outcome.decision == "STOPPED"


class TestWhatTheFunctionSees:
    def test_context_has_run_event_partition_and_the_old_names(self) -> None:
        seen: list[RunStatusSensorContext] = []

        @run_status_sensor(SUCCESS, monitored_jobs=[load])
        def watch(context: RunStatusSensorContext) -> None:
            seen.append(context)

        instance = TreadleInstance([upstream, watch])
        instance.finish_run(instance.tick("upstream").runs[0])
        [context] = seen

        assert context.run is context.dagster_run is context.pipeline_run
        assert context.event is context.dagster_event
        assert context.dagster_run.pipeline_name == context.dagster_event.pipeline_name == "load"
        assert context.partition_key == "day-1"
        assert context.sensor_name == "watch"
        assert context.dagster_run.is_success
        assert context.dagster_run.location == NAMESPACE
        assert context.dagster_event.event_type_value == "PIPELINE_SUCCESS"

    def test_failure_is_reported_with_the_targets_message(self) -> None:
        seen: list[str] = []

        @run_failure_sensor
        def failed(context: RunFailureSensorContext) -> None:
            error = context.failure_event.event_specific_data.error
            assert error is not None
            seen.extend([context.failure_event.message, error.to_string()])

        instance = TreadleInstance([upstream, failed])
        instance.finish_run(instance.tick("upstream").runs[0], FAILURE, Failure("DataError", "womp womp"))

        assert seen == [
            'Execution of run for "load" failed. DataError: womp womp',
            "DataError: womp womp",
        ]

    def test_event_without_a_record_is_evaluated_with_what_it_reports(self) -> None:
        seen: list[str] = []

        @run_failure_sensor
        def failed(context: RunFailureSensorContext) -> None:
            seen.append(context.dagster_run.run_id)

        event = ended_elsewhere(NAMESPACE, status=FAILURE)
        TreadleInstance([failed]).send(event)

        assert seen == [event.run.run_id]

    def test_log_lines_are_kept_with_the_tick(self) -> None:
        @run_status_sensor(SUCCESS, monitored_jobs=[load])
        def watch(context: RunStatusSensorContext) -> None:
            context.log.info("seen %s", context.dagster_run.job_name)

        instance = TreadleInstance([upstream, watch])
        instance.finish_run(instance.tick("upstream").runs[0])

        assert any("seen load" in line for line in instance.ticks("watch")[0].log)

    def test_there_is_no_cursor(self) -> None:
        @run_status_sensor(SUCCESS, monitor_all_code_locations=True)
        def watch(context: RunStatusSensorContext) -> None:
            context.update_cursor("1")

        with pytest.raises(SensorEvaluationError, match="has no cursor"):
            TreadleInstance([watch]).send(ended_elsewhere("1/2/3"))


class TestWhatItStarts:
    def test_chain_without_a_loop_as_dagsters_documentation_shows_it(self) -> None:
        @run_status_sensor(run_status=SUCCESS, request_job=report)
        def report_status_sensor(context: RunStatusSensorContext) -> RunRequest | SkipReason:
            if context.dagster_run.job_name != report.name:
                config = {"ops": {"status": {"config": {"job_name": context.dagster_run.job_name}}}}
                return RunRequest(run_key=None, run_config=config)
            return SkipReason("Don't report status of status_reporting_job")

        instance = TreadleInstance([upstream, report_status_sensor])
        for run in instance.tick("upstream").runs:
            instance.finish_run(run)
        reports = instance.runs(lambda run: run.job == "report")
        assert len(reports) == 2
        for run in reports:
            instance.finish_run(run)

        assert len(instance.runs(lambda run: run.job == "report")) == 2
        reasons = [tick.reason for tick in instance.ticks("report_status_sensor")]
        assert reasons.count("Don't report status of status_reporting_job") == 2

    def test_each_success_is_reported_to_slack_as_dagsters_documentation_shows_it(self) -> None:
        with serving() as slack:

            @run_status_sensor(run_status=SUCCESS)
            def my_slack_on_run_success(context: RunStatusSensorContext) -> None:
                text = f'Job "{context.dagster_run.job_name}" succeeded.'
                message = json.dumps({"channel": "#alert-channel", "text": text}).encode()
                urlopen(Request(f"{slack.url}/api/chat.postMessage", message), timeout=5).close()

            instance = TreadleInstance([upstream, my_slack_on_run_success])
            first, second = instance.tick("upstream").runs
            instance.finish_run(first)
            instance.finish_run(second, FAILURE)

        assert [received.body["text"] for received in slack.received] == ['Job "load" succeeded.']
        [reaction] = instance.runs(lambda run: run.job == "load")[0].reactions
        assert reaction.sensor == "my_slack_on_run_success"

    def test_second_delivery_starts_nothing_and_calls_nothing(self) -> None:
        calls: list[int] = []

        @run_status_sensor(SUCCESS, request_job=report, monitor_all_code_locations=True)
        def chain() -> RunRequest:
            calls.append(1)
            return RunRequest()

        instance = TreadleInstance([chain])
        event = ended_elsewhere("1/2/3")
        first, second = instance.send(event)["chain"], instance.send(event)["chain"]

        assert (len(first.runs), second.outcome.decision, calls) == (1, "DUPLICATE", [1])

    def test_loop_ends_at_the_depth_limit(self) -> None:
        @run_status_sensor(SUCCESS, request_job=report, monitor_all_code_locations=True)
        def again() -> RunRequest:
            return RunRequest()

        instance = TreadleInstance([again])
        instance.send(ended_elsewhere("1/2/3"))
        for _ in range(20):
            running = instance.runs(lambda run: run.status is STARTED)
            for run in running:
                instance.finish_run(run)
            if not running:
                break

        assert len(instance.runs()) == 10
        [refusal] = [refusal_text for tick in instance.ticks("again") for refusal_text in tick.refusals]
        assert "which looks like a loop" in refusal

    def test_twelve_events_at_once_are_all_evaluated(self) -> None:
        @run_status_sensor(SUCCESS, request_job=report, monitored_jobs=[load])
        def each() -> RunRequest:
            return RunRequest()

        instance = TreadleInstance([upstream, each])
        runs = [instance.tick("upstream").runs[0] for _ in range(12)]
        for run in runs:
            instance.finish_run(run)

        assert len(instance.runs(lambda run: run.job == "report")) == 12

    def test_result_with_requests_is_noted_as_a_reaction_too(self) -> None:
        @run_status_sensor(SUCCESS, request_job=report, monitored_jobs=[load])
        def chain() -> SensorResult:
            return SensorResult(run_requests=[RunRequest("a"), RunRequest("b")])

        instance = TreadleInstance([upstream, chain])
        run = instance.finish_run(instance.tick("upstream").runs[0]).run

        assert [each.sensor for each in run.reactions] == ["chain"]
        assert {each.run_key for each in instance.runs(lambda each: each.job == "report")} == {"a", "b"}


class TestReactions:
    def test_nothing_returned_is_noted_on_tick_and_run(self) -> None:
        @run_status_sensor(SUCCESS, monitored_jobs=[load])
        def watch() -> None:
            """React."""

        instance = TreadleInstance([upstream, watch])
        run = instance.finish_run(instance.tick("upstream").runs[0]).run
        [tick] = instance.ticks("watch")

        assert tick.status is TickStatus.SUCCESS
        assert tick.reason == f'Sensor "watch" acted on run status SUCCESS of run {run.run_id}.'
        assert tick.acted_on == f"{run.run_id}/1/0/SUCCESS"
        [reaction] = run.reactions
        assert (reaction.sensor, reaction.tick_id) == ("watch", tick.tick_id)

    def test_skip_reason_is_no_reaction(self) -> None:
        @run_status_sensor(SUCCESS, monitored_jobs=[load])
        def watch() -> SkipReason:
            return SkipReason("not today")

        instance = TreadleInstance([upstream, watch])
        run = instance.finish_run(instance.tick("upstream").runs[0]).run

        assert (instance.ticks("watch")[0].reason, run.reactions) == ("not today", ())

    def test_reaction_may_be_returned_and_an_error_in_it_fails_the_tick(self) -> None:
        @run_status_sensor([SUCCESS, FAILURE], monitored_jobs=[load])
        def watch(context: RunStatusSensorContext) -> DagsterRunReaction:
            error = ValueError("no channel") if context.dagster_run.is_failure else None
            return DagsterRunReaction(context.dagster_run, error)

        instance = TreadleInstance([upstream, watch])
        instance.finish_run(instance.tick("upstream").runs[0])
        instance.finish_run(instance.tick("upstream").runs[0], FAILURE)
        failed, acted = instance.ticks("watch")

        assert acted.status is TickStatus.SUCCESS
        assert failed.error is not None
        assert "no channel" in failed.error.message

    def test_other_sensors_may_return_no_reaction(self) -> None:
        @sensor(job=load)
        def plain() -> Any:
            return DagsterRunReaction()

        with pytest.raises(InvalidResultError, match="unexpectedly returned"):
            plain.evaluate_tick(build_sensor_context(sensor_name="plain"))


class TestAlertsAreNotLost:
    def test_function_that_fails_is_called_again_and_what_is_behind_it_does_not_wait(self) -> None:
        calls: list[str] = []

        @run_failure_sensor(monitored_jobs=[load])
        def alert(context: RunFailureSensorContext) -> None:
            calls.append(context.dagster_run.run_key or "")
            if calls == ["load-1"]:
                raise ConnectionError("the service is down")

        instance = TreadleInstance([upstream, alert])
        first, second = instance.tick("upstream").runs[0], instance.tick("upstream").runs[0]
        instance.finish_run(first, FAILURE)
        [failed] = instance.ticks("alert")
        assert failed.error is not None
        assert "the service is down" in failed.error.message
        instance.finish_run(second, FAILURE)
        instance.send(instance.undelivered[0])

        assert calls == ["load-1", "load-2", "load-1"]
        assert [tick.status for tick in instance.ticks("alert")] == [TickStatus.SUCCESS] * 2
        assert sorted(tick.attempts for tick in instance.ticks("alert")) == [1, 2]


class TestDefinitions:
    def test_all_problems_of_what_is_watched_are_refused(self) -> None:
        with pytest.raises(DagsterInvalidDefinitionError, match="Cannot specify both"):
            run_status_sensor(SUCCESS, monitored_jobs=[load], monitor_all_code_locations=True)(lambda: None)
        with pytest.raises(DagsterInvalidDefinitionError, match="no status"):
            run_status_sensor([])(lambda: None)
        with pytest.raises(DagsterInvalidDefinitionError, match="Must provide evaluation_fn"):
            RunStatusSensorDefinition("nothing", SUCCESS)

    def test_failure_sensor_is_made_bare_or_called(self) -> None:
        @run_failure_sensor
        def bare() -> None:
            """React."""

        @run_failure_sensor(name="other", request_job=report)
        def called() -> None:
            """React."""

        assert (bare.name, called.name, called.job_names) == ("bare", "other", ("report",))
        assert bare.statuses == called.statuses == {FAILURE}
        assert bare.sensor_type.value == "RUN_STATUS"

    def test_tick_of_the_schedule_evaluates_nothing(self) -> None:
        @run_status_sensor(SUCCESS)
        def watch() -> None:
            """React."""

        data = watch.evaluate(build_sensor_context(sensor_name="watch"))

        assert data.skip_message == "Sensor watch evaluates events, not ticks."


class TestEvaluateTick:
    """As in Dagster: the first evaluation sets the cursor, and later ones evaluate what has happened since."""

    def evaluated(self, watch: Any, instance: TreadleInstance, cursor: str | None) -> SensorExecutionData:
        with build_sensor_context(instance, cursor) as context:
            data: SensorExecutionData = watch.evaluate_tick(context)
            assert data.cursor == context.cursor
            return data

    def ended(self, instance: TreadleInstance, *statuses: DagsterRunStatus) -> None:
        for status in statuses:
            instance.finish_run(instance.tick("upstream").runs[0], status)

    def test_the_first_evaluation_skips_what_has_happened(self) -> None:
        seen: list[str] = []

        @run_status_sensor(SUCCESS, monitored_jobs=[load])
        def watch(context: RunStatusSensorContext) -> None:
            seen.append(context.dagster_run.run_key or "")

        instance = TreadleInstance([upstream])
        self.ended(instance, SUCCESS)
        first = self.evaluated(watch, instance, None)
        self.ended(instance, FAILURE, SUCCESS)
        second = self.evaluated(watch, instance, first.cursor)
        third = self.evaluated(watch, instance, second.cursor)

        assert (first.skip_message or "").startswith("Initiating watch. Set cursor to ")
        assert seen == ["load-3"]
        [reaction] = second.dagster_run_reactions
        assert reaction.run_status is SUCCESS
        assert (third.skip_message, third.dagster_run_reactions) == (
            "Sensor function returned an empty result",
            [],
        )
        assert third.cursor == second.cursor

    def test_it_ends_at_a_request_and_after_five_reactions(self) -> None:
        @run_status_sensor({SUCCESS, FAILURE}, request_job=report)
        def watch(context: RunStatusSensorContext) -> RunRequest | None:
            return RunRequest("late") if context.dagster_run.status is FAILURE else None

        instance = TreadleInstance([upstream])
        cursor = self.evaluated(watch, instance, None).cursor
        self.ended(instance, *[SUCCESS] * 6, FAILURE, FAILURE)
        five = self.evaluated(watch, instance, cursor)
        request = self.evaluated(watch, instance, five.cursor)
        last = self.evaluated(watch, instance, request.cursor)

        assert [len(each.dagster_run_reactions) for each in (five, request, last)] == [5, 1, 0]
        assert five.run_requests == []
        assert [each.job_name for each in (*request.run_requests, *last.run_requests)] == ["report", "report"]
        assert request.run_requests[0].tags == {"dagster/sensor_name": "watch"}

    def test_a_function_that_raises_leaves_the_cursor(self) -> None:
        @run_failure_sensor
        def alert() -> None:
            raise ConnectionError("the service is down")

        instance = TreadleInstance([upstream])
        self.ended(instance, FAILURE)
        context = build_sensor_context(instance, "0")
        with pytest.raises(ConnectionError, match="the service is down"):
            alert.evaluate_tick(context)

        assert context.cursor != str(len(instance.run_status_events()))

    def test_a_cursor_of_the_function_fails(self) -> None:
        @run_status_sensor(SUCCESS, monitored_jobs=[load])
        def watch() -> SensorResult:
            return SensorResult(cursor="7")

        instance = TreadleInstance([upstream])
        self.ended(instance, SUCCESS)
        with pytest.raises(DagsterInvariantViolationError, match="has no cursor when it evaluates an event"):
            watch.evaluate_tick(build_sensor_context(instance, "0"))

    def test_status_changes_are_still_delivered_to_deployed_sensors(self) -> None:
        seen: list[str] = []

        @run_status_sensor(SUCCESS, monitored_jobs=[load])
        def watch(context: RunStatusSensorContext) -> None:
            seen.append(context.dagster_run.run_key or "")

        instance = TreadleInstance([upstream, watch])
        run = instance.tick("upstream").runs[0]
        self.evaluated(watch, instance, "0")
        instance.finish_run(run)

        assert seen == ["load-1"]


class TestDirectInvocation:
    def test_sensor_is_called_with_a_context_made_from_a_run_that_ended(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        @run_status_sensor(SUCCESS, request_job=report)
        def chain(context: RunStatusSensorContext) -> RunRequest:
            context.log.warning("of %s", context.dagster_event.job_name)
            return RunRequest(context.dagster_run.run_id)

        instance = TreadleInstance([upstream])
        result = instance.finish_run(instance.tick("upstream").runs[0])
        context = build_run_status_sensor_context(
            sensor_name="chain",
            dagster_event=result.get_job_success_event(),
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            partition_key="day-1",
        )
        with caplog.at_level(logging.WARNING):
            request = chain(context)

        assert request.run_key == result.run.run_id
        assert "of load" in caplog.text
        assert context.instance is instance

    def test_failure_context_is_made_from_a_status_context(self) -> None:
        @run_failure_sensor
        def failed(context: RunFailureSensorContext) -> Any:
            return context.failure_event.message

        instance = TreadleInstance([upstream])
        result = instance.finish_run(instance.tick("upstream").runs[0], FAILURE, Failure("E", "why"))
        context = build_run_status_sensor_context(
            "failed", result.get_job_failure_event(), instance, result.dagster_run
        ).for_run_failure()

        assert isinstance(context, RunFailureSensorContext)
        assert context.failure_event.message == 'Execution of run for "load" failed. E: why'
        with pytest.raises(ValueError, match="has no event of SUCCESS"):
            result.get_job_success_event()

    def test_resources_come_from_the_context(self) -> None:
        @run_failure_sensor(required_resource_keys={"mailer"})
        def failed(context: RunFailureSensorContext) -> Any:
            return context.resources.mailer

        run = DagsterRun("r", "load", FAILURE)
        event = replace(ended_elsewhere(""), run=run, status=FAILURE).dagster_event
        context = build_run_status_sensor_context("failed", event, None, run, resources={"mailer": "m"})

        assert failed(context.for_run_failure()) == "m"


@pytest.mark.parametrize("steps", [(), (StepFailure("load", "ZeroDivisionError", "division by zero"),)])
def test_error_of_a_failed_run_is_caused_by_its_step_or_else_by_itself(
    steps: tuple[StepFailure, ...],
) -> None:
    failure = RunFailure("States.TaskFailed", "too late", steps)
    failed = DagsterRun("r-1", "load", DagsterRunStatus.FAILURE, failure=failure)

    error = run_event(failed, DagsterRunStatus.FAILURE).event_specific_data.error

    assert error is not None
    assert (error.message, error.cls_name, error.context) == ("too late", "States.TaskFailed", None)
    assert str(error) == error.to_string() == "States.TaskFailed: too late"
    assert error.cause == (
        SerializableErrorInfo("division by zero", "ZeroDivisionError")
        if steps
        else SerializableErrorInfo("too late", "States.TaskFailed")
    )
    assert error.cause.cause is None


def test_event_of_a_run_has_no_materialization() -> None:
    event = run_event(DagsterRun("r-1", "load"), DagsterRunStatus.SUCCESS)

    with pytest.raises(
        DagsterInvariantViolationError, match="has no materialization: it is of type PIPELINE_SUCCESS"
    ):
        _ = event.materialization


def test_reaction_of_a_run_status_sensor_is_in_its_data() -> None:
    reaction = DagsterRunReaction(run_status=DagsterRunStatus.SUCCESS)
    run = DagsterRun("r-1", "load", DagsterRunStatus.SUCCESS)
    event = RunStatusEvent(run, DagsterRunStatus.SUCCESS, datetime(2026, 11, 29, tzinfo=UTC))
    reacting = run_status_sensor(DagsterRunStatus.SUCCESS, "reacting")(lambda context: reaction)

    data = reacting.evaluate_event(SensorEvaluationContext("reacting"), event)

    assert data.dagster_run_reactions == [reaction]
