"""`treadle cost`, and the page that rests on it."""

import json
import re
from dataclasses import replace

import pytest

from tests.support.project import run
from tools.project import ROOT
from treadle.operate.cost import (
    EVENT,
    IDLE_TICK,
    RUN,
    RUN_OF_TEN,
    Prices,
    Workload,
    daemon_per_month,
    per_million,
    per_month,
)

PAGE = (ROOT / "docs/cost.md").read_text()
SHOWN = re.findall(r"^```console\n\$ treadle (.*?)\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def test_a_million_idle_ticks_cost_no_more_than_three_dollars_and_a_half() -> None:
    assert 2 < per_million(IDLE_TICK, Prices()) <= 3.5


@pytest.mark.parametrize(("command", "printed"), SHOWN)
def test_page_shows_what_is_printed(command: str, printed: str) -> None:
    assert run(*command.split()).stdout == printed


def test_page_has_the_cost_of_runs_of_which_only_the_end_is_published() -> None:
    alone, in_tens = (per_million(replace(use, events=1), Prices()) for use in (RUN, RUN_OF_TEN))

    assert f"a million runs then cost ${alone:.2f}, or ${in_tens:.2f} in tens" in PAGE


def test_page_shows_an_idle_engine_and_a_busy_one() -> None:
    assert len(SHOWN) == 2


def test_month_is_made_of_its_ticks_events_and_runs() -> None:
    """What is added to the workload adds its own price, and that of the metrics that it writes."""
    bare = per_month(Workload(event_sensors=2), Prices())

    more = per_month(Workload(event_sensors=2, events=1_000_000, runs=2_000_000), Prices())

    assert more.keys() - bare.keys() == {"1,000,000 events", "2,000,000 runs", "8 metrics"}
    assert more["1,000,000 events"] == pytest.approx(per_million(EVENT, Prices()))
    assert more["2,000,000 runs"] == pytest.approx(2 * per_million(RUN, Prices()))


def test_longer_interval_costs_less_but_for_the_schedule() -> None:
    """The schedule comes each minute; a delivery that is not due is one read."""
    minute, hour = (
        per_month(Workload(100, interval), Prices())["ticks of 100 sensors"] for interval in (60, 3_600)
    )

    assert 0.4 < hour / minute < 0.6


def test_a_sensor_below_the_minute_has_a_queue_that_is_polled() -> None:
    assert "polls of 7 queues" in per_month(Workload(3, 15), Prices())
    assert "polls of 4 queues" in per_month(Workload(3, 60), Prices())


def test_json_has_the_same_figures() -> None:
    found = json.loads(run("cost", "--sensors", "3", "--json").stdout)

    assert found["month"] == pytest.approx(per_month(Workload(3), Prices()))
    assert found["month_total"] == pytest.approx(sum(found["month"].values()))
    assert found["daemon_month"] == pytest.approx(daemon_per_month(Prices()))
