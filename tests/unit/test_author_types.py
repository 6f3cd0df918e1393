"""A type checker reports an invalid return value of a sensor before any tick does."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

AUTHOR = '''
"""A sensor's author's file."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from treadle import (
    ConfigurableResource,
    CursorType,
    InitResourceContext,
    JobDefinition,
    ResourceParam,
    RunConfig,
    RunRequest,
    S3Object,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    build_sensor_context,
    evaluator,
    get_s3_keys,
    resource,
    s3_sensor,
    sensor,
    validate_run_config,
)

job = JobDefinition("load", run_config_schema={"type": "object"})


class Api(ConfigurableResource):
    """A resource."""

    url: str
    pages: int = 1


@dataclass
class Position:
    """A cursor."""

    page: int = 0


POSITION = CursorType(Position, version=2, migrate=lambda fields, version: {"page": version})


@resource(required_resource_keys={"api"})
def session(context: InitResourceContext) -> Iterator[str]:
    yield str(context.resources.api.url)


@sensor(job=job)
def nothing() -> None:
    """None."""


@sensor(job=job)
def request() -> RunRequest:
    return RunRequest("key", RunConfig(ops={"load": Position()}), {"tag": "value"}, partition_key="p")


@sensor(job=job)
def skip() -> SkipReason:
    return SkipReason("why")


@sensor(job=job, minimum_interval_seconds=30)
def result(context: SensorEvaluationContext) -> SensorResult:
    position = POSITION.load(context.cursor)
    position.page += 1
    return SensorResult([RunRequest()], cursor=POSITION.dump(position))


@sensor(job_name="load")
def any_of_them(context: SensorEvaluationContext) -> RunRequest | SkipReason | SensorResult | None:
    return None if context.cursor else SkipReason()


@sensor(jobs=[job])
def requests() -> list[RunRequest]:
    return [RunRequest(key, job_name="load") for key in get_s3_keys("bucket")]


@sensor(job=job)
def mixed(session: ResourceParam[str]) -> list[RunRequest | SkipReason]:
    return [RunRequest(session.upper())]


@sensor(job=job)
def iterator(context: SensorEvaluationContext, api: Api) -> Iterator[RunRequest | SkipReason]:
    for page in range(api.pages):
        yield RunRequest(f"{api.url}/{page}")


@sensor(job=job)
def generator() -> Generator[RunRequest, Any, SkipReason | None]:
    yield RunRequest()
    return None


@s3_sensor("bucket", job=job)
def objects(context: SensorEvaluationContext, stored: S3Object) -> RunRequest:
    return RunRequest(tags={"key": stored.key})


handler = evaluator(result, resources={"session": session, "api": Api(url="https://example.com")})


def test_request() -> None:
    assert request(build_sensor_context(cursor="1")).run_key == "key"
    assert validate_run_config(job, {}) == {}
'''

WRONG = {
    "a dict": ("-> dict[str, str]", "return {}"),
    "a string": ("-> str", "return 'no'"),
    "a tuple": ("-> tuple[RunRequest, ...]", "return ()"),
    "a number": ("-> int", "return 1"),
    "lists yielded": ("-> Iterator[list[RunRequest]]", "yield []"),
    "strings yielded": ("-> Iterator[str]", "yield 'no'"),
    "a list of strings": ("-> list[str]", "return ['no']"),
    "another value than it says": ("-> RunRequest", "return {}"),
}


def errors(folder: Path, source: str) -> list[tuple[int, str]]:
    """Return the errors of mypy in an author's file, by line: strict, as here, where it has read the library already."""
    path = folder / "app.py"
    path.write_text(source)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(path)],
        cwd=ROOT,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return [
        (int(line), message)
        for line, message in re.findall(r"^\S*app\.py:(\d+): error: (.*)$", done.stdout, re.M)
    ]


def test_authors_file_passes_the_strict_type_checker(tmp_path: Path) -> None:
    assert errors(tmp_path, AUTHOR) == []


def test_unknown_option_or_one_of_another_type_is_an_error_at_the_decorator(tmp_path: Path) -> None:
    options = ("minimum_interval=30", "default_status='RUNNING'", "retries_per_key='3'", "jobs=job")
    first = AUTHOR.count("\n") + 1
    lines = [
        f"{decorator}, {option})"
        for decorator in ("sensor('load'", "s3_sensor('bucket'", "asset_sensor(AssetKey('a')")
        for option in options
    ]
    source = AUTHOR.replace(
        "    ConfigurableResource,\n", "    AssetKey,\n    ConfigurableResource,\n    asset_sensor,\n", 1
    )

    found = errors(tmp_path, source + "\n".join(lines))

    assert [line for line, _ in found] == [*range(first + 2, first + 2 + len(lines))]
    assert 'Unexpected keyword argument "minimum_interval" for "sensor"' in found[0][1]


def test_each_wrong_return_type_is_an_error_at_its_own_sensor(tmp_path: Path) -> None:
    for decorator in ("@sensor(job=job)", '@s3_sensor("bucket", job=job)'):
        source = AUTHOR
        places = {}
        for number, (what, (annotation, body)) in enumerate(WRONG.items()):
            first = source.count("\n") + 2
            source += f"\n{decorator}\ndef wrong_{number}() {annotation}:\n    {body}\n"
            places[what] = range(first, first + 3)

        found = errors(tmp_path, source)

        assert {
            what: sum(line in place for line, _ in found) for what, place in places.items()
        } == dict.fromkeys(WRONG, 1)
        assert len(found) == len(WRONG)
