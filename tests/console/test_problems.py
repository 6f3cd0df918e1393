"""Problems of sensors are red, with the reason, where one looks first: in the list, on the page, in the navigation."""

import pytest
from playwright.sync_api import Browser, expect

from tests.console.world import World
from tests.support.browser import DESK, PHONE, Visit, visiting
from tests.support.console import TOKEN, served
from treadle.definitions.status import TickStatus
from treadle.engine.identity import event_tick_id
from treadle.model.ticks import ErrorInfo, Tick, TickKind

ERROR = "SNS (ops): the topic did not accept the alert: NotFound"


def fail_event(world: World) -> None:
    """Record that the alert on a failed run could not be sent."""
    now = world.instance.clock.now()
    error = ErrorInfo("AlertError", ERROR)
    tick_id = event_tick_id(now, "a failed run")
    world.instance._stores.ticks.put(
        Tick("tell_failures", tick_id, TickKind.EVENT, TickStatus.FAILURE, now, now, now, error=error)
    )


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_sensor_of_events_that_fail_is_counted_found_and_explained(
    browser: Browser, world: World, viewport: dict[str, int]
) -> None:
    fail_event(world)
    world.send_to_dlq()
    with (
        served(world.console()) as server,
        visiting(browser, server.address, token=TOKEN, viewport=viewport) as visit,
    ):
        visit.sees_title("Sensors")

        expect(visit.page.locator(".summary li").filter(has_text="failing")).to_contain_text("1")
        expect(visit.page.locator("nav a").filter(has_text="Dead letters")).to_contain_text("2")
        row = visit.page.get_by_role("row").filter(has_text="tell_failures")
        expect(row).to_contain_text(ERROR)
        visit.presses("Failing")
        expect(visit.page.locator("tbody tr")).to_have_count(1)
        assert (visit.faults(), visit.overflow()) == ([], 0)

        visit.go("sensors/tell_failures", "tell_failures")
        expect(visit.page.locator(".notice.bad")).to_contain_text(ERROR)
        expect(visit.page.locator(".notice.bad")).to_contain_text("treadle dlq redrive")
        assert (visit.faults(), visit.overflow()) == ([], 0)


def test_sensor_that_does_not_tick_is_counted_as_late(visit: Visit) -> None:
    """The clock has gone on for long since "orders" ticked."""
    visit.sees_title("Sensors")

    visit.presses("Late")

    row = visit.page.get_by_role("row").filter(has_text="orders").filter(has_text="Schedule")
    expect(row).to_contain_text("s overdue.")
