"""Builds the SAM application and deploys it to a local cloud; reads properties of a deployed stack."""

import contextlib
import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import yaml

from tools import processes
from tools.project import (
    CONSOLE_BUILD,
    ENGINE,
    ENGINE_BUILD,
    LOCAL_CREDENTIALS,
    REGION,
    ROOT,
    RUN,
    SAM,
    VENV_BIN,
    ToolError,
    local_aws,
)

ENVIRONMENT, CONSOLE_ENVIRONMENT = "local", "console-local"
"""The environments in the configuration files for the local cloud."""
LOCAL_BUILD, LOCAL_CACHE = ".aws-sam/local/build", ".aws-sam/local/cache"
"""Folders for this machine's own wheels, which layers/project/Makefile recognizes by `.aws-sam/local`.

A configuration that names others would mix them with Lambda's.
"""
MACHINES_ROLE = "treadle-local-jobs"
"""The role of all state machines that `create_machines` makes."""


def config_file(folder: Path = ROOT) -> Path:
    """Return the project's own samconfig.toml if it has a local environment, else samconfig.yaml."""
    own = folder / "samconfig.toml"
    if own.exists() and ENVIRONMENT in tomllib.loads(own.read_text()):
        return own
    return folder / "samconfig.yaml"


def stack_name(folder: Path = ROOT, config_env: str = ENVIRONMENT) -> str:
    """Return the stack's name in a local environment of the configuration file."""
    path = config_file(folder)
    if not path.exists():
        raise ToolError(f"there is no {path}; it must have an environment named {config_env!r}.")
    text = path.read_text()
    read = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    settings = read.get(config_env, {})
    for section in ("deploy", "global"):
        name = settings.get(section, {}).get("parameters", {}).get("stack_name")
        if name:
            return str(name)
    raise ToolError(f"{path} gives the environment {config_env!r} no stack_name.")


def build(endpoint: str, folder: Path = ROOT) -> None:
    """Run `sam build` with the local environment's settings.

    Args:
        endpoint: the local cloud's URL.
        folder: where template.yaml and samconfig.yaml are. One without a build begins with the layers that are built
            here: SAM builds a layer again where its sources differ.

    Raises:
        ToolError: a sensor has a list of packages that nothing installs, or the build failed; with the end of
            SAM's output.
    """
    refuse_lists_of_sensors(folder)
    if folder != ROOT:
        copy_built_layers(folder)
    _sam(["build", "--build-dir", LOCAL_BUILD, "--cache-dir", LOCAL_CACHE], endpoint, folder)


def copy_built_layers(folder: Path) -> None:
    """Give a copy of this project the layers that are built here, unless it has a build of its own."""
    here, there = ROOT / LOCAL_CACHE, folder / LOCAL_CACHE
    graph = here.parent / "build.toml"
    if not graph.exists() or there.parent.exists():
        return
    shutil.copytree(here, there)
    # It names each layer by its folder.
    text = graph.read_text().replace(f'"{ROOT}/', f'"{folder}/')
    (there.parent / graph.name).write_text(text)


def deploy(endpoint: str, folder: Path = ROOT, arguments: Sequence[str] = ()) -> None:
    """Run `sam deploy` with the local environment's settings; an unchanged stack is not a failure.

    Args:
        endpoint: the local cloud's URL.
        folder: where template.yaml and samconfig.yaml are.
        arguments: further options, such as `--stack-name`; a repeated option replaces the configuration
            file's.

    Raises:
        ToolError: the deployment failed; with the end of SAM's output.
    """
    built = ["--template-file", f"{LOCAL_BUILD}/template.yaml"]
    _sam(
        ["deploy", *built, "--no-confirm-changeset", "--no-fail-on-empty-changeset", *arguments],
        endpoint,
        folder,
    )


def build_engine(endpoint: str, folder: Path = ENGINE) -> None:
    """Build the engine in its own folder, so that neither it nor the project replaces the other.

    Raises:
        ToolError: the build failed; with the end of SAM's output.
    """
    _sam(["build"], endpoint, folder)


