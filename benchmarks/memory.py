"""The peak memory of each function with its largest input: the deployed handlers, with their layers.

`python -m benchmarks.memory` prints it, and fails unless all are below the template's memory size. Each function runs
in its own process, with DynamoDB Local and a simulation of S3, SQS and Step Functions. The memory of Lambda's runtime
is not included; a function that only imports boto3 is shown for comparison.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.cold_start import ENGINE, IDLE, TICK, functions, message, stored_in, variables
from benchmarks.cold_start import function as built
from benchmarks.figures import Figure, report_figures
from benchmarks.known_keys import tables_with_claimed_keys
from benchmarks.simulated_aws import SimulatedAws, simulated_aws
from tests.support.engine import ARN, JOB, NAMESPACE
from tests.support.registry import copied
from tests.support.streams import as_record
from tests.support.tables import create_tables
from tests.template.engine_model import read_engine
from tools.built import BuiltFunction
from tools.dynamodb_local import dynamodb_local
from tools.project import ROOT, VENV_BIN, ToolError, local_aws, run_tool
from treadle.adapters.dynamodb.runs import _item
from treadle.adapters.dynamodb.tables import DynamoStores, TableNames
from treadle.adapters.system import RandomTokens, SystemClock
from treadle.engine.dispatch.chunks import chunk_count
from treadle.engine.messages import ChunkRequest
from treadle.model.runs import Run
from treadle.model.targets import JobSettings

RUNS, DUE = 10_000, 500
BATCH = {"launch": 10, "record": 10, "publish": 100}

RUNNER = """
import json, re, sys
from app import handler

class Context:
    function_name, memory_limit_in_mb, invoked_function_arn, aws_request_id = "bench", 256, "arn", "id"

    def get_remaining_time_in_millis(self):
        return 60_000

for event in json.load(open(sys.argv[1])):
    handler(event, Context())
# Not getrusage: it includes the process before exec.
print("PEAK", int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024, file=sys.stderr)
"""

MANY = f"""
from treadle import RunRequest, evaluator, sensor


@sensor(job_name="{JOB}")
def watch():
    return [
        RunRequest(
            key,
            {{"bucket": "treadle-watched-bucket", "key": key, "etag": f"{{number:032x}}", "size": 1042}},
        )
        for number, key in enumerate(f"s3://watched/incoming/part-{{n:05d}}.csv#e" for n in range({RUNS}))
    ]


handler = evaluator(watch)
"""

SWEEP = f"""
from treadle import RunRequest, evaluator, s3_sensor


@s3_sensor(job_name="{JOB}")
def sweep():
    return RunRequest()


