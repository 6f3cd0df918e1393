"""What is reported of assets, deployed: from a state machine without code, over the bus, to the table and back."""

import json
from typing import Any

from tests.e2e.deployment import Deployed, eventually, fresh_key
from treadle.definitions.status import DagsterRunStatus
from treadle.model.assets import AssetEvent


def recorded(deployed: Deployed, asset: str, partition: str) -> list[AssetEvent]:
    """Return the events of a partition."""
    events = deployed.stores.events.after(asset, 0, 1_000)
    return [event for event in events if json.loads(event.body)["partition"] == partition]


def report(deployed: Deployed, **detail: Any) -> None:
    """Put a report on the bus, as a job does."""
    entry = {
        "EventBusName": deployed.outputs["BusName"],
        "Source": "treadle.report",
        "DetailType": "Asset Materialization Report",
        "Detail": json.dumps({"version": 1, **detail}),
    }
    assert deployed.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0


def test_the_examples_summary_is_an_asset_of_its_run(deployed: Deployed) -> None:
    key = fresh_key()

    deployed.upload(key)
    # It may be the first of all to be uploaded, and every function of the flow begin with it.
    eventually(lambda: recorded(deployed, "summaries", key), f"the summary of {key} is recorded", seconds=120)
    ended = deployed.ended_run(key)
    assert ended.status is DagsterRunStatus.SUCCESS

    [event] = recorded(deployed, "summaries", key)
    body = json.loads(event.body)
    run_id = event.event_id.rpartition("-")[0]
    assert body["metadata"]["rows"] == 2
    assert body["metadata"]["summary"].endswith(f"{key}/summary.json")
    assert (body["run_id"], body["depth"]) == (run_id, 1)
    assert ended.launch_id == event.event_id


def test_reports_of_one_id_are_one_event_and_a_bad_one_is_a_dead_letter(deployed: Deployed) -> None:
    partition = fresh_key()
    for rows in (1, 2):
        fields = {"asset_key": ["tables", "orders"], "partition": partition, "event_id": partition}
        report(deployed, **fields, metadata={"rows": rows})
    report(deployed, asset_key=[], partition=partition)
    report(deployed, asset_key="tables/orders", partition=partition)

    eventually(lambda: len(recorded(deployed, "tables/orders", partition)) == 2, "both events are recorded")

    named, unnamed = sorted(
        recorded(deployed, "tables/orders", partition), key=lambda each: each.event_id != partition
    )
    assert named.event_id == partition
    assert json.loads(named.body)["metadata"] in ({"rows": 1}, {"rows": 2})
    assert unnamed.event_id != partition
    eventually(lambda: deployed.dead_letters(partition), "the bad one is a dead letter")
    [dead_letter] = deployed.dead_letters(partition)
    assert dead_letter.origin == "record"
    assert dead_letter.reason.startswith("InvalidReportError: ")
