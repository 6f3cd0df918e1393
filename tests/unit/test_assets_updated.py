"""Sensors that wait for several assets in one line: exactly one run per batch of updates."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from treadle import (
    AssetKey,
    AssetMaterialization,
    DagsterInvalidDefinitionError,
    JobDefinition,
    assets_updated,
)
from treadle.definitions.assets_updated_sensor import AssetsUpdatedDefinition
from treadle.definitions.batching import PAGE
from treadle.testing.instance import TreadleInstance

ORDERS, CUSTOMERS, OTHER = AssetKey(["shop", "orders"]), AssetKey("customers"), AssetKey("other")
report = JobDefinition("report")


def when_fresh(**options: Any) -> AssetsUpdatedDefinition:
    given = {"all_of": [ORDERS, CUSTOMERS], "request_job": report, **options}
    return assets_updated("when_fresh", **given)


def make(instance: TreadleInstance, key: AssetKey, partition: str | None = None) -> None:
    instance.report_runless_asset_event(AssetMaterialization(key, partition=partition))


def configs(instance: TreadleInstance) -> list[str]:
    return [run.run_config for run in instance.runs()]


class TestAllOf:
    def test_starts_once_when_each_is_updated_and_again_when_each_is_again(self) -> None:
        instance = TreadleInstance([when_fresh()])
        for key in (ORDERS, ORDERS, CUSTOMERS, CUSTOMERS, OTHER, ORDERS):
            make(instance, key)

        assert configs(instance) == [
            '{"upstream":{"customers":[1],"shop/orders":[2]}}',
            '{"upstream":{"customers":[2],"shop/orders":[3]}}',
        ]

    def test_first_tick_finds_what_lies_behind_many_updates_whose_news_was_late(self) -> None:
        instance = TreadleInstance([when_fresh(within=timedelta(hours=1))])
        instance.stop_sensor("when_fresh")
        for key in (ORDERS, CUSTOMERS):
            make(instance, key)
        old = instance._tables.events["shop/orders"][0]
        late = [replace(old, event_id=f"e{n}", time=old.time - 7_200_000) for n in range(230)]
        instance._stores.events.append(late)
        instance.start_sensor("when_fresh")

        instance.tick("when_fresh")

        assert configs(instance) == ['{"upstream":{"customers":[1],"shop/orders":[1]}}']

    def test_one_tick_reads_all_pages_of_what_is_new(self) -> None:
        instance = TreadleInstance([when_fresh(earlier="all")])
        instance.stop_sensor("when_fresh")
        make(instance, ORDERS)
        [first] = instance._tables.events["shop/orders"]
        instance._stores.events.append([replace(first, event_id=f"e{n}") for n in range(2 * PAGE)])
        make(instance, CUSTOMERS)
        instance.start_sensor("when_fresh")

        instance.tick("when_fresh")

        [config] = configs(instance)
        assert json.loads(config)["upstream"]["shop/orders"] == list(range(1, 2 * PAGE + 2))

    def test_says_what_it_waits_for(self) -> None:
        instance = TreadleInstance([when_fresh()])
        make(instance, ORDERS)

        skips = instance.state("when_fresh").skips
        assert skips is not None
        assert skips.reason == "No batch is complete: shop/orders updated, waiting for customers."

    def test_makes_none_of_updates_that_lie_too_far_apart(self) -> None:
        instance = TreadleInstance([when_fresh(within=timedelta(hours=1))])
        make(instance, ORDERS)
        instance.clock.advance(3_601)
        make(instance, CUSTOMERS)
        assert instance.runs() == ()
        make(instance, ORDERS)

        assert len(instance.runs()) == 1

    def test_keeps_earlier_ones_for_batches_of_their_own_if_configured_to(self) -> None:
        instance = TreadleInstance([when_fresh(earlier="each")])
        for key in (ORDERS, ORDERS, CUSTOMERS, CUSTOMERS):
            make(instance, key)

        assert configs(instance) == [
            '{"upstream":{"customers":[1],"shop/orders":[1]}}',
            '{"upstream":{"customers":[2],"shop/orders":[2]}}',
        ]

    def test_makes_batches_of_one_partition_each_if_configured_to(self) -> None:
        instance = TreadleInstance([when_fresh(per_partition=True)])
        make(instance, ORDERS, "mon")
        make(instance, CUSTOMERS, "tue")
        make(instance, CUSTOMERS)
        assert instance.runs() == ()
        make(instance, ORDERS, "tue")
        make(instance, CUSTOMERS, "mon")

        assert [run.tags["dagster/partition"] for run in instance.runs()] == ["tue", "mon"]

    def test_first_tick_looks_back_as_far_as_the_window(self) -> None:
        instance = TreadleInstance([when_fresh(within=timedelta(minutes=10))])
        instance.stop_sensor("when_fresh")
        make(instance, CUSTOMERS)
        instance.clock.advance(3_600)
        make(instance, ORDERS)
        make(instance, ORDERS)
        instance.start_sensor("when_fresh")
        instance.tick("when_fresh")
        assert instance.runs() == ()
        make(instance, CUSTOMERS)

        assert configs(instance) == ['{"upstream":{"customers":[2],"shop/orders":[2]}}']


class TestAnyOf:
    def test_starts_once_for_each_update_of_any(self) -> None:
        instance = TreadleInstance([when_fresh(all_of=[], any_of=[ORDERS, CUSTOMERS])])
        for key in (ORDERS, OTHER, CUSTOMERS, ORDERS):
            make(instance, key)

        assert configs(instance) == [
            '{"upstream":{"shop/orders":[1]}}',
            '{"upstream":{"customers":[1]}}',
            '{"upstream":{"shop/orders":[2]}}',
        ]

    def test_takes_only_updates_of_partitions_if_configured_to(self) -> None:
        instance = TreadleInstance([when_fresh(all_of=[], any_of=[ORDERS], per_partition=True)])
        make(instance, ORDERS)
        make(instance, ORDERS, "mon")

        assert [run.partition_key for run in instance.runs()] == ["mon"]


class TestDefinition:
    def test_run_config_may_be_made_of_the_batch(self) -> None:
        ready = when_fresh(run_config_fn=lambda batch: {"orders": batch.runs["shop/orders"][0].number})
        instance = TreadleInstance([ready])
        for key in (ORDERS, CUSTOMERS):
            make(instance, key)

        assert configs(instance) == ['{"orders":1}']

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"all_of": []}, "either all_of or any_of"),
            ({"any_of": [OTHER]}, "either all_of or any_of"),
            ({"all_of": [ORDERS]}, "two or more different assets"),
            ({"all_of": [ORDERS, ORDERS]}, "two or more different assets"),
            ({"all_of": ["orders", ORDERS]}, "'orders' is not an AssetKey"),
            ({"within": timedelta(0)}, "longer than zero"),
            ({"within": 3_600}, "within must be a timedelta, such as"),
            ({"within": timedelta.max}, "within must be longer than zero and at most 3660 days"),
        ],
    )
    def test_that_cannot_work_says_why(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(DagsterInvalidDefinitionError, match=message):
            when_fresh(**options)
