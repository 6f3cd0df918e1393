"""The duration of a cold start, from the function's start to its first response, under Lambda's runtime emulator.

`python -m benchmarks.cold_start` prints it for an evaluator whose sensor skips, for each component of the engine with a
message that needs almost no work, and for a function that only imports boto3, creates a DynamoDB client, and reads an
item. All of them use DynamoDB Local, with the layers as they are deployed, and are measured in turn.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.figures import Figure, ratio, report_figures
from tests.support.registry import copied
from tests.support.tables import create_tables
from tests.template.engine_model import read_engine
from tests.template.model import read
from tools import runtime
from tools.built import BUILDS, BuiltFunction
from tools.dynamodb_local import dynamodb_local
from tools.project import ROOT, VENV_BIN, ToolError, local_aws, run_tool
from treadle.adapters.dynamodb.tables import DynamoStores, TableNames
from treadle.adapters.system import RandomTokens, SystemClock
from treadle.model.runs import Run
from treadle.model.targets import JobSettings

ENGINE = "shop"
ROUNDS, ENGINE_ROUNDS = 12, 4
GOAL = 1.1
COMPARED = ("evaluator", "least")
DURATION = re.compile(r"\tDuration: ([0-9.]+) ms")
IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")
PACKAGES = (
    "app",
    "treadle",
    "aws_lambda_powertools",
    "pynamodb",
    "botocore",
    "urllib3",
    "dateutil",
    "jmespath",
    "six",
    "typing_extensions",
)

NAMES = {
    "least": "boto3, a client and a read",
    "evaluator": "evaluator of a sensor that finds nothing",
    **{
        name: f"{name}, one message that requests nothing new"
        for name in ("dispatch", "publish", "launch", "record")
    },
}

RUNTIME = ("awslambdaric", "boto3", "botocore", "dateutil", "jmespath", "s3transfer", "urllib3")

LEAST = """
import os
import boto3

table = boto3.client("dynamodb")


def handler(event, context):
    return table.get_item(TableName=os.environ["TREADLE_SENSORS_TABLE"], Key={"sensor": {"S": "idle"}}).get("Item")
"""

IDLE = """
from treadle import SkipReason, evaluator, sensor


@sensor(job_name="none")
def idle():
    return SkipReason("Nothing new.")


handler = evaluator(idle)
"""

TICK = {"treadle": "tick", "nominal_time": "2026-11-22T18:00:00Z"}
RUN_ID = "6f1b1cc1-9f2b-5f0d-9a38-3c6d6a0f2f3e"


def message(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a batch of one message."""
    [record] = json.loads((ROOT / "events" / "record-execution-failed.json").read_text())["Records"]
    return {"Records": [{**record, "body": json.dumps(body)}]}


def engine_events() -> dict[str, dict[str, Any]]:
    """Return an event for each component that needs almost no work."""
    return {
        "dispatch": {"Records": []},
        "publish": {"Records": []},
        "launch": message({"treadle": "launch", "run_id": RUN_ID, "attempt": 1, "job": "unknown"}),
        "record": json.loads((ROOT / "events" / "record-execution-failed.json").read_text()),
    }


def layers(folder: Path) -> tuple[Path, ...]:
    """Build the layers as SAM does."""
    built = []
    for name, target in (("deps", "build-DepsLayer"), ("treadle", "build-TreadleLayer")):
        made = folder / "layers" / name
        made.mkdir(parents=True)
        path = os.pathsep.join([str(VENV_BIN), os.environ.get("PATH", os.defpath)])
        subprocess.run(
            ["make", "--silent", target, f"ARTIFACTS_DIR={made}"],
            cwd=ROOT / "layers" / name,
            env={**os.environ, "PATH": path},
            check=True,
        )
        built.append(made)
    return tuple(built)


def function(name: str, code: Path, layered: tuple[Path, ...]) -> BuiltFunction:
    """Return a function with these layers."""
    return BuiltFunction(name, code, layered, "app.handler", 30, 256, {}, (), BUILDS[0])


def functions(folder: Path) -> dict[str, tuple[BuiltFunction, object]]:
    """Return each function and its event, by name."""
    layered = layers(folder)
    made: dict[str, tuple[BuiltFunction, object]] = {}
    for name, code, event, of in (("least", LEAST, {}, ()), ("evaluator", IDLE, TICK, layered)):
        place = folder / name
        place.mkdir()
        (place / "app.py").write_text(code)
        made[name] = (function(name, place, of), event)
    for name, event in engine_events().items():
        made[name] = (function(name, ROOT / "functions" / "engine" / name, layered), event)
    return made


