"""Services on this machine that alerts are sent to."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.alerts import Service, certificate, serving


@pytest.fixture
def service() -> Iterator[Service]:
    """A service over HTTP."""
    with serving() as state:
        yield state


@pytest.fixture(scope="session")
def localhost(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of localhost that nobody trusts yet."""
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log of all libraries, at all levels."""
    caplog.set_level(logging.DEBUG)
    return caplog
