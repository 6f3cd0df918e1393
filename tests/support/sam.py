"""SAM's own parts, which have an environment of their own."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
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

_LOCAL_SCRIPT = """
import json, sys
from samcli.commands.local.lib.local_lambda import LocalLambdaRunner
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider

template, name, file = sys.argv[1:]
provider = SamFunctionProvider(SamLocalStackProvider.get_stacks(template)[0])
function = provider.get(name)
runner = LocalLambdaRunner(None, provider, ".", None, env_vars_values=json.load(open(file)))
variables = runner._make_env_vars(function).resolve()
layers = [layer.codeuri for layer in function.layers]
json.dump({"code": function.codeuri, "layers": layers, "variables": variables}, sys.stdout)
"""


def local_invocation(template: Path, function: str, variables: Path) -> dict[str, Any]:
    """Return what `sam local invoke` puts into a function's container: the paths of code and layers, and the environment.

    Args:
        template: the built one.
        function: its logical id.
        variables: the file that is given as `--env-vars`.
    """
    found: dict[str, Any] = json.loads(_run(_LOCAL_SCRIPT, "", str(template), function, str(variables)))
    return found


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
    made: list[dict[str, dict[str, Any]]] = json.loads(_run(_SCRIPT, json.dumps(packaged)))
    return made


def _run(script: str, given: str, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [PYTHON, "-c", script, *arguments],
        input=given,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
