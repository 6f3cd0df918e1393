"""`treadle cost`, and the page that rests on it."""

import json
import re

import pytest

from tests.support.project import run
from tools.project import ROOT
from treadle.operate.cost import (
    EVENT,
    IDLE_TICK,
    PROJECT_ALARMS,
    RUN,
    Prices,
    Workload,
    daemon_per_month,
    idle_engine_per_month,
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


def test_page_shows_two_stacks() -> None:
    assert len(SHOWN) == 2


def test_month_is_made_of_its_ticks_events_and_runs() -> None:
    """What is added to the workload adds its own price, and nothing else."""
    few = sum(per_month(Workload(events=1, runs=1), Prices()).values())

    more = sum(per_month(Workload(events=1_000_001, runs=2_000_001), Prices()).values())

    assert more - few == pytest.approx(per_million(EVENT, Prices()) + 2 * per_million(RUN, Prices()))


def test_idle_month_is_that_of_an_idle_engine_and_its_project() -> None:
    """The first event brings its sensor's queue and metric, the first run those metrics that runs write."""
    prices = Prices()
    idle = sum(per_month(Workload(sensors=10), prices).values())

    assert idle == pytest.approx(sum(idle_engine_per_month(prices).values()) + PROJECT_ALARMS * prices.alarm)
    with_runs = per_month(Workload(sensors=10, events=1, runs=1), prices)["Alarms and metrics"]
    alarms = per_month(Workload(sensors=10), prices)["Alarms and metrics"]
    assert with_runs - alarms == pytest.approx(7 * prices.metric)


def test_longer_interval_costs_less_but_for_the_schedule() -> None:
    """The schedule comes each minute; a delivery that is not due is one refused write."""
    minute, hour = (per_month(Workload(100, interval), Prices()) for interval in (60, 3_600))

    assert hour["Scheduler"] == pytest.approx(minute["Scheduler"])
    assert hour["DynamoDB"] < minute["DynamoDB"] * 0.55
    assert sum(hour.values()) < sum(minute.values())


def test_json_has_the_same_figures() -> None:
    told = json.loads(run("cost", "--sensors", "3", "--json").stdout)

    assert told["month"] == pytest.approx(per_month(Workload(3, 60, 100_000, 100_000), Prices()))
    assert told["month_total"] == pytest.approx(sum(told["month"].values()))
    assert told["daemon_month"] == pytest.approx(daemon_per_month(Prices()))


def test_page_names_every_line_of_an_idle_engine() -> None:
    lines = idle_engine_per_month(Prices())
    table = dict(re.findall(r"^\| ([^|]+) \| (\d+\.\d\d) \|$", PAGE, flags=re.MULTILINE))

    assert table == {
        name: f"{dollars:.2f}" for name, dollars in {**lines, "all": sum(lines.values())}.items()
    }
