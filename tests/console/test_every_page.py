"""Every page: in light and dark mode, on a phone, with keyboard and screen reader."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, expect

from tests.console.world import AWKWARD, World
from tests.support.browser import PHONE, Visit, visiting
from tests.support.console import TOKEN, served

APPEARANCES: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": PHONE, "has_touch": True, "is_mobile": True},
    "small phone": {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True},
}


def places(world: World) -> Iterator[tuple[str, str]]:
    """Yield every page, with its title."""
    world.fill_pool()
    failed, tick_id = world.failed_run, world.failed_tick.tick_id
    yield from [
        ("sensors", "Sensors"),
        ("sensors/orders", "orders"),
        ("sensors/orders?tab=runs", "orders"),
        ("sensors/orders?tab=edits", "orders"),
        ("sensors/idle", "idle"),
        (f"sensors/orders/ticks/{failed.tick_id}", "Tick"),
        (f"sensors/orders/ticks/{tick_id}", "Tick"),
        ("runs", "Runs"),
        (f"runs/{failed.run_id}", f"Run {failed.run_id[:8]}"),
        (f"runs/{world.backfill_runs()[0].run_id}", f"Run {world.backfill_runs()[0].run_id[:8]}"),
        ("backfills", "Backfills"),
        ("backfills/october", "Backfill october"),
        ("pools", "Pools"),
        (f"pools/people?value={quote(AWKWARD)}", f"Pool people={AWKWARD}"),
        ("assets", "Assets"),
        ("assets?key=orders%2Fdaily", "orders/daily"),
        ("map", "Map"),
        (f"why?run={failed.run_id}&sensor=orders", "Why did it not run?"),
        ("search?text=or", "Search"),
        ("dead-letters", "Dead letters"),
        ("doctor", "Doctor"),
        ("nowhere", "No such page"),
    ]


@pytest.mark.parametrize("appearance", APPEARANCES)
def test_no_page_has_a_serious_fault_or_is_wider_than_its_window(
    browser: Browser, world: World, appearance: str
) -> None:
    world.send_to_dlq()
    with (
        served(world.console()) as server,
        visiting(
            browser, server.address, token=TOKEN, reduced_motion="reduce", **APPEARANCES[appearance]
        ) as visit,
    ):
        found = {}
        for place, title in places(world):
            visit.go(place, title)
            found[place] = (visit.faults(), visit.overflow())
        for place, opens in (("sensors/orders", "Edit cursor"), ("sensors/orders", "Test …")):
            visit.go(place, "orders")
            visit.presses(opens)
            found[opens] = (visit.faults(), visit.overflow())
            visit.page.keyboard.press("Escape")
        visit.page.keyboard.press("?")
        visit.sees("Keyboard shortcuts")
        found["?"] = (visit.faults(), visit.overflow())

    assert {place: each for place, each in found.items() if each != ([], 0)} == {}


def test_what_comes_from_outside_is_text_on_every_page(visit: Visit, world: World) -> None:
    world.send_to_dlq()
    shown = 0
    for place, title in places(world):
        visit.go(place, title)
        assert visit.page.locator("main img, main script, main iframe, main b[data-awkward]").count() == 0
        shown += visit.page.get_by_text(AWKWARD, exact=False).count()

    assert shown > 10
    assert visit.page.evaluate("window.awkward") is None


def test_colors_follow_the_system_until_they_are_chosen(browser: Browser, world: World) -> None:
    with served(world.console()) as server, visiting(browser, server.address, token=TOKEN) as visit:
        visit.sees_title("Sensors")
        ground = "getComputedStyle(document.documentElement).backgroundColor"
        light = visit.page.evaluate(ground)

        visit.page.emulate_media(color_scheme="dark")
        dark = visit.page.evaluate(ground)
        visit.presses("Light")

        assert dark != light
        assert visit.page.evaluate(ground) == light
        visit.page.reload()
        visit.sees_title("Sensors")
        assert visit.page.evaluate(ground) == light


def test_times_are_local_with_the_exact_one_beside_them(browser: Browser, world: World) -> None:
    with (
        served(world.console()) as server,
        visiting(browser, server.address, token=TOKEN, timezone_id="Asia/Kolkata") as visit,
    ):
        visit.go(f"runs/{world.failed_run.run_id}", f"Run {world.failed_run.run_id[:8]}")

        time = visit.page.locator(".facts div").filter(has_text="Created").locator("time")
        at = world.failed_run.created_at
        there = datetime.fromtimestamp(at / 1000, ZoneInfo("Asia/Kolkata"))
        exact = datetime.fromtimestamp(at / 1000, UTC)
        expect(time).to_have_text(f"{there:%H:%M:%S}")
        expect(visit.page.locator(".foot")).to_have_text("Times are in Asia/Calcutta.")
        expect(time).to_have_attribute(
            "title", f"{there:%H:%M:%S} here, {exact:%Y-%m-%d %H:%M:%S}.{at % 1000:03d} UTC"
        )


def test_the_first_key_leads_past_the_pages_names(visit: Visit) -> None:
    visit.sees_title("Sensors")

    visit.page.keyboard.press("Tab")
    expect(visit.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    visit.page.keyboard.press("Enter")
    visit.page.keyboard.press("Tab")

    expect(visit.page.get_by_label("Filter sensors")).to_be_focused()
    assert visit.page.url.endswith("/")


def test_every_control_is_reached_by_tab_and_shows_that_it_is(visit: Visit) -> None:
    visit.sees_title("Sensors")
    reached = set()
    for _ in range(60):
        visit.page.keyboard.press("Tab")
        name, outline = visit.page.evaluate(
            "(() => { const at = document.activeElement, style = getComputedStyle(at);"
            " return at === document.body ? ['', ''] :"
            " [at.getAttribute('aria-label') || at.textContent, style.outlineStyle]; })()"
        )
        reached.add(name)
        assert outline != "none", f"{name} has the focus and does not show it"

    assert {"orders runs", "Choose orders", "orders", "Failing", "Dark", "Map", "Doctor?"} <= reached


def test_a_new_page_has_the_focus_on_its_title(visit: Visit) -> None:
    visit.sees_title("Sensors")

    visit.page.get_by_role("link", name="orders", exact=True).click()

    expect(visit.page.get_by_role("heading", name="orders", level=1)).to_be_focused()


def test_nothing_moves_for_who_wants_no_motion(browser: Browser, world: World) -> None:
    with (
        served(world.console()) as server,
        visiting(browser, server.address, token=TOKEN, reduced_motion="reduce") as visit,
    ):
        visit.sees_title("Sensors")
        switch = visit.page.locator(".switch span").first
        assert float(switch.evaluate("each => parseFloat(getComputedStyle(each).transitionDuration)")) < 0.001


def test_a_phone_shows_rows_as_cards_with_their_names(browser: Browser, world: World) -> None:
    with (
        served(world.console()) as server,
        visiting(browser, server.address, token=TOKEN, **APPEARANCES["phone"]) as visit,
    ):
        visit.sees_title("Sensors")
        cell = visit.page.locator("tbody tr").first.locator("td[data-name='Last tick']")
        shown = cell.evaluate("each => getComputedStyle(each, '::before').content")
        assert shown == '"Last tick"'
        assert visit.page.get_by_role("cell").count() > 10


def test_a_phone_s_head_is_as_high_as_its_contents_on_each_page(browser: Browser, world: World) -> None:
    with (
        served(world.console()) as server,
        visiting(browser, server.address, token=TOKEN, **APPEARANCES["small phone"]) as visit,
    ):
        heights = []
        for place, title in (("sensors", "Sensors"), ("assets", "Assets"), ("nowhere", "No such page")):
            visit.go(place, title)
            heights.append(visit.page.locator("header.side").evaluate("each => each.offsetHeight"))

    assert heights[0] == heights[1] == heights[2] < 150


def test_keys_lead_to_the_search_box_and_to_pages(visit: Visit) -> None:
    visit.sees_title("Sensors")

    visit.page.keyboard.press("2")
    visit.sees_title("Runs")
    visit.page.keyboard.press("/")
    expect(visit.page.get_by_role("searchbox", name="Search by")).to_be_focused()
    visit.page.keyboard.type("orders/2?")
    expect(visit.page.get_by_role("searchbox", name="Search by")).to_have_value("orders/2?")
    visit.page.keyboard.press("Escape")
    visit.page.get_by_role("heading", name="Runs", level=1).click()

    visit.page.keyboard.press("?")
    visit.sees("Keyboard shortcuts")
    visit.page.keyboard.press("1")
    visit.page.get_by_label("Use shortcuts of single characters").uncheck()
    visit.page.keyboard.press("Escape")
    visit.page.keyboard.press("1")
    visit.sees_title("Runs")
    assert visit.page.url.endswith("#/runs")
