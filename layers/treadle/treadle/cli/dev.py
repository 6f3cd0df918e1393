"""The commands that run a project on this machine, without AWS."""

import getpass
import json
import os
import shutil
import threading
import webbrowser
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from treadle.cli.local_server import server_options, serving
from treadle.cli.new_sensor import find_root
from treadle.cli.options import by_root
from treadle.cli.output import FAILED, exit_on_error, plain, scaffold_errors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO

    from treadle.dev.lines import Line

_SHOWN = 2_000
_SCHEME = "s3://"


@click.group(invoke_without_command=True)
@by_root
@click.option(
    "--bucket",
    "buckets",
    metavar="NAME=DIR",
    multiple=True,
    help="A folder that stands for a bucket; may be repeated.  [default: .treadle/buckets/NAME]",
)
@server_options("the console's address", "The console's port")
@click.option("--keep", is_flag=True, help="Continue with the ticks, runs and cursors of the last --keep.")
@click.pass_context
def dev(
    context: click.Context,
    *,
    root: Path | None,
    buckets: tuple[str, ...],
    port: int,
    keep: bool,
    no_browser: bool,
) -> None:
    """Run the project's sensors on this machine, with the console, until it is interrupted.

    It needs no AWS account. The engine is the real one, over stores in memory; a saved file is loaded at once. A bucket
    is a folder, and jobs are doubles that end as dev.toml says. Nothing is written to AWS; alerts are shown, not sent.
    """
    if context.invoked_subcommand is None:
        _run(_root(root), _folders(buckets), port, keeps=keep, opens_browser=not no_browser)
    else:
        context.obj = root


@dev.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("address", metavar="s3://BUCKET/KEY")
@click.pass_obj
def put(root: Path | None, file: Path, address: str) -> None:
    """Store FILE as an object of a bucket of the `treadle dev` that runs in the project.

    As with `aws s3 cp`, FILE's name is added to a key that is empty or ends with a slash.
    """
    project = _root(root)
    bucket, _, key = address.removeprefix(_SCHEME).partition("/")
    key = f"{key}{file.name}" if not key or key.endswith("/") else key
    if not address.startswith(_SCHEME) or not bucket:
        _exit(f"{address!r} is no address of an object. Write it as s3://BUCKET/KEY.")
    if any(part.startswith(".") or not part for part in key.split("/")):
        _exit(
            f"The key {key!r} cannot be a file here: a part of it is empty or begins with a dot. Use another key."
        )
    # Imported here, as no other command needs it.
    from treadle.dev.files import store

    folders = {name: Path(folder) for name, folder in _running(project)["buckets"].items()}
    with exit_on_error():
        store(folders, bucket, key, lambda path: shutil.copyfile(file, path))
    click.echo(f"Stored {plain(str(file))} as {_SCHEME}{bucket}/{plain(key)}.")


@dev.command()
@click.argument("sensor")
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--header",
    "headers",
    metavar="'NAME: VALUE'",
    multiple=True,
    help="A further header, which replaces one of the signature; may be repeated.",
)
@click.option(
    "--delivery-id",
    default="",
    metavar="ID",
    help="The delivery's id, to send one request again.  [default: a new one]",
)
@click.pass_obj
def post(
    root: Path | None, sensor: str, file: "BinaryIO", headers: tuple[str, ...], delivery_id: str
) -> None:
    """Send a request with FILE's content, signed as its sender signs, to a webhook sensor of the `treadle dev` that runs.

    Without FILE, or with -, the body is the standard input. Any other client may send requests to
    http://127.0.0.1:PORT/webhooks/SENSOR.
    """
    try:
        body = file.read().decode()
    except UnicodeDecodeError:
        _exit("The body is no UTF-8 text. Send it to the sensor's endpoint with a client of your own.")
    given = {}
    for each in headers:
        name, colon, value = each.partition(":")
        if not (name.strip() and colon):
            msg = f"{each!r} is no header: write it as 'NAME: VALUE'."
            raise click.BadParameter(msg, param_hint="--header")
        given[name.strip()] = value.strip()
    # Imported here, as no other command needs it.
    from treadle.dev.client import send_event

    event = {"sensor": sensor, "body": body, "headers": given, "delivery": delivery_id}
    with exit_on_error():
        click.echo(plain(send_event(_running(_root(root))["address"], {"request": event}), _SHOWN))


def _root(root: Path | None) -> Path:
    with scaffold_errors():
        return root.resolve() if root else find_root(Path.cwd())


def _running(project: Path) -> "Mapping[str, Any]":
    """Return what the `treadle dev` of a project has recorded about itself; exit if none runs."""
    try:
        found: dict[str, Any] = json.loads((project / ".treadle" / "dev.json").read_text())
        os.kill(found["pid"], 0)
    except (OSError, ValueError):
        _exit(f"`treadle dev` does not run in {project}. Start it there.")
    return found


def _folders(buckets: tuple[str, ...]) -> "Mapping[str, Path]":
    folders = {}
    for each in buckets:
        name, equals, folder = each.partition("=")
        if not (name and equals and folder):
            msg = f"{each!r} is no bucket and its folder: write it as NAME=DIR."
            raise click.BadParameter(msg, param_hint="--bucket")
        folders[name] = Path(folder).resolve()
    return folders


def _run(root: Path, buckets: "Mapping[str, Path]", port: int, *, keeps: bool, opens_browser: bool) -> None:
    if not hasattr(os, "fork"):
        _exit("`treadle dev` starts processes as Linux and macOS do. On Windows, run it in WSL.")
    # Imported here, as no other command needs them; the rest while the zygote starts, which takes as long.
    from treadle.dev.functions import Zygote

    zygote = Zygote()
    from treadle.cli.template_edit import load
    from treadle.console.routes import OPERATIONS
    from treadle.dev.operator import operator_parts
    from treadle.dev.project import DevProject
    from treadle.dev.sending import EventSender
    from treadle.dev.webhooks import WebhookEndpoints

    try:
        with exit_on_error():
            project = DevProject(root, load, buckets, _say, zygote, keeps=keeps)
    except SystemExit:
        zygote.close()
        raise
    try:
        project.start()
        parts, webhooks = operator_parts(project), WebhookEndpoints(project)
        operations = (*OPERATIONS, *EventSender(project, webhooks).operations())
        settings = {"test_events": "true"}
        server, address = serving(
            lambda: parts, port, getpass.getuser(), operations, settings, webhooks.handle
        )
        with server:
            project.serve_at(address)
            click.echo(f"Project {plain(root.name)} at {address}\nPress Ctrl-C to stop it.")
            if opens_browser:
                threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
            server.serve_forever()
    except KeyboardInterrupt:
        click.echo("Ended.")
    finally:
        project.stop()


def _say(line: "Line") -> None:
    """Print a line of the engine or of a function, with its time."""
    first, *others = line.text.splitlines() or [""]
    color = "red" if line.is_problem else None
    time = datetime.now().astimezone().strftime("%H:%M:%S")
    subject = click.style(plain(line.subject), bold=True)
    click.echo(f"{time} {subject} {click.style(plain(first, _SHOWN), fg=color)}")
    for each in others:
        click.echo(f"  {plain(each, _SHOWN)}")


def _exit(message: str) -> NoReturn:
    click.echo(f"treadle: {plain(message, _SHOWN)}", err=True)
    raise SystemExit(FAILED)
