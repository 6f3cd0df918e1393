"""500 requests a second to the receiver of a webhook sensor, over HTTP, while its stores fail for a time."""

import functools
import multiprocessing
import os
import queue
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any, cast

import pytest
from aws_lambda_powertools.metrics import EphemeralMetrics

from tests.functional.conftest import LambdaContext
from tests.support.console import MemoryStack, console_of
from tests.support.http_server import running_server
from tests.support.replaced_stores import ReplacedStores
from tests.support.webhook_sender import Sent, send_at_a_rate
from treadle import (
    DefaultSensorStatus,
    HmacSignature,
    RunRequest,
    TickStatus,
    WebhookSensorContext,
    WebhookSensorDefinition,
    evaluator,
)
from treadle.adapters.system import RandomTokens, SystemClock
from treadle.bootstrap.inbox import Inbox
from treadle.bootstrap.settings import Settings
from treadle.console.server import LocalServer
from treadle.definitions.errors import StoreError
from treadle.dev.engine import locked
from treadle.engine.assembly import Assembly, Stores
from treadle.entrypoints import handler
from treadle.entrypoints.evaluator import Infrastructure, SensorHandler
from treadle.model.ticks import Tick
from treadle.ports.deliveries import SecretStore
from treadle.testing.bus import NAMESPACE
from treadle.testing.deliveries import InMemorySecrets
from treadle.testing.instance import TreadleInstance
from treadle.testing.stores import InMemoryStores

RATE = 500
SECONDS = float(os.environ.get("TREADLE_WEBHOOK_LOAD_SECONDS", "3"))
INSTANCES = 8
SECRET = "the secret"
FAILING = ("sensors", "ticks", "deliveries")

pytestmark = pytest.mark.timeout(240 + 10 * SECONDS)


class Outage:
    """Lets calls of stores fail while it lasts: before they have an effect, or after that.

    Attributes:
        lasts: whether it lasts.
        is_of_commits: whether only commits of ticks fail, and not all calls.
    """

    def __init__(self) -> None:
        self.lasts = self.is_of_commits = False
        self._random = random.Random(1)

    def store(self, store: object) -> "FailingStore":
        """Return a store that fails in the outage."""
        return FailingStore(store, self)

    def call(self, name: str, method: Callable[..., Any]) -> Any:
        """Call a method of a store, or fail."""
        if not self.lasts or (self.is_of_commits and name != "put_many"):
            return method()
        if self._random.random() < 0.5:
            method()
        msg = "The store did not answer."
        raise StoreError(msg)


class FailingStore:
    """A store with outages.

    Args:
        store: the store.
        outage: lets its calls fail.
    """

    def __init__(self, store: object, outage: Outage) -> None:
        self._store = store
        self._outage = outage

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._store, name)
        return lambda *args, **kwargs: self._outage.call(name, functools.partial(method, *args, **kwargs))


