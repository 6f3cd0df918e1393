"""What identifies accepted requests: each identity is recorded once, whatever else is sent, repeated or lost."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.conftest import AT_THE_SAME_TIME, Stores
from tests.support.tables import KeptTables
from treadle.definitions.webhook_verification import Identities

NOW = 1_795_370_400_000


@pytest.fixture
def kept_tables(dynamodb_local: str) -> Iterator[KeptTables]:
    """New ones for each test: the token of a transaction names its table and content, and counts for ten minutes."""
    made = KeptTables(dynamodb_local)
    yield made
    made.close()


def test_request_is_accepted_once_and_its_first_time_stays(stores: Stores) -> None:
    request = Identities("key", "delivery")

    assert stores.deliveries.accepted_at("hooked", request) is None
    assert stores.deliveries.accept("hooked", request, NOW) == NOW
    assert stores.deliveries.accept("hooked", request, NOW) == NOW
    assert stores.deliveries.accept("hooked", request, NOW + 1) == NOW
    assert stores.deliveries.accepted_at("hooked", request) == NOW


def test_request_without_delivery_id_is_accepted_once(stores: Stores) -> None:
    assert [stores.deliveries.accept("hooked", Identities("key"), NOW + n) for n in range(2)] == [NOW, NOW]


def test_known_key_under_a_fresh_delivery_id_keeps_its_time(stores: Stores) -> None:
    stores.deliveries.accept("hooked", Identities("key", "delivery"), NOW)

    assert stores.deliveries.accept("hooked", Identities("key", "fresh"), NOW + 1) == NOW


def test_known_delivery_id_with_another_key_is_not_accepted(stores: Stores) -> None:
    stores.deliveries.accept("hooked", Identities("key", "delivery"), NOW)

    assert stores.deliveries.accept("hooked", Identities("other", "delivery"), NOW + 1) is None
    assert stores.deliveries.accepted_at("hooked", Identities("other")) is None


def test_delivery_id_of_another_request_counts_where_both_are_known(stores: Stores) -> None:
    for name in ("a", "b"):
        stores.deliveries.accept("hooked", Identities(name, name), NOW)

    assert stores.deliveries.accept("hooked", Identities("a", "b"), NOW + 1) is None


def test_key_and_delivery_id_of_the_same_text_are_two_identities(stores: Stores) -> None:
    stores.deliveries.accept("hooked", Identities("one", "two"), NOW)

    assert stores.deliveries.accept("hooked", Identities("two", "one"), NOW + 1) == NOW + 1


def test_each_sensor_has_requests_of_its_own(stores: Stores) -> None:
    stores.deliveries.accept("hooked", Identities("key", "delivery"), NOW)

    assert stores.deliveries.accept("other", Identities("key", "delivery"), NOW + 1) == NOW + 1


def test_accepted_requests_are_no_ticks(stores: Stores) -> None:
    stores.deliveries.accept("hooked", Identities("key", "delivery"), NOW)

    assert stores.ticks.latest("hooked", 10) == []
    assert stores.ticks.pending(NOW * 2, 10) == []


@pytest.mark.parametrize("key", ["é", "x" * 5_000, "#", "a/b", "\x00"])
def test_any_text_identifies_a_request(stores: Stores, key: str) -> None:
    assert [stores.deliveries.accept("hooked", Identities(key, key), NOW + n) for n in range(2)] == [NOW, NOW]


@AT_THE_SAME_TIME
def test_concurrent_deliveries_agree_on_one_time(stores: Stores) -> None:
    def accept(number: int) -> int | None:
        return stores.deliveries.accept("hooked", Identities("key", f"delivery-{number % 2}"), NOW + number)

    with ThreadPoolExecutor(4) as threads:
        times = set(threads.map(accept, range(8)))

    assert len(times) == 1
