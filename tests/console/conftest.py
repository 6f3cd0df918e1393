"""A console in a real browser, over a deployment in memory whose records the real engine has written."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.console.world import World
from tests.support.browser import Visit, chromium, visiting
from tests.support.console import TOKEN, served
from treadle.console.static_token import Role

Opened = Callable[..., Visit]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests of a process; each visit has a window of its own."""
    with chromium() as made:
        yield made


@pytest.fixture
def world() -> World:
    """A deployment to which something of everything has happened."""
    return World.lived_in()


@pytest.fixture
def visit(browser: Browser, world: World) -> Iterator[Visit]:
    """An operator's visit."""
    with served(world.console()) as server, visiting(browser, server.address, token=TOKEN) as made:
        yield made


@pytest.fixture
def viewer(browser: Browser, world: World) -> Iterator[Visit]:
    """The visit of somebody who may change nothing."""
    with served(world.console(Role.VIEWER)) as server, visiting(browser, server.address, token=TOKEN) as made:
        yield made
