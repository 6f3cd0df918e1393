"""docs/guide/write-a-sensor.md: every block runs, and every sensor does what the page says."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlparse

import boto3
import pytest
from moto import mock_aws

from tests.support.http_server import running_server
from treadle.adapters import clients
from treadle.definitions.sensors import SensorDefinition
from treadle.engine.outcomes import Decision
from treadle.engine.tick.tick_log import MAX_CHARACTERS, MAX_LINES
from treadle.testing import TickResult, TreadleInstance

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "write-a-sensor.md"
CONTINUED = {"Preview": "Test it"}
"""Sections whose blocks continue from another's."""


def sections() -> dict[str, list[tuple[int, str]]]:
    """Return the Python blocks of each section, with the line that each begins at."""
    found: dict[str, list[tuple[int, str]]] = {}
    text, title = PAGE.read_text(), ""
    for match in re.finditer(r"^## ([^\n]*)$|^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
        title = match[1] or title
        if match[2]:
            found.setdefault(title, []).append((text[: match.start(2)].count("\n"), match[2]))
    return found


BLOCKS = sections()


def run(title: str) -> ModuleType:
    """Return a section's blocks, run one after the other as one module."""
    module = run(CONTINUED[title]) if title in CONTINUED else ModuleType("app")
    for line, block in BLOCKS[title]:
        exec(compile("\n" * line + block, str(PAGE), "exec"), module.__dict__)
    return module


def keys(result: TickResult) -> list[str | None]:
    return [each.run_key for each in result.runs]


@pytest.mark.parametrize("title", BLOCKS)
def test_section_runs_and_the_tests_that_it_shows_pass(title: str) -> None:
    module = run(title)

    assert any(isinstance(value, SensorDefinition) for value in vars(module).values())
    for name, value in list(vars(module).items()):
        if name.startswith("test_"):
            value()


def test_page_shows_tests() -> None:
    shown = [name for title in BLOCKS for name in vars(run(title)) if name.startswith("test_")]

    assert len(set(shown)) == 5


def test_what_a_function_may_return() -> None:
    instance = TreadleInstance([run("What a function may return").two_of_three])

    results = [instance.tick("two_of_three") for _ in range(4)]

    assert [keys(result) for result in results] == [["tick-1"], ["tick-2"], [], ["tick-4"]]
    assert results[2].outcome.reason == "Every third tick is skipped."
    assert results[0].tick is not None
    assert results[0].tick.log == ("INFO This is tick 1.",)


def test_object_gets_a_run_by_its_event_and_needs_neither_key_nor_config() -> None:
    instance = TreadleInstance([run("Objects in a bucket").new_files])

    (made,) = instance.put_object("landing-zone", "in/a.csv", b"x")["new_files"].runs

    assert made.run_key is not None
    assert "in/a.csv" in made.run_key
    assert made.tags["file"] == "in/a.csv"
    assert {"bucket", "key", "etag", "version", "size", "event_time"} == json.loads(made.run_config).keys()
    assert instance.put_object("landing-zone", "in/a.txt", b"x")["new_files"].runs == ()
    assert instance.put_object("landing-zone", "in/a.csv", b"x")["new_files"].runs == ()


@pytest.fixture
def landing_zone() -> Iterator[Any]:
    with mock_aws():
        clients.forget()
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="landing-zone")
        yield s3
        clients.forget()


def test_listing_requests_each_complete_folder_once(landing_zone: Any) -> None:
    instance = TreadleInstance([run("Objects in a bucket").complete_deliveries])
    landing_zone.put_object(Bucket="landing-zone", Key="deliveries/a/1.csv")
    assert instance.tick("complete_deliveries").outcome.reason == "1 objects, no marker among them."

    landing_zone.put_object(Bucket="landing-zone", Key="deliveries/a/_SUCCESS")
    assert keys(instance.tick("complete_deliveries")) == ["deliveries/a"]

    landing_zone.put_object(Bucket="landing-zone", Key="deliveries/b/_SUCCESS")
    assert keys(instance.tick("complete_deliveries")) == ["deliveries/b"]


