"""A project's template as it is deployed: after the SAM transform, with names of maximum length."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from treadle.adapters.targets.registry import KINDS
from treadle.cli.template_edit import load
from treadle.engine.record.arns import former_of, full_address
from treadle.model.contract import PARTS
from treadle.model.registry import JobEntry, PoolEntry, SensorEntry, parse_job, parse_pool, parse_sensor
from treadle.model.targets import UNANSWERING
from treadle.operate.limits import ACCOUNT, PARTITION, REGION, Deployed

PATH = Path(__file__).parents[2] / "template.yaml"
ENGINE = "e" * 32
"""The maximum length of an engine's name."""
NAMESPACE = f"{ACCOUNT}/{REGION}/{ENGINE}"
_TABLE = f"treadle-{ENGINE}-Table-XXXXXXXXXXXX"
_POLICY = f"arn:{PARTITION}:iam::{ACCOUNT}:policy/treadle/{ENGINE}/{REGION}/{'p' * 60}"
CONTRACT: Mapping[str, str] = {
    "version": "1",
    "engine": ENGINE,
    "engine_id": "0" * 36,
    "namespace": NAMESPACE,
    **{f"{name}_table": _TABLE for name in ("sensors", "ticks", "runs", "events")},
    "bus": f"treadle-{ENGINE}",
    "dead_letter_queue_url": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{'q' * 80}",
    "dead_letter_queue_arn": f"arn:{PARTITION}:sqs:{REGION}:{ACCOUNT}:{'q' * 80}",
    "payload_bucket": "b" * 63,
    "record_queue_arn": f"arn:{PARTITION}:sqs:{REGION}:{ACCOUNT}:{'r' * 80}",
    "evaluator_policy": f"{_POLICY}-evaluator",
    "run_reader_policy": f"{_POLICY}-runs",
    "asset_reader_policy": f"{_POLICY}-assets",
    "schedule_role": f"arn:{PARTITION}:iam::{ACCOUNT}:role/treadle/{ENGINE}/{REGION}/schedule/{'s' * 64}",
    "log_group_prefix": f"/treadle/{ENGINE}/",
    "stack": "t" * 32,
    "job_role_path": f"/treadle/{ENGINE}/{REGION}/job/",
    "reconcile_function": f"arn:{PARTITION}:lambda:{REGION}:{ACCOUNT}:function:{'f' * 64}",
    "engine_roles": f"arn:{PARTITION}:iam::{ACCOUNT}:role/treadle/{ENGINE}/{REGION}/engine/*",
}
"""An engine's contract with values of maximum length."""
GIVEN: Mapping[str, str | Sequence[str]] = {"Engine": [CONTRACT[part] for part in PARTS]}

Resources = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Project:
    """A project's template.

    Attributes:
        text: as written.
        deployed: as deployed.
    """

    text: str
    deployed: Deployed

    @property
    def template(self) -> dict[str, Any]:
        """The template as data."""
        return load(self.text)

    def of_type(self, kind: str) -> Resources:
        """Return the resolved properties of all resources of a type, by logical id."""
        found = {name: each for name, each in self.deployed.resources.items() if each.kind == kind}
        return {name: self.deployed.value(each.properties) for name, each in found.items()}

    def functions(self) -> Resources:
        """Return the resolved properties of each sensor's function, by the sensor's name."""
        functions = self.of_type("AWS::Serverless::Function").values()
        return {
            each["Tags"]["treadle:sensor"]: each for each in functions if "treadle:sensor" in each["Tags"]
        }

    def sensors(self) -> dict[str, SensorEntry]:
        """Return the sensors that it registers, as the engine reads them."""
        return {name: parse_sensor(name, text) for name, text in self._entries("sensors")}

    def jobs(self) -> dict[str, JobEntry]:
        """Return the jobs that it registers, as the engine reads them."""
        return {name: parse_job(name, text, frozenset(KINDS)) for name, text in self._entries("jobs")}

    def pools(self) -> dict[str, PoolEntry]:
        """Return the pools that it declares, as the engine reads them."""
        return {name: parse_pool(name, text) for name, text in self._entries("pools")}

    def unkept(self) -> dict[str, list[str]]:
        """Return the former addresses by job that no statement of this project's roles names."""
        roles = {
            self.deployed._getatt([name, "Arn"]): each
            for name, each in self.of_type("AWS::IAM::Role").items()
        }
        found = {
            name: [
                each
                for kind, each in former_of(entry.settings)
                if kind not in UNANSWERING
                and not _names(roles[entry.settings.role], full_address(kind, each, f"{ACCOUNT}/{REGION}"))
            ]
            for name, entry in self.jobs().items()
            if entry.settings.role in roles
        }
        return {name: addresses for name, addresses in found.items() if addresses}

    def _entries(self, what: str) -> list[tuple[str, str]]:
        beginning = f"/treadle/{ENGINE}/{what}/"
        entries = self.of_type("AWS::SSM::Parameter").values()
        return [
            (each["Name"].removeprefix(beginning), each["Value"])
            for each in entries
            if each["Name"].startswith(beginning)
        ]


def _names(role: Mapping[str, Any], address: str) -> bool:
    """Return whether a role has a statement on an address; policies elsewhere are not known."""
    statements = [
        each for policy in role.get("Policies", ()) for each in policy["PolicyDocument"]["Statement"]
    ]
    resources = [each["Resource"] for each in statements]
    flat = [part for each in resources for part in ([each] if isinstance(each, str) else each)]
    return not flat or any(fnmatchcase(address, part) for part in flat)


def project(path: Path = PATH) -> Project:
    """Return a project's template, the repository's own by default."""
    text = path.read_text()
    return Project(text, Deployed(load(text), GIVEN))
