"""The console's page in a real browser, on the deployed stack: what an operator does there, and what comes of it."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.deployment import (
    MALFORMED_CSV,
    SENSOR,
    Deployed,
    eventually,
    fresh_key,
    launch_message,
    run_record,
)
from tests.support.browser import Visit, chromium, visiting
from tests.support.console import ANN, TOKEN, served
from treadle.adapters.system import SystemClock
from treadle.bootstrap.operator import operator_parts
from treadle.console.app import Console
from treadle.console.static_token import Caller, Role, StaticTokenAuth
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import InstigatorStatus
from treadle.model.runs import Run

PATIENCE = 100
"""Seconds for a job from upload to recorded end, on a machine that has much else to do."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.fixture
def visit(browser: Browser, deployed: Deployed) -> Iterator[Visit]:
    """An operator at the console of the stack."""
    parts = operator_parts(deployed.name)
    console = Console(lambda: parts, StaticTokenAuth(TOKEN, Caller(ANN, Role.OPERATOR)), SystemClock())
    with served(console) as server, visiting(browser, server.address, token=TOKEN) as made:
        made.page.set_default_timeout(30_000)
        yield made


def ended(deployed: Deployed, key: str) -> Run:
    """Return the run of an object once it has ended."""
    eventually(
        lambda: [run for run in deployed.runs_of(key) if run.ended_at is not None],
        "the run has ended",
        seconds=PATIENCE,
    )
    return deployed.ended_run(key)


def stored_status(deployed: Deployed, sensor: str = SENSOR) -> InstigatorStatus:
    return deployed.stores.sensors.get(sensor).status


def test_a_sensor_is_stopped_and_started(visit: Visit, deployed: Deployed) -> None:
    visit.sees_title("Sensors")
    switch = visit.page.get_by_role("switch", name=f"{SENSOR} runs")

    switch.click()
    visit.sees_status(f"{SENSOR} is stopped.")
    expect(switch).to_have_attribute("aria-checked", "false")
    assert stored_status(deployed) is InstigatorStatus.STOPPED
    deployed.let_time_pass()
    assert deployed.tick().value["decision"] == "STOPPED"

    switch.click()
    visit.sees_status(f"{SENSOR} is running.")
    assert stored_status(deployed) is InstigatorStatus.RUNNING
    visit.go(f"sensors/{SENSOR}?tab=edits", SENSOR)
    visit.sees(ANN, within=visit.page.locator("tbody"))


def test_several_sensors_are_stopped_at_once(visit: Visit, deployed: Deployed) -> None:
    visit.sees_title("Sensors")
    visit.page.get_by_label("Choose all sensors shown").check()
    names = visit.page.locator("tbody td.main a").all_inner_texts()
    assert SENSOR in names

    visit.presses("Stop")
    visit.presses("Stop")
    visit.sees(f"Successfully stopped {len(names)} sensor")
    assert {stored_status(deployed, name) for name in names} == {InstigatorStatus.STOPPED}

    visit.presses("Close")
    visit.presses("Reset")
    visit.presses("Reset")
    visit.sees(f"Successfully reset {len(names)} sensor")
    assert {stored_status(deployed, name) for name in names} == {InstigatorStatus.DECLARED_IN_CODE}


def test_a_cursor_is_edited_and_the_next_tick_begins_there(visit: Visit, deployed: Deployed) -> None:
    deployed.let_time_pass()
    deployed.tick()
    before = deployed.stores.sensors.cursor(deployed.stores.sensors.get(SENSOR))
    assert before
    visit.go(f"sensors/{SENSOR}", SENSOR)

    visit.presses("Edit cursor")
    visit.page.get_by_label("No cursor").check()
    visit.presses("Set cursor")

    visit.sees_status(f"{SENSOR} has no cursor now.")
    assert deployed.stores.sensors.cursor(deployed.stores.sensors.get(SENSOR)) is None
    visit.sees("none", within=visit.page.locator(".cursor-line"))


def test_an_object_is_tried_out_and_then_launched_for_real(visit: Visit, deployed: Deployed) -> None:
    key = fresh_key("tried")
    deployed.let_time_pass()
    with deployed.without_events():
        deployed.upload(key)
        visit.go(f"sensors/{SENSOR}", SENSOR)
        visit.presses("Test …")
        visit.page.get_by_label("Key of an object").fill(key)
        visit.presses("Evaluate")
        visit.sees("1 run request")
        visit.sees(key, within=visit.page.get_by_role("dialog"))
        assert deployed.runs_of(key) == []

        visit.presses("Tick now")
        visit.page.get_by_role("link", name="See the tick").click()
        visit.sees_title("Tick")
        eventually(lambda: deployed.runs_of(key), "the object's run is recorded")

    run = ended(deployed, key)
    assert run.status is Status.SUCCESS
    visit.go(f"runs/{run.run_id}", f"Run {run.run_id[:8]}")
    visit.sees("Success", within=visit.page.locator(".facts"))


def test_a_failing_run_is_followed_to_its_cause(visit: Visit, deployed: Deployed) -> None:
    key = fresh_key("malformed")
    deployed.upload(key, MALFORMED_CSV)
    visit.go(f"runs?sensor={SENSOR}&status=FAILURE", "Runs")

    row = visit.page.locator("tbody tr").filter(has_text=key)
    row.wait_for(timeout=PATIENCE * 1000)
    row.get_by_role("link").first.click()

    run = ended(deployed, key)
    visit.sees_title(f"Run {run.run_id[:8]}")
    assert run.failure is not None
    expect(visit.page.locator(".card.error")).to_contain_text(run.failure.cause.strip()[:40])
    expect(visit.page.locator(".explanation .summary")).to_be_visible()
    visit.page.locator(".facts").get_by_role("link", name=run.tick_id).click()
    visit.sees_title("Tick")
    visit.sees(key)


def test_a_dead_letter_is_redriven(visit: Visit, deployed: Deployed) -> None:
    """Of a run that was not recorded when its message came, and is by now."""
    lost = run_record()
    deployed.send("Launch", launch_message(lost))
    visit.go("dead-letters", "Dead letters")
    row = visit.page.locator("main tbody tr").filter(has_text=lost.run_id)

    def is_there() -> bool:
        with visit.page.expect_response("**/api/dead-letters"):
            visit.presses("Refresh")
        visit.page.wait_for_timeout(200)
        return row.count() > 0

    eventually(is_there, "the message is a dead letter", seconds=60, pause=1)
    deployed.stores.runs.create(lost)

    visit.presses("Redrive", exact=False)
    visit.presses("Redrive")

    visit.sees(lost.run_id, within=visit.page.get_by_role("dialog"))
    eventually(lambda: deployed.executions(lost) == [lost.launch_id], "the run is launched", seconds=60)


def test_the_stack_is_examined(visit: Visit) -> None:
    visit.go("doctor", "Doctor")

    expect(visit.page.locator("main .findings, main .empty")).not_to_have_count(0)
