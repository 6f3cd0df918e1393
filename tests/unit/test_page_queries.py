"""Ticks, runs and assets as an operator pages through them."""

import json
from dataclasses import replace

import pytest

from tests.support.dispatching import dispatch
from tests.support.engine import JOB, EngineHarness, sensor_of
from tests.unit.test_run_operations import operations
from treadle import AssetMaterialization, RunRequest, SensorResult, SkipReason
from treadle.definitions.errors import CommandRefusedError
from treadle.definitions.status import DagsterRunStatus, TickStatus
from treadle.engine.tick.evaluation import Budget
from treadle.model.assets import AssetEvent
from treadle.model.runs import Claim, PendingStart, Run
from treadle.model.targets import JobSettings
from treadle.model.ticks import Tick, TickSummary
from treadle.operate.assets import AssetCatalogue
from treadle.operate.redrive import Redriver
from treadle.operate.sensors import SensorOperations
from treadle.operate.ticks import TickHistory
from treadle.operate.views import (
    asset_event_json,
    dead_letter_json,
    edit_json,
    outline_json,
    run_json,
    tick_json,
)
from treadle.testing.event_store import InMemoryEventStore
from treadle.testing.system import InMemoryDeadLetters

GOOD, SKIPPED, BAD = TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.FAILURE


def history(harness: EngineHarness) -> TickHistory:
    return TickHistory(harness.sensors, harness.ticks, harness.runs)


def tick(harness: EngineHarness, *answers: object) -> None:
    """Evaluations a minute apart, with these answers."""
    remaining = iter(answers)
    leased = harness.leased(sensor_of(lambda: next(remaining)), interval=60)
    for _ in answers:
        leased.tick(harness.clock.now(), Budget())
        harness.clock.advance(60)


def walk(
    harness: EngineHarness, limit: int, statuses: set[TickStatus] | None = None
) -> list[list[TickSummary]]:
    """Return all pages of the sensor's ticks."""
    found, before = [], None
    while True:
        page = history(harness).page("watch", before=before, limit=limit, statuses=statuses)
        found.append(list(page.ticks))
        if page.next is None:
            return found
        before = page.next


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_streak_of_skips_that_continues_is_on_the_pages_once(harness: EngineHarness, limit: int) -> None:
    tick(harness, RunRequest("a"), SkipReason("x"), RunRequest("b"), SkipReason("y"), SkipReason("z"))

    pages = walk(harness, limit)

    assert all(len(page) <= limit for page in pages)
    ticks = [each for page in pages for each in page]
    assert [(each.status, each.skips) for each in ticks] == [(SKIPPED, 2), (GOOD, 0), (SKIPPED, 1), (GOOD, 0)]
    assert len({each.tick_id for each in ticks}) == 4


@pytest.mark.parametrize(
    ("statuses", "count"), [({SKIPPED}, 2), ({GOOD}, 1), ({BAD}, 0), ({SKIPPED, GOOD}, 3)]
)
def test_streak_is_shown_where_skips_are_requested(
    harness: EngineHarness, statuses: set[TickStatus], count: int
) -> None:
    tick(harness, SkipReason("x"), RunRequest("b"), SkipReason("y"))

    assert sum(len(page) for page in walk(harness, 10, statuses)) == count


def test_tick_is_read_in_full_and_so_is_the_streak_that_continues(harness: EngineHarness) -> None:
    tick(harness, RunRequest("a"), SkipReason("y"), SkipReason("z"))
    streak, requested = history(harness).page("watch").ticks

    assert history(harness).get("watch", requested.tick_id).requests[0].run_key == "a"
    assert (history(harness).get("watch", streak.tick_id).skips, streak.skips) == (2, 2)


def test_neighbors_of_a_tick_include_the_streak_that_continues(harness: EngineHarness) -> None:
    tick(harness, RunRequest("a"), SkipReason("x"), RunRequest("b"), SkipReason("y"), SkipReason("z"))
    ids = [None, *(each.tick_id for each in reversed(history(harness).page("watch").ticks)), None]

    found = [history(harness).neighbors("watch", str(each)) for each in ids[1:-1]]

    assert len(found) == 4
    assert found == list(zip(ids, ids[2:], strict=False))


def test_tick_that_is_gone_is_refused_with_a_reason(harness: EngineHarness) -> None:
    with pytest.raises(CommandRefusedError, match="Sensor watch has no tick 2026"):
        history(harness).get("watch", "2026")


def test_runs_of_a_tick_come_in_the_order_it_requested_them(harness: EngineHarness) -> None:
    tick(harness, SensorResult(run_requests=[RunRequest(key) for key in ("c", "a", "b")]))
    record = harness.tick_records()[0]
    assert history(harness).runs(record) == []

    dispatch(harness, record)

    assert [run.run_key for run in history(harness).runs(record)] == ["c", "a", "b"]
    assert [run.run_key for run in history(harness).runs(record, limit=2)] == ["c", "a"]