def deploy_engine(endpoint: str, arguments: Sequence[str] = (), folder: Path = ENGINE) -> None:
    """Deploy the engine that projects use; an unchanged one is not a failure.

    Args:
        endpoint: the local cloud's URL.
        arguments: further options, as for `deploy`.
        folder: where its template.yaml and samconfig.toml are.

    Raises:
        ToolError: the deployment failed; with the end of SAM's output.
    """
    built = ["--template-file", str(folder / ENGINE_BUILD.relative_to(ENGINE) / "template.yaml")]
    _sam(
        ["deploy", *built, "--no-confirm-changeset", "--no-fail-on-empty-changeset", *arguments],
        endpoint,
        folder,
    )


def build_console(endpoint: str) -> None:
    """Build the console in its own folder beside the engine's.

    Raises:
        ToolError: the build failed; with the end of SAM's output.
    """
    _sam(["build"], endpoint, ENGINE, CONSOLE_ENVIRONMENT)


def deploy_console(endpoint: str, arguments: Sequence[str] = ()) -> None:
    """Deploy the console beside the engine; an unchanged one is not a failure.

    Args:
        endpoint: the local cloud's URL.
        arguments: further options, as for `deploy`.

    Raises:
        ToolError: the deployment failed; with the end of SAM's output.
    """
    built = ["--template-file", str(CONSOLE_BUILD / "template.yaml")]
    _sam(
        ["deploy", *built, "--no-confirm-changeset", "--no-fail-on-empty-changeset", *arguments],
        endpoint,
        ENGINE,
        CONSOLE_ENVIRONMENT,
    )


def refuse_lists_of_sensors(folder: Path = ROOT) -> None:
    """Raise an error if a sensor's folder has a list of packages.

    Raises:
        ToolError: there is one.
    """
    found = sorted((folder / "functions" / "sensors").glob("*/requirements.txt"))
    if found:
        paths = ", ".join(str(path.relative_to(folder)) for path in found)
        raise ToolError(
            f"{paths}: nothing installs packages listed there. Move the lines to layers/project/requirements.txt, "
            "and remove the file (docs/guide/dependencies.md)."
        )


