"""The contract between an engine and its projects: what a project knows of the engine that it uses.

An engine writes it as one Systems Manager parameter of type StringList. A project has it as one template parameter
of type `AWS::SSM::Parameter::Value<List<String>>` and takes parts by `!Select`, by their places in `PARTS`.
"""

from collections.abc import Mapping

from treadle.definitions.errors import DeploymentError
from treadle.ports.registry import CONTRACT, SERVED, path_of

PARTS = (
    "version",
    "engine",
    "engine_id",
    "namespace",
    "sensors_table",
    "ticks_table",
    "runs_table",
    "events_table",
    "bus",
    "dead_letter_queue_url",
    "dead_letter_queue_arn",
    "payload_bucket",
    "record_queue_arn",
    "evaluator_policy",
    "run_reader_policy",
    "asset_reader_policy",
    "schedule_role",
    "log_group_prefix",
    "stack",
    "job_role_path",
    "engine_roles",
    "reconcile_function",
)
"""The parts in their order, which is fixed: a project has their places in its template. New ones are added at the end.

`engine_id` is another one for each engine stack, also for one that is deployed again under the same name; `namespace`
is the whole namespace of run ids; a project's log groups are `log_group_prefix` and the project's name; `stack` is the
engine's stack; the roles of jobs have the path `job_role_path`, and trust the roles that `engine_roles` matches;
operators invoke `reconcile_function` for what takes the role of a job.
"""


def parameter_of(engine: str, version: int = CONTRACT) -> str:
    """Name the parameter that holds an engine's contract.

    Args:
        engine: the engine's name.
        version: of the contract.
    """
    return f"{path_of(engine)}v{version}"


def parse_contract(text: str) -> Mapping[str, str]:
    """Read a contract: its parts by their names; one of the version before lacks those that came later.

    Args:
        text: the parameter's value.

    Raises:
        DeploymentError: if a part is missing, or it is of a version that is not served.
    """
    values = text.split(",")
    if values[0] not in set(map(str, SERVED)):
        served = " and ".join(map(str, sorted(SERVED)))
        msg = (
            f"The engine's contract cannot be read: its version is {values[0]!r}, and this code is for {served}. "
            "Use the version of Treadle that the engine was deployed with."
        )
        raise DeploymentError(msg)
    if values[0] == str(CONTRACT) and len(values) < len(PARTS):
        msg = (
            f"The engine's contract cannot be read: it has {len(values)} parts, and {PARTS[len(values)]} is missing. "
            "Deploy the engine with this version of Treadle."
        )
        raise DeploymentError(msg)
    return dict(zip(PARTS, values, strict=False))