def stored_in(tables: TableNames, endpoint: str) -> dict[str, str]:
    """Return the environment variables of the tables."""
    names = {f"TREADLE_{table.upper()}_TABLE": name for table, name in asdict(tables).items()}
    return {**names, "AWS_ENDPOINT_URL_DYNAMODB": endpoint}


def variables(tables: TableNames, endpoint: str) -> dict[str, str]:
    """Return the environment of every function; the names are the templates'."""
    names = {
        name
        for template in (read(), read_engine())
        for each in template.resources("AWS::Serverless::Function").values()
        for name in template.environment(each)
        if name.startswith("TREADLE_")
    }
    ticking = {
        "TREADLE_ENGINE": ENGINE,
        "TREADLE_INTERVAL_SECONDS": "0",
        "TREADLE_DEFAULT_STATUS": "RUNNING",
        "TREADLE_PAUSE_AFTER": "10",
    }
    unset = {"TREADLE_KIND"}
    unused = dict.fromkeys(names - unset, "0")
    return {**local_aws(endpoint), **unused, **stored_in(tables, endpoint), **ticking}


def compile_runtime() -> None:
    """Compile the packages of Lambda's runtime, as the runtime does."""
    packages = [str(Path(str(find_spec(name).origin)).parent) for name in RUNTIME]  # type: ignore[union-attr]
    subprocess.run([sys.executable, "-m", "compileall", "-q", *packages], check=True)


def milliseconds(made: BuiltFunction, event: object, given: Mapping[str, str]) -> float:
    """Return the time from the function's start to its response."""
    path = [str(made.code), *(str(layer / "python") for layer in made.layers)]
    environment = {
        **given,
        "AWS_LAMBDA_FUNCTION_NAME": made.logical_id,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(made.memory),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(made.timeout),
        "POWERTOOLS_SERVICE_NAME": "treadle",
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = runtime.run(made, json.dumps(event).encode(), environment)
    found = DURATION.search(done.log)
    if done.failed or found is None:
        raise ToolError(f"{made.logical_id} did not answer:\n{done.log}")
    return float(found[1])


def imports(made: BuiltFunction, given: Mapping[str, str]) -> list[Figure]:
    """Return what a function imports before its first event, by package: milliseconds by `-X importtime`."""
    path = [str(made.code), *(str(layer / "python") for layer in made.layers)]
    done = subprocess.run(
        [str(VENV_BIN / "python"), "-X", "importtime", "-c", "import app"],
        env={**given, "PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    taken: dict[str, list[float]] = {}
    for line in done.stderr.splitlines():
        if found := IMPORT.match(line):
            package = found[2].partition(".")[0]
            taken.setdefault(package if package in PACKAGES else "standard library", []).append(int(found[1]))
    ordered = sorted(taken.items(), key=lambda each: -sum(each[1]))
    return [Figure(f"{package}: {len(each)} modules", sum(each) / 1e3, "ms") for package, each in ordered]


def measure() -> tuple[list[Figure], list[Figure]]:
    """Measure the cold starts, and what an evaluator imports."""
    with tempfile.TemporaryDirectory() as folder, dynamodb_local() as endpoint:
        with patch.dict(os.environ, local_aws(endpoint), clear=True):
            tables = create_tables()
            run = Run(RUN_ID, "unknown", "idle", None, "tick", "{}", {}, 1_795_370_400_000)
            stores = DynamoStores(tables, RandomTokens())
            stores.runs.create(run)
            # Listed just now, so that RECONCILE does not read Parameter Store.
            jobs = [JobSettings("unknown", "step_functions", "", "UnknownStateMachineArn")]
            stores.registry.replace(copied(ENGINE, SystemClock().now(), {}, jobs))
        compile_runtime()
        given, made = variables(tables, endpoint), functions(Path(folder))
        taken: dict[str, list[float]] = {name: [] for name in made}
        for turn in range(ROUNDS):
            for name, (each, event) in made.items():
                if turn < ENGINE_ROUNDS or name in COMPARED:
                    taken[name].append(milliseconds(each, event, given))
        found = imports(made["evaluator"][0], given)
        sizes = [sum(path.stat().st_size for path in Path(folder, "layers").rglob("*") if path.is_file())]
    times = {name: statistics.median(each) for name, each in taken.items()}
    figures = [
        *(Figure(NAMES[name], times[name], "ms") for name in made),
        Figure(
            "evaluator, as a multiple of boto3 alone",
            ratio(*(taken[name] for name in COMPARED)),
            "times",
            GOAL,
        ),
        Figure("both layers, unpacked", sizes[0] / 1e6, "MB"),
    ]
    return figures, found


def main() -> int:
    """Measure and print; return 1 if a goal is missed."""
    figures, found = measure()
    missed = report_figures("Cold start, from the start of the function to its first response", figures)
    report_figures("What an evaluator imports before its first event", found)
    return missed


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    run_tool(main)
