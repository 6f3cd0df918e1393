"""`make up` and `make down`: the local cloud with the engine, the console and the project deployed to it.

The cloud itself is in `tools.ministack`, building and deploying in `tools.stack`.
"""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from tools import stack
from tools.ministack import DEFAULT_PORT, PORT_VARIABLE, SERVER, LocalCloud, configured_port
from tools.processes import free_port
from tools.project import ENGINE, REGION, ROOT, VENV_BIN, run_tool

console = Console(highlight=False, soft_wrap=True)

JOBS = (
    "Jobs on it: Step Functions, Lambda and Glue's Python shell do their work; ECS tasks do with Docker. ECS without it,\n"
    "Batch and Spark on Glue do nothing and succeed. What is put on a queue or a bus, or sent to a function, ends once\n"
    "that is reported (docs/guide/local-cloud.md).\n"
)
"""How jobs run on the local cloud, by target type."""


@contextlib.contextmanager
def temporary_cloud(port: int | None = None, script: Path = SERVER) -> Iterator[LocalCloud]:
    """Run a separate local cloud, on a free port unless one is given, ended on leaving."""
    cloud = LocalCloud(port or free_port(), script)
    cloud.start()
    try:
        yield cloud
    finally:
        cloud.stop()


def up(cloud: LocalCloud) -> None:
    """Start the cloud unless it runs, build and deploy engine, console and project, and explain their use."""
    started = cloud.start(outlive=True)
    console.print(
        f"local cloud: {'started' if started else 'already running'} at {cloud.endpoint}, log in {cloud.log}"
    )
    console.print("building (sam build, in engine/ and here) …")
    stack.build_engine(cloud.endpoint)
    stack.build_console(cloud.endpoint)
    stack.build(cloud.endpoint)
    console.print("deploying (sam deploy, in engine/ and here) …")
    # The engine first, as the templates of the others read its contract.
    stack.deploy_engine(cloud.endpoint)
    stack.deploy_console(cloud.endpoint)
    stack.deploy(cloud.endpoint)
    stack.put_sample_object(cloud.endpoint)
    explain(cloud)


def explain(cloud: LocalCloud) -> None:
    """Print the stacks' outputs and how to reach them."""
    project, engine = stack.stack_name(), stack.stack_name(ENGINE)
    names = (engine, stack.stack_name(ENGINE, stack.CONSOLE_ENVIRONMENT), project)
    values: dict[str, str] = {}
    for each in names:
        console.print(f"Stack {each}")
        values = stack.outputs(cloud.endpoint, each)
        width = max(map(len, values), default=0)
        for key, value in sorted(values.items()):
            console.print(f"  {key:{width}}  {value}", markup=False)
    python = (VENV_BIN / "python").relative_to(ROOT)
    environment = (
        f"AWS_ENDPOINT_URL={cloud.endpoint} AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test "
        f"AWS_DEFAULT_REGION={REGION}"
    )
    port = "" if cloud.port == DEFAULT_PORT else f"{PORT_VARIABLE}={cloud.port} "
    bucket = values.get("Bucket", "BUCKET")
    console.print(
        "\nPut a file into the watched bucket, list the runs, and open the console:\n"
        f"  {environment} \\\n"
        f"    {python} -c \"import boto3; boto3.client('s3').upload_file('my.csv', '{bucket}', 'my.csv')\"\n"
        f"  {port}treadle run list --local\n"
        f"  {port}treadle console --local\n"
        f"The command treadle comes with: {python} -m pip install './layers/treadle[cli]'\n"
        f"{JOBS}",
        markup=False,
    )
    console.print(
        "Use it with the AWS command line:\n"
        "  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1\n"
        f"  aws --endpoint-url {cloud.endpoint} lambda list-functions\n"
        "or, where there is none, with the same variables:\n"
        f"  AWS_ENDPOINT_URL={cloud.endpoint} {python} -c \\\n"
        "    \"import boto3; print(boto3.client('dynamodb').list_tables()['TableNames'])\"\n"
        "Invoke a built function, in a container if there is Docker or Finch, or under its runtime alone:\n"
        "  sam build && sam local invoke NewObjects --event events/new_objects-direct.json \\\n"
        f"    --env-vars {stack.write_container_environment(cloud.endpoint, *names).relative_to(ROOT)}\n"
        "  make invoke FUNCTION=NewObjects EVENT=events/new_objects-direct.json\n"
        "Stop it with: make down",
        markup=False,
    )


def main() -> int:
    """Run `python -m tools.local_cloud`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["up", "start", "down", "status"])
    action = parser.parse_args().action
    cloud = LocalCloud(configured_port())
    if action == "up":
        up(cloud)
    elif action == "start":
        cloud.start(outlive=True)
        console.print(cloud.endpoint)
    elif action == "down":
        console.print(f"local cloud: {'stopped' if cloud.stop() else 'was not running'}")
    elif cloud.is_up():
        explain(cloud)
    else:
        console.print("local cloud: not running")
        return 1
    return 0


if __name__ == "__main__":
    run_tool(main)
