"""The start of an S3 sensor: from the deployment, an operator's start, or a given time."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.stub import Stubber

from tests.support.engine import JOB
from tests.support.objects import BUCKET, TIME, InMemoryLister, object_of
from treadle import DagsterInvalidDefinitionError, RunRequest, s3_sensor
from treadle.adapters import clients
from treadle.adapters.function import deployed_at
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import DagsterInvariantViolationError, SettingsError
from treadle.definitions.runs import from_millis
from treadle.definitions.status import DefaultSensorStatus
from treadle.engine.outcomes import Decision
from treadle.integrations.s3 import S3Selection, S3SensorDefinition
from treadle.integrations.s3.sweep import Slice, SweepCursor, sweep
from treadle.integrations.s3.sweep_cursor import MOST_AHEAD_MS
from treadle.testing import TreadleInstance

NOW = S3Selection(BUCKET)
MINUTE = 60_000
DAY = 86_400_000


def at(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, UTC)


def sensor(**options: Any) -> S3SensorDefinition:
    @s3_sensor(BUCKET, job_name=JOB, minimum_interval_seconds=60, name="watch", **options)
    def watch() -> RunRequest:
        return RunRequest()

    return watch


def swept(
    lister: InMemoryLister,
    selection: S3Selection = NOW,
    cursor: str | None = None,
    deployed: int | None = None,
    started: float | None = None,
) -> Slice:
    context = SensorEvaluationContext("watch", cursor, _started_by_operator=started)
    return sweep(context, selection, lister, lister.clock.now, lambda: deployed)


def keys(found: Slice) -> list[str]:
    return [stored.key for stored in found.objects]


def put_each_minute(instance: TreadleInstance, *names: str) -> None:
    """Store objects whose events are lost."""
    for name in names:
        instance.objects.put(BUCKET, name)
        instance.clock.advance(60)


# ---- Now


def test_objects_between_the_deployment_and_the_first_sweep_count() -> None:
    instance = TreadleInstance([sensor()])
    before = from_millis(instance.clock.now() - 1_000)
    instance.objects.put(BUCKET, "old", modified=before)
    put_each_minute(instance, "a", "b")

    assert len(instance.tick("watch").runs) == 2


def test_objects_count_since_an_operator_started_the_sensor() -> None:
    instance = TreadleInstance([sensor()], default_status=DefaultSensorStatus.STOPPED)
    put_each_minute(instance, "a")
    instance.start_sensor("watch")
    put_each_minute(instance, "b")

    [run] = instance.tick("watch").runs

    assert json.loads(run.run_config)["key"] == "b"


def test_first_ticks_that_fail_do_not_move_the_beginning() -> None:
    """The bucket could not be listed for a while; what was stored meanwhile counts."""
    instance = TreadleInstance([sensor()])
    put_each_minute(instance, "a")
    instance.set_cursor("watch", "no sweep's")
    assert instance.tick("watch").outcome.decision is Decision.FAILURE
    put_each_minute(instance, "b")
    instance.set_cursor("watch", None)

    assert len(instance.tick("watch").runs) == 2


@pytest.mark.parametrize(
    ("deployed", "started", "since"),
    [
        (TIME - MINUTE, None, TIME - MINUTE),
        (TIME - MINUTE, (TIME - 30_000) / 1000, TIME - 30_000),
        (TIME - MINUTE, (TIME - DAY) / 1000, TIME - MINUTE),
        (TIME + DAY, None, TIME),
        (TIME - MINUTE + 999, None, TIME - MINUTE),
    ],
    ids=["deployed", "started later", "started before", "clock ahead", "whole seconds"],
)
def test_now_is_the_later_of_deployment_and_start_and_never_to_come(
    deployed: int, started: float | None, since: int
) -> None:
    assert swept(InMemoryLister(), deployed=deployed, started=started).cursor.since == since


def test_deployment_that_cannot_be_read_leaves_the_first_sweep_and_says_so_once() -> None:
    lister = InMemoryLister([object_of("old", modified=TIME - 1_000)])

    first = swept(lister)
    second = swept(lister, cursor=str(first.cursor))

    assert (first.cursor.since, keys(first)) == (TIME, [])
    assert "lambda:GetFunctionConfiguration" in first.notes[0]
    assert second.notes == ()


def test_note_of_a_deployment_that_cannot_be_read_is_in_the_ticks_reason() -> None:
    definition = sensor().with_lister(InMemoryLister(), lambda: TIME, lambda: None)

    data = definition.evaluate_tick(SensorEvaluationContext("watch"))

    assert "Grant its role lambda:GetFunctionConfiguration" in (data.skip_message or "")


def test_changed_selection_counts_from_its_deployment_and_not_before_the_last_ones_sweep() -> None:
    cursor = str(SweepCursor((BUCKET, "in/", "", "etag"), 0, round_started=TIME - MINUTE))

    for deployed, since in ((TIME - 30_000, TIME - 30_000), (TIME - DAY, TIME - MINUTE)):
        assert swept(InMemoryLister(), cursor=cursor, deployed=deployed).cursor.since == since


def test_only_a_first_enable_queries_when_the_sensor_was_deployed() -> None:
    first = swept(InMemoryLister(), deployed=TIME)

    def never() -> int:
        pytest.fail("It is known from where the sweep goes on.")

    for selection, cursor in ((NOW, str(first.cursor)), (S3Selection(BUCKET, start_from="beginning"), None)):  # type: ignore[arg-type]
        sweep(SensorEvaluationContext("watch", cursor), selection, InMemoryLister(), lambda: TIME, never)


def test_function_says_when_it_was_last_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "shop-Watch-1X")
    client = clients.client("lambda", once=True, seconds=3)
    with Stubber(client) as stubber:
        stubber.add_response(
            "get_function_configuration",
            {"LastModified": "2026-11-22T18:00:00.250+0000"},
            {"FunctionName": "shop-Watch-1X"},
        )
        assert deployed_at() == TIME + 250
        stubber.add_client_error("get_function_configuration", "AccessDeniedException")
        assert deployed_at() is None
        stubber.add_response("get_function_configuration", {})
        assert deployed_at() is None


def test_process_that_is_no_function_was_not_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)

    assert deployed_at() is None


# ---- A time


@pytest.mark.parametrize("given", ["2026-11-22T17:59:00Z", "2026-11-22T18:59:00+01:00", at(TIME - MINUTE)])
def test_objects_count_since_a_time_that_is_given(given: str | datetime) -> None:
    instance = TreadleInstance([sensor(start_from=given)])
    for age in (61, 60, 1):
        instance.objects.put(BUCKET, f"{age}", modified=from_millis(TIME - age * 1000))

    found = instance.tick("watch").runs

    assert {json.loads(run.run_config)["key"] for run in found} == {"60", "1"}


@pytest.mark.parametrize(
    "given",
    ["1970-01-01T00:00:00Z", "1970-01-01T01:00:00+01:00", "1969-12-31T23:00:00Z", "0001-01-01T00:00:00Z"],
)
def test_time_before_all_objects_is_a_time_like_any_other(given: str) -> None:
    instance = TreadleInstance([sensor(start_from=given)])
    instance.objects.put(BUCKET, "old", modified=datetime(2006, 3, 14, tzinfo=UTC))

    assert len(instance.tick("watch").runs) == 1
    assert not instance.tick("watch").runs


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("2026-11-29T00:00:00", "a time without time zone: add Z for UTC"),
        ("0001-01-01T00:00:00+23:59", "lies beyond the years 1 to 9999"),
        ("9999-12-31T23:59:59-23:59", "lies beyond the years 1 to 9999"),
        (datetime(2026, 11, 29), "a time without time zone"),  # noqa: DTZ001
        ("2026-02-30T00:00:00Z", "use now or beginning, or a time such as"),
        ("yesterday", "use now or beginning, or a time such as"),
        ("0001-01-01T00:00:00+01:00", "lies beyond the years 1 to 9999"),
        ("9999-12-31T23:59:59-01:00", "lies beyond the years 1 to 9999"),
        (5, "use now or beginning, or a time such as"),
        (None, "use now or beginning, or a time such as"),
    ],
)
def test_what_is_no_time_or_has_no_zone_is_refused_at_once(given: Any, message: str) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=f"start_from is .*{message}"):
        sensor(start_from=given)
    if isinstance(given, str):
        with pytest.raises(SettingsError, match=f"TREADLE_S3_START_FROM is .*{message}"):
            NOW.configured({"TREADLE_S3_START_FROM": given})


def test_deployments_time_wins_and_is_described() -> None:
    chosen = NOW.configured({"TREADLE_S3_START_FROM": "2026-11-29T01:00:00+01:00"})

    assert chosen.start_from == datetime(2026, 11, 29, tzinfo=UTC)
    assert S3Selection.of_description(json.loads(json.dumps(chosen.described()))) == chosen


def test_time_given_again_counts_at_once_and_with_another_selection_only_if_it_is_new() -> None:
    """A changed prefix or identity starts no run for all that was stored since a time given long ago."""
    lister = InMemoryLister([object_of("a", modified=TIME - DAY)])
    first = str(swept(lister).cursor)
    requested = S3Selection(BUCKET, start_from=at(TIME - 2 * DAY))

    given = swept(lister, requested, first)
    again = swept(lister, requested, str(given.cursor))
    other = swept(lister, S3Selection(BUCKET, "a", start_from=requested.start_from), str(given.cursor))
    restarted = swept(lister, S3Selection(BUCKET, "a", start_from=at(TIME - 3 * DAY)), str(given.cursor))

    assert (keys(given), keys(other), keys(restarted)) == (["a"], [], ["a"])
    assert again.cursor.since == given.cursor.since


def test_time_to_come_is_awaited_with_nothing_listed_and_events_before_it_are_skipped() -> None:
    start = from_millis(TIME) + timedelta(hours=1)
    instance = TreadleInstance([sensor(start_from=start)])
    put_each_minute(instance, "a")
    waiting = instance.tick("watch").outcome
    dropped = instance.put_object(BUCKET, "b")["watch"].outcome

    instance.clock.advance(3_600)
    put_each_minute(instance, "c")

    assert (waiting.decision, instance.cursor("watch")) == (Decision.SKIPPED, None)
    assert "Nothing counts before 2026-11-22T19:00:00+00:00" in waiting.reason
    assert "start_from is 2026-11-22T19:00:00+00:00" in dropped.reason
    assert [json.loads(run.run_config)["key"] for run in instance.tick("watch").runs] == ["c"]


def test_time_far_in_the_future_is_taken_for_a_mistake() -> None:
    definition = sensor(start_from=at(TIME + MOST_AHEAD_MS + 1_000))
    definition = definition.with_lister(InMemoryLister(), lambda: TIME)

    with pytest.raises(DagsterInvariantViolationError, match="more than 31 days to come"):
        definition.evaluate_tick(SensorEvaluationContext("watch"))


# ---- Cursors from outside


@pytest.mark.parametrize("name", ["since", "round_started", "round_floor", "complete_round", "full_round"])
def test_time_to_come_in_a_cursor_silences_no_sensor(name: str) -> None:
    """As a clock that was ahead has left it."""
    lister = InMemoryLister()
    facts: dict[str, Any] = {"since": 5, name: TIME + 400 * DAY}
    found = swept(lister, cursor=str(SweepCursor(tuple(NOW.fingerprint), **facts)))
    lister.clock.advance(60)
    lister.objects = [object_of("new", modified=lister.clock.now())]

    assert keys(swept(lister, cursor=str(found.cursor))) == ["new"]


KNOWN = json.loads(str(SweepCursor(tuple(NOW.fingerprint), 5)))


@pytest.mark.parametrize(
    "wrong",
    [
        *({name: value} for name in ("since", "full_round") for value in ("5", None, True, 1.5)),
        {"position": 5},
        {"made_with": 5},
        {"waiting": []},
        {"waiting": {"a": "b"}},
        {"before": 5},
        {"before": {"since": 1}},
        {"before": {"since": 1, "parts_from": 1, "whole_from": 1, "known": 5}},
        {"before": {"since": 1, "parts_from": 1, "whole_from": 1, "known": "ü"}},
    ],
    ids=str,
)
def test_cursor_that_is_no_sweeps_is_refused_with_what_to_do(wrong: dict[str, Any]) -> None:
    with pytest.raises(DagsterInvariantViolationError, match=r"is not a sweep's: .*Clear it to start over"):
        swept(InMemoryLister(), cursor=json.dumps({**KNOWN, **wrong}))


@pytest.mark.parametrize("text", ["5", "[]", '"a"', "null", "{}", "[" * 100_000])
def test_text_that_is_no_object_is_refused_likewise(text: str) -> None:
    with pytest.raises(DagsterInvariantViolationError, match="is not a sweep's"):
        swept(InMemoryLister(), cursor=text)


OLD = (
    '{"made_with":["watched","","","etag"],"since":1795370000000,"position":"","round_started":1795370000000,'
    '"round_floor":0,"complete_round":1795370000000,"full_round":1795370000000,"is_silent":false}'
)


def test_cursor_of_an_earlier_release_and_one_of_a_later_continue_where_they_stand() -> None:
    lister = InMemoryLister([object_of("new", modified=TIME), object_of("old", modified=1_795_369_999_000)])
    later = json.dumps({**json.loads(OLD), "unknown": 5})

    for text in (OLD, later):
        found = swept(lister, cursor=text)
        assert (found.cursor.since, keys(found)) == (1_795_370_000_000, ["new"])
