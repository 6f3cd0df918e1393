"""Rehearsals of a sensor that polls an HTTP service, with the service's recorded answers."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.http_server import running_server
from tests.support.project import run
from tests.support.rehearsal import export, rehearse, rehearsed, sensor_of, write_project
from treadle.testing import TreadleInstance

POLLING = """
import json
import urllib.request

from treadle import RunRequest, SensorResult, SkipReason, sensor


@sensor(job_name="load", minimum_interval_seconds=60)
def watch(context):
    after = context.cursor or "0"
    request = urllib.request.Request("{place}/orders?after=" + after, headers={{"Authorization": "Bearer hush"}})
    with urllib.request.urlopen(request) as answer:
        orders = json.load(answer)
    if not orders:
        return SkipReason("No order.")
    return SensorResult([RunRequest(f"order-{{each}}") for each in orders], cursor=str(orders[-1]))
"""


class _Orders(BaseHTTPRequestHandler):
    server: "Orders"

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        after = int(self.path.rpartition("=")[2])
        body = json.dumps([each for each in range(1, self.server.orders + 1) if each > after]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", "session=hush")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Log nothing."""


class Orders(ThreadingHTTPServer):
    """A service with orders, numbered from 1.

    Attributes:
        orders: how many there are.
        asked: the paths that were requested.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Orders)
        self.orders = 0
        self.asked: list[str] = []


@dataclass
class Shop:
    """A project that polls the service, with two recorded ticks.

    Attributes:
        root: the project's folder.
        service: the service.
    """

    root: Path
    service: Orders

    @property
    def place(self) -> str:
        return f"http://127.0.0.1:{self.service.server_port}"

    def write(self, old: str = "", new: str = "") -> None:
        """Write the sensor's code, changed."""
        code = POLLING.format(place=self.place)
        assert old in code
        write_project(self.root, code.replace(old, new) if old else code)

    def cassettes(self, *options: str) -> dict[str, Any]:
        """Rehearse with cassettes."""
        return rehearsed(self.root, "--cassettes", str(self.root / "cassettes"), *options)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with running_server(Orders()) as service:
        made = Shop(tmp_path, service)
        made.write()
        instance = TreadleInstance([sensor_of(POLLING.format(place=made.place))])
        for orders in (1, 3):
            service.orders = orders
            instance.tick("watch")
            instance.clock.advance(60)
        export(instance, tmp_path / "ticks")
        service.asked.clear()
        yield made


def test_recorded_answers_take_the_place_of_the_service(shop: Shop) -> None:
    recorded = shop.cassettes("--record")
    assert len(shop.service.asked) == 2
    shop.service.asked.clear()
    shop.service.orders = 9

    played = shop.cassettes()

    assert shop.service.asked == []
    assert played["ticks"] == recorded["ticks"] == {"same": 1, "different": 1, "unrehearsed": 0}
    # The first one is answered as of the recording, not of the tick: three orders.
    assert {kind: number for kind, number in played["differences"].items() if number} == {
        "new": 2,
        "cursor": 1,
    }
    assert played["differences"] == recorded["differences"]


def test_changed_code_is_rehearsed_on_the_same_answers(shop: Shop) -> None:
    shop.cassettes("--record")
    shop.service.asked.clear()

    shop.write('f"order-{{each}}"'.replace("{{", "{").replace("}}", "}"), 'f"o-{each}"')
    changed = shop.cassettes("--fail-on", "missing")

    assert shop.service.asked == []
    assert changed["failed_on"] == ["missing"]


def test_request_that_is_not_recorded_is_named_and_not_sent(shop: Shop) -> None:
    shop.cassettes("--record")
    shop.service.asked.clear()

    shop.write("/orders?after=", "/returns?after=")
    result = rehearse(shop.root, "--cassettes", str(shop.root / "cassettes"), "--fail-on", "unrehearsed")

    assert shop.service.asked == []
    assert result.exit_code == 1
    assert f"the answer to GET {shop.place}/returns?after=0 is not recorded" in result.stdout


def test_without_cassette_nothing_is_sent(shop: Shop) -> None:
    result = rehearse(shop.root, "--cassettes", str(shop.root / "cassettes"))

    assert shop.service.asked == []
    assert f"the answer to GET {shop.place}/orders?after=0 is not recorded" in result.stdout
    assert not (shop.root / "cassettes").exists()


def test_cassette_of_the_sensor_is_for_all_its_ticks(shop: Shop) -> None:
    shop.cassettes("--record")
    folder = shop.root / "cassettes" / "watch"
    first, second = sorted(folder.iterdir())
    text = first.read_text() + second.read_text().partition("interactions:\n")[2].partition("version:")[0]
    head, _, rest = text.partition("version:")
    (shop.root / "cassettes" / "watch.yaml").write_text(f"{head}{rest.partition(chr(10))[2]}version: 1\n")
    before = shop.cassettes()
    for each in (first, second):
        each.unlink()
    shop.service.asked.clear()

    shared = shop.cassettes()

    assert shop.service.asked == []
    assert shared["differences"] == before["differences"]
    assert not list(folder.iterdir())


def test_cassette_has_no_secret_of_headers(shop: Shop) -> None:
    shop.cassettes("--record")

    files = sorted((shop.root / "cassettes" / "watch").iterdir())

    assert [each.stem for each in files] == [
        "2026-11-22T18:00:00.000Z-000000001",
        "2026-11-22T18:01:00.000Z-000000002",
    ]
    assert not [each for each in files if "hush" in each.read_text()]


def test_options_that_do_not_fit_are_refused(shop: Shop) -> None:
    alone = run("rehearse", "watch", "--root", shop.root, "--cassettes", "c", "--stack", "shop")
    assert "--cassettes needs --from, as a stack is read by HTTP, too." in alone.stderr
    assert "--record needs --cassettes." in rehearse(shop.root, "--record").stderr


def test_cassettes_need_their_extra(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vcr", None)

    done = rehearse(shop.root, "--cassettes", "c")

    assert (done.exit_code, done.stderr) == (
        2,
        "treadle: Cassettes need vcrpy, which is not installed. Install it: pip install 'treadle[cassettes]'\n",
    )
