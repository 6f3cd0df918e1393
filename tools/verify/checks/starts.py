"""The start contract of each target type, with a job that the check creates or one that a variable names."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tools.verify.account import Account
from tools.verify.checks.functions import NOTHING
from tools.verify.lab import DidNotHoldError, Lab, NotTriedError
from tools.verify.model import Check
from tools.verify.start_contracts import (
    PREFIX,
    ROWS,
    VariableSettings,
    end_of,
    settings_of,
    start_of,
    variable_of,
    verify,
)
from tools.verify.templates import (
    Part,
    arn_of,
    document,
    function,
    queue,
    ref,
    role,
    role_of_functions,
    template,
)
from treadle.adapters.targets.registry import LazyTargets
from treadle.definitions.errors import LaunchError
from treadle.definitions.status import DagsterRunStatus

SOURCES: Mapping[str, str] = {
    "step_functions": "https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html",
    "glue": "https://docs.aws.amazon.com/glue/latest/webapi/API_GetJobRuns.html",
    "batch": "https://docs.aws.amazon.com/batch/latest/APIReference/API_ListJobs.html",
    "ecs": "https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html",
    "lambda": "https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html",
    "sqs": "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html",
    "eventbridge": "https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html",
}

NOT_LOCAL: Mapping[str, str] = {"ecs": "the local cloud honors no client tokens of ECS"}

STOPPED = "https://docs.aws.amazon.com/step-functions/latest/apireference/API_StopExecution.html"

MACHINE = '{"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}'
WAITING = '{"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 3600, "End": true}}}'


def machine(_: Account, definition: str = MACHINE) -> Part:
    """Return a state machine, by default one that succeeds at once."""
    trust = document(
        {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    )
    made = {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {"DefinitionString": definition, "RoleArn": arn_of("Role")},
    }
    return template({"Role": role(trust), "Job": made}, {"Address": ref("Job")})


def doing_nothing(_: Account) -> Part:
    """Return a function that returns."""
    resources = {"Role": role_of_functions(), "Job": function(NOTHING, "Role")}
    return template(resources, {"Address": arn_of("Job")})


def receiving(_: Account) -> Part:
    """Return a queue."""
    return template({"Job": queue()}, {"Address": arn_of("Job")})


def bus(_: Account) -> Part:
    """Return a bus."""
    made = {"Type": "AWS::Events::EventBus", "Properties": {"Name": ref("AWS::StackName")}}
    return template({"Job": made}, {"Address": arn_of("Job")})


OWN: Mapping[str, Callable[[Account], Part]] = {
    "step_functions": machine,
    "lambda": doing_nothing,
    "sqs": receiving,
    "eventbridge": bus,
}
"""The target types for which a check creates its job."""

OPTIONS: Mapping[str, Mapping[str, str]] = {
    "eventbridge": {"source": "treadle-verify", "detail_type": "Verification"}
}


def job_of(kind: str, environment: Mapping[str, str], outputs: Mapping[str, str]) -> VariableSettings:
    """Return the job to start: named by variables, or else created by the check.

    Args:
        kind: of the target.
        environment: the process's.
        outputs: of the check's stack.

    Raises:
        NotTriedError: neither exists; the message names the variables.
    """
    named = [each for each in settings_of(environment) if each.target == kind]
    if named:
        return named[0]
    variable, options = ROWS[kind]
    if address := outputs.get("Address"):
        return VariableSettings(f"verify_{kind}", kind, address, PREFIX + variable, OPTIONS.get(kind, {}))
    names = [PREFIX + variable, *(variable_of(kind, option) for option in options)]
    raise NotTriedError(f"no job is named: set {', '.join(names)}, in an account where a run does no harm")


def contract(kind: str) -> Callable[[Lab], str]:
    """Return a function that checks the start contract of a target type.

    Args:
        kind: of the target.
    """

    def run(lab: Lab) -> str:
        settings = job_of(kind, os.environ, lab.outputs)
        targets: Any = LazyTargets()
        try:
            return "; ".join(verify(targets[kind], start_of(settings)))
        except LaunchError as error:
            raise DidNotHoldError(f"the target refuses: {error}") from error

    return run


def stopped(lab: Lab) -> str:
    """Stop an execution, with a reason, and wait for its end."""
    settings = VariableSettings("verify_stop", "step_functions", lab.outputs["Address"], "")
    target = LazyTargets()["step_functions"]
    reason = "stopped by a check"
    try:
        begun = target.start(start_of(settings))
        target.cancel(begun.external_id, "", reason)
        target.cancel(begun.external_id, "", reason)  # RECONCILE repeats it until the end is reported.
        ended = end_of(target, begun.external_id)
    except LaunchError as error:
        raise DidNotHoldError(f"the target refuses: {error}") from error
    if (
        ended.status is not DagsterRunStatus.CANCELED
        or ended.failure is None
        or ended.failure.cause != reason
    ):
        raise DidNotHoldError(f"the execution is {ended.status}: {ended.failure}")
    return f"stopped twice, and ended as {ended.status} with the reason"


STARTS = tuple(
    Check(
        f"start-{kind.replace('_', '-')}",
        f"A start of the kind {kind} that is sent twice, or listed, is one execution, and its end can be queried",
        "the start contract in docs/guarantees.md",
        SOURCES[kind],
        contract(kind),
        OWN.get(kind),
        not_local=NOT_LOCAL.get(kind, ""),
        dollars=0.0005 if kind in OWN else 0,
    )
    for kind in ROWS
)
"""One check for each kind of target."""

CHECKS = (
    *STARTS,
    Check(
        "stop-step-functions",
        "An execution that is stopped, even twice, ends as ABORTED with the given cause",
        "runs over their maximum runtime, and `treadle run cancel`",
        STOPPED,
        stopped,
        partial(machine, definition=WAITING),
        dollars=0.0005,
    ),
)
