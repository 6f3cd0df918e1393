"""Pools: the list, a pool with its runs, and what an operator changes."""

from dataclasses import replace
from urllib.parse import quote

from playwright.sync_api import Locator, expect

from tests.console.world import AWKWARD, World
from tests.support.browser import Visit
from treadle.model.pools import Holder, Overlap, PoolState, order_of
from treadle.model.runs import RUN_REPLACED, Cancellation

VALUE = f"pools/people?value={quote(AWKWARD)}"
TITLE = f"Pool people={AWKWARD}"


def fact(visit: Visit, name: str) -> Locator:
    """Return the value of a fact of the page, such as its limit."""
    exact = visit.page.locator("dt", has_text=name)
    return visit.page.locator(".facts div").filter(has=exact).first.locator("dd")


def rows(visit: Visit, caption: str) -> Locator:
    return visit.page.get_by_role("region", name=caption, exact=True).locator("tbody tr")


def test_pools_are_listed_with_the_values_for_which_runs_wait(visit: Visit, world: World) -> None:
    world.fill_pool()
    visit.go("pools", "Pools")

    expect(rows(visit, "Pools")).to_have_count(2)
    pool, value = rows(visit, "Pools").all()
    expect(pool.locator("td[data-name='Limit']")).to_contain_text("for each value")
    expect(value.locator("td[data-name='Waiting']")).to_have_text("2")
    expect(value.locator("td[data-name='State']")).to_have_text("open")
    value.get_by_role("link").click()
    visit.sees_title(TITLE)


def test_pool_leads_to_its_runs_and_back(visit: Visit, world: World) -> None:
    first, _ = world.fill_pool()
    visit.go(VALUE, TITLE)

    expect(rows(visit, "Runs that wait")).to_have_count(2)
    expect(rows(visit, "Runs that hold slots").first).to_contain_text("Started")
    rows(visit, "Runs that wait").get_by_role("link", name=first.run_id[:8]).click()

    visit.sees_title(f"Run {first.run_id[:8]}")
    expect(fact(visit, "Waits for")).to_contain_text(f"pool people={AWKWARD}")
    visit.sees("it is number 1 in the queue")
    fact(visit, "Waits for").get_by_role("link").click()
    visit.sees_title(TITLE)


def test_list_of_runs_says_that_a_run_waits(visit: Visit, world: World) -> None:
    world.fill_pool()
    visit.go("runs?status=QUEUED", "Runs")

    expect(visit.page.locator("main tbody tr").first).to_contain_text("waits for pool people")


def test_limit_is_set_and_reset(visit: Visit, world: World) -> None:
    world.fill_pool()
    declared = world.instance._tables.pools["people"].limit
    visit.go("pools/people", "Pool people")

    expect(visit.page.get_by_role("button", name="Reset limit …")).to_be_disabled()
    visit.presses("Set limit …")
    visit.page.get_by_label("Runs in progress at a time, for each value of its tag; 0 for a pause").fill("0")
    visit.presses("Set the limit")

    visit.sees_status("no run starts until the limit is raised")
    expect(fact(visit, "Limit")).to_have_text("0 (paused) for each value")
    expect(fact(visit, "Set by")).to_contain_text(world.operator)
    assert world.instance._tables.pools["people"].override == 0
    assert {"treadle": "grant", "pool": f"people={AWKWARD}"} in world.stack.dispatches.drain()
    visit.presses("Reset limit …")
    visit.presses("Reset the limit")

    visit.sees_status(f"The limit of pool people is {declared}, as declared.")
    expect(fact(visit, "Limit")).to_have_text(f"{declared} for each value")


def test_limit_that_is_no_number_is_refused(visit: Visit, world: World) -> None:
    visit.go("pools/people", "Pool people")

    visit.presses("Set limit …")
    visit.page.get_by_label("Runs in progress at a time").fill("")
    visit.presses("Set the limit")

    visit.refused(400)
    visit.sees("limit must be integer")
    assert world.instance._tables.pools["people"].override is None


