"""Problems of sensors are red, with the reason, where one looks first: in the list, on the page, in the navigation."""

import re

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.console.world import World
from tests.support.browser import DESK, PHONE, Visit, visiting
from tests.support.console import TOKEN, served
from treadle.definitions.errors import StoreError
from treadle.definitions.status import TickStatus
from treadle.engine.identity import event_tick_id
from treadle.model.ticks import ErrorInfo, Tick, TickKind
from treadle.testing.system import InMemoryDeadLetters

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


class SilentQueue(InMemoryDeadLetters):
    """Does not answer."""

    def count(self) -> int:
        raise StoreError("SQS did not answer.")


def mark(visit: Visit, page: str) -> Locator:
    """Return the mark at a page in the navigation."""
    return visit.page.get_by_label("Pages").locator("a").filter(has_text=page).locator(".count")


def test_navigation_counts_what_the_doctor_found(visit: Visit) -> None:
    """Until the deployment has been examined, nothing is known."""
    visit.sees_title("Sensors")
    expect(mark(visit, "Doctor")).to_have_text("?")
    expect(mark(visit, "Doctor")).to_have_attribute("title", re.compile("Unknown: not examined here"))
    assert visit.faults() == []

    visit.go("doctor", "Doctor")

    expect(visit.page.locator(".finding").first).to_be_visible()
    found = visit.page.locator(".finding").count()
    expect(mark(visit, "Doctor")).to_have_text(str(found))
    visit.go("runs", "Runs")
    expect(mark(visit, "Doctor")).to_have_text(str(found))


def test_what_the_doctor_found_is_not_known_an_hour_later(visit: Visit, world: World) -> None:
    visit.go("doctor", "Doctor")
    expect(mark(visit, "Doctor")).not_to_have_text("?")

    world.instance.clock.advance(3_700)
    visit.go("sensors", "Sensors")

    expect(mark(visit, "Doctor")).to_have_text("?")


def test_dead_letters_that_cannot_be_counted_are_unknown_in_the_navigation(
    browser: Browser, world: World
) -> None:
    world.stack.of_project = SilentQueue()
    with (
        served(world.console()) as server,
        visiting(browser, server.address, token=TOKEN) as visit,
    ):
        visit.sees_title("Sensors")

        expect(mark(visit, "Dead letters")).to_have_text("?")
        expect(mark(visit, "Dead letters")).to_have_attribute("title", re.compile("a queue did not respond"))
        assert visit.faults() == []


def test_navigation_is_unknown_while_the_server_does_not_answer(visit: Visit) -> None:
    visit.sees_title("Sensors")
    expect(mark(visit, "Dead letters")).to_have_count(0)

    visit.page.route("**/api/overview", lambda route: route.abort())

    expect(mark(visit, "Dead letters")).to_have_text("?")
    visit.page.unroute("**/api/overview")
    visit.presses("Try again")
    expect(mark(visit, "Dead letters")).to_have_count(0)
    visit.complaints.clear()
