"""The commands that write, deploy and delete an engine, from the files of an installed Treadle."""

import shutil
import subprocess
from pathlib import Path

import click

from treadle.cli.distribution import ENGINE_SETTINGS, installed_version, write_engine
from treadle.cli.output import FAILED, exit_on_error, scaffold_errors
from treadle.cli.stack import local_option, stack_of_environment

DEFAULT = Path("treadle-engine")
folder_option = click.option(
    "--directory",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT,
    show_default=True,
    help="The engine's folder. Commit it: it contains the settings of the deployment.",
)


@click.group()
def engine() -> None:
    """Deploy and delete the engine that projects use."""


@engine.command("export")
@folder_option
def export(directory: Path) -> None:
    """Write the engine's templates and functions, so that SAM alone can deploy them.

    Existing files are replaced, except engine/samconfig.toml, which is yours.
    """
    with scaffold_errors():
        changed = write_engine(directory)
    click.echo(f"{directory} has the engine of Treadle {installed_version()}; files changed: {len(changed)}.")
    click.echo(f"  cd {directory}/engine && sam build && sam deploy --guided")


@engine.command("deploy", context_settings={"ignore_unknown_options": True})
@folder_option
@click.option(
    "--config-env",
    metavar="NAME",
    default="default",
    show_default=True,
    help="The environment of engine/samconfig.toml.",
)
@click.option(
    "--stack-name", metavar="NAME", help="The engine's stack.  [default: the environment's, treadle-engine]"
)
@local_option
@click.argument("arguments", metavar="[SAM OPTIONS]...", nargs=-1, type=click.UNPROCESSED)
def deploy(directory: Path, config_env: str, stack_name: str | None, arguments: tuple[str, ...]) -> None:
    """Write the engine's files, build them, deploy them with `sam deploy`, and protect the stack.

    Options of `sam deploy` are passed on, such as --guided, --no-confirm-changeset and --parameter-overrides.
    Afterwards only `treadle engine delete` can delete the stack, and no update can replace or delete its tables,
    bucket, bus, queues and contract.
    """
    with scaffold_errors():
        write_engine(directory)
    place = directory / "engine"
    named = ("--stack-name", stack_name) if stack_name else ()
    _sam(place, "build", "--config-env", config_env)
    # An unchanged engine is not a failure: only the protection may be missing.
    _sam(place, "deploy", "--config-env", config_env, "--no-fail-on-empty-changeset", *named, *arguments)
    stack = stack_name or stack_of_environment(directory / ENGINE_SETTINGS, config_env)
    # Imported here, as boto3 would slow down every other command.
    from treadle.adapters.engine_stack import protect

    with exit_on_error():
        protect(stack)
    click.echo(
        f"Engine stack {stack} is deployed, of Treadle {installed_version()}, and protected from deletion."
    )


@engine.command("delete")
@click.option("--stack-name", metavar="NAME", required=True, help="The engine's stack.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@local_option
def delete(stack_name: str, yes: bool) -> None:
    """Delete an engine that no project uses. Its tables and its bucket are kept, with all run keys and cursors.

    While sensors or jobs are registered, nothing is deleted: their functions would continue to write to tables that
    nothing reads.
    """
    from treadle.adapters.engine_stack import delete_stack, registered

    with exit_on_error():
        entries = registered(stack_name)
        if entries:
            shown = ", ".join(entries[:10]) + (f" and {len(entries) - 10} more" if len(entries) > 10 else "")
            click.echo(
                f"treadle: engine stack {stack_name} is not deleted: {len(entries)} entries are registered: {shown}. "
                "Delete their projects' stacks first.",
                err=True,
            )
            raise SystemExit(FAILED)
        if not yes:
            click.confirm(f"Delete the engine stack {stack_name}?", abort=True)
        kept = delete_stack(stack_name)
    click.echo(f"Engine stack {stack_name} is deleted. These are kept, and another engine can use them:")
    click.echo(f"  ExistingStores={kept.stores}")
    click.echo(f"  Namespace={kept.namespace}")


def _sam(folder: Path, *arguments: str) -> None:
    program = shutil.which("sam")
    if program is None:
        click.echo(
            "treadle: the engine cannot be deployed: `sam` is not on the PATH. Install the AWS SAM CLI.",
            err=True,
        )
        raise SystemExit(FAILED)
    done = subprocess.run([program, *arguments], cwd=folder, check=False)  # noqa: S603 - no shell reads them
    if done.returncode:
        click.echo(
            f"treadle: the engine was not deployed: sam {arguments[0]} ended with status {done.returncode}. "
            "Its output above has the reason.",
            err=True,
        )
        raise SystemExit(FAILED)