def test_run_moves_ahead_by_its_priority(visit: Visit, world: World) -> None:
    _, second = world.fill_pool()
    visit.go(VALUE, TITLE)

    rows(visit, "Runs that wait").nth(1).get_by_role("button", name="Set priority …").click()
    visit.page.get_by_label(f"Priority of run {second.run_id[:8]}: the highest starts first").fill("9")
    visit.presses("Set the priority")

    visit.sees_status(f"The priority of run {second.run_id} is 9.")
    expect(rows(visit, "Runs that wait").first).to_contain_text(second.run_id[:8])
    assert world.waiting()[0].run_id == second.run_id


def test_slots_in_doubt_are_freed_on_the_page_of_the_run_and_of_the_pool(visit: Visit, world: World) -> None:
    world.fill_pool()
    run = world.doubt()
    visit.go(VALUE, TITLE)
    expect(fact(visit, "State")).to_have_text("1 in doubt")
    expect(rows(visit, "Runs that hold slots").first.get_by_role("button")).to_be_enabled()
    visit.go(f"runs/{run.run_id}", f"Run {run.run_id[:8]}")

    fact(visit, "Slots in doubt").get_by_role("button", name="Free slots …").click()
    visit.sees("if it still runs, more runs than the limit will be in progress")
    visit.presses("Free the slots")

    visit.sees_status(f"The slots that run {run.run_id} held in doubt are free")
    expect(visit.page.locator("dt", has_text="Slots in doubt")).to_have_count(0)
    visit.sees(f"{world.operator} freed its slots in doubt of pool")
    assert world.run(run.run_id).slots == ()
    world.instance._launch()
    assert len(world.waiting()) == 1


def test_overlap_of_a_job_is_shown_with_what_keeps_its_latest_run_waiting(visit: Visit, world: World) -> None:
    run, now = world.started_run, world.instance.clock.now()
    refused = Cancellation(run.attempt, 0, RUN_REPLACED, "A later one waits.", now, AWKWARD)
    world.instance._tables.runs[run.run_id] = replace(run, cancellations=(refused,))
    world.instance._tables.slots["job:load"] = {Holder(1, run.launch_id)}
    world.instance._stores.pools.declare([PoolState("job:load", 1, overlap=Overlap.CANCEL)], ())
    visit.go("pools", "Pools")

    expect(rows(visit, "Pools").first.locator("td[data-name='Limit']")).to_contain_text("overlap CANCEL")
    expect(rows(visit, "Pools").first.locator("td[data-name='State']")).to_have_text("1 not canceled")
    rows(visit, "Pools").first.get_by_role("link").click()

    visit.sees_title("Pool job:load")
    expect(fact(visit, "Overlap")).to_have_text("CANCEL")


def test_a_viewer_sees_a_pool_and_changes_nothing(viewer: Visit, world: World) -> None:
    world.fill_pool()
    world.doubt()
    viewer.go(VALUE, TITLE)

    for name in ("Set limit …", "Reset limit …", "Free slots …", "Set priority …"):
        button = viewer.page.get_by_role("button", name=name).first
        expect(button).to_be_disabled()
        expect(button).to_have_attribute("title", "Your role is viewer: changes require the role operator.")


def test_a_pool_that_does_not_exist_is_reported(visit: Visit) -> None:
    visit.go("pools/job:none", "Pool job:none")

    visit.refused(404)
    visit.sees("Pool 'job:none' does not exist.")


def test_pool_of_starts_per_minute_shows_when_the_next_one_is_possible(visit: Visit, world: World) -> None:
    first, _ = world.fill_pool()
    tables, now = world.instance._tables, world.instance.clock.now()
    tables.pools["starts:crm"] = PoolState("starts:crm", 1)
    tables.slots["starts:crm"] = {Holder(1, first.launch_id, now - 5_000)}
    tables.waiters["starts:crm"] = {order_of(0, now, 0, first.run_id): first.run_id}
    visit.go("pools/starts%3Acrm", "Pool starts:crm")

    expect(fact(visit, "Limit")).to_have_text("1 per minute")
    expect(fact(visit, "State")).to_contain_text("next start at")
    expect(fact(visit, "Starts in the last 60 seconds")).to_have_text("1")
    expect(rows(visit, "Starts granted in the last 60 seconds")).to_have_count(1)
    visit.presses("Set limit …")
    visit.page.get_by_label("Starts per minute; 0 for a pause").fill("5")
    visit.presses("Set the limit")

    visit.sees_status("The limit of pool starts:crm is 5 instead of the declared 1")
    assert tables.pools["starts:crm"].override == 5
