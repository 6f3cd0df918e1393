"""`make verify-aws`: runs the rows of the start contract on a real account, for the resources that are named.

It starts one small run of each job that an environment variable names, asks for the same start once more,
and waits for the end. What runs is the caller's, with the caller's credentials.
"""

import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console

from tools.project import run_tool
from treadle.adapters.targets.registry import LazyTargets
from treadle.definitions.canonical import canonical_json
from treadle.definitions.errors import LaunchError
from treadle.ports.launching import JobSettings, Start, Target

console = Console(highlight=False, soft_wrap=True)

PREFIX = "TREADLE_VERIFY_"
LISTING_SECONDS = 60
"""LAUNCH gives up looking after so long, so an execution must be listed by then."""

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
"""For each kind the variable that names what is started, and the options that have variables of their own."""


class BrokenPromiseError(Exception):
    """A target did not keep to its row."""


@dataclass(frozen=True, slots=True)
class VariableSettings(JobSettings):
    """A job whose settings come from environment variables, so that what is missing is named by them."""

    def parameter_of(self, option: str) -> str:
        """The variable that gives an option."""
        return variable_of(self.target, option)


def variable_of(kind: str, option: str) -> str:
    """The environment variable of a kind's option: `…_BATCH_QUEUE`."""
    return f"{PREFIX}{kind}_{option}".upper()


def settings_of(environment: Mapping[str, str]) -> list[VariableSettings]:
    """What there is to be started, by the variables that are set."""
    found = []
    for kind, (name, options) in ROWS.items():
        address = environment.get(PREFIX + name, "").strip()
        given = {option: environment.get(variable_of(kind, option), "") for option in options}
        if address:
            found.append(VariableSettings(f"verify_{kind}", kind, address, PREFIX + name, given))
    return found


def start_of(settings: JobSettings) -> Start:
    """A start that was never made before."""
    run_id, now = str(uuid.uuid4()), time.time_ns() // 1_000_000
    launch_id, config = f"{run_id}-1", canonical_json({"verify": settings.target})
    payload = canonical_json({"launch_id": launch_id, "run_config": {"verify": settings.target}})
    return Start(settings, launch_id, run_id, config, {"treadle": "verify"}, payload, now)


def verify(target: Target, start: Start) -> list[str]:
    """Start, lose the answer, and find out as LAUNCH would; what was seen, in words.

    Raises:
        BrokenPromiseError: if another execution was started, or the first cannot be found.
        LaunchError: if the target refuses.
    """
    first = target.start(start)
    seen = [f"started {first.external_id}"]
    contract = target.contract
    if contract.token_ms is not None:
        again = target.start(start)
        if again.external_id != first.external_id:
            msg = f"the same start again made {again.external_id} after {first.external_id}"
            raise BrokenPromiseError(msg)
        seen.append("the same start again found it")
    elif contract.listing_ms is not None:
        seen.append(f"listed by its launch id after {_listed_after(target, start, first.external_id):.0f} s")
    else:
        seen.append("taken; nothing more is promised")
    if contract.describes:
        seen.append(_end_of(target, first.external_id))
    return seen


def _listed_after(target: Target, start: Start, external_id: str) -> float:
    began = time.monotonic()
    while True:
        found, waited = target.resolve(start), time.monotonic() - began
        if found is not None and found.external_id == external_id:
            return waited
        if found is not None or waited >= LISTING_SECONDS:
            msg = f"{external_id} is not what the listing shows after {waited:.0f} s: {found}"
            raise BrokenPromiseError(msg)
        time.sleep(POLL_SECONDS)


def _end_of(target: Target, external_id: str) -> str:
    until = time.monotonic() + END_SECONDS
    while True:
        execution = target.describe(external_id, "")
        if execution.status.is_finished:
            reason = f": {execution.failure.error} {execution.failure.cause}" if execution.failure else ""
            return f"ended as {execution.status}{reason}"
        if time.monotonic() >= until:
            return f"still {execution.status} after {END_SECONDS} s; look at it"
        time.sleep(POLL_SECONDS)


def explain() -> None:
    """Say what to set."""
    console.print("Nothing to verify: name what may be started, in an account where that does no harm.")
    for kind, (name, options) in ROWS.items():
        needs = "".join(f" {variable_of(kind, option)}" for option in options)
        console.print(f"  {kind:15} {PREFIX}{name}{needs}", markup=False)
    console.print(
        "Credentials and Region are taken as by any AWS tool; docs/guide/add-a-target.md says more."
    )


def main() -> int:
    """Verify what is named; 0 if every row held, 1 if one did not, 2 if none is named."""
    jobs = settings_of(os.environ)
    if not jobs:
        explain()
        return 2
    targets, broken = LazyTargets(), 0
    for settings in jobs:
        try:
            words = "; ".join(verify(targets[settings.target], start_of(settings)))
        except (BrokenPromiseError, LaunchError) as error:
            broken += 1
            words = f"NOT KEPT: {error}"
        console.print(f"{settings.target:15} {words}", markup=False)
    return 1 if broken else 0


if __name__ == "__main__":
    run_tool(main)
