"""The command that checks a deployment."""

from typing import TYPE_CHECKING

import click

from treadle.cli.output import EXIT_UNHEALTHY, echo_json, json_option, plain
from treadle.cli.stack import deployed, stack_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.operate.findings import Finding

_SHOWN = 3_000
"""Maximum length of an advice, which may contain a long command."""


@click.command()
@stack_option
@json_option
def doctor(stack: str, as_json: bool) -> None:
    """Find problems of an engine and its projects, and print how to fix them.

    The exit code is 0 if there are no problems, otherwise 1. Checks that lack a permission are reported as warnings.
    Nothing is changed.
    """
    from treadle.operate.findings import Severity
    from treadle.operate.views import plain_json

    with deployed(stack) as parts:
        findings = parts.doctor.examine()
    problems = sum(each.severity is Severity.PROBLEM for each in findings)
    if as_json:
        echo_json(plain_json(findings))
    else:
        _print_findings(findings)
        click.echo("1 problem." if problems == 1 else f"{problems} problems.")
    if problems:
        raise SystemExit(EXIT_UNHEALTHY)


def _print_findings(findings: "Sequence[Finding]") -> None:
    for each in findings:
        whose = "" if each.subject == each.check else f" {each.subject}:"
        click.echo(plain(f"{each.severity:<7}  {each.check}:{whose} {each.message}", _SHOWN))
        if each.advice:
            click.echo(plain(f"         {each.advice}", _SHOWN))