class InMemory(Infrastructure):
    """The stores of the test."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def inbox(self, origin: str, settings: Settings, *, is_needed: bool) -> Inbox:
        del settings, is_needed
        none = cast("Any", None)  # A webhook sensor has no queue.
        return Inbox(origin, none, none)

    def secrets(self) -> SecretStore:
        return InMemorySecrets({"shop/github": (SECRET,)})

    def assembly(self, settings: Settings) -> Assembly:
        settings.check()
        return Assembly(self._stores, SystemClock(), RandomTokens(), NAMESPACE)


class Instances:
    """Instances of a function, of which each handles one request at a time, as in Lambda.

    Args:
        handlers: the instances.
    """

    def __init__(self, handlers: list[SensorHandler]) -> None:
        self._idle: queue.Queue[SensorHandler] = queue.Queue()
        for each in handlers:
            self._idle.put(each)

    def handle(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """Handle a request by the next instance that is idle."""
        instance = self._idle.get()
        try:
            answer: Mapping[str, Any] = instance(dict(event), LambdaContext())
            return answer
        finally:
            self._idle.put(instance)


class SharedMetrics(EphemeralMetrics):
    """Metrics that several threads count and write: here the instances of a function are threads of one process."""

    _lock = threading.RLock()

    def add_metric(self, *args: Any, **kwargs: Any) -> None:
        with self._lock:
            super().add_metric(*args, **kwargs)

    def flush_metrics(self, *args: Any, **kwargs: Any) -> None:
        with self._lock:
            if self.metric_set:
                super().flush_metrics(*args, **kwargs)


@pytest.fixture(autouse=True)
def _metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = SharedMetrics(namespace=handler.NAMESPACE)
    monkeypatch.setattr(handler, "metrics", lambda: shared)
    monkeypatch.setattr(handler, "_metrics_of", lambda _: shared)


@pytest.fixture
def stores() -> Stores:
    return locked(InMemoryStores())


@pytest.fixture
def outage() -> Outage:
    return Outage()


@pytest.fixture
def server(stores: Stores, outage: Outage, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    """Serve a webhook sensor whose stores have outages."""

    def function(context: WebhookSensorContext) -> RunRequest:
        return RunRequest(run_config={"number": context.request.json()})

    sensor = WebhookSensorDefinition(
        "hooked",
        evaluation_fn=function,
        verification=HmacSignature(),
        job_name="process_file",
        default_status=DefaultSensorStatus.RUNNING,
    )
    monkeypatch.setenv("TREADLE_WEBHOOK_SECRET", "shop/github")
    failing = {name: outage.store(getattr(stores, name)) for name in FAILING}
    infrastructure = InMemory(cast("Stores", ReplacedStores(stores, **failing)))
    instances = Instances([evaluator(sensor).on(infrastructure) for _ in range(INSTANCES)])
    console = console_of(MemoryStack(TreadleInstance([])))
    with running_server(LocalServer(console, endpoints=instances.handle)) as made:
        yield made


def committed(stores: Stores) -> dict[int, Tick]:
    """Return the committed tick of each request, by its number; each has at most one."""
    ticks = [each for each in stores.ticks.latest("hooked", 1_000_000) if each.status is TickStatus.SUCCESS]
    numbers = [
        int(request.run_config.removeprefix('{"number":')[:-1]) for tick in ticks for request in tick.requests
    ]
    assert len(numbers) == len(set(numbers)) == len(ticks)
    return dict(zip(numbers, ticks, strict=True))


def test_no_request_that_got_2xx_is_lost_and_none_gets_it_in_an_outage(
    server: LocalServer, stores: Stores, outage: Outage, record_property: Callable[[str, object], None]
) -> None:
    count, windows = int(RATE * SECONDS), []

    def break_down() -> None:
        began_at, outage.lasts = time.monotonic(), True
        time.sleep(SECONDS / 6)
        outage.is_of_commits = True
        time.sleep(SECONDS / 6)
        windows.append((time.monotonic(), began_at))
        outage.lasts = False

    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as sender:
        sender.submit(time.monotonic).result()  # Its process has started.
        began_at, cpu = time.monotonic(), time.process_time()
        sending = sender.submit(
            send_at_a_rate, server.server_port, "/webhooks/hooked", SECRET, range(count), RATE
        )
        breaking = threading.Timer(SECONDS / 3, break_down)
        breaking.start()
        sent: list[Sent] = sending.result()
        breaking.join()
        took, cpu = max(each.ended_at for each in sent) - began_at, time.process_time() - cpu

        [(outage_ended_at, outage_began_at)] = windows
        within = [
            each for each in sent if each.began_at >= outage_began_at and each.ended_at <= outage_ended_at
        ]
        accepted = {each.number for each in sent if each.status == 202}
        found = committed(stores)
        latencies = sorted(each.ended_at - each.began_at for each in sent)
        figures = {
            "requests": count,
            "requests_a_second": round(count / took),
            "accepted": len(accepted),
            "in_outage": len(within),
            "committed_without_2xx": len(found.keys() - accepted),
            "median_ms": round(statistics.median(latencies) * 1000, 1),
            "p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1000, 1),
            "server_cpu_seconds": round(cpu, 1),
        }
        for name, value in figures.items():
            record_property(name, value)
        print(figures)

        assert sorted(each.number for each in sent) == [*range(count)]
        assert {each.status for each in sent} == {202, 503}
        assert accepted - found.keys() == set()
        assert found.keys() - accepted, "no response was lost"
        assert within
        assert {each.status for each in within} == {503}

        # What was not accepted is sent again, and has one tick then.
        again = sender.submit(
            send_at_a_rate,
            server.server_port,
            "/webhooks/hooked",
            SECRET,
            sorted(set(range(count)) - accepted),
            RATE,
        )
        assert {each.status for each in again.result()} == {202}
        assert committed(stores).keys() == set(range(count))