def runs_of(harness: EngineHarness, *names: str) -> None:
    for age, name in enumerate(names):
        harness.runs.create(Run(name, name[:4], "watch", None, "t", "{}", {}, harness.clock.now() - age))


def test_runs_are_paged_by_sensor_or_job(harness: EngineHarness) -> None:
    runs_of(harness, "load1", "load2", "copy1")

    first = operations(harness).page(sensor="watch", limit=2)
    second = operations(harness).page(sensor="watch", limit=2, before=first.next)

    assert [run.run_id for run in (*first.runs, *second.runs)] == ["load1", "load2", "copy1"]
    assert [run.run_id for run in operations(harness).page(job="copy").runs] == ["copy1"]


def test_newest_runs_of_all_jobs_are_one_page(harness: EngineHarness) -> None:
    harness.jobs = {name: JobSettings(name, "step_functions", "arn", "X") for name in ("load", "copy")}
    runs_of(harness, "load1", "copy1", "load2", "copy2")

    page = operations(harness).page(limit=3)

    assert ([run.run_id for run in page.runs], page.next) == (["load1", "copy1", "load2"], None)


def test_runs_are_listed_by_times_and_text_of_all_jobs(harness: EngineHarness) -> None:
    harness.jobs = {name: JobSettings(name, "step_functions", "arn", "X") for name in ("load", "copy")}
    runs_of(harness, "load1", "copy1", "load2", "copy2")
    now = harness.clock.now()

    def found(**options: object) -> list[str]:
        return [run.run_id for run in operations(harness).page(**options).runs]  # type: ignore[arg-type]

    assert found(since=now - 2, until=now) == ["copy1", "load2"]
    assert found(text="y1") == ["copy1"]
    assert found(text="LOAD", until=now) == ["load2"]
    assert operations(harness).page(text="copy").searched_since is None


