"""Fixtures that every kind of test may use. What belongs to one kind is in its folder's conftest."""

import functools
import gc
import inspect
import os
import signal
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import hooks, utils
from botocore.loaders import Loader

from tests.support.metrics import discard_metrics
from tools.dynamodb_local import JavaMissingError
from tools.dynamodb_local import dynamodb_local as running_dynamodb_local
from treadle.adapters import alerts, clients

INJECTED, SAME, VIOLATIONS = "faults injected", "faults that equal one of them", "violations"
"""Properties that a test of injected faults records."""

SUMMARY = "summary"
"""A property: what a test has counted, as text."""

GARBAGE = 10_000
"""The number of new objects before a garbage collection; Python's own 700 are for small programs."""

END_TO_END = Path(__file__).parent / "e2e"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return one process more than there are processors: some tests wait, for a browser, a cloud or other processes.

    Quick tests wait for nothing, and each process collects them all.
    """
    is_quick: bool = config.option.markexpr == "quick"
    return (os.cpu_count() or 1) + (not is_quick)


@pytest.fixture(scope="session", autouse=True)
def facts_of_clients_found_once() -> Iterator[None]:
    """Share between tests what botocore finds out for AWS clients; each test makes its clients itself.

    What it reads of its files took a third of the time of those tests; the present names of events, and whether their
    handlers take any arguments, half of what was left; the list of services, which each session makes, a fifth.
    Parsing the same timestamps, by client and moto, was a third of the time of listings of thousands of objects.
    Each time it begins, moto made a thousand responses, which are always the same.
    """
    found: dict[tuple[object, ...], dict[Any, Any]] = {}
    names: dict[str, str] = {}
    load, begin, accepts_kwargs = Loader.__init__, hooks.EventAliaser.__init__, hooks.accepts_kwargs

    def with_known_files(self: Any, *args: Any, **kwargs: Any) -> None:
        load(self, *args, **kwargs)
        self._cache = found.setdefault((type(self), *self.search_paths), {})

    def with_known_names(self: Any, emitter: Any, aliases: Any = None) -> None:
        begin(self, emitter, aliases)
        if self._event_aliases == hooks.EVENT_ALIASES:
            self._alias_name_cache = names

    def known(handler: Any) -> Any:
        code = getattr(handler, "__code__", None)
        return bool(code.co_flags & inspect.CO_VARKEYWORDS) if code else accepts_kwargs(handler)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loader, "__init__", with_known_files)
        patch.setattr(hooks.EventAliaser, "__init__", with_known_names)
        patch.setattr(hooks, "accepts_kwargs", known)
        parse = functools.lru_cache(utils._parse_timestamp_with_tzinfo)  # type: ignore[attr-defined]
        patch.setattr(utils, "_parse_timestamp_with_tzinfo", parse)
        if moto := sys.modules.get("moto.core.models"):
            patch.setattr(moto, "CallbackResponse", functools.cache(vars(moto)["CallbackResponse"]))
        yield


def pytest_configure() -> None:
    """Let tests, and processes that they start, react to signals that a background job or `nohup` ignores for all."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests first that may take longer than others, so that none of them is left to the end."""
    if not any(END_TO_END in item.path.parents for item in items):
        items.sort(key=lambda item: item.get_closest_marker("timeout") is None)


def pytest_collection_finish() -> None:
    """Leave all that was imported and collected out of the collection of garbage, which took a fifth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape in each report what is not Unicode: xdist sends reports as UTF-8, and tests log any text there is."""
    report = yield
    report.sections = [(name, escaped(text)) for name, text in report.sections]
    if report.failed and escaped(report.longreprtext) != report.longreprtext:
        report.longrepr = escaped(report.longreprtext)
    return report


def escaped(text: str) -> str:
    """Return the text with each lone surrogate as an escape sequence."""
    return text.encode(errors="backslashreplace").decode()


@pytest.fixture(autouse=True)
def fake_aws(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reaches a real account: invented credentials, a fixed region, no profile, no endpoint.

    Nor does one begin with what others left in this process: clients, credentials that boto3's default session keeps,
    metrics that were counted without a handler that writes them at its end.
    """
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    if "treadle.entrypoints.handler" in sys.modules:
        discard_metrics()
    clients.forget()
    alerts._provider.cache_clear()
    if END_TO_END in request.path.parents:
        return
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session")
def dynamodb_local() -> Iterator[str]:
    """Endpoint of Amazon's own DynamoDB engine, one server for each test process.

    Its tables are separate for each access key and region, so a test that wants it to itself
    connects with an access key of its own (letters and digits).
    """
    try:
        with running_dynamodb_local() as endpoint:
            yield endpoint
    except JavaMissingError as problem:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(problem))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests of all processes have counted: injected faults, violations of invariants, and summaries."""
    found: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if getattr(report, "when", "") != "call":
                    continue
                if name in {INJECTED, SAME, VIOLATIONS}:
                    found[name] += value
                elif name == SUMMARY:
                    terminalreporter.write_line(value)
    if found[INJECTED]:
        counts = ", ".join(f"{name}: {found[name]}" for name in (INJECTED, SAME, VIOLATIONS))
        terminalreporter.write_line(counts)
