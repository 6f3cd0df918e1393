"""The contract of `BlobStore`: each blob is returned byte for byte, or an error names what is missing."""

from collections.abc import Iterator

import pytest
from moto import mock_aws

from tests.contract.conftest import OUTCOMES, s3_blobs
from treadle.definitions.errors import StoreError
from treadle.ports.system import BlobStore
from treadle.testing.blobs import BUCKET, InMemoryBlobStore

KEY = "ticks/files/2026-11-22T12:00:00.000Z-000000001-0b1c"
BODY = bytes(range(256)) * 4_000


@pytest.fixture(params=["memory", "moto"])
def blobs(request: pytest.FixtureRequest) -> Iterator[BlobStore]:
    if request.param == "memory":
        yield InMemoryBlobStore()
    else:
        with mock_aws():
            yield s3_blobs()


def test_a_value_comes_back_as_it_was_put(blobs: BlobStore) -> None:
    blobs.put(KEY, BODY)

    assert blobs.get(KEY) == BODY


def test_a_later_value_takes_the_place_of_an_earlier_one(blobs: BlobStore) -> None:
    blobs.put(KEY, b"earlier")

    blobs.put(KEY, b"later")

    assert blobs.get(KEY) == b"later"


def test_a_missing_value_is_an_error_that_names_it(blobs: BlobStore) -> None:
    with pytest.raises(StoreError, match=KEY):
        blobs.get(KEY)


def test_only_a_value_that_was_put_exists(blobs: BlobStore) -> None:
    """A key that begins in the same way is another one."""
    blobs.put(f"{KEY}-longer", BODY)

    assert not blobs.exists(KEY)
    blobs.put(KEY, BODY)
    assert blobs.exists(KEY)


def test_address_is_the_location_in_s3(blobs: BlobStore) -> None:
    bucket = BUCKET if isinstance(blobs, InMemoryBlobStore) else OUTCOMES

    assert blobs.address("large/files/load/0b1c") == f"s3://{bucket}/large/files/load/0b1c"
