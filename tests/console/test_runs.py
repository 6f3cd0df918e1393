"""A run and its cause; rerun, cancel, release; dead letters; why something did not run."""

import re
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from tests.console.world import AWKWARD, BUCKET, World
from tests.support.browser import Visit
from treadle.definitions.status import DagsterRunStatus


def test_a_failing_run_is_followed_to_its_cause(visit: Visit, world: World) -> None:
    run = world.failed_run
    visit.go("runs?status=FAILURE", "Runs")

    visit.page.get_by_role("link", name=run.run_id[:8]).click()

    visit.sees_title(f"Run {run.run_id[:8]}")
    visit.sees("States.TaskFailed")
    visit.sees(f"row 7 of {AWKWARD} is short")
    explanation = visit.page.locator(".explanation")
    expect(explanation.locator(".summary")).to_contain_text("failed")
    expect(explanation.locator(".steps li").first).to_be_visible()
    visit.page.locator(".facts").get_by_role("link", name=run.tick_id).click()
    visit.sees_title("Tick")
    visit.sees(f"order-1-{AWKWARD}")


def test_a_run_is_started_once_more(visit: Visit, world: World) -> None:
    run = world.failed_run
    visit.go(f"runs/{run.run_id}", f"Run {run.run_id[:8]}")

    visit.presses("Rerun …")
    visit.sees("Attempt 2 of this run starts immediately")
    visit.presses("Rerun")

    visit.sees_status("Attempt 2")
    assert world.run(run.run_id).attempt == 2
    visit.sees(world.operator, within=visit.page.locator("main"))


def test_a_run_is_canceled(visit: Visit, world: World) -> None:
    run = world.started_run
    visit.go(f"runs/{run.run_id}", f"Run {run.run_id[:8]}")
    expect(visit.page.get_by_role("button", name="Rerun …")).to_be_disabled()

    visit.presses("Cancel …")
    visit.presses("Cancel the run")

    visit.sees_status("the request to stop")
    visit.sees("Canceling")


def test_a_run_that_waits_for_its_retry_is_canceled(visit: Visit, world: World) -> None:
    run = world.wait_for_retry()
    visit.go(f"runs/{run.run_id}", f"Run {run.run_id[:8]}")
    visit.sees("Retried")
    expect(visit.page.get_by_role("button", name="Rerun …")).to_be_enabled()
    expect(visit.page.get_by_role("button", name="Release run key")).to_have_count(0)

    visit.presses("Cancel …")
    visit.presses("Cancel the run")

    visit.sees_status("is canceled; attempt 2 has ended")
    assert world.run(run.run_id).status is DagsterRunStatus.CANCELED


def test_the_runs_that_a_list_shows_are_canceled(visit: Visit, world: World) -> None:
    first, second = world.fill_pool()
    visit.go("runs?status=QUEUED", "Runs")

    visit.presses("Cancel shown …")
    visit.sees("What they have done so far is not undone.")
    assert world.run(first.run_id).status is DagsterRunStatus.QUEUED
    world.instance._tables.runs[second.run_id] = replace(
        second, status=DagsterRunStatus.SUCCESS, waiting=None, next_at=None
    )
    visit.presses("Cancel them")

    visit.sees("1 of 2 runs were canceled, or received the request to stop.")
    visit.refused(409)
    visit.sees(f"Run {second.run_id} has already ended: SUCCESS.")
    canceled = world.run(first.run_id)
    assert canceled.status is DagsterRunStatus.CANCELED
    assert canceled.failure is not None
    assert canceled.failure.cause == f"Canceled by {world.operator} before it started."


def test_a_viewer_cancels_no_runs_and_nothing_is_to_cancel_of_those_that_ended(
    viewer: Visit, visit: Visit, world: World
) -> None:
    world.fill_pool()
    viewer.go("runs?status=QUEUED", "Runs")
    visit.go("runs?status=FAILURE", "Runs")

    for each in (viewer, visit):
        expect(each.page.get_by_role("button", name="Cancel shown …")).to_be_disabled()


def test_a_key_is_released(visit: Visit, world: World) -> None:
    run = world.failed_run
    visit.go(f"runs/{run.run_id}", f"Run {run.run_id[:8]}")

    visit.presses("Release run key", exact=False)

    visit.sees_status("is released")
    assert world.run(run.run_id).may_start_again


