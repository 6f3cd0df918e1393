"""The page refreshes itself without disturbing its user."""

from playwright.sync_api import Request, expect

from tests.console.world import World
from tests.support.browser import Visit

MINUTE = 60_000


def questions(visit: Visit) -> list[str]:
    """Return the requests that the page sends to the API from now on."""
    requests: list[str] = []

    def on_request(request: Request) -> None:
        if "/api/" in request.url:
            requests.append(request.url)

    visit.page.on("request", on_request)
    return requests


def hide(visit: Visit, *, hidden: bool) -> None:
    """Do as if the tab were hidden, or seen again."""
    state = "hidden" if hidden else "visible"
    visit.page.evaluate(
        f"Object.defineProperty(document, 'visibilityState', {{configurable: true, get: () => '{state}'}});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )


def test_a_new_tick_appears_by_itself(visit: Visit, world: World) -> None:
    visit.go("sensors/orders", "orders")
    rows = visit.page.locator("section[aria-label=Ticks] tbody tr")
    expect(rows).to_have_count(7)
    before = visit.page.locator(".mark").count()

    world.request_runs()

    expect(rows).to_have_count(8)
    expect(visit.page.locator(".mark.SUCCESS").last).to_be_visible()
    assert visit.page.locator(".mark").count() >= before


def test_the_focus_and_what_is_written_stay_while_answers_come(visit: Visit, world: World) -> None:
    visit.stops_the_clock()
    visit.go("sensors", "Sensors")
    box = visit.page.get_by_label("Filter sensors")
    box.fill("ord")
    row = visit.page.locator("tbody tr").filter(has=visit.page.get_by_role("link", name="orders", exact=True))
    row.evaluate("each => { each.mine = true; }")

    world.instance.stop_sensor("orders")
    visit.page.clock.run_for(5_000)

    expect(row).to_contain_text("Stopped")
    expect(box).to_be_focused()
    expect(box).to_have_value("ord")
    assert row.evaluate("each => each.mine") is True


def test_nothing_is_queried_while_the_tab_is_hidden(visit: Visit) -> None:
    visit.stops_the_clock()
    visit.go("sensors", "Sensors")
    requests = questions(visit)
    visit.page.clock.run_for(5_000)
    expect(visit.page.locator("tbody tr").first).to_be_visible()
    assert requests

    hide(visit, hidden=True)
    visit.page.wait_for_timeout(200)
    requests.clear()
    visit.page.clock.run_for(5 * MINUTE)
    assert requests == []

    hide(visit, hidden=False)
    visit.page.wait_for_timeout(200)
    assert requests


def test_dead_letters_and_findings_are_read_once(visit: Visit) -> None:
    """Listing dead letters hides them for a moment, and an examination takes many calls."""
    visit.stops_the_clock()
    for place, title, api in (
        ("dead-letters", "Dead letters", "dead-letters"),
        ("doctor", "Doctor", "doctor"),
    ):
        requests = questions(visit)
        visit.go(place, title)
        visit.page.clock.run_for(5 * MINUTE)
        assert len([url for url in requests if url.endswith(api)]) == 1


def test_a_page_that_was_left_sends_no_more_requests(visit: Visit) -> None:
    visit.stops_the_clock()
    visit.go("sensors/orders", "orders")
    visit.go("doctor", "Doctor")
    requests = questions(visit)

    visit.page.clock.run_for(MINUTE)

    assert [url for url in requests if "/sensors/orders" in url] == []
