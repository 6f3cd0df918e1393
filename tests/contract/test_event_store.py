"""What every `EventStore` guarantees: numbers without gap in commit order, one per event id."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from tests.contract.conftest import AT_THE_SAME_TIME, Stores
from treadle.model.assets import AssetEvent, observed_key

EVENT = AssetEvent("tables/orders", "e1", "ASSET_MATERIALIZATION", 1, '{"rows":3}')


def test_events_are_numbered_from_one_without_a_gap(stores: Stores) -> None:
    first = stores.events.append([EVENT])
    others = stores.events.append([replace(EVENT, event_id=f"e{n}") for n in range(2, 100)])

    assert [event.storage_id for event in first + others] == list(range(1, 100))
    assert len(stores.events.after("tables/orders", 0, 200)) == 99


def test_an_event_delivered_twice_keeps_its_number(stores: Stores) -> None:
    second = replace(EVENT, event_id="e2")
    [first] = stores.events.append([EVENT])

    again = stores.events.append([EVENT, second, EVENT])

    assert again[0] == again[2] == first
    assert again[1].storage_id == 2
    assert len(stores.events.after("tables/orders", 0, 10)) == 2


@AT_THE_SAME_TIME
def test_appends_at_the_same_time_number_each_event_once(stores: Stores) -> None:
    """Each event is in batches of two threads or more."""
    every = [replace(EVENT, event_id=f"e{number}") for number in range(40)]

    def append(own: int) -> None:
        for first in range(0, 40, 4):
            turn = (first + own // 2 * 20) % 40
            stores.events.append(every[turn : turn + 1 + own])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(append, range(4)))
    stores.events.append(every)

    stored = stores.events.after("tables/orders", 0, 100)
    assert sorted(event.event_id for event in stored) == sorted(event.event_id for event in every)
    assert [event.storage_id for event in stored] == list(range(1, 41))


def test_an_id_that_comes_again_with_other_text_is_reported_as_it_was_first(stores: Stores) -> None:
    other = replace(EVENT, time=2, body='{"rows":4}')
    [first] = stores.events.append([EVENT])

    assert stores.events.append([other, replace(other, event_id="e2"), replace(EVENT, event_id="e2")]) == [
        first,
        *[replace(other, event_id="e2", storage_id=2)] * 2,
    ]


def test_each_asset_has_an_order_of_its_own(stores: Stores) -> None:
    customers = replace(EVENT, asset_key="tables/customers")

    stored = stores.events.append([EVENT, customers, replace(EVENT, event_id="e2")])

    assert [event.storage_id for event in stored] == [1, 1, 2]


def test_last_event_before_a_time_is_found_whatever_came_since(stores: Stores) -> None:
    stores.events.append([replace(EVENT, event_id=f"e{n}", time=n * 10) for n in range(1, 131)])

    numbers = [stores.events.number_before("tables/orders", time) for time in (10, 11, 300, 9_999)]

    assert numbers == [0, 1, 29, 130]
    assert stores.events.number_before("tables/nothing", 10) == 0


def test_late_news_of_an_old_event_hides_none_that_happened_after_the_time(stores: Stores) -> None:
    times = [10, 70, 20, 80, *range(30, 60)]
    stores.events.append([replace(EVENT, event_id=f"e{n}", time=time) for n, time in enumerate(times)])

    numbers = [stores.events.number_before("tables/orders", time) for time in (60, 75, 90)]

    assert numbers == [1, 3, len(times)]


def test_pages_of_late_news_hide_none_that_happened_after_the_time(stores: Stores) -> None:
    times = [10, 70, *[20] * 230]
    stores.events.append([replace(EVENT, event_id=f"e{n}", time=time) for n, time in enumerate(times)])

    assert stores.events.number_before("tables/orders", 60) == 1


def test_events_of_more_than_a_megabyte_are_read_to_the_limit(stores: Stores) -> None:
    """A page of DynamoDB ends after a megabyte, and not where the events do."""
    stores.events.append([replace(EVENT, event_id=f"e{n}", body=f'"{"x" * 60_000}"') for n in range(24)])

    assert [each.storage_id for each in stores.events.after("tables/orders", 0, 24)] == list(range(1, 25))
    assert [each.storage_id for each in stores.events.after("tables/orders", 2, 20)] == list(range(3, 23))


def test_only_events_numbered_higher_come_back_in_order(stores: Stores) -> None:
    stored = stores.events.append([replace(EVENT, event_id=f"e{n}") for n in range(4)])

    assert stores.events.after("tables/orders", 1, 2) == stored[1:3]


def test_events_between_two_numbers_come_in_either_order_past_the_first_page(stores: Stores) -> None:
    stores.events.append([replace(EVENT, event_id=f"e{n}") for n in range(1, 251)])

    upwards = [event.storage_id for event in stores.events.between("tables/orders", 20, 240)]
    downwards = [event.storage_id for event in stores.events.between("tables/orders", 20, ascending=False)]

    by_threes = [event.storage_id for event in stores.events.between("tables/orders", 240, at_once=3)]

    assert upwards == list(range(21, 240))
    assert by_threes == list(range(241, 251))
    assert downwards == list(range(250, 20, -1))
    assert list(stores.events.between("tables/orders", 7, 8)) == []
    assert list(stores.events.between("tables/orders", 250)) == []
    assert list(stores.events.between("tables/nothing", 0)) == []


def test_events_are_found_by_their_numbers_in_order(stores: Stores) -> None:
    stored = stores.events.append([replace(EVENT, event_id=f"e{n}") for n in range(5)])

    assert stores.events.numbered("tables/orders", [4, 2, 99, 4]) == [stored[1], stored[3]]
    assert stores.events.numbered("tables/orders", []) == []


def test_observations_have_numbers_and_ids_of_their_own(stores: Stores) -> None:
    seen = replace(EVENT, asset_key=observed_key("tables/orders"), kind="ASSET_OBSERVATION")

    stored = stores.events.append([EVENT, seen, replace(seen, event_id="e2"), replace(EVENT, event_id="e3")])

    assert [each.storage_id for each in stored] == [1, 1, 2, 2]
    assert stores.events.append([seen]) == [stored[1]]
    assert stores.events.after("tables/orders", 0, 9) == [stored[0], stored[3]]
    assert list(stores.events.between(observed_key("tables/orders"), 0)) == stored[1:3]


def test_newest_event_of_each_key_is_found(stores: Stores) -> None:
    customers = replace(EVENT, asset_key="tables/customers")
    *_, newest, only = stores.events.append([EVENT, replace(EVENT, event_id="e2"), customers])

    found = stores.events.newest(["tables/orders", "tables/customers", "tables/nothing"])

    assert found == {"tables/orders": newest, "tables/customers": only}
    assert stores.events.newest([]) == {}
