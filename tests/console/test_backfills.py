"""Backfills: the list, a backfill with its partitions, and what an operator changes."""

from playwright.sync_api import Locator, expect

from tests.console.world import AWKWARD, World
from tests.support.browser import Visit
from treadle.model.backfills import Backfill, BackfillStatus


def stored(world: World) -> Backfill:
    return world.instance._tables.backfills["october"]


def fact(visit: Visit, name: str) -> Locator:
    """Return the value of a fact of the page, such as its status."""
    exact = visit.page.locator("dt", has_text=name)
    return visit.page.locator(".facts div").filter(has=exact).first.locator("dd")


def test_backfills_are_listed_with_their_progress(visit: Visit) -> None:
    visit.go("backfills", "Backfills")

    [row] = visit.page.locator("main tbody tr").all()
    cells = {
        name: row.locator(f"td[data-name='{name}']") for name in ("Progress", "Failed", "Waiting", "Limit")
    }
    expect(cells["Progress"]).to_contain_text("1 of 30 succeeded")
    expect(cells["Failed"]).to_have_text("1")
    expect(cells["Waiting"]).to_have_text("26")
    expect(cells["Limit"]).to_have_text("2 in progress")
    visit.sees("treadle backfill start JOB")
    row.get_by_role("link", name="october").click()
    visit.sees_title("Backfill october")


def test_partitions_are_filtered_and_lead_to_their_runs_and_back(visit: Visit, world: World) -> None:
    run = world.backfill_runs()[1]
    visit.go("backfills/october", "Backfill october")
    rows = visit.page.get_by_role("region", name="Partitions").locator("tbody tr")
    expect(rows).to_have_count(25)
    visit.presses("Next")
    expect(rows).to_have_count(5)
    expect(rows.first).to_contain_text("not started")

    visit.page.get_by_role("group", name="Partitions with state").get_by_role("button", name="Failed").click()

    expect(rows).to_have_count(1)
    expect(rows.locator(".badge")).to_have_attribute("title", AWKWARD)
    rows.get_by_role("link", name=run.run_id[:8]).click()
    visit.sees_title(f"Run {run.run_id[:8]}")
    visit.page.locator(".facts").get_by_role("link", name="backfill october").click()
    visit.sees_title("Backfill october")


def test_a_backfill_is_paused_and_resumed_under_another_limit(visit: Visit, world: World) -> None:
    visit.go("backfills/october", "Backfill october")

    visit.presses("Pause …")
    visit.sees("26 partitions will wait until it is resumed.")
    visit.presses("Pause the backfill")
    visit.sees_status("Backfill october is paused")
    expect(fact(visit, "Status")).to_have_text("Paused")
    expect(visit.page.get_by_role("button", name="Pause …")).to_be_disabled()
    visit.presses("Resume …")
    visit.page.get_by_label("Runs in progress at a time; 0 for no limit").fill("5")
    visit.presses("Resume the backfill")

    visit.sees_status("Backfill october continues.")
    expect(fact(visit, "Limit")).to_have_text("5 in progress")
    assert (stored(world).status, stored(world).limit) == (BackfillStatus.REQUESTED, 5)
    assert [(each.by, each.action) for each in stored(world).edits[1:]] == [
        (world.operator, "paused"),
        (world.operator, "resumed"),
    ]


def test_a_limit_that_was_deleted_stays_as_it_was(visit: Visit, world: World) -> None:
    visit.go("backfills/october", "Backfill october")

    visit.presses("Change limit …")
    visit.page.get_by_label("Runs in progress at a time; 0 for no limit").fill("")
    visit.presses("Change the limit")

    visit.sees_status("Backfill october is REQUESTED already.")
    assert stored(world).limit == 2


def test_failed_runs_are_retried(visit: Visit, world: World) -> None:
    visit.go("backfills/october", "Backfill october")

    visit.presses("Retry …")
    visit.sees("The next attempt of 1 failed or canceled run starts")
    visit.presses("Retry failed runs")

    visit.sees_status("1 run of backfill october starts again.")
    expect(fact(visit, "Failed")).to_have_text("0")
    expect(visit.page.get_by_role("button", name="Retry …")).to_be_disabled()
    assert stored(world).attempts[1] == 2


def test_a_backfill_is_canceled_after_confirmation(visit: Visit, world: World) -> None:
    visit.go("backfills/october", "Backfill october")

    visit.presses("Cancel …")
    visit.sees("26 partitions will never start")
    visit.presses("Keep as it is")
    assert stored(world).status is BackfillStatus.REQUESTED
    visit.presses("Cancel …")
    visit.presses("Cancel the backfill")

    visit.sees_status("Backfill october is canceled")
    expect(fact(visit, "Status")).to_have_text("Canceling")
    assert stored(world).status is BackfillStatus.CANCELED
    for name in ("Pause …", "Change limit …", "Retry …", "Cancel …"):
        expect(visit.page.get_by_role("button", name=name)).to_be_disabled()


def test_a_viewer_sees_a_backfill_and_changes_nothing(viewer: Visit) -> None:
    viewer.go("backfills/october", "Backfill october")

    for name in ("Pause …", "Change limit …", "Retry …", "Cancel …"):
        button = viewer.page.get_by_role("button", name=name)
        expect(button).to_be_disabled()
        expect(button).to_have_attribute("title", "Your role is viewer: changes require the role operator.")


def test_a_backfill_that_does_not_exist_is_reported(visit: Visit) -> None:
    visit.go("backfills/june", "Backfill june")

    visit.refused(404)
    visit.sees("Backfill 'june' does not exist.")