handler = evaluator(sweep)
"""


def tick(minute: int) -> dict[str, Any]:
    """Return an event of the schedule."""
    return {**TICK, "nominal_time": f"2026-11-22T18:{minute:02d}:00Z"}


def peak(made: BuiltFunction, events: list[Any], given: Mapping[str, str]) -> float:
    """Return the peak memory, in MB, of a process that handles the events in sequence."""
    path = [str(made.code), *(str(layer / "python") for layer in made.layers)]
    names = {"AWS_LAMBDA_FUNCTION_NAME": made.logical_id, "POWERTOOLS_SERVICE_NAME": "treadle"}
    environment = {**given, **names, "PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(events, file)
        file.flush()
        done = subprocess.run(
            [str(VENV_BIN / "python"), "-c", RUNNER, file.name],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode or "PEAK" not in done.stderr:
        raise ToolError(f"{made.logical_id} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return float(done.stderr.rpartition("PEAK")[2])


def batch(bodies: list[Any]) -> dict[str, Any]:
    """Return a batch of messages."""
    return {
        "Records": [{**message(body)["Records"][0], "messageId": str(n)} for n, body in enumerate(bodies)]
    }


class Measurement:
    """Measures each function with its largest input, in the order of the flow.

    Args:
        folder: the folder for code and layers.
        tables: the names of the tables.
        given: the functions' environment.
        aws: the simulation of the other services.
    """

    def __init__(self, folder: Path, tables: TableNames, given: Mapping[str, str], aws: SimulatedAws) -> None:
        self._made = {name: made for name, (made, _) in functions(folder).items()}
        self._folder, self._tables, self._given, self._aws = folder, tables, given, aws
        self._stores = DynamoStores(tables, RandomTokens(), _Blobs(aws))

    def peaks(self) -> dict[str, float]:
        """Return the peak memory in MB, by input."""
        found = {
            "a function that imports boto3, and reads an item": peak(self._made["least"], [{}], self._given)
        }
        found["evaluator: a tick that finds nothing"] = peak(
            self._evaluator("idle", IDLE), [TICK], self._given
        )
        found[f"evaluator: {RUNS:,} new requests"] = peak(
            self._evaluator("watch", MANY), [tick(0)], self._given
        )
        found[f"DISPATCH: a chunk of {RUNS:,} requests"] = self._dispatch()
        found["LAUNCH: a batch of ten"] = peak(
            self._made["launch"], [batch(self._aws.messages[: BATCH["launch"]])], self._given
        )
        found["RECORD: a batch of ten"] = self._record()
        found["PUBLISH: a batch of a hundred"] = self._publish()
        found[f"RECONCILE: {DUE:,} runs whose launch was lost"] = self._reconcile()
        with tables_with_claimed_keys(0) as (endpoint, [tables]):
            found[f"evaluator: {RUNS:,} known keys, read and cached"] = peak(
                self._evaluator("known", MANY),
                [tick(1), tick(2)],
                {**self._given, **stored_in(tables, endpoint)},
            )
        found["evaluator: a tick of a sweep"] = peak(self._evaluator("sweep", SWEEP), [tick(0)], self._given)
        return found

    def _evaluator(self, name: str, code: str) -> BuiltFunction:
        place = self._folder / f"memory-{name}"
        place.mkdir()
        (place / "app.py").write_text(code)
        return built(name, place, self._made["evaluator"].layers)

    def _dispatch(self) -> float:
        [committed] = self._stores.ticks.latest("watch", 2)
        assert len(committed.requests) == RUNS
        of = chunk_count(committed)
        return peak(
            self._made["dispatch"],
            [batch([ChunkRequest(committed.sensor, committed.tick_id, of - 1, of).to_json()])],
            self._given,
        )

    def _record(self) -> float:
        event = json.loads((ROOT / "events" / "record-execution-failed.json").read_text())
        body = json.loads(event["Records"][0]["body"])
        return peak(self._made["record"], [batch([body] * BATCH["record"])], self._given)

    def _reconcile(self) -> float:
        for number in range(DUE):
            run = Run(f"due-{number}", JOB, "watch", None, "tick", "{}", {}, 1, next_at=1)
            self._stores.runs.create(run)
        before = len(self._aws.messages)
        made = built("reconcile", ROOT / "functions" / "engine" / "reconcile", self._made["evaluator"].layers)
        found = peak(made, [{"treadle": "reconcile"}], self._given)
        assert len(self._aws.messages) - before == DUE
        return found

    def _publish(self) -> float:
        sent = [str(each["run_id"]) for each in self._aws.messages[: BATCH["publish"]]]
        images = [as_record(_item(run, run.revision)) for run in self._stores.runs.get_many(sent).values()]
        records = [{**image, "eventID": str(number)} for number, image in enumerate(images)]
        for record in records:
            record["dynamodb"]["SequenceNumber"] = record["eventID"]
        return peak(self._made["publish"], [{"Records": records}], self._given)


class _Blobs:
    """The blobs in the simulated bucket."""

    def __init__(self, aws: SimulatedAws) -> None:
        self._aws = aws

    def put(self, key: str, body: bytes) -> None:
        self._aws.objects[f"/outcomes/{key}"] = body

    def get(self, key: str) -> bytes:
        return self._aws.objects[f"/outcomes/{key}"]

    def address(self, key: str) -> str:
        return f"s3://outcomes/{key}"

    def exists(self, key: str) -> bool:
        return f"/outcomes/{key}" in self._aws.objects


def given_size() -> int:
    """Return the functions' memory size in the engine's template, in MB."""
    return int(read_engine().section("Globals")["Function"]["MemorySize"])


def measure() -> list[Figure]:
    """Measure all functions."""
    with (
        tempfile.TemporaryDirectory() as folder,
        dynamodb_local() as endpoint,
        simulated_aws() as aws,
        patch.dict(os.environ, local_aws(endpoint), clear=True),
    ):
        tables = create_tables()
        jobs = [JobSettings(JOB, "step_functions", ARN, "JobStateMachineArn")]
        registry = copied(ENGINE, SystemClock().now(), {"watch": [JOB]}, jobs)
        assert DynamoStores(tables, RandomTokens()).registry.replace(registry)
        ours = {
            "AWS_ENDPOINT_URL": aws.endpoint,
            "AWS_ENDPOINT_URL_DYNAMODB": endpoint,
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "TREADLE_OUTCOMES_BUCKET": "outcomes",
            "TREADLE_NAMESPACE": NAMESPACE,
            "TREADLE_QUEUE_URL": f"{aws.endpoint}/000000000000/queue",
            "TREADLE_LAUNCH_QUEUE_URL": f"{aws.endpoint}/000000000000/launch",
            "TREADLE_S3_BUCKET": "watched",
            "TREADLE_S3_PREFIX": "in/",
            "TREADLE_S3_SUFFIX": "",
            "TREADLE_S3_IDENTITY": "etag",
            "TREADLE_S3_START_FROM": "beginning",
        }
        given = {**variables(tables, endpoint), **ours}
        peaks = Measurement(Path(folder), tables, given, aws).peaks()
    goal = given_size()
    return [Figure(name, megabytes, "MB", goal) for name, megabytes in peaks.items()]


def main() -> int:
    """Measure and print; return 1 if a goal is missed."""
    return report_figures("Peak memory of each function, as deployed", measure())


if __name__ == "__main__":
    run_tool(main)
