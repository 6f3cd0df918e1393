"""What can be asked of the records and of the deployment: why something did or did not run, and what is wrong."""

from http import HTTPStatus

from aws_lambda_powertools.event_handler.exceptions import BadRequestError

from treadle.console.asking import NAMES, Asked, Json, Operation
from treadle.console.routes.missing import not_found
from treadle.console.schemas import KEY, list_of, record
from treadle.console.shapes import shape
from treadle.operate.findings import Finding
from treadle.operate.moments import parse_moment
from treadle.operate.stories import Story
from treadle.operate.views import plain_json
from treadle.operate.why import Subject

STORY = shape(Story)


def why(asked: Asked) -> Json:
    """Why something did or did not run."""
    query = asked.query
    subjects = [name for name in ("key", "object", "run", "at") if name in query]
    if len(subjects) != 1:
        raise BadRequestError("Ask for one of key, object, run and at.")
    with not_found():
        sensor = query.get("sensor") or _sensor_of(asked)
        subject = Subject(query.get("key"), query.get("object"), query.get("run"), _moment(asked))
        told: Json = plain_json(asked.parts.why.explain(sensor, subject))
    return told


def doctor(asked: Asked) -> Json:
    """What is wrong."""
    return {"findings": plain_json(asked.parts.doctor.examine())}


def _sensor_of(asked: Asked) -> str:
    """The sensor that asked for the run in question; of anything else it must be said."""
    if "run" not in asked.query:
        raise BadRequestError("Say of which sensor.")
    return asked.parts.runs.get(asked.query["run"]).sensor


def _moment(asked: Asked) -> int | None:
    text = asked.query.get("at")
    if text is None:
        return None
    moment = parse_moment(text, asked.now)
    if moment is None:
        raise BadRequestError("That is no time such as 2026-11-28T06:00:00Z, and no time ago such as 2h.")
    return moment


OPERATIONS = (
    Operation(
        "GET",
        "/api/why",
        "Why a run key, an object or a run did or did not run, or what happened at a time; step by step.",
        why,
        STORY,
        query={
            "sensor": NAMES["sensor"],
            "key": KEY,
            "object": {**KEY, "pattern": "^s3://", "description": "Such as s3://bucket/key."},
            "run": NAMES["run_id"],
            "at": {**KEY, "description": "Such as 2026-11-28T06:00:00Z, or 2h for 2 hours ago."},
        },
        refusals={
            HTTPStatus.NOT_FOUND: "There is no such sensor or run, or the sensor watches no bucket.",
            HTTPStatus.BAD_GATEWAY: "The bucket may not be looked at.",
        },
    ),
    Operation(
        "GET",
        "/api/doctor",
        "What is wrong with the deployment, and what to do about it; what may not be looked at is said as well.",
        doctor,
        record({"findings": list_of(shape(Finding))}),
    ),
)
