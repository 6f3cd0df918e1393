"""The simulation's own logic, on small scenarios."""

import pytest

from benchmarks import limits
from benchmarks.key_writes import run_of_an_event
from benchmarks.room import fits
from benchmarks.scale import DEPLOYED_HEADING, PAGE, Scenario, Simulation, caps, span, with_deployed

pytestmark = pytest.mark.many


@pytest.fixture(scope="module")
def writes() -> dict[str, int]:
    return dict(run_of_an_event())


def test_a_run_writes_its_record_four_times_and_enters_and_leaves_each_index_once(
    writes: dict[str, int],
) -> None:
    """A change of the engine that writes more is seen here, and in docs/scale.md."""
    assert writes == {
        "ticks": 2,
        "ticks/pending": 2,
        "runs": 4,
        "runs/watched": 2,
        "runs/by_job": 1,
        "runs/by_job_end": 1,
        "runs/by_sensor": 1,
    }


def test_a_light_load_waits_for_nothing(writes: dict[str, int]) -> None:
    found = Simulation(Scenario("light", 36_000, sensors=40), writes).run()

    assert found.first_limit == "none"
    assert found.waits[2] < 10


def test_beyond_the_rate_of_starts_runs_wait_for_it_and_all_are_started(writes: dict[str, int]) -> None:
    """400 a second come for an hour, and 300 a second are started: a third of an hour more."""
    simulation = Simulation(Scenario("heavy", 1_440_000, sensors=400), writes)

    found = simulation.run()

    assert found.first_limit == limits.START_RATE.name
    assert found.used[limits.START_RATE.name] == pytest.approx(1, abs=0.05)
    assert found.ended == pytest.approx(3_600 * 4 / 3, rel=0.05)
    assert sum(simulation.started) == pytest.approx(sum(simulation.arrived))


def test_a_sensor_that_has_all_runs_of_its_engine_is_bounded_by_one_key(writes: dict[str, int]) -> None:
    most, where = caps(writes, hottest=1.0)["evaluate"]

    assert (most, where) == (500, "write units of a key of ticks")


def test_what_comes_is_drawn_from_a_fixed_seed(writes: dict[str, int]) -> None:
    scenario = Scenario("light", 36_000, sensors=40)

    assert Simulation(scenario, writes).run() == Simulation(scenario, writes).run()


@pytest.mark.parametrize(
    ("seconds", "message"), [(4.2, "4 s"), (119, "119 s"), (120, "2 min"), (5_400, "90 min")]
)
def test_long_waits_are_reported_in_minutes(seconds: float, message: str) -> None:
    assert span(seconds) == message


def test_max_concurrency_bounds_what_is_started_and_the_page_says_where(writes: dict[str, int]) -> None:
    """Two invocations at a time start 133 runs a second: 480,000 an hour."""
    found = {
        events: Simulation(Scenario("bounded", events, concurrency=2, of_an_engine=1_000), writes).run()
        for events in (200_000, 500_000)
    }

    assert [each.first_limit for each in found.values()] == ["none", "the engine's parameter MaxConcurrency"]


def test_page_says_how_many_sensors_and_jobs_a_project_takes() -> None:
    page = PAGE.read_text()

    for each in fits():
        assert f"| {each.what} | {each.resources} | {each.more} | {each.limit} |" in page


def test_output_of_a_large_project_replaces_its_own_section_only() -> None:
    text = PAGE.read_text()

    changed = with_deployed(text, "another output")

    before, _, rest = text.partition(DEPLOYED_HEADING)
    assert changed.startswith(before + DEPLOYED_HEADING)
    assert changed.endswith(f"```text\nanother output\n```\n\n## {rest.partition(chr(10) + '## ')[2]}")
    assert "## A pool under load" in changed