def test_runs_are_chosen_by_job_sensor_and_status(visit: Visit, world: World) -> None:
    visit.go("runs", "Runs")
    rows = visit.page.locator("tbody tr")
    expect(rows).to_have_count(len(world.instance.runs()))

    visit.page.get_by_label("Sensor").select_option("new_files")
    expect(rows).to_have_count(1)
    visit.page.get_by_label("Sensor").select_option("orders")
    visit.page.get_by_role("group", name="Runs with status").get_by_role("button", name="Failure").click()
    expect(rows).to_have_count(1)


def test_runs_are_found_by_a_text_in_them(visit: Visit, world: World) -> None:
    visit.go("runs?status=FAILURE", "Runs")
    field = visit.page.get_by_label("Find runs")

    field.fill("ROW 7 of")
    expect(visit.page).to_have_url(re.compile("find=ROW"))
    expect(visit.page.locator("tbody tr")).to_have_count(1)
    visit.sees(world.failed_run.run_id[:8], within=visit.page.locator("tbody"))

    visit.page.get_by_label("Sensor").select_option("new_files")
    visit.sees("No run matches.")
    expect(visit.page).to_have_url(re.compile(r"status=FAILURE.*find=ROW.*sensor=new_files"))
    visit.page.reload()
    expect(field).to_have_value("ROW 7 of")
    field.fill("")
    visit.page.get_by_role("group", name="Runs with status").get_by_role("button", name="All").click()
    expect(visit.page.locator("tbody tr")).to_have_count(1)
    assert "find" not in visit.page.url


def test_runs_are_chosen_by_the_time_of_their_creation(visit: Visit, world: World) -> None:
    created = visit.page.get_by_role("group", name="Created")
    rows = visit.page.locator("tbody tr")
    everything = len(world.instance.runs())
    visit.go("runs", "Runs")

    created.get_by_role("button", name="Last hour").click()
    expect(rows).to_have_count(everything)
    expect(visit.page).to_have_url(re.compile(r"since=1h$"))
    created.get_by_role("button", name="From … until").click()
    visit.page.get_by_label("Until").fill("2020-01-01T00:00")
    visit.page.get_by_label("Until").blur()
    visit.sees("No run matches.")
    visit.page.reload()
    expect(visit.page.get_by_label("Until")).to_have_value("2020-01-01T00:00")

    visit.page.get_by_label("From").fill("2019-01-01T00:00")
    visit.page.get_by_label("Until").fill("")
    visit.page.get_by_label("Until").blur()
    expect(rows).to_have_count(everything)
    created.get_by_role("button", name="Any time").click()
    expect(visit.page.get_by_label("From")).to_have_count(0)
    assert visit.page.url.endswith("#/runs")


def test_pages_of_runs_keep_their_filters(visit: Visit, world: World) -> None:
    for _ in range(26):
        world.plan("request")
        world.instance.tick("orders")
    rows = visit.page.locator("tbody tr")
    visit.go("sensors/orders?tab=runs&find=order-&since=1d", "orders")
    expect(rows).to_have_count(25)

    visit.page.get_by_role("button", name="Older").click()

    keys = [str(run.run_key) for run in world.instance.runs()]
    expect(rows).to_have_count(len([key for key in keys if key.startswith("order-")]) - 25)
    expect(visit.page).to_have_url(re.compile("tab=runs.*since=1d.*find=order-.*before="))
    visit.page.get_by_role("button", name="Newest").click()
    expect(rows).to_have_count(25)
    expect(visit.page).to_have_url(re.compile("since=1d.*find=order-$"))


def test_dead_letters_are_sent_again_after_a_check_of_what_becomes_of_them(
    visit: Visit, world: World
) -> None:
    world.send_to_dlq()
    visit.go("dead-letters", "Dead letters")
    visit.sees("Would be sent")
    visit.sees(AWKWARD)

    visit.presses("Redrive 2 dead letters …")
    visit.sees("2 dead letters will be sent to their original destinations again")
    visit.presses("Redrive")

    visit.sees("Redriven")
    expect(visit.page.get_by_role("dialog").locator("tbody tr")).to_have_count(2)
    assert len(world.stack.queues["launch"].messages) == 1
    visit.presses("Close")
    expect(visit.page.locator("main tbody tr")).to_have_count(1)


