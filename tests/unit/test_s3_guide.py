"""docs/guide/s3-sensors.md: its examples run, and its tables say what happens."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest

from tests.support.engine import JOB
from treadle import ObjectIdentity, RunRequest, s3_sensor
from treadle.adapters.notifications import merging_command
from treadle.integrations.s3 import objects as listing
from treadle.testing import TreadleInstance

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "s3-sensors.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def block_with(name: str) -> ModuleType:
    [block] = [each for each in BLOCKS if f"def {name}(" in each]
    module = ModuleType("app")
    exec(block, module.__dict__)
    return module


def run_keys(instance: TreadleInstance) -> list[str | None]:
    return [run.run_key for run in instance.runs()]


def test_exports_settle() -> None:
    instance = TreadleInstance([block_with("settled_exports").settled_exports])
    event = instance.objects.put("landing-zone", "exports/a")

    instance.send(event)
    assert instance.runs() == ()
    instance.clock.advance(300)
    instance.send(event)

    assert len(instance.runs()) == 1


def test_groups_count_when_they_are_complete() -> None:
    module = block_with("full_deliveries")
    instance = TreadleInstance([module.written_partitions, module.full_deliveries])

    for key in ("orders/day=1/part-0", "orders/day=1/_SUCCESS"):
        instance.put_object("lake", key)
    for key in ("a.csv", "b.txt", "b.csv", "c.csv", "d.csv"):
        instance.put_object("landing-zone", f"deliveries/1/{key}")

    marked, counted = instance.runs()
    assert marked.tags["partition"] == "orders/day=1"
    assert (marked.sensor, counted.sensor) == ("written_partitions", "full_deliveries")
    assert counted.run_key == "s3://landing-zone/deliveries/1/#3 files"


def test_files_of_both_shops_get_runs() -> None:
    instance = TreadleInstance([block_with("shop_files").shop_files])

    for bucket in ("shop-eu", "shop-us", "shop-asia"):
        for key in ("orders/1.csv", "returns/1.csv.gz", "prices/1.csv", "orders/1.txt"):
            instance.put_object(bucket, key)

    assert len(instance.runs()) == 4


def test_pattern_gives_the_partition_of_the_key() -> None:
    instance = TreadleInstance([block_with("daily_orders").daily_orders])

    for key in ("eu/orders_20261120.csv", "eu/orders_20261131.csv", "eu/orders.csv"):
        instance.put_object("landing-zone", key)

    [run] = instance.runs()
    assert (run.tags["region"], run.tags["dagster/partition"]) == ("eu", "2026-11-20")


def test_whole_days_are_loaded_and_days_that_lack_a_table_are_reported() -> None:
    instance = TreadleInstance([block_with("whole_days").whole_days])
    for key in ("20261120/items", "20261120/orders", "20261121/items", "20261121/other"):
        instance.put_object("landing-zone", f"shop/{key}.csv")
    instance.clock.advance(3 * 86_400)
    instance.tick("whole_days")

    loaded, reported = instance.runs()
    assert (loaded.job, loaded.tags["dagster/partition"]) == ("load", "2026-11-20")
    assert (reported.job, reported.tags["missing"]) == ("report_missing", "orders")


def test_listing_by_yourself_gives_each_content_one_run() -> None:
    instance = TreadleInstance([block_with("listed_objects").listed_objects])
    objects = instance.objects

    def listed(bucket: str, prefix: str, _client: Any) -> Any:
        return iter(
            {"Key": each.key, "LastModified": each.last_modified, "ETag": f'"{each.etag}"'}
            for each in objects.stored.values()
            if each.bucket == bucket and each.key.startswith(prefix)
        )

    with patch.object(listing, "_listed", listed):
        for key, body in (("b", b"1"), ("a", b"1"), ("b", b"2")):
            objects.put("landing-zone", key, body)
            instance.tick("listed_objects")
        objects.delete("landing-zone", "b")
        last = instance.tick("listed_objects")

    assert len(instance.runs()) == 3
    assert last.outcome.reason == "No new objects."


STORIES = {
    "it is stored for the first time": (),
    "other content is stored over it": (b"2",),
    "the same content is stored over it": (b"1",),
    "it is deleted and stored again as it was": (None, b"1"),
}


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("identity", ObjectIdentity)
def test_table_says_what_each_identity_sees(story: str, identity: ObjectIdentity) -> None:
    [cells] = re.findall(rf"^\| {story} \| (.*?) \| (.*?) \| (.*?) \|$", PAGE, flags=re.MULTILINE)
    word = dict(zip(ObjectIdentity, cells, strict=True))[identity]

    @s3_sensor("b", identity=identity, start_from="beginning", job_name=JOB)
    def watch() -> RunRequest:
        return RunRequest()

    instance = TreadleInstance([watch])
    instance.objects.is_versioned = identity is ObjectIdentity.VERSION
    instance.put_object("b", "in/a.csv", b"1")
    before = len(instance.runs())
    for body in STORIES[story]:
        if body is None:
            instance.objects.delete("b", "in/a.csv")
        else:
            instance.put_object("b", "in/a.csv", body)
    instance.tick("watch")

    more = len(instance.runs()) - (before if STORIES[story] else 0)
    assert (word, more) in {("a run", 1), ("nothing", 0)}


def test_command_is_the_one_that_the_tick_gives() -> None:
    assert merging_command("BUCKET") in PAGE.splitlines()


def test_other_pages_lead_here() -> None:
    for page in ("write-a-sensor.md", "coming-from-dagster.md"):
        assert "s3-sensors.md" in (Path(__file__).parents[2] / "docs" / "guide" / page).read_text()