class Shop(BaseHTTPRequestHandler):
    """Answers with the orders after a number, two at a time."""

    newest = 0
    broken = False

    def do_GET(self) -> None:
        after = int(parse_qs(urlparse(self.path).query)["after"][0])
        page = [{"number": n, "total": 10 * n} for n in range(after + 1, self.newest + 1)][:2]
        body = json.dumps(page).encode()
        self.send_response(500 if self.broken else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        """Say nothing."""


@pytest.fixture
def shop() -> Iterator[tuple[type[Shop], str]]:
    """A shop on this machine, and its address."""
    handler = type("OneShop", (Shop,), {})
    with running_server(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        yield handler, f"http://127.0.0.1:{server.server_port}/orders"


def test_api_is_polled_page_by_page_and_each_order_has_one_run(shop: tuple[type[Shop], str]) -> None:
    orders, address = shop
    module = run("Poll an HTTP API")
    module.ORDERS = address  # type: ignore[attr-defined]
    instance = TreadleInstance([module.new_orders])

    assert instance.tick("new_orders").outcome.reason == "No order after 0."
    orders.newest = 5
    assert keys(instance.tick("new_orders")) == ["1", "2", "3", "4", "5"]
    orders.newest = 6
    assert keys(instance.tick("new_orders")) == ["6"]

    orders.broken = True
    orders.newest = 7
    assert instance.tick("new_orders").outcome.decision is Decision.FAILURE
    assert instance.cursor("new_orders") == "6"
    orders.broken = False
    assert keys(instance.tick("new_orders")) == ["7"]
    assert json.loads(instance.runs()[-1].run_config) == {"number": 7, "total": 70}


def test_table_is_polled_by_number_and_a_failure_launches_nothing(tmp_path: Path) -> None:
    module = run("Poll a database table")
    module.DATABASE = str(tmp_path / "warehouse.db")  # type: ignore[attr-defined]
    instance = TreadleInstance([module.changed_tables], resources={"warehouse": module.warehouse})
    with closing(sqlite3.connect(module.DATABASE)) as database:
        database.execute("CREATE TABLE changes (number INTEGER PRIMARY KEY, name TEXT)")
        database.execute("INSERT INTO changes VALUES (1, 'orders'), (2, 'users')")
        database.commit()
        assert keys(instance.tick("changed_tables")) == ["orders:1", "users:2"]
        assert keys(instance.tick("changed_tables")) == []

        database.execute("INSERT INTO changes VALUES (3, 'orders')")
        database.commit()
        assert keys(instance.tick("changed_tables")) == ["orders:3"]

        database.execute("DROP TABLE changes")
    assert instance.tick("changed_tables").outcome.decision is Decision.FAILURE
    assert instance.cursor("changed_tables") == "3"


def test_each_size_goes_to_its_job_with_the_jobs_tags() -> None:
    runs = TreadleInstance([run("Several jobs").by_size]).tick("by_size").runs

    assert [(each.run_key, each.job, each.tags["team"]) for each in runs] == [
        ("a", "small", "data"),
        ("b", "large", "data"),
    ]


def test_config_that_does_not_fit_is_rejected_and_the_other_launched() -> None:
    result = TreadleInstance([run("Run config with a schema").exports]).tick("exports")

    assert keys(result) == ["orders"]
    assert result.tick is not None
    ((key, reason),) = [(each.run_key, each.reason) for each in result.tick.rejected]
    assert key == "users"
    assert "run_config.days must be bigger than or equal to 1" in reason


def test_resources_are_made_in_order_and_closed_at_the_end() -> None:
    module = run("Resources")

    (made,) = TreadleInstance([module.watch_shop], resources=module.RESOURCES).tick("watch_shop").runs

    assert made.tags["page_size"] == "100"
    assert made.tags["session"] == "https://shop.example.com as secret"
    assert made.tags["open"] == "1"
    assert module.OPEN == []


@pytest.mark.parametrize(
    ("cursor", "page"), [(None, "1"), ("7", "7"), ('{"version":1,"fields":{"number":8}}', "8")]
)
def test_typed_cursor_is_taken_over_from_what_was_before(cursor: str | None, page: str) -> None:
    instance = TreadleInstance([run("A typed cursor").crawler])
    instance.set_cursor("crawler", cursor)

    assert keys(instance.tick("crawler")) == [page]
    assert keys(instance.tick("crawler")) == [str(int(page) + 1)]


def test_limits_of_the_log_are_those_of_the_code() -> None:
    assert f"({MAX_LINES} lines, {MAX_CHARACTERS:,} characters)" in PAGE.read_text()


def test_page_is_read_in_ten_minutes() -> None:
    """At 250 words a minute."""
    assert len(PAGE.read_text().split()) < 2_500
