"""Fixtures that every kind of test may use. What belongs to one kind is in its folder's conftest."""

import functools
import gc
import os
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import boto3
import pytest
from botocore import hooks
from botocore.loaders import JSONFileLoader

from tools.dynamodb_local import JavaMissingError
from tools.dynamodb_local import dynamodb_local as running_dynamodb_local
from treadle.adapters import clients

INJECTED, VIOLATIONS = "faults injected", "violations"
"""Properties that a test of injected faults records."""

SUMMARY = "summary"
"""A property: what a test has counted, as text."""

GARBAGE = 10_000
"""The number of new objects before a garbage collection; Python's own 700 are for small programs."""

END_TO_END = Path(__file__).parent / "e2e"


@pytest.fixture(scope="session", autouse=True)
def facts_of_clients_found_once() -> Iterator[None]:
    """Share between tests what botocore finds out for AWS clients; each test makes its clients itself.

    What it reads of its files took a third of the time of those tests; the present names of events, and whether their
    handlers take any arguments, half of what was left.
    """
    read = functools.cache(JSONFileLoader().load_file)
    names: dict[str, str] = {}
    begin, accepts_kwargs = hooks.EventAliaser.__init__, hooks.accepts_kwargs

    @functools.cache
    def of_code(code: CodeType) -> Any:
        return accepts_kwargs(FunctionType(code, {}))

    def with_known_names(self: Any, emitter: Any, aliases: Any = None) -> None:
        begin(self, emitter, aliases)
        if self._event_aliases == hooks.EVENT_ALIASES:
            self._alias_name_cache = names

    def known(handler: Any) -> Any:
        # By the code, as a handler that is a method of a client would keep that client.
        code = getattr(handler, "__code__", None)
        return of_code(code) if code is not None and not code.co_freevars else accepts_kwargs(handler)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: read(path))
        patch.setattr(hooks.EventAliaser, "__init__", with_known_names)
        patch.setattr(hooks, "accepts_kwargs", known)
        yield


@pytest.fixture(autouse=True)
def default_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test that uses boto3's default session create it: it keeps the credentials that it found first."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


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
    """No test reaches a real account: invented credentials, a fixed region, no profile, no endpoint."""
    clients.forget()
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
                if name in {INJECTED, VIOLATIONS}:
                    found[name] += value
                elif name == SUMMARY:
                    terminalreporter.write_line(value)
    if found[INJECTED]:
        terminalreporter.write_line(f"faults injected: {found[INJECTED]}, violations: {found[VIOLATIONS]}")