def test_a_dead_letter_is_deleted_after_a_confirmation(visit: Visit, world: World) -> None:
    world.send_to_dlq()
    before = len(world.stack.dead_letters.messages)
    visit.go("dead-letters", "Dead letters")

    visit.presses("Delete …")
    visit.sees("Nothing sends it again")
    visit.presses("Keep it")
    assert len(world.stack.dead_letters.messages) == before
    visit.presses("Delete …")
    visit.presses("Delete for good")

    visit.sees_status("The dead letter is deleted.")
    assert len(world.stack.dead_letters.messages) == before - 1


def test_no_dead_letters_is_good_news(visit: Visit) -> None:
    visit.go("dead-letters", "Dead letters")

    visit.sees("No dead letters. All messages were processed.")
    expect(visit.page.get_by_role("button", name="Redrive 0 dead letters …")).to_be_disabled()


BOX = "Search by name, id, key or address"


@pytest.mark.parametrize("text", ["run key", "id", "first characters of the id"])
def test_the_box_at_the_top_finds_a_run_of_any_sensor(visit: Visit, world: World, text: str) -> None:
    run_id = world.failed_run.run_id
    visit.go("doctor", "Doctor")
    box = visit.page.get_by_label(BOX)

    box.fill({"run key": f"order-1-{AWKWARD}", "id": run_id}.get(text, run_id[:8]))
    box.press("Enter")

    visit.sees_title(f"Run {run_id[:8]}")
    expect(visit.page.locator(".summary")).to_contain_text(run_id)


def test_the_box_at_the_top_finds_sensors_and_objects(visit: Visit) -> None:
    box = visit.page.get_by_label(BOX)

    visit.go("doctor", "Doctor")
    box.fill("new_f")
    box.press("Enter")
    visit.sees_title("new_files")

    box.fill(f"s3://{BUCKET}/in/{AWKWARD}.csv")
    box.press("Enter")
    visit.sees_title("Why did it not run?")
    expect(visit.page.locator(".summary")).to_be_visible()


def test_what_is_found_more_than_once_or_not_at_all_is_shown(visit: Visit) -> None:
    visit.go("search?text=or", "Search")
    visit.sees("orders", within=visit.page.locator("tbody"))

    visit.go("search?text=no-such-thing", "Search")
    visit.sees("Nothing was found for no-such-thing.")
    visit.page.get_by_role("link", name="Why did it not run?").click()
    visit.sees_title("Why did it not run?")
    visit.page.get_by_label("Sensor").select_option("orders")
    visit.presses("Ask")
    expect(visit.page.locator(".summary")).to_contain_text("no run has it")


def test_why_accepts_a_time(visit: Visit, world: World) -> None:
    visit.go("why?sensor=orders&at=2h", "Why did it not run?")

    expect(visit.page.locator(".summary")).to_be_visible()
    expect(visit.page.get_by_role("button", name="Time")).to_have_attribute("aria-pressed", "true")


def test_assets_are_shown_with_their_events(visit: Visit) -> None:
    visit.go("assets", "Assets")

    visit.page.get_by_role("link", name="orders/daily").click()

    visit.sees_title("orders/daily")
    visit.page.get_by_text("Show").first.click()
    visit.sees(AWKWARD, within=visit.page.locator("tbody"))


def test_observations_are_shown_apart(visit: Visit) -> None:
    visit.go("assets", "Assets")
    expect(visit.page.get_by_role("link", name="orders/daily")).to_be_visible()
    expect(visit.page.get_by_role("link", name="stock")).to_have_count(0)

    visit.page.get_by_role("link", name="Observations").click()
    visit.page.get_by_role("link", name="stock").click()

    visit.sees_title("stock")
    visit.page.get_by_text("Show").first.click()
    visit.sees(AWKWARD, within=visit.page.locator("tbody"))
    visit.page.get_by_role("link", name="Materializations").click()
    expect(visit.page.get_by_text("No event of this kind")).to_be_visible()


def test_the_map_connects_jobs_by_sensors(visit: Visit) -> None:
    visit.go("map", "Map")

    job = visit.page.get_by_label("Job load_orders, after idle, orders, leads to orders_are_late")
    expect(job).to_be_visible()
    expect(visit.page.locator(".edge").first).to_be_attached()
    visit.page.get_by_label("Sensor orders", exact=False).first.focus()
    visit.page.keyboard.press("Enter")
    visit.sees_title("orders")
