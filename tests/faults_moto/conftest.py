"""Fixtures of the tests of faults on moto."""

from collections.abc import Iterator

import pytest
from moto import mock_aws

from tests.faults.conftest import check_result, no_logging, small_chunks
from tests.faults_moto.backend import Tables
from tests.support.moto_partiql import execute_batches
from tests.support.moto_transactions import keep_tables_uncopied
from treadle.adapters import clients
from treadle.adapters.dynamodb import outcomes

__all__ = ["check_result", "no_logging", "small_chunks", "tables"]


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tables]:
    """Create tables on moto; most requests exceed their tick's item, and are stored as payloads."""
    monkeypatch.setattr(outcomes, "MAX_REQUESTS_BYTES", 200)
    keep_tables_uncopied()
    execute_batches()
    with mock_aws():
        clients.forget()
        yield Tables()
        clients.forget()
