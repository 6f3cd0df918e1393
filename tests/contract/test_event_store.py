"""What every `EventStore` guarantees: numbers without gap in commit order, one per event id."""

from dataclasses import replace

from tests.contract.conftest import Stores
from treadle.ports.assets import AssetEvent

EVENT = AssetEvent("tables/orders", "e1", "ASSET_MATERIALIZATION", 1, '{"rows":3}')


def test_events_are_numbered_from_one_without_a_gap(stores: Stores) -> None:
    numbers = [stores.events.append(replace(EVENT, event_id=f"e{n}")).storage_id for n in range(3)]

    assert numbers == [1, 2, 3]


def test_an_event_delivered_twice_keeps_its_number(stores: Stores) -> None:
    first = stores.events.append(EVENT)
    stores.events.append(replace(EVENT, event_id="e2"))

    again = stores.events.append(EVENT)

    assert again == first
    assert len(stores.events.after("tables/orders", 0, 10)) == 2


def test_each_asset_has_an_order_of_its_own(stores: Stores) -> None:
    stores.events.append(EVENT)

    other = stores.events.append(replace(EVENT, asset_key="tables/customers"))

    assert other.storage_id == 1


def test_only_events_numbered_higher_come_back_in_order(stores: Stores) -> None:
    stored = [stores.events.append(replace(EVENT, event_id=f"e{n}")) for n in range(4)]

    assert stores.events.after("tables/orders", 1, 2) == stored[1:3]
