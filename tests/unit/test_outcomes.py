"""Packed requests of a tick: what is refused when they are written and read."""

import hashlib
import zlib
from dataclasses import replace

import pytest

from treadle.adapters.dynamodb import outcomes
from treadle.adapters.dynamodb.outcomes import Outcomes, Packed
from treadle.definitions.errors import StoreError
from treadle.definitions.status import TickStatus
from treadle.model.ticks import PlannedRun, Tick, TickKind
from treadle.testing.blobs import InMemoryBlobStore

TICK = Tick(
    "files",
    "t1",
    TickKind.LEASED,
    TickStatus.SUCCESS,
    1,
    1,
    1,
    requests=(PlannedRun("r1", "k1", "job", "{}", {}),),
    owner="me",
)


@pytest.fixture
def blobs() -> InMemoryBlobStore:
    return InMemoryBlobStore()


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "MAX_REQUESTS_BYTES", 10)


def test_what_fits_into_the_record_touches_no_blob(blobs: InMemoryBlobStore) -> None:
    packed = Outcomes(blobs).pack(TICK)

    assert packed.inline
    assert (packed.key, blobs.blobs) == (None, {})


def test_a_tick_that_requested_nothing_has_nothing_to_pack(blobs: InMemoryBlobStore) -> None:
    assert Outcomes(blobs).pack(replace(TICK, requests=())) == Packed()


@pytest.mark.usefixtures("no_room")
def test_what_does_not_fit_is_under_its_sensor_tick_and_evaluation(blobs: InMemoryBlobStore) -> None:
    packed = Outcomes(blobs).pack(TICK)

    assert (packed.inline, packed.key) == (None, "ticks/files/t1-me")
    assert packed.digest == hashlib.sha256(blobs.blobs["ticks/files/t1-me"]).hexdigest()
    assert Outcomes(blobs).unpack("files", packed).requests == TICK.requests


@pytest.mark.usefixtures("no_room")
def test_without_a_blob_store_what_does_not_fit_is_refused_with_advice() -> None:
    with pytest.raises(StoreError, match=r"1 requests of tick t1 of sensor files .* Return fewer"):
        Outcomes(None).pack(TICK)


@pytest.mark.usefixtures("no_room")
def test_more_than_dispatch_could_hold_in_memory_is_refused_before_it_is_put(
    blobs: InMemoryBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "MAX_OUTCOME_BYTES", 20)

    with pytest.raises(StoreError, match="the limit is 20"):
        Outcomes(blobs).pack(TICK)

    assert blobs.blobs == {}


def test_a_record_that_names_another_sensors_outcome_is_not_followed(blobs: InMemoryBlobStore) -> None:
    blobs.put("ticks/other/t1-me", b"x")

    with pytest.raises(
        StoreError, match="sensor files are in ticks/other/t1-me, which this function may not read"
    ):
        Outcomes(blobs).unpack("files", Packed(key="ticks/other/t1-me", digest="d"))


def test_an_outcome_that_inflates_beyond_all_bounds_is_refused(
    blobs: InMemoryBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small blob may become gigabytes; whoever reads it must not."""
    monkeypatch.setattr(outcomes, "MAX_OUTCOME_BYTES", 1_000)

    with pytest.raises(StoreError, match="has more than 1000 bytes"):
        Outcomes(blobs).unpack("files", Packed(inline=zlib.compress(b" " * 100_000)))
