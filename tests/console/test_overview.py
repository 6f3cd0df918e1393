"""The overview of sensors, and starting and stopping one or several of them."""

import pytest
from playwright.sync_api import expect

from tests.console.world import World
from tests.support.browser import Visit

SENSORS = ["after_orders", "idle", "new_files", "orders", "orders_are_late", "tell_failures"]


def names(visit: Visit) -> list[str]:
    """Return the sensors that are shown."""
    return visit.page.locator("tbody td.main a").all_inner_texts()


def test_each_sensor_is_shown_with_how_it_stands(visit: Visit, world: World) -> None:
    visit.sees_title("Sensors")

    assert names(visit) == SENSORS
    row = visit.page.get_by_role("row").filter(has_text="orders").filter(has_text="Schedule")
    expect(row).to_contain_text("Running")
    expect(row.get_by_role("img")).to_have_attribute(
        "aria-label", "Last ticks: 5 requested, 3 skipped, 1 failed"
    )
    runs = [run for run in world.instance.runs() if run.sensor == "orders"]
    expect(row.locator("td[data-name='Runs 24 h']")).to_have_text(str(len(runs)))


@pytest.mark.parametrize(
    ("find", "shown"), [("files", ["new_files"]), ("run status", ["tell_failures"]), ("zzz", [])]
)
def test_sensors_are_found_by_what_is_said_of_them(visit: Visit, find: str, shown: list[str]) -> None:
    visit.sees_title("Sensors")

    visit.page.get_by_label("Filter sensors").fill(find)

    expect(visit.page.locator("tbody tr")).to_have_count(len(shown))
    assert names(visit) == shown
    if not shown:
        visit.sees("No sensor matches.")


def test_sensors_are_shown_by_status_and_the_address_says_so(visit: Visit, world: World) -> None:
    world.instance.stop_sensor("idle")
    visit.sees_title("Sensors")

    visit.presses("Stopped")

    expect(visit.page.locator("tbody tr")).to_have_count(1)
    assert names(visit) == ["idle"]
    visit.page.reload()
    expect(visit.page.locator("tbody tr")).to_have_count(1)


def test_a_switch_stops_and_starts_a_sensor_and_its_edits_say_who(visit: Visit, world: World) -> None:
    visit.sees_title("Sensors")
    switch = visit.page.get_by_role("switch", name="orders runs", exact=True)

    switch.click()
    visit.sees_status("orders is stopped.")
    expect(switch).to_have_attribute("aria-checked", "false")
    assert world.status("orders") == "STOPPED"

    switch.click()
    visit.sees_status("orders is running.")
    assert world.status("orders") == "RUNNING"
    visit.go("sensors/orders?tab=edits", "orders")
    visit.sees("Stopped", within=visit.page.locator("tbody"))
    visit.sees(world.operator, within=visit.page.locator("tbody"))


def test_a_switch_shows_the_new_status_before_the_list_is_read_again(visit: Visit) -> None:
    visit.sees_title("Sensors")
    switch = visit.page.get_by_role("switch", name="orders runs", exact=True)
    expect(switch).to_have_attribute("aria-checked", "true")
    visit.page.route("**/overview", lambda _: None)

    switch.click()
    visit.sees_status("orders is stopped.")
    expect(switch).to_have_attribute("aria-checked", "false")
    switch.click()
    visit.sees_status("orders is running.")
    expect(switch).to_have_attribute("aria-checked", "true")


def test_several_sensors_are_stopped_at_once_after_a_question(visit: Visit, world: World) -> None:
    visit.sees_title("Sensors")
    visit.page.get_by_label("Choose orders", exact=True).check()
    visit.page.get_by_label("Choose new_files", exact=True).check()

    visit.presses("Stop")
    visit.sees("2 sensors will be stopped. Do you want to continue?")
    assert world.is_running("orders")
    visit.presses("Stop")

    visit.sees("Successfully stopped 2 sensors.")
    assert (world.status("orders"), world.status("new_files")) == ("STOPPED", "STOPPED")
    assert world.is_running("idle")


def test_what_could_not_be_stopped_is_reported_with_its_reason(visit: Visit, world: World) -> None:
    world.break_edits_of("idle", "The table did not answer: try again.")
    visit.sees_title("Sensors")
    visit.page.get_by_label("Choose all sensors shown").check()

    visit.presses("Stop")
    visit.presses("Stop")

    visit.sees("Successfully stopped 5 sensors.")
    visit.sees("Could not stop 1 sensor.")
    visit.sees("The table did not answer: try again.")


def test_a_question_that_is_left_changes_nothing_and_gives_the_focus_back(visit: Visit, world: World) -> None:
    visit.sees_title("Sensors")
    visit.page.get_by_label("Choose orders", exact=True).check()
    visit.presses("Stop")

    visit.page.keyboard.press("Escape")

    expect(visit.page.get_by_role("dialog")).to_have_count(0)
    expect(visit.page.locator(".bulk").get_by_role("button", name="Stop")).to_be_focused()
    assert world.is_running("orders")


def test_a_viewer_sees_everything_and_sees_why_nothing_can_be_changed(viewer: Visit) -> None:
    viewer.sees_title("Sensors")

    assert names(viewer) == SENSORS
    viewer.sees("Read only")
    switch = viewer.page.get_by_role("switch", name="orders runs", exact=True)
    expect(switch).to_be_disabled()
    expect(switch).to_have_attribute("title", "Your role is viewer: changes require the role operator.")
    viewer.page.get_by_label("Choose orders", exact=True).check()
    expect(viewer.page.locator(".bulk").get_by_role("button", name="Stop")).to_be_disabled()


@pytest.mark.parametrize("place", ["sensors/orders", "dead-letters"])
def test_a_viewer_can_press_nothing_that_changes(viewer: Visit, world: World, place: str) -> None:
    viewer.go(place, "orders" if place == "sensors/orders" else "Dead letters")

    for name in ("Tick now", "Test …", "Reset", "Edit cursor", "Release key", "Redrive"):
        for button in viewer.page.get_by_role("button", name=name).all():
            expect(button).to_be_disabled()
            expect(button).to_have_attribute(
                "title", "Your role is viewer: changes require the role operator."
            )


def test_what_the_server_does_not_answer_is_said_and_what_was_seen_stays(visit: Visit) -> None:
    visit.sees_title("Sensors")

    visit.page.route("**/api/overview", lambda route: route.abort())

    visit.sees("Not up to date.")
    assert names(visit) == SENSORS
    visit.page.unroute("**/api/overview")
    visit.presses("Try again")
    expect(visit.page.get_by_role("alert")).to_have_count(0)
    visit.complaints.clear()
