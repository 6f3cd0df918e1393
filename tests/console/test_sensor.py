"""One sensor: its cursor, its ticks over time, and trying it out."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from playwright.sync_api import expect

from tests.console.world import AWKWARD, World
from tests.support.browser import Visit
from treadle import Hours
from treadle.model.ticks import Tick


def test_a_cursor_is_shown_in_one_line_without_what_says_nothing(visit: Visit) -> None:
    visit.go("sensors/orders", "orders")

    visit.sees("seen=5, note=as text", within=visit.page.locator(".facts"))


def test_a_sensor_outside_its_hours_says_until_when(visit: Visit, world: World) -> None:
    day = f"{datetime.now(UTC) + timedelta(days=3):%a}".upper()
    world.instance._parts["orders"].definition.active = Hours(f"00:00-24:00 {day}")

    visit.go("sensors/orders", "orders")

    facts = visit.page.locator(".facts")
    visit.sees(f"00:00-24:00 {day} UTC", within=facts)
    visit.sees("Outside its hours until", within=facts)
    visit.go("sensors", "Sensors")
    row = visit.page.get_by_role("row").filter(has_text="orders").filter(has_text="Schedule")
    visit.sees("outside its hours until", within=row)


def test_a_cursor_is_set_after_a_check_of_what_changes(visit: Visit, world: World) -> None:
    visit.go("sensors/orders", "orders")
    visit.presses("Edit cursor")
    text = visit.page.get_by_label("New cursor")
    expect(visit.page.get_by_role("button", name="Set cursor")).to_be_disabled()

    text.fill(text.input_value().replace('"seen": 5', '"seen": 4'))

    changed = visit.page.locator(".diff .removed, .diff .added").all_inner_texts()
    assert [line.strip() for line in changed] == ['-   "seen": 5,', '+   "seen": 4,']
    visit.presses("Set cursor")
    visit.sees_status("orders has a new cursor.")
    assert world.instance.cursor("orders") == '{"__class__":"Cursor","seen":4,"lost":0,"note":"as text"}'
    visit.sees("seen=4, note=as text")


def test_a_cursor_that_was_moved_meanwhile_is_not_overwritten(visit: Visit, world: World) -> None:
    visit.go("sensors/orders", "orders")
    visit.presses("Edit cursor")
    visit.page.get_by_label("New cursor").fill('{"seen": 1}')
    world.instance.set_cursor("orders", '{"seen":77}')

    visit.presses("Set cursor")
    visit.sees("Your text is still here")
    visit.refused(409)
    assert world.instance.cursor("orders") == '{"seen":77}'

    visit.presses("Compare with what is stored now")
    visit.sees('"seen": 77', within=visit.page.locator(".diff .removed"))
    visit.presses("Set cursor")
    visit.sees_status("orders has a new cursor.")
    assert world.instance.cursor("orders") == '{"seen":1}'


def test_a_cursor_is_cleared(visit: Visit, world: World) -> None:
    visit.go("sensors/orders", "orders")
    visit.presses("Edit cursor")

    visit.page.get_by_label("No cursor").check()
    visit.presses("Set cursor")

    visit.sees_status("orders has no cursor now.")
    assert world.instance.cursor("orders") is None


def test_ticks_stand_in_the_timeline_by_outcome_with_skips_as_one_bar(visit: Visit) -> None:
    visit.go("sensors/orders", "orders")

    marks = visit.page.locator(".mark")
    expect(marks.first).to_be_visible()
    labels = [mark.get_attribute("aria-label") or "" for mark in marks.all()]
    assert sum(label.startswith("FAILURE") for label in labels) == 1
    assert [label for label in labels if "3 ticks skipped" in label]
    expect(visit.page.locator(".mark.SKIPPED rect")).to_have_count(1)


def test_a_mark_that_is_pointed_at_says_what_happened_and_leads_to_its_tick(visit: Visit) -> None:
    visit.go("sensors/orders", "orders")
    mark = visit.page.locator(".mark.FAILURE")

    mark.hover()
    visit.sees(f"ValueError: no order {AWKWARD}", within=visit.page.get_by_role("tooltip"))
    mark.click()

    visit.sees_title("Tick")
    visit.sees("in orders", within=visit.page.get_by_label("stack"))


def test_the_timeline_is_walked_by_arrow_keys(visit: Visit) -> None:
    visit.go("sensors/orders", "orders")
    marks = visit.page.locator(".mark")
    expect(marks.first).to_be_visible()
    last = marks.count() - 1

    marks.nth(last).focus()
    visit.page.keyboard.press("ArrowLeft")
    expect(marks.nth(last - 1)).to_be_focused()
    visit.page.keyboard.press("Home")
    expect(marks.nth(0)).to_be_focused()
    assert [mark.get_attribute("tabindex") for mark in marks.all()].count("0") == 1
    visit.page.keyboard.press("Enter")

    visit.page.wait_for_url(re.compile("/ticks/"))


def test_ticks_are_filtered_and_the_address_says_so(visit: Visit) -> None:
    visit.go("sensors/orders", "orders")
    rows = visit.page.locator("section[aria-label=Ticks] tbody tr")
    expect(rows).to_have_count(7)

    visit.page.get_by_role("group", name="Ticks that").get_by_role("button", name="Failed").click()

    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("ValueError")
    visit.page.reload()
    expect(rows).to_have_count(1)


def test_ticks_are_read_page_by_page(visit: Visit, world: World) -> None:
    world.request_runs(times=40)
    visit.go("sensors/orders", "orders")
    rows = visit.page.locator("section[aria-label=Ticks] tbody tr")
    expect(rows).to_have_count(25)
    first = rows.first.inner_text()

    visit.presses("Older")
    expect(rows.first).not_to_have_text(first)
    expect(rows).to_have_count(22)
    expect(visit.page.get_by_role("button", name="Older")).to_be_disabled()
    visit.presses("Newest")
    expect(rows.first).to_have_text(first, use_inner_text=True)


def test_a_test_shows_what_a_tick_would_do_and_commits_nothing(visit: Visit, world: World) -> None:
    world.plan("request")
    before = world.instance.cursor("orders")
    visit.go("sensors/orders", "orders")

    visit.presses("Test …")
    visit.presses("Evaluate")

    dialog = visit.page.get_by_role("dialog")
    visit.sees("2 run requests", within=dialog)
    visit.sees(f"order-6-{AWKWARD}", within=dialog)
    visit.sees("INFO listed from 5", within=dialog)
    visit.sees('"seen": 6', within=dialog.locator(".diff .added"))
    assert world.instance.cursor("orders") == before


def test_a_test_with_another_cursor(visit: Visit, world: World) -> None:
    world.plan("request")
    visit.go("sensors/orders", "orders")

    visit.presses("Test …")
    visit.page.get_by_label("Cursor", exact=True).fill('{"seen": 41}')
    visit.presses("Evaluate")

    visit.sees(f"order-42-{AWKWARD}", within=visit.page.get_by_role("dialog"))
    visit.presses("Try again")
    expect(visit.page.get_by_label("Cursor", exact=True)).to_have_value('{"seen": 41}')


def test_a_test_that_skips_says_why(visit: Visit) -> None:
    visit.go("sensors/orders", "orders")
    visit.presses("Test …")
    visit.presses("Evaluate")

    visit.sees("Skipped", within=visit.page.get_by_role("dialog"))
    visit.sees(f"nothing new {AWKWARD}", within=visit.page.get_by_role("dialog"))


def test_a_test_that_fails_shows_the_stack(visit: Visit, world: World) -> None:
    world.plan("fail")
    visit.go("sensors/orders", "orders")
    visit.presses("Test …")
    visit.presses("Evaluate")

    dialog = visit.page.get_by_role("dialog")
    visit.sees("Failed", within=dialog)
    visit.sees("in orders", within=dialog.get_by_label("stack"))
    expect(dialog.get_by_role("button", name="Set this cursor only")).to_be_disabled()


def test_after_a_test_the_tick_is_made_for_real(visit: Visit, world: World) -> None:
    world.plan("request", "request")
    visit.go("sensors/orders", "orders")
    visit.presses("Test …")
    visit.presses("Evaluate")
    visit.sees("2 run requests")

    visit.presses("Tick now")
    visit.page.get_by_role("link", name="See the tick").click()

    visit.sees_title("Tick")
    visit.sees(f"order-6-{AWKWARD}")
    assert '"seen":6' in (world.instance.cursor("orders") or "")


def test_after_a_test_the_cursor_alone_is_moved(visit: Visit, world: World) -> None:
    world.plan("request")
    runs = len(world.instance.runs())
    visit.go("sensors/orders", "orders")
    visit.presses("Test …")
    visit.presses("Evaluate")

    visit.presses("Set this cursor only")

    visit.sees_status("orders has the cursor of this test.")
    assert '"seen":6' in (world.instance.cursor("orders") or "")
    assert len(world.instance.runs()) == runs


def test_a_sensor_of_objects_is_tried_with_an_object(visit: Visit, world: World) -> None:
    key = f"in/new {AWKWARD}.csv"
    world.store_silently(key)
    visit.go("sensors/new_files", "new_files")

    visit.presses("Test …")
    visit.page.get_by_label("Key of an object").fill(key)
    visit.presses("Evaluate")

    visit.sees("1 run request")
    visit.sees(key, within=visit.page.get_by_role("dialog"))


def test_a_tick_is_made_at_once(visit: Visit, world: World) -> None:
    world.plan("request")
    visit.go("sensors/orders", "orders")
    rows = visit.page.locator("section[aria-label=Ticks] tbody tr")
    expect(rows).to_have_count(7)

    visit.presses("Tick now")

    visit.sees_status("Tick of orders:")
    expect(rows).to_have_count(8)


def test_a_tick_that_fails_is_shown_as_a_failure(visit: Visit, world: World) -> None:
    world.plan("fail")
    visit.go("sensors/orders", "orders")

    visit.presses("Tick now")

    visit.sees_status("Tick of orders: FAILURE.")
    expect(visit.page.locator(".toast .shape")).to_have_class("shape bad")


def test_a_reset_lets_the_deployment_decide_again(visit: Visit, world: World) -> None:
    world.instance.stop_sensor("orders")
    visit.go("sensors/orders", "orders")

    visit.presses("Reset")

    visit.sees_status("orders is reset")
    assert world.status("orders") == "DECLARED_IN_CODE"
    expect(visit.page.get_by_role("button", name="Reset")).to_be_disabled()


def test_a_sensor_that_is_not_there_is_reported_with_a_message(visit: Visit) -> None:
    visit.go("sensors/nobody", "nobody")

    visit.sees("has no sensor 'nobody'")
    visit.presses("Try again")
    visit.complaints.clear()


def test_a_sensor_of_runs_is_tried_with_a_run(visit: Visit, world: World) -> None:
    visit.go("sensors/tell_failures", "tell_failures")
    expect(visit.page.get_by_role("button", name="Tick now")).to_be_disabled()

    visit.presses("Test …")
    visit.page.get_by_label("Id of a run").fill(world.failed_run.run_id)
    visit.presses("Evaluate")

    visit.sees("notified", within=visit.page.get_by_role("dialog"))


def test_a_sensor_of_an_asset_is_tried_with_its_newest_materialization(visit: Visit) -> None:
    visit.go("sensors/after_orders", "after_orders")

    visit.presses("Test …")
    visit.page.get_by_label("Key of an asset").fill("orders/daily")
    visit.presses("Evaluate")

    visit.sees("not yet", within=visit.page.get_by_role("dialog"))


def test_a_sensor_of_deadlines_is_tried_with_a_deadline(visit: Visit) -> None:
    visit.go("sensors/orders_are_late", "orders_are_late")

    visit.presses("Test …")
    visit.page.get_by_label("Deadline").fill("2099-01-28T06:00")
    visit.presses("Evaluate")

    visit.sees("has not succeeded by", within=visit.page.get_by_role("dialog"))
    visit.sees("has status STARTED", within=visit.page.get_by_role("dialog"))


def test_ticks_lead_to_their_neighbors(visit: Visit, world: World) -> None:
    *_, third, second, first = world.instance.ticks("orders")
    older = visit.page.get_by_role("link", name="Older tick")
    newer = visit.page.get_by_role("link", name="Newer tick")

    def is_at(tick: Tick) -> None:
        expect(visit.page).to_have_url(re.compile(f"/ticks/{quote(tick.tick_id)}$"))

    visit.go(f"sensors/orders/ticks/{second.tick_id}", "Tick")

    older.click()
    is_at(first)
    expect(newer).to_be_visible()
    expect(older).to_have_count(0)
    visit.page.keyboard.press("j")
    visit.page.keyboard.press("k")
    is_at(second)
    newer.click()
    is_at(third)
    expect(older).to_be_visible()
    visit.page.keyboard.press("j")
    is_at(second)
