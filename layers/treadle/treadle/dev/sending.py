"""The console's operations of `treadle dev`: events that a developer sends, to see what happens."""

from datetime import UTC, datetime
from http import HTTPStatus

from treadle.adapters.events import parse_sensor_event, parse_stream_record
from treadle.console.api import ApiRequest, Json, Operation, Schema
from treadle.console.routes.params import TIME_SCHEMA, parsed_time
from treadle.console.schemas import KEY, TEXT, list_of, record
from treadle.definitions.asset_key import AssetKey
from treadle.definitions.assets import AssetMaterialization
from treadle.definitions.errors import CommandRefusedError, TreadleError
from treadle.definitions.status import DagsterRunStatus
from treadle.dev.files import store
from treadle.dev.jobs import JobDouble
from treadle.dev.project import DevProject
from treadle.engine.identity import timestamp
from treadle.engine.tick.schedule import deadline_message

PLACE = "/api/test-events"
_STATUSES = [DagsterRunStatus.SUCCESS.value, DagsterRunStatus.FAILURE.value]
_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 512}


class EventSender:
    """Sends test events to the sensors of a project.

    Args:
        project: the project.
    """

    def __init__(self, project: DevProject) -> None:
        self._project = project

    def operations(self) -> tuple[Operation, ...]:
        """Return the operations of the console's API."""
        return (
            Operation(
                "GET",
                PLACE,
                "What a test event may name: buckets, jobs, and sensors of deadlines.",
                self._targets,
                record({name: list_of(TEXT) for name in ("buckets", "jobs", "deadlines")}),
            ),
            Operation(
                "POST",
                PLACE,
                "Send a test event: an object, a run of a job, a materialization, a deadline, or any event.",
                self._send,
                record({"sent": TEXT}),
                body={**record(_EVENTS, required=()), "minProperties": 1, "maxProperties": 1},
                refusals={
                    HTTPStatus.CONFLICT: "There is no such bucket, job or sensor, or the event is malformed."
                },
            ),
        )

    def _targets(self, request: ApiRequest) -> Json:
        del request
        engine = self._project.engine
        loaded = [each.function.loaded for each in list(engine.sensors.values())]
        return {
            "buckets": sorted(self._project.buckets.folders),
            "jobs": sorted(engine.jobs),
            "deadlines": sorted(each.name for each in loaded if each and each.kind == "deadline"),
        }

    def _send(self, request: ApiRequest) -> Json:
        [(kind, given)] = request.body.items()
        try:
            if kind == "object":
                return self._object(given)
            if kind == "run":
                return self._run(given)
            if kind == "asset":
                return self._asset(request, given)
            if kind == "deadline":
                return self._deadline(request, given)
            return self._event(given)
        except CommandRefusedError:
            raise
        except TreadleError as error:
            raise CommandRefusedError(str(error)) from error

    def _object(self, given: Json) -> Json:
        bucket, key, content = given["bucket"], given["key"], given["content"]
        store(self._project.buckets.folders, bucket, key, lambda path: path.write_text(content))
        return {"sent": f"Stored s3://{bucket}/{key}."}

    def _run(self, given: Json) -> Json:
        job, fails = given["job"], given["status"] == DagsterRunStatus.FAILURE.value
        self._project.engine.start_job(job, JobDouble(0, fails))
        return {"sent": f"Started job {job}, which ends with {given['status']}."}

    def _asset(self, request: ApiRequest, given: Json) -> Json:
        key = AssetKey.from_user_string(given["asset_key"])
        made = AssetMaterialization(key, metadata=given["metadata"], partition=given["partition"] or None)
        self._project.engine.report_asset(made, datetime.fromtimestamp(request.now / 1000, UTC))
        return {"sent": f"Reported asset {given['asset_key']}."}

    def _deadline(self, request: ApiRequest, given: Json) -> Json:
        name, at = given["sensor"], parsed_time(request, given["at"])
        queue = self._project.engine.queues.get(name)
        if queue is None:
            msg = f"There is no sensor {name!r}. Choose one of the list."
            raise CommandRefusedError(msg)
        queue.send([deadline_message(at)])
        return {"sent": f"Sent the deadline {timestamp(at)} to {name}."}

    def _event(self, given: Json) -> Json:
        records = given.get("Records")
        # A sample event has a list of one record, as Lambda receives it.
        sent = records[0] if isinstance(records, list) and len(records) == 1 else given
        is_record = isinstance(sent, dict) and "eventSourceARN" in sent
        parsed = parse_stream_record(sent) if is_record else parse_sensor_event(given)
        self._project.engine.send(sent)
        return {"sent": f"Sent {parsed.summary}."}


_EVENTS = {
    "object": record(
        {"bucket": _NAME, "key": KEY, "content": {"type": "string", "default": ""}},
        required=("bucket", "key"),
    ),
    "run": record({"job": _NAME, "status": {"enum": _STATUSES}}),
    "asset": record(
        {
            "asset_key": KEY,
            "partition": {"type": "string", "default": ""},
            "metadata": {"type": "object", "default": {}},
        },
        required=("asset_key",),
    ),
    "deadline": record({"sensor": _NAME, "at": TIME_SCHEMA}),
    "event": {
        "type": "object",
        "description": "The event, as EventBridge delivers it, or a record, as a stream does.",
    },
}
