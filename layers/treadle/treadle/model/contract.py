"""The contract between an engine and its projects: what a project knows about the engine it uses.

The engine writes it as one Systems Manager parameter of type StringList. A project reads it as one template
parameter of type `AWS::SSM::Parameter::Value<List<String>>` and takes the parts with `!Select`, by their
index in `PARTS`.
"""

from collections.abc import Mapping

from treadle.definitions.errors import DeploymentError
from treadle.model.registry import CONTRACT, SERVED, path_of

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
"""The parts of a contract. Their order is fixed, as templates use the indexes; new parts are appended.

`engine_id` differs for each engine stack, also for one that is deployed again under the same name;
`namespace` is the whole namespace of run ids; the prefix of a project's log groups is `log_group_prefix`
followed by the project's name; `stack` is the engine's stack; the roles of jobs have the path `job_role_path`
and trust the roles that match `engine_roles`; operators invoke `reconcile_function` for commands that need
the role of a job.
"""


def parameter_of(engine: str, version: int = CONTRACT) -> str:
    """Return the name of the parameter that holds an engine's contract."""
    return f"{path_of(engine)}v{version}"


def parse_contract(text: str) -> Mapping[str, str]:
    """Parse a contract into its parts by name; one of the previous version lacks the parts added since.

    Args:
        text: the parameter's value.

    Raises:
        DeploymentError: if a part is missing, or the contract's version is not supported.
    """
    values = text.split(",")
    if values[0] not in set(map(str, SERVED)):
        served = " and ".join(map(str, sorted(SERVED)))
        msg = (
            f"The engine's contract cannot be read: its version is {values[0]!r}, but this code "
            f"supports {served}. Use the version of Treadle that the engine was deployed with."
        )
        raise DeploymentError(msg)
    if values[0] == str(CONTRACT) and len(values) < len(PARTS):
        msg = (
            f"The engine's contract cannot be read: it has {len(values)} parts; "
            f"{PARTS[len(values)]} is missing. Deploy the engine with this version of Treadle."
        )
        raise DeploymentError(msg)
    return dict(zip(PARTS, values, strict=False))
