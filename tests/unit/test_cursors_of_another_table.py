"""A cursor that counts events of another table fails its ticks, where it would see nothing and say nothing."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from treadle import (
    AssetKey,
    AssetMaterialization,
    JobDefinition,
    MultiAssetSensorEvaluationContext,
    RunRequest,
    SensorEvaluationContext,
    SkipReason,
    all_succeeded,
    assets_updated,
    multi_asset_sensor,
    sensor,
)
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import TickStatus
from treadle.engine.outcomes import Decision
from treadle.testing.instance import TreadleInstance

ORDERS, PRICES = AssetKey("orders"), AssetKey("prices")
load, clean, report = (JobDefinition(name) for name in ("load", "clean", "report"))
DAY = timedelta(days=1)


@sensor(jobs=[load, clean])
def start(context: SensorEvaluationContext) -> list[RunRequest]:
    """One run of each upstream job at each tick."""
    context.update_cursor(str(int(context.cursor or 0) + 1))
    return [RunRequest(f"{name}-{context.cursor}", job_name=name) for name in ("load", "clean")]


def runs_end(instance: TreadleInstance) -> None:
    for run in instance.tick("start").runs:
        instance.finish_run(run)


def assets_are_made(instance: TreadleInstance) -> None:
    for key in (ORDERS, PRICES):
        instance.report_runless_asset_event(AssetMaterialization(key))


@multi_asset_sensor([ORDERS, PRICES], name="watch", job=report)
def when_fresh(context: MultiAssetSensorEvaluationContext) -> RunRequest | SkipReason:
    """A run for whatever is new."""
    new = [record for record in context.latest_materialization_records_by_key().values() if record]
    if not new:
        return SkipReason("Nothing new.")
    context.advance_all_cursors()
    return RunRequest(str([record.storage_id for record in new]))


KINDS: dict[str, tuple[Callable[[], SensorDefinition], Callable[[TreadleInstance], None]]] = {
    "all_succeeded": (
        lambda: all_succeeded("watch", jobs=[load, clean], within=DAY, request_job=report),
        runs_end,
    ),
    "assets_updated": (
        lambda: assets_updated("watch", all_of=[ORDERS, PRICES], request_job=report),
        assets_are_made,
    ),
    "any_of": (lambda: assets_updated("watch", any_of=[ORDERS, PRICES], request_job=report), assets_are_made),
    "multi_asset": (lambda: when_fresh, assets_are_made),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> tuple[TreadleInstance, Callable[[TreadleInstance], None]]:
    """An instance whose sensor has taken in two events of each kind, and what makes another."""
    make, happen = KINDS[request.param]
    instance = TreadleInstance([start, make()])
    for _ in range(2):
        happen(instance)
        instance.tick("watch")
    return instance, happen


def rebuilt(request: pytest.FixtureRequest) -> TreadleInstance:
    """Return a new instance with the sensor: its tables are empty."""
    make, _ = KINDS[request.node.callspec.params["kind"]]
    return TreadleInstance([start, make()])


def test_cursor_of_the_same_table_continues(
    kind: tuple[TreadleInstance, Callable[[TreadleInstance], None]],
) -> None:
    """At the very last event, and behind it."""
    instance, happen = kind
    before = len(instance.runs(lambda run: run.job == "report"))
    idle = instance.tick("watch")
    happen(instance)
    instance.tick("watch")

    assert before > 0
    assert idle.outcome.decision is Decision.SKIPPED
    assert len(instance.runs(lambda run: run.job == "report")) > before


@pytest.mark.parametrize("events", [0, 1])
def test_cursor_beyond_the_newest_event_fails_the_tick_and_stays(
    kind: tuple[TreadleInstance, Callable[[TreadleInstance], None]],
    request: pytest.FixtureRequest,
    events: int,
) -> None:
    """The new table is empty, or has fewer events than the cursor has counted."""
    earlier, happen = kind
    later = rebuilt(request)
    later.set_cursor("watch", earlier.cursor("watch"))
    for _ in range(events):
        happen(later)

    tick = later.tick("watch").tick

    assert tick is not None
    assert tick.status is TickStatus.FAILURE
    assert "cannot continue from its cursor: it is at number 2 of" in str(tick.error)
    assert "treadle sensor cursor clear watch" in str(tick.error)
    assert later.cursor("watch") == earlier.cursor("watch")
    assert later.runs(lambda run: run.job == "report") == ()


def test_sensor_whose_cursor_is_cleared_begins_again(
    kind: tuple[TreadleInstance, Callable[[TreadleInstance], None]], request: pytest.FixtureRequest
) -> None:
    earlier, happen = kind
    later = rebuilt(request)
    later.set_cursor("watch", earlier.cursor("watch"))
    later.set_cursor("watch", None)
    happen(later)

    later.tick("watch")

    assert len(later.runs(lambda run: run.job == "report")) > 0


@pytest.mark.parametrize("name", ["all_succeeded", "assets_updated", "any_of"])
@pytest.mark.parametrize(
    "cursor",
    [
        "yesterday",
        "{}",
        "[]",
        "3",
        '{"version":1,"read":{"load":-5},"waiting":{}}',
        '{"version":1,"read":{"load":true},"waiting":{}}',
        '{"version":1,"read":{},"waiting":{"":{"load":[["r",1]]}}}',
        '{"version":1,"read":{},"waiting":{"":{"load":[["r",1,1e300,1]]}}}',
        '{"version":1,"read":{},"waiting":{},"done":{"":{"load":[NaN,1]}}}',
        "[" * 5_000,
    ],
)
def test_cursor_of_another_form_fails_the_tick_and_says_what_to_do(name: str, cursor: str) -> None:
    instance = TreadleInstance([KINDS[name][0](), start])
    instance.set_cursor("watch", cursor)

    outcome = instance.tick("watch").outcome

    assert outcome.decision is Decision.FAILURE
    assert "is not a cursor of this kind of sensor" in outcome.reason
    assert "Set it to its earlier value, or clear it to start over." in outcome.reason
    assert instance.cursor("watch") == cursor
