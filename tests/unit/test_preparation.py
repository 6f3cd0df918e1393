"""What a function makes before its first event."""

import os
import subprocess
import sys

import pytest

from tests.template.engine_model import read_engine
from tools.project import ROOT
from treadle.bootstrap.preparation import prepare

IN_LAMBDA = {"AWS_LAMBDA_FUNCTION_NAME": "shop-launch"}
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
SERVICES = {
    "dispatch": ["dynamodb", "sqs"],
    "launch": ["dynamodb", "sts"],
    "publish": ["dynamodb", "events"],
    "record": ["dynamodb"],
    "reconcile": ["dynamodb"],
}
SCRIPT = """
import socket
def refused(*_args, **_named):
    raise AssertionError("nothing may be sent")
socket.socket.connect = socket.getaddrinfo = refused
from botocore.session import Session
create, made = Session.create_client, []
def noted(self, service, *args, **named):
    made.append(service)
    return create(self, service, *args, **named)
Session.create_client = noted
import app
print(*made)
"""
COLLECTIONS = """
import gc
found = []
gc.callbacks.append(lambda *_: found.append(1))
import app
print(gc.isenabled(), gc.get_freeze_count() > 10_000, len(found))
"""
IDLE = """
from treadle import SkipReason, evaluator, sensor

@sensor(job_name="none")
def idle():
    return SkipReason("Nothing new.")

handler = evaluator(idle)
"""


def created(code: str, environment: dict[str, str]) -> list[str]:
    """Return the services whose clients a function creates before its first event."""
    return printed(SCRIPT, code, environment)


def printed(script: str, code: str, environment: dict[str, str]) -> list[str]:
    """Return the words that a script prints, which imports a function's code."""
    paths = [str(ROOT / "layers" / "treadle"), code]
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={
            "PATH": os.defpath,
            "PYTHONPATH": os.pathsep.join(paths),
            "AWS_DEFAULT_REGION": "us-east-1",
            **environment,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """A value of each variable of the engine's functions."""
    template = read_engine()
    functions = template.resources("AWS::Serverless::Function").values()
    names = {name for each in functions for name in template.environment(each) if name.startswith("TREADLE_")}
    fixed = {"TREADLE_RUN_EVENTS": "all", "TREADLE_DEFAULT_STATUS": "RUNNING", "TREADLE_PAUSE_AFTER": "10"}
    tables = {f"TREADLE_{each}_TABLE": each.lower() for each in ("SENSORS", "TICKS", "RUNS", "EVENTS")}
    return {**dict.fromkeys(names, "0"), **tables, "TREADLE_DEAD_LETTER_QUEUE_URL": "dead", **fixed}


@pytest.mark.parametrize("name", SERVICES)
def test_a_function_creates_the_clients_of_each_event_before_it_comes(
    name: str, settings: dict[str, str]
) -> None:
    code = str(ROOT / "functions" / "engine" / name)

    assert created(code, {**IN_LAMBDA, **KEYS, **settings}) == SERVICES[name]
    assert created(code, {**KEYS, **settings}) == []


def test_an_evaluator_creates_the_client_of_dynamodb_before_an_event_comes(
    tmp_path_factory: pytest.TempPathFactory, settings: dict[str, str]
) -> None:
    folder = tmp_path_factory.mktemp("sensor")
    (folder / "app.py").write_text(IDLE)

    assert created(str(folder), {**IN_LAMBDA, **KEYS, **settings}) == ["dynamodb"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_function_without_its_settings_starts_so_that_its_events_report_them(name: str) -> None:
    assert created(str(ROOT / "functions" / "engine" / name), {**IN_LAMBDA, **KEYS}) == []


@pytest.mark.parametrize("name", SERVICES)
def test_a_function_collects_garbage_from_its_first_event_on_and_not_before(
    name: str, settings: dict[str, str]
) -> None:
    code = str(ROOT / "functions" / "engine" / name)

    started = printed(COLLECTIONS, code, {**IN_LAMBDA, **KEYS, **settings})
    elsewhere = printed(COLLECTIONS, code, {**KEYS, **settings})
    without_settings = printed(COLLECTIONS, code, {**IN_LAMBDA, **KEYS})

    assert started[:2] == without_settings[:2] == ["True", "True"]
    assert elsewhere[:2] == ["True", "False"]
    assert int(started[2]) * 4 < int(elsewhere[2])


def test_the_console_collects_garbage() -> None:
    """It imports the handlers' package, which stops the collection, and makes nothing in advance."""
    code = str(ROOT / "functions" / "engine" / "console")

    assert printed(COLLECTIONS, code, {**IN_LAMBDA, **KEYS})[:2] == ["True", "True"]


def test_what_cannot_be_made_is_left_to_the_events(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise ValueError

    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "shop-launch")

    prepare(fails)
