"""`make invoke`: runs one built function with a sample event, as Lambda would, and shows the result.

Its environment has, by increasing precedence: the template's literal values, those of the deployed function
if the local cloud is up, and events/env.json (the format of SAM's `--env-vars`).
"""

import argparse
import json
import os
from pathlib import Path

from rich.console import Console

from tools import built, runtime, stack
from tools.ministack import DEFAULT_PORT, LocalCloud, configured_port
from tools.project import ROOT, ToolError, local_aws, run_tool

console = Console(highlight=False, markup=False, soft_wrap=True)


def settings(path: Path, logical_id: str, cloud: LocalCloud) -> dict[str, str]:
    """Read a function's variables from a file in the format of SAM's `--env-vars`.

    That file is written for containers, from where this machine is `host.docker.internal`.
    """
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text())
        chosen = {**content.get("Parameters", {}), **content.get(logical_id, {})}
    except (ValueError, AttributeError, TypeError) as error:
        raise ToolError(f"{path} is not in the format of SAM's --env-vars: {error}") from error
    host = "host.docker.internal"
    values = {
        name: str(value).replace(f"{host}:{DEFAULT_PORT}", f"127.0.0.1:{cloud.port}")
        for name, value in chosen.items()
    }
    return {name: value.replace(host, "127.0.0.1") for name, value in values.items()}


def environment(function: built.BuiltFunction, chosen: dict[str, str], cloud: LocalCloud) -> dict[str, str]:
    """Return the whole environment of the function's process.

    Raises:
        ToolError: a variable's value is known only to the deployment, and there is none.
    """
    variables = dict(function.variables)
    missing = [name for name in function.unresolved if name not in chosen]
    if missing and cloud.is_up():
        name = stack.stack_name(function.build.folder, function.build.config_env)
        variables |= stack.function_environment(cloud.endpoint, name, function.logical_id)
    elif missing:
        raise ToolError(
            f"the local cloud is not up at {cloud.endpoint}, and events/env.json does not give {', '.join(missing)}.\n"
            "Start it (make up), or add them to events/env.json."
        )
    return {
        **local_aws(cloud.endpoint),
        **variables,
        **chosen,
        "AWS_LAMBDA_FUNCTION_NAME": function.logical_id,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout),
        "LAMBDA_TASK_ROOT": str(function.code),
        "PYTHONPATH": os.pathsep.join(
            [str(function.code), *(str(layer / "python") for layer in function.layers)]
        ),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def main() -> int:
    """Run `python -m tools.invoke`; return 1 if the function failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "function",
        help="logical id in template.yaml, engine/template.yaml or engine/console.yaml, for example NewObjects",
    )
    parser.add_argument("event", help="path of the event, for example events/x.json")
    options = parser.parse_args()
    if not options.function or not options.event:
        raise ToolError("say what to run: make invoke FUNCTION=NewObjects EVENT=events/x.json")
    cloud = LocalCloud(configured_port())
    function = built.read(options.function)
    try:
        event = Path(options.event).read_bytes()
        json.loads(event)
    except (OSError, ValueError) as error:
        raise ToolError(f"{options.event} cannot be read as an event: {error}") from error
    chosen = settings(ROOT / "events" / "env.json", options.function, cloud)
    done = runtime.run(function, event, environment(function, chosen, cloud))
    console.print(done.log.rstrip())
    console.print(f"\n{'ERROR' if done.failed else 'Response'}:\n{json.dumps(done.response, indent=2)}")
    return 1 if done.failed else 0


if __name__ == "__main__":
    run_tool(main)
