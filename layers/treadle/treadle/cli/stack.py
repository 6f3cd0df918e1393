"""The options and the connection of all commands on a deployed stack: stack, location, and caller."""

import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import yaml

from treadle.cli.options import Command
from treadle.cli.output import exit_on_error
from treadle.cli.yaml_loader import SafeLoader

if TYPE_CHECKING:
    from treadle.bootstrap.operator import OperatorParts

STACK_VARIABLE, PORT_VARIABLE, DEFAULT_PORT = "TREADLE_STACK", "TREADLE_CLOUD_PORT", "4566"
_LOCAL = "treadle.local"
_CONFIGURATIONS = ("samconfig.toml", "samconfig.yaml")

by_option = click.option(
    "--by",
    metavar="WHO",
    help="The recorded operator.  [default: the caller's ARN]",
)
if_attempt_option = click.option(
    "--if-attempt",
    metavar="N",
    type=click.IntRange(min=1),
    help="Do nothing if another attempt has followed this one: makes the command safe to repeat.",
)


def local_environment(port: str) -> dict[str, str]:
    """Return the environment that directs AWS clients to the local cloud on a port of this machine."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
    }


def stack_option(command: Command) -> Command:
    """Add `--stack` and `--local` to a command; it takes the stack's name."""
    stack = click.option(
        "--stack",
        metavar="NAME",
        callback=_stack,
        help=f"The deployed stack.  [default: {STACK_VARIABLE}, else samconfig.toml's stack_name]",
    )
    return stack(local_option(command))


def source_options(command: Command) -> Command:
    """Add `--stack`, `--local`, and `--from`; the command takes `stack` and `folder`, which takes precedence."""
    folder = click.option(
        "--from",
        "folder",
        metavar="DIR",
        type=click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True),
        is_eager=True,
        help="Take the ticks from this folder of `treadle tick export`, by default all of them; no stack is used.",
    )
    return stack_option(folder(command))


def local_option(command: Command) -> Command:
    """Add `--local` to a command; it takes no argument."""
    return click.option(
        "--local",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_go_local,
        help=f"Use the local cloud of this machine, at {PORT_VARIABLE}.",
    )(command)


def stack_of_environment(path: Path, environment: str) -> str:
    """Return the stack's name in an environment of a SAM configuration file.

    Args:
        path: the file.
        environment: its environment; the default environment is the fallback.
    """
    name = _named(path, environment) or _named(path, "default")
    if name is None:
        msg = f"{path} has no stack_name for the environment {environment}. Give --stack-name."
        raise click.UsageError(msg)
    return name


@contextmanager
def deployed(stack: str) -> Iterator["OperatorParts"]:
    """Provide an operator's components for a stack; exit on errors, with a plain message."""
    # Imported here, as boto3 would slow down every other command.
    from treadle.bootstrap.operator import operator_parts

    with exit_on_error():
        yield operator_parts(stack)


def caller_name(by: str | None) -> str:
    """Return the caller: as given, or else as identified by AWS.

    Raises:
        DeploymentError: if AWS does not return it.
    """
    from treadle.adapters.stack import caller

    return by or caller()


def _go_local(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Direct this command's AWS clients to the local cloud; the environment is restored afterwards."""
    del parameter
    if not value:
        return
    context.meta[_LOCAL] = True
    chosen = local_environment(os.environ.get(PORT_VARIABLE) or DEFAULT_PORT)
    before = {name: os.environ.get(name) for name in (*chosen, "AWS_PROFILE")}
    os.environ.pop("AWS_PROFILE", None)
    os.environ.update(chosen)
    context.call_on_close(lambda: _restore(before))


def _restore(before: dict[str, str | None]) -> None:
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


def _stack(context: click.Context, parameter: click.Parameter, value: str | None) -> str:
    del parameter
    if context.params.get("folder") is not None:
        return ""
    found = (
        value
        or os.environ.get(STACK_VARIABLE)
        or _configured("local" if _LOCAL in context.meta else "default")
    )
    if not found:
        msg = (
            f"Which stack? Use --stack NAME, set {STACK_VARIABLE}, or run the command in a project whose samconfig.toml has "
            "a stack_name."
        )
        raise click.UsageError(msg, context)
    return found


def _configured(environment: str) -> str | None:
    """Return an environment's stack from the nearest samconfig.toml or samconfig.yaml, from here upwards.

    If both exist, the first is used, as by SAM; for the local cloud also the second, if the first has none.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        files = [each for name in _CONFIGURATIONS if (each := folder / name).is_file()]
        if files:
            read = files if environment == "local" else files[:1]
            return next((name for path in read if (name := _named(path, environment))), None)
    return None


def _named(path: Path, environment: str) -> str | None:
    try:
        text = path.read_text("utf-8")
        read = tomllib.loads(text) if path.suffix == ".toml" else yaml.load(text, Loader=SafeLoader)  # noqa: S506
        found = read.get(environment, {})
        names = [found.get(each, {}).get("parameters", {}).get("stack_name") for each in ("deploy", "global")]
    except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
        msg = f"{path} cannot be read: {error}"
        raise click.UsageError(msg) from None
    return next((str(name) for name in names if name), None)
