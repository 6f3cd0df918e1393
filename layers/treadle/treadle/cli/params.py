"""The command that explains the deployment parameters, from the template itself, and shows their deployed values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from treadle.cli.new_sensor import find_root
from treadle.cli.output import FAILED, echo_json, exit_on_error, json_option, plain, table
from treadle.cli.stack import local_option
from treadle.cli.yaml_loader import SafeLoader
from treadle.definitions.errors import ScaffoldError


@click.command()
@click.argument("words", nargs=-1)
@click.option(
    "--root",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The project's folder.  [default: the nearest one with a template.yaml]",
)
@click.option(
    "--stack", metavar="NAME", help="Also show the values with which this stack of the project is deployed."
)
@local_option
@json_option
def params(words: tuple[str, ...], root: Path | None, stack: str | None, as_json: bool) -> None:
    """Explain the parameters of the project's template.

    With WORDS, show only parameters whose group, name or description contains all of them. The value of a
    parameter that the deployed stack does not have yet is shown as "not deployed".
    """
    try:
        template = _read((root.resolve() if root else find_root(Path.cwd())) / "template.yaml")
    except (ScaffoldError, OSError, yaml.YAMLError) as error:
        click.echo(f"treadle: {plain(str(error))}", err=True)
        raise SystemExit(FAILED) from None
    values = _deployed(stack) if stack else {}
    # Without a stack there is no value, which differs from an empty one.
    found = [
        {**each, **({"value": values.get(each["name"])} if stack else {})}
        for each in _parameters(template)
        if _has_all(each, words)
    ]
    if as_json:
        echo_json(found)
        return
    group = ""
    for each in found:
        if each["group"] != group:
            group = each["group"]
            click.echo(f"\n{plain(group)}" if each is not found[0] else plain(group))
            rows = [_row(other) for other in found if other["group"] == group]
            table(("  PARAMETER", *(("VALUE",) if stack else ()), "DEFAULT", "ALLOWED", "MEANING"), rows, "")
    if not found:
        click.echo("No matching parameters.")


class _Loader(SafeLoader):
    """Reads a template and ignores functions such as `!Ref`."""


def _skipped(loader: SafeLoader, suffix: str, node: yaml.Node) -> None:
    del loader, suffix, node


_Loader.add_multi_constructor("!", _skipped)


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(path.read_text("utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    return found


def _parameters(template: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all parameters, in the order of their groups."""
    interface = template.get("Metadata", {}).get("AWS::CloudFormation::Interface", {})
    known: dict[str, dict[str, Any]] = dict(template.get("Parameters", {}))
    found = []
    groups = interface.get("ParameterGroups", ())
    for group in [*groups, {"Parameters": list(known)}]:
        label = group.get("Label", {}).get("default", "Others" if groups else "Parameters")
        for name in group["Parameters"]:
            parameter = known.pop(name, None)
            if parameter is not None:
                found.append(
                    {
                        "group": label,
                        "name": name,
                        "default": parameter.get("Default"),
                        "allowed": _allowed(parameter),
                        "description": " ".join(str(parameter.get("Description", "")).split()),
                    }
                )
    return found


def _allowed(parameter: dict[str, Any]) -> str:
    values = parameter.get("AllowedValues")
    return ", ".join(map(str, values)) if values else str(parameter.get("ConstraintDescription", ""))


def _has_all(parameter: dict[str, Any], terms: tuple[str, ...]) -> bool:
    text = f"{parameter['group']} {parameter['name']} {parameter['description']}".lower()
    return all(word.lower() in text for word in terms)


def _row(parameter: dict[str, Any]) -> tuple[str, ...]:
    default = parameter["default"]
    shown = "must be given" if default is None else str(default)
    values = (_value(parameter["value"]),) if "value" in parameter else ()
    return (f"  {parameter['name']}", *values, shown, parameter["allowed"], parameter["description"])


def _value(value: str | None) -> str:
    return "not deployed" if value is None else value or "''"


def _deployed(stack: str) -> Mapping[str, str]:
    """Return the values of a stack's parameters."""
    # Imported here, as only this option needs AWS.
    from treadle.adapters.stack import parameter_values

    with exit_on_error():
        return parameter_values(stack)
