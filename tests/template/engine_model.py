"""engine/template.yaml as data, and helpers of its tests."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.policies import Deployed
from tests.template.model import ROOT, Template, _Loader

FOLDER = ROOT / "engine"
PATH = FOLDER / "template.yaml"
FUNCTION = "AWS::Serverless::Function"
ROLE = "AWS::IAM::Role"
POLICY = "AWS::IAM::ManagedPolicy"

WIDEST = {
    "EngineName": "e" * 32,
    "Namespace": "n" * 128,
    "AlarmTopicArn": f"arn:aws:sns:ap-southeast-2:123456789012:{'t' * 100}",
    "Monitoring": "debug",
    "JobAccounts": ",".join(["123456789012"] * 10),
    "JoinedAccounts": ",".join(["123456789012"] * 10),
    "PermissionsBoundaryArn": f"arn:aws:iam::123456789012:policy/{'b' * 100}",
    "KmsKeyArns": ",".join([f"arn:aws:kms:ap-southeast-2:123456789012:key/{'0' * 36}"] * 2),
}
"""Values of parameters that are as long as they come."""


def template_at(path: Path) -> Template:
    """Return a template as data."""
    return Template(yaml.load(path.read_text(), Loader=_Loader))


@cache
def read_engine() -> Template:
    """Return the engine's template."""
    return template_at(PATH)


def deployed(**given: str) -> Deployed:
    """Return the engine as it is deployed with some parameters."""
    return Deployed(read_engine(), given)


def statements(holder: str, engine: Deployed | None = None) -> list[dict[str, Any]]:
    """Return the statements of a role or a managed policy, as deployed."""
    found = engine or deployed()
    body = read_engine().section("Resources")[holder]["Properties"]
    documents = (
        [body["PolicyDocument"]]
        if "PolicyDocument" in body
        else [each["PolicyDocument"] for each in body["Policies"]]
    )
    return [each for document in documents for each in found.value(document["Statement"])]


def all_statements(engine: Deployed | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each statement of each role and managed policy, as deployed, with its holder's logical id."""
    template = read_engine()
    for holder in [*template.resources(ROLE), *template.resources(POLICY)]:
        for statement in statements(holder, engine):
            yield holder, statement


_TRANSFORM = """
import json, sys
import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

template = yaml_parse(sys.stdin.read())
for resource in template["Resources"].values():
    for name in {"CodeUri", "ContentUri"} & set(resource.get("Properties", {})):
        resource["Properties"][name] = "s3://bucket/key"
defaults = {name: each.get("Default", "") for name, each in template["Parameters"].items()}
session = boto3.Session(region_name="us-east-1")
json.dump(Translator({}, Parser(), boto_session=session).translate(template, defaults), sys.stdout)
"""


def transformed(path: Path) -> Mapping[str, Any]:
    """Return a template after the SAM transform, by the translator that comes with SAM."""
    python = ROOT / ".tools" / "sam" / "bin" / "python"
    done = subprocess.run(
        [str(python), "-c", _TRANSFORM],
        input=path.read_text(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found
