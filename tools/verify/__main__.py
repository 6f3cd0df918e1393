"""`make verify-aws` and `make verify-local`: check the AWS behavior that Treadle relies on, and clean up."""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence

from tools.local_cloud import temporary_cloud
from tools.project import ToolError, run_tool
from tools.verify import report
from tools.verify.account import Account, identify, pointing_at
from tools.verify.checks import ALL, BY_HAND
from tools.verify.cleaning import clean, leftovers
from tools.verify.model import LEFT_BEHIND, NOTHING_TRIED, SUCCESS, Check, exit_status
from tools.verify.running import Run
from tools.verify.stacks import Stacks
from tools.verify.start_contracts import settings_of

EVERY_RUN = "all"


def echo(text: str) -> None:
    """Print a line immediately."""
    print(text, flush=True)


def confirmed(question: str, *, yes: bool) -> bool:
    """Return whether the caller agrees.

    Args:
        question: shown to the caller.
        yes: the caller has already agreed.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        echo(
            "Nothing was created or deleted: there is no terminal to confirm on. Give --yes to agree beforehand."
        )
        return False
    return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}


@contextlib.contextmanager
def ended_like_interrupted() -> Iterator[None]:
    """Handle SIGTERM, or a closed terminal, like Ctrl-C: resources that were created are deleted."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    # A caller that ignores hang-ups, as nohup does, continues to ignore them.
    heeded = [
        each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is not signal.SIG_IGN
    ]
    before = {each: signal.signal(each, interrupt) for each in heeded}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def stacks_of(account: Account) -> Stacks:
    """Return the stacks of a run; the local cloud takes no time to create one."""
    return Stacks(account, pause=0.3 if account.is_local else 3.0)


def verify(account: Account, checks: Sequence[Check], *, yes: bool) -> int:
    """Run checks, print the table, and delete their resources.

    Args:
        account: where to run them.
        checks: in order.
        yes: do not ask before anything is created.

    Returns:
        The exit status.
    """
    run = Run(account, stacks_of(account), checks, echo)
    pending_start = [check for check in checks if run.is_tried(check)]
    named = [f"{each.target}: {each.arn}" for each in settings_of(os.environ)]
    for line in report.plan(account, pending_start, named):
        echo(line)
    if not confirmed("Go on?", yes=yes):
        return NOTHING_TRIED
    interrupted, left = False, {"": ""}
    with ended_like_interrupted():
        try:
            run.execute()
        except KeyboardInterrupt:
            interrupted = True
            run.interrupt()
            echo("Interrupted; what was created is deleted. A second interruption ends that too.")
        finally:
            left = _cleaned(run.stacks)
    for line in (
        "",
        *report.table(run.results),
        "",
        *report.details(run.results, checks),
        *report.by_hand(BY_HAND),
        *report.remaining(left),
    ):
        echo(line)
    return exit_status(run.results, interrupted=interrupted, left=bool(left))


def _cleaned(stacks: Stacks) -> dict[str, str]:
    echo(f"deleting the stacks {stacks.account.name}-…")
    try:
        return clean(stacks, stacks.account.run)
    except KeyboardInterrupt:
        return {f"{stacks.account.name}-…": "the deletion was interrupted"}


def clean_up(account: Account, run: str, *, yes: bool) -> int:
    """Delete leftovers of earlier runs, such as one that was killed.

    Args:
        account: where to delete them.
        run: only leftovers of this run; None for all.
        yes: do not ask before anything is deleted.

    Returns:
        The exit status.
    """
    stacks, of = stacks_of(account), None if run == EVERY_RUN else run
    echo(f"Account {account.id}, Region {account.region}, as {account.caller}")
    found = leftovers(stacks, of)
    for stack in found:
        echo(f"{stack.name}  {stack.status}  of run {stack.run}, created {stack.created:%Y-%m-%d %H:%M} UTC")
    echo(f"{len(found)} stacks, and the parameters and log groups of their runs, are to be deleted.")
    echo("A run that is still under way loses what it needs.")
    if not confirmed("Delete them?", yes=yes):
        return NOTHING_TRIED
    left = clean(stacks, of)
    for line in report.remaining(left):
        echo(line)
    echo("Nothing is left." if not left else f"{len(left)} could not be deleted.")
    return LEFT_BEHIND if left else SUCCESS


def chosen(names: Sequence[str]) -> list[Check]:
    """Return the checks of these names; all if there are none.

    Raises:
        ToolError: there is no such check.
    """
    known = {check.name for check in ALL}
    if unknown := sorted(set(names) - known):
        raise ToolError(
            f"--only cannot be followed: no check is named {', '.join(unknown)}. Choose from {', '.join(sorted(known))}."
        )
    return [check for check in ALL if not names or check.name in names]


def describe() -> int:
    """Print each check with what relies on it and its source."""
    for check in ALL:
        echo(f"{check.name}: {check.statement}")
        echo(f"    relied on: {check.relied_on}")
        echo(f"    source: {check.source}")
        echo(f"    local cloud: {check.not_local or 'evaluates it'}")
    for line in report.by_hand(BY_HAND):
        echo(line)
    return SUCCESS


def _in_account(arguments: argparse.Namespace) -> Callable[[], int]:
    def act() -> int:
        account = identify()
        if arguments.clean:
            return clean_up(account, arguments.clean, yes=arguments.yes)
        return verify(account, chosen(arguments.only), yes=arguments.yes)

    return act


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m tools.verify`.

    Args:
        argv: the command line's arguments; None for the process's.
    """
    parser = argparse.ArgumentParser(prog="make verify-aws", description=__doc__)
    parser.add_argument("--yes", action="store_true", help="do not ask before anything is created or deleted")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="try these checks only")
    parser.add_argument("--list", action="store_true", help="print the checks, and do nothing")
    parser.add_argument(
        "--clean",
        nargs="?",
        const=EVERY_RUN,
        metavar="RUN",
        help="delete what earlier runs, or one, have left",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--local", action="store_true", help="in a local cloud that exists for this run")
    where.add_argument("--endpoint", metavar="URL", help="in a local cloud that runs already")
    arguments = parser.parse_args(argv)
    if arguments.list:
        return describe()
    chosen(arguments.only)
    act = _in_account(arguments)
    if arguments.local:
        with temporary_cloud() as cloud, pointing_at(cloud.endpoint):
            return act()
    if arguments.endpoint:
        with pointing_at(arguments.endpoint):
            return act()
    return act()


if __name__ == "__main__":
    run_tool(main)
