"""The options and the door that all commands on a deployed stack share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from treadle.cli.speaking import failing_plainly

if TYPE_CHECKING:
    from treadle.bootstrap.operator import OperatorParts

stack_option = click.option("--stack", metavar="NAME", required=True, help="The deployed stack.")
by_option = click.option(
    "--by",
    metavar="WHO",
    help="Who is recorded as having asked.  [default: the caller's ARN, as AWS knows it]",
)
if_attempt_option = click.option(
    "--if-attempt",
    metavar="N",
    type=click.IntRange(min=1),
    help="Do nothing if another attempt has followed this one: makes the command safe to repeat.",
)


@contextmanager
def deployed(stack: str) -> Iterator["OperatorParts"]:
    """What an operator of the stack needs; errors end the command plainly.

    Args:
        stack: its name.
    """
    # Imported here, as boto3 would slow down every other command.
    from treadle.bootstrap.operator import operator_parts

    with failing_plainly():
        yield operator_parts(stack)


def asking(by: str | None) -> str:
    """Who asks: as was said, or else as AWS knows the caller.

    Raises:
        DeploymentError: if AWS does not say.
    """
    from treadle.adapters.stack import caller

    return by or caller()
