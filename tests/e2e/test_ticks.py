"""Scheduled ticks: each scheduled time commits once, whoever delivers it, however often."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from tests.e2e.deployment import MINUTE, SENSOR, Deployed, eventually, fresh_key, minutes_of_yesterday
from treadle.definitions.status import TickStatus
from treadle.engine.identity import timestamp
from treadle.model.ticks import Tick, TickKind


def committed(deployed: Deployed, scheduled: int) -> list[Tick]:
    """Return the ticks of a scheduled time."""
    page = deployed.stores.ticks.page(SENSOR, before=timestamp(scheduled + MINUTE), limit=20)
    found = [each for each in page.ticks if each.kind is TickKind.LEASED and each.time == scheduled]
    ticks = [deployed.stores.ticks.get(SENSOR, each.tick_id) for each in found]
    return [tick for tick in ticks if tick is not None]


def test_one_scheduled_time_commits_once_whenever_it_is_delivered(deployed: Deployed) -> None:
    key, scheduled = fresh_key("swept"), next(minutes_of_yesterday())
    deployed.let_time_pass()
    with deployed.without_events():
        deployed.upload(key)

        with ThreadPoolExecutor(2) as threads:
            together = list(threads.map(deployed.tick, [scheduled, scheduled]))
        after_commit = deployed.tick(scheduled)
        # As long after as it takes for the interval's half, and the lease, to be over.
        deployed.let_time_pass(last_completion=0)
        after_lease = deployed.tick(scheduled)

        first, second = sorted(answer.value["decision"] for answer in together)
        assert (second, first in {"LEASED", "NOT_DUE"}) == ("SUCCESS", True)
        assert after_commit.value["decision"] == after_lease.value["decision"] == "NOT_DUE"
        run = deployed.ended_run(key)

    [tick] = committed(deployed, scheduled)
    assert tick.status is TickStatus.SUCCESS
    # The sweep may also have found what other tests left in the bucket.
    requested = [request.run_id for request in tick.requests if request.run_key == run.run_key]
    assert requested == [run.run_id]
    assert deployed.executions(run) == [run.launch_id]


def test_a_tick_that_died_is_not_repeated_but_recorded_by_the_next_one(deployed: Deployed) -> None:
    died, after = next(minutes_of_yesterday()), next(minutes_of_yesterday())
    deployed.let_time_pass()
    deployed.tick(died)
    # As the sensor's state would be had that tick taken the lease, and never returned.
    now = int(time.time() * 1000)
    deployed.client("dynamodb").update_item(
        TableName=deployed.outputs["SensorsTableName"],
        Key={"sensor": {"S": SENSOR}},
        UpdateExpression="SET lease_owner = :o, lease_expires = :e, last_completion = :c ADD epoch :one",
        ExpressionAttributeValues={
            ":o": {"S": "a tick that died"},
            ":e": {"N": str(now + 10 * MINUTE)},
            ":c": {"N": "0"},
            ":one": {"N": "1"},
        },
    )

    while_leased = deployed.tick(after)
    deployed.let_time_pass(lease_expires=now - 1)
    same_time = deployed.tick(died)
    next_time = deployed.tick(after)

    assert while_leased.value["decision"] == "LEASED"
    assert same_time.value["decision"] == "NOT_DUE"
    assert next_time.value["decision"] in {"SKIPPED", "SUCCESS"}
    # The first tick of that time has a record too if its sweep found what other tests left in the bucket.
    [record] = [tick for tick in committed(deployed, died) if tick.status is TickStatus.FAILURE]
    assert record.error is not None
    assert record.error.type == "EvaluationDiedError"


def test_the_schedule_ticks_the_sensor_each_minute(deployed: Deployed) -> None:
    began = int(time.time() * 1000)
    deployed.let_time_pass()
    deployed.schedule(enabled=True)
    try:
        eventually(
            lambda: (deployed.stores.sensors.get(SENSOR).last_scheduled_for or 0) > 0,
            "the schedule ticked",
            seconds=75,
            pause=0.5,
        )
    finally:
        deployed.schedule(enabled=False)

    state = deployed.stores.sensors.get(SENSOR)
    deployed.let_time_pass()  # Tests after this one deliver earlier times.
    scheduled = datetime.fromtimestamp((state.last_scheduled_for or 0) / 1000, UTC)
    assert (scheduled.second, scheduled.microsecond) == (0, 0)
    assert began - MINUTE < (state.last_scheduled_for or 0) <= began + 75_000
