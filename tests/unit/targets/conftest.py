"""Targets use clients that are made for each test."""

from collections.abc import Iterator

import pytest

from treadle.adapters import clients


@pytest.fixture(autouse=True)
def fresh_clients(fake_aws: None) -> Iterator[None]:
    """No client of another test, with its endpoint, answers."""
    clients.forget()
    yield
    clients.forget()
