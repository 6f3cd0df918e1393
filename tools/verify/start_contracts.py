"""The rows of the start contract: start one small run, request the same start again, and await its end.

The target is named by an environment variable, and started with the caller's credentials; for some target
types a check creates it.
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tools.verify.lab import DidNotHoldError
from treadle.definitions.canonical import canonical_json
from treadle.model.targets import Execution, JobSettings, Start
from treadle.ports.targets import Target

PREFIX = "TREADLE_VERIFY_"
LISTING_SECONDS = 60
"""LAUNCH stops listing after this time, so an execution must be listed by then."""

END_SECONDS = 900
POLL_SECONDS = 2.0

ROWS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "step_functions": ("STEP_FUNCTIONS", ()),
    "glue": ("GLUE_JOB", ()),
    "batch": ("BATCH_JOB_DEFINITION", ("queue",)),
    "ecs": (
        "ECS_TASK_DEFINITION",
        ("cluster", "container", "subnets", "security_groups", "assign_public_ip", "launch_type"),
    ),
    "lambda": ("LAMBDA_FUNCTION", ()),
    "sqs": ("SQS_QUEUE", ()),
    "eventbridge": ("EVENT_BUS", ("source", "detail_type")),
}
"""The variable that names the target, and the options that have their own variables, by target type."""


@dataclass(frozen=True, slots=True)
class VariableSettings(JobSettings):
    """A job whose settings come from environment variables, by which messages name missing ones."""

    def missing(self, options: Sequence[str]) -> str:
        """Return which variables are missing, and what to do."""
        return f"there is no {', '.join(variable_of(self.target, each) for each in options)}. Set it and try again."


def variable_of(kind: str, option: str) -> str:
    """Return the environment variable of a target type's option: `…_BATCH_QUEUE`."""
    return f"{PREFIX}{kind}_{option}".upper()


def settings_of(environment: Mapping[str, str]) -> list[VariableSettings]:
    """Return the jobs to start, from the variables that are set."""
    found = []
    for kind, (name, options) in ROWS.items():
        address = environment.get(PREFIX + name, "").strip()
        given = {option: environment.get(variable_of(kind, option), "") for option in options}
        if address:
            found.append(VariableSettings(f"verify_{kind}", kind, address, PREFIX + name, given))
    return found


def start_of(settings: JobSettings) -> Start:
    """Return a start that was never made before."""
    run_id, now = str(uuid.uuid4()), time.time_ns() // 1_000_000
    launch_id, config = f"{run_id}-1", canonical_json({"verify": settings.target})
    payload = canonical_json({"launch_id": launch_id, "run_config": {"verify": settings.target}})
    return Start(settings, launch_id, run_id, config, {"treadle": "verify"}, payload, now)


def verify(target: Target, start: Start) -> list[str]:
    """Start, lose the response, and resolve the start as LAUNCH would; return what was observed, as text.

    Raises:
        DidNotHoldError: if another execution was started, or the first cannot be found.
        LaunchError: if the target refuses.
    """
    first = target.start(start)
    seen = [f"started {first.external_id}"]
    contract = target.contract
    if contract.token_ms is not None:
        again = target.start(start)
        if again.external_id != first.external_id:
            msg = f"the same start again made {again.external_id} after {first.external_id}"
            raise DidNotHoldError(msg)
        seen.append("the same start again found it")
    elif contract.listing_ms is not None:
        seen.append(f"listed by its launch id after {_listed_after(target, start, first.external_id):.0f} s")
    else:
        seen.append("taken; nothing more is promised")
    if contract.describes:
        seen.append(_end_shown(target, first.external_id))
    return seen


def _listed_after(target: Target, start: Start, external_id: str) -> float:
    began = time.monotonic()
    while True:
        found, waited = target.resolve(start), time.monotonic() - began
        if found is not None and found.external_id == external_id:
            return waited
        if found is not None or waited >= LISTING_SECONDS:
            msg = f"{external_id} is not what the listing shows after {waited:.0f} s: {found}"
            raise DidNotHoldError(msg)
        time.sleep(POLL_SECONDS)


def _end_shown(target: Target, external_id: str) -> str:
    execution = end_of(target, external_id)
    if not execution.status.is_finished:
        return f"still {execution.status} after {END_SECONDS} s; look at it"
    reason = f": {execution.failure.error} {execution.failure.cause}" if execution.failure else ""
    return f"ended as {execution.status}{reason}"


def end_of(target: Target, external_id: str) -> Execution:
    """Return an execution once it has ended, or as it is after a quarter of an hour.

    Args:
        target: where it runs.
        external_id: its id there.

    Raises:
        LaunchError: if the target does not answer.
    """
    until = time.monotonic() + END_SECONDS
    while True:
        execution = target.describe(external_id, "")
        if execution.status.is_finished or time.monotonic() >= until:
            return execution
        time.sleep(POLL_SECONDS)