def test_a_list_of_all_jobs_ends_where_not_all_were_searched(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else older runs of one job would be listed as if another had none."""
    monkeypatch.setattr("treadle.testing.stores.MOST_SCANNED", 2)
    harness.jobs = {name: JobSettings(name, "step_functions", "arn", "X") for name in ("load", "copy")}
    runs_of(harness, "copy1", "load1", "load2", "copy2", "load3", "copy3", "copy4")
    now = harness.clock.now()

    rare = operations(harness).page(text="3")
    short = operations(harness).page(text="o", limit=2)

    assert (rare.runs, rare.searched_since) == ((), now - 2 + 1)
    assert ([run.run_id for run in short.runs], short.searched_since) == (["copy1", "load1"], None)


def test_all_runs_are_read_newest_first_page_by_page(harness: EngineHarness) -> None:
    harness.jobs = {name: JobSettings(name, "step_functions", "arn", "X") for name in ("load", "copy")}
    runs_of(harness, "load1", "copy1", "load2", "load3", "copy2")
    now = harness.clock.now()

    def found(**options: object) -> list[str]:
        return [run.run_id for run in operations(harness).newest(limit=1, **options)]  # type: ignore[arg-type]

    assert found() == ["load1", "copy1", "load2", "load3", "copy2"]
    assert found(since=now - 3, until=now - 1) == ["load2", "load3"]
    assert found(job="copy") == ["copy1", "copy2"]
    assert found(sensor="watch", text="load") == ["load1", "load2", "load3"]
    with pytest.raises(CommandRefusedError, match="name one of them"):
        found(sensor="watch", job="copy")


@pytest.mark.parametrize(
    "requested", [{"sensor": "a", "job": "b"}, {"sensor": "a", "before": "x"}, {"before": "1/run"}]
)
def test_pages_that_nothing_leads_to_are_refused(harness: EngineHarness, requested: dict[str, str]) -> None:
    with pytest.raises(CommandRefusedError):
        operations(harness).page(**requested)  # type: ignore[arg-type]


def test_run_is_read_by_its_id(harness: EngineHarness) -> None:
    runs_of(harness, "load1")

    assert operations(harness).get("load1") == harness.only_run()
    with pytest.raises(CommandRefusedError, match="Run load2 does not exist"):
        operations(harness).get("load2")


def events(harness: EngineHarness, *made: tuple[str, int]) -> AssetCatalogue:
    store = InMemoryEventStore(harness.tables)
    for key, time in made:
        store.append([AssetEvent(key, f"{key}{time}", "ASSET_MATERIALIZATION", time, '{"rows":1}')])
    return AssetCatalogue(store)


def test_assets_are_listed_with_their_newest_event_newest_first(harness: EngineHarness) -> None:
    catalogue = events(harness, ("a", 1), ("b", 2), ("a", 5), ("c", 4), ("#ended/load", 9))

    assert [(each.asset_key, each.time) for each in catalogue.newest()] == [("a", 5), ("c", 4), ("b", 2)]


def test_events_of_an_asset_are_paged_newest_first(harness: EngineHarness) -> None:
    catalogue = events(harness, *(("a", time) for time in range(1, 6)))

    first = catalogue.events("a", limit=2)
    second = catalogue.events("a", limit=2, before=first.next)
    third = catalogue.events("a", limit=2, before=second.next)

    assert [[each.time for each in page.events] for page in (first, second, third)] == [[5, 4], [3, 2], [1]]
    assert (third.next, catalogue.events("nothing").events) == (None, ())


def test_edits_are_read_newest_first(harness: EngineHarness) -> None:
    operator = SensorOperations(harness.sensors, harness.clock)
    operator.stop("watch", "ann")
    operator.set_cursor("watch", "7", "ben")

    assert [(each.by, each.action) for each in operator.edits("watch")] == [
        ("ben", "set_cursor"),
        ("ann", "stop"),
    ]
    assert len(operator.edits("watch", 1)) == 1
    assert edit_json(operator.edits("watch")[1]) == {
        "at": harness.clock.now(),
        "by": "ann",
        "action": "stop",
        "before": "DECLARED_IN_CODE",
        "after": "STOPPED",
        "epoch": 1,
    }


def test_start_of_a_running_sensor_is_no_edit(harness: EngineHarness) -> None:
    operator = SensorOperations(harness.sensors, harness.clock)
    operator.stop("watch", "ann")
    operator.stop("watch", "ben")

    assert [each.by for each in operator.edits("watch")] == ["ann"]


def test_tick_as_json_has_what_it_requested_and_no_token(harness: EngineHarness) -> None:
    made = AssetMaterialization(["a", "b"], metadata={"rows": 3})
    tick(harness, SensorResult(run_requests=[RunRequest("a")], asset_events=[made]))
    record = harness.tick_records()[0]

    shown = tick_json(record)

    assert "owner" not in shown
    assert record.owner not in json.dumps(shown)
    assert (shown["status"], shown["kind"], shown["is_pending"]) == ("SUCCESS", "LEASED", True)
    assert (shown["requests"][0]["run_key"], shown["requests"][0]["job"]) == ("a", JOB)
    assert shown["asset_events"][0]["asset_key"] == "a/b"
    assert shown["asset_events"][0]["metadata"] == {"rows": 3}


def test_tick_in_a_list_as_json_has_the_names_of_its_fields(harness: EngineHarness) -> None:
    tick(harness, RunRequest("a"))
    [found] = history(harness).page("watch").ticks

    shown = outline_json(found)

    assert set(shown) == {*TickSummary.__dataclass_fields__, "trouble"}
    assert json.loads(json.dumps(shown)) == shown


def test_run_as_json_has_no_token(harness: EngineHarness) -> None:
    run = Run("r", "load", "watch", "k", "t", "{}", {}, 1, status=DagsterRunStatus.STARTED)
    shown = run_json(replace(run, claim=Claim("secret", 9), pending_start=PendingStart("secret", 8, "arn")))

    assert "secret" not in json.dumps(shown)
    assert (shown["claim"], shown["pending_start"]["target"], shown["status"]) == (
        {"expires_at": 9},
        "arn",
        "STARTED",
    )
    assert (shown["launch_id"], shown["attempts_allowed"]) == ("r-1", 1)


def test_dead_letter_as_json_says_what_it_is_about_and_what_becomes_of_it() -> None:
    dead_letters = InMemoryDeadLetters()
    dead_letters.send('{"run_id": "r", "attempt": 1}', origin="launch", reason="AccessDenied")

    [shown] = map(dead_letter_json, Redriver(dead_letters, list).redrive(dry_run=True))

    assert (shown["origin"], shown["subject"], shown["action"], shown["error"]) == (
        "launch",
        "r 1",
        "LEFT",
        "AccessDenied",
    )


def test_asset_event_as_json_has_the_names_of_its_fields() -> None:
    shown = asset_event_json(AssetEvent("a", "e", "ASSET_MATERIALIZATION", 1, "{}", 7))

    assert shown == {
        "asset_key": "a",
        "event_id": "e",
        "kind": "ASSET_MATERIALIZATION",
        "time": 1,
        "body": "{}",
        "storage_id": 7,
    }


def test_every_field_of_a_tick_is_reported_but_its_token() -> None:
    shown = tick_json(Tick("s", "t", "LEASED", "SUCCESS", 1, 1, 1))  # type: ignore[arg-type]

    assert set(shown) == (set(Tick.__dataclass_fields__) - {"owner"}) | {"is_pending", "trouble"}
