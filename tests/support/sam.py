"""SAM's own translator, which has a separate environment."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from tools.project import SAM

PYTHON = SAM.with_name("python")
_SCRIPT = """
import json, sys
import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

session = boto3.Session(region_name="us-east-1")
made = [Translator({}, Parser(), boto_session=session).translate(each, {}) for each in json.load(sys.stdin)]
json.dump([made[number]["Resources"] for number in range(len(made))], sys.stdout)
"""


def translated(templates: Sequence[Mapping[str, Any]]) -> list[dict[str, dict[str, Any]]]:
    """Return the resources that SAM makes of templates, by logical id.

    Args:
        templates: as data, in CloudFormation's long form.
    """
    packaged = json.loads(json.dumps(templates))
    for template in packaged:
        for each in template["Resources"].values():
            for name in {"CodeUri", "ContentUri"} & set(each.get("Properties", {})):
                each["Properties"][name] = "s3://bucket/key"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [PYTHON, "-c", _SCRIPT],
        input=json.dumps(packaged),
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made: list[dict[str, dict[str, Any]]] = json.loads(done.stdout)
    return made