def _sam(arguments: Sequence[str], endpoint: str, folder: Path, config_env: str = ENVIRONMENT) -> None:
    environment = local_aws(endpoint) | {"SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "0.5"}
    # The layers' makefiles call python3 for its pip: the environment's, as the system's may have none.
    environment["PATH"] = os.pathsep.join([str(VENV_BIN), environment.get("PATH", os.defpath)])
    # A caller that uses make passes on make's own flags, which are not for those makefiles.
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
        environment.pop(name, None)
    what = "sam-engine" if folder.name == ENGINE.name else "sam"
    log = RUN / f"{what}-{arguments[0]}-{endpoint.rpartition(':')[2]}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [str(SAM), *arguments, "--config-file", str(config_file(folder)), "--config-env", config_env]
    with log.open("wb") as output:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        raise ToolError(f"sam {arguments[0]} failed.\n{processes.tail(log, 40)}")


def outputs(endpoint: str, name: str) -> dict[str, str]:
    """Return the outputs of a deployed stack.

    Raises:
        ToolError: there is no such stack.
    """
    return {each["OutputKey"]: each["OutputValue"] for each in _described(endpoint, name).get("Outputs", [])}


def contract(endpoint: str, name: str) -> Mapping[str, str]:
    """Return the contract of the engine that a project's stack uses.

    Raises:
        ToolError: there is no such stack.
    """
    # Imported here, as `make up` and `make invoke` run without the library; callers of this function have it.
    from treadle.model.contract import parse_contract

    parameters = {each["ParameterKey"]: each for each in _described(endpoint, name).get("Parameters", [])}
    # Instead of its name, the local cloud shows the value of the SSM parameter at the deployment.
    return parse_contract(parameters["Engine"]["ParameterValue"])


def _described(endpoint: str, name: str) -> Mapping[str, Any]:
    client = session().client("cloudformation", endpoint_url=endpoint)
    try:
        stack: Mapping[str, Any] = client.describe_stacks(StackName=name)["Stacks"][0]
    except botocore.exceptions.ClientError as error:
        raise ToolError(f"the local cloud has no stack {name!r} ({error}). Deploy it: make up") from error
    return stack


def physical_id(endpoint: str, name: str, logical_id: str) -> str:
    """Return the physical id of a resource of a stack.

    Raises:
        ToolError: the stack or the resource is not deployed.
    """
    client = session().client("cloudformation", endpoint_url=endpoint)
    try:
        found = client.describe_stack_resource(StackName=name, LogicalResourceId=logical_id)
    except botocore.exceptions.ClientError as error:
        raise ToolError(
            f"{logical_id} of stack {name!r} is not deployed ({error}). Deploy it: make up"
        ) from error
    return found["StackResourceDetail"]["PhysicalResourceId"]


def function_environment(endpoint: str, name: str, logical_id: str) -> dict[str, str]:
    """Return the environment variables of a deployed function.

    Raises:
        ToolError: the stack or the function is not deployed.
    """
    physical = physical_id(endpoint, name, logical_id)
    try:
        functions = session().client("lambda", endpoint_url=endpoint)
        configuration = functions.get_function_configuration(FunctionName=physical)
    except botocore.exceptions.ClientError as error:
        raise ToolError(
            f"{logical_id} of stack {name!r} is not deployed ({error}). Deploy it: make up"
        ) from error
    return dict(configuration.get("Environment", {}).get("Variables", {}))


def put_sample_object(endpoint: str) -> None:
    """Store the object of the sample events, so that a function invoked with one finds it."""
    detail = json.loads((ROOT / "events" / "new_objects-s3-event-direct.json").read_text())["detail"]
    s3 = session().client("s3", endpoint_url=endpoint)
    s3.create_bucket(Bucket=detail["bucket"]["name"])
    s3.put_object(
        Bucket=detail["bucket"]["name"], Key=detail["object"]["key"], Body=b"order,amount\n1,9.5\n2,3\n"
    )


def create_machines(endpoint: str, names: Iterable[str], definition: Mapping[str, Any]) -> dict[str, str]:
    """Create a state machine for each job, named like the job, with hyphens, as its block expects.

    Their role has no permissions, as they call nothing.

    Returns:
        Their ARNs by the jobs' names.
    """
    iam = session().client("iam", endpoint_url=endpoint)
    trusted = {
        "Effect": "Allow",
        "Principal": {"Service": "states.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [trusted]})
    # It may exist already, from machines that were created before.
    with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName=MACHINES_ROLE, AssumeRolePolicyDocument=policy)
    role = iam.get_role(RoleName=MACHINES_ROLE)["Role"]["Arn"]
    machines = session().client("stepfunctions", endpoint_url=endpoint)
    made = {
        name: machines.create_state_machine(
            name=name.replace("_", "-"), definition=json.dumps(definition), roleArn=role
        )["stateMachineArn"]
        for name in names
    }
    iam.close()
    machines.close()
    return made


def write_container_environment(endpoint: str, *names: str) -> Path:
    """Write the variables of some stacks' functions in the format of SAM's `--env-vars`.

    Used for `sam local invoke`.

    Returns:
        The file; addresses in it are those at which a container reaches this machine.
    """
    client = session().client("cloudformation", endpoint_url=endpoint)
    variables = {
        each["LogicalResourceId"]: function_environment(endpoint, name, each["LogicalResourceId"])
        for name in names
        for each in client.describe_stack_resources(StackName=name)["StackResources"]
        if each["ResourceType"] == "AWS::Lambda::Function"
    }
    reachable = endpoint.replace("127.0.0.1", "host.docker.internal")
    content = json.dumps(variables, indent=2).replace("http://localhost", "http://127.0.0.1")
    values = json.loads(content.replace(endpoint, reachable))
    path = RUN / "env.json"
    path.write_text(
        json.dumps({each: {**of, "AWS_ENDPOINT_URL": reachable} for each, of in values.items()}, indent=2)
    )
    return path


def session() -> boto3.Session:
    """Return a session as the local cloud's root, whatever profile the developer uses otherwise."""
    return boto3.Session(
        aws_access_key_id=LOCAL_CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=LOCAL_CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region_name=REGION,
    )
