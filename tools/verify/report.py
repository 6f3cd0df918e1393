"""The table of a run, in plain text."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tools.verify.account import Account
from tools.verify.model import ByHand, Check, Result, Verdict


def plan(account: Account, checks: Sequence[Check], named: Sequence[str]) -> Iterator[str]:
    """Yield the lines of the plan.

    Args:
        account: where the checks run.
        checks: in order.
        named: the caller's own jobs that are started.
    """
    stacks = sum(check.template is not None for check in checks)
    cents = math.ceil(100 * sum(check.dollars for check in checks))
    yield f"Account {account.id}, Region {account.region}, as {account.caller}"
    yield (
        f"{len(checks)} checks create {stacks} stacks and a few more, all named {account.name}-… and tagged "
        f"treadle:verify={account.run}, for {'a minute' if account.is_local else 'about a quarter of an hour'}, "
        "and delete them."
    )
    yield f"Estimated cost at list price: at most ${cents / 100:.2f}."
    for each in named:
        yield f"A run of your own is started: {each}"


def table(results: Sequence[Result]) -> Iterator[str]:
    """Yield one line for each result, and the number of each kind."""
    width = max((len(result.name) for result in results), default=0)
    kinds = max(map(len, Verdict))
    for result in results:
        observed = " ".join(result.observed.split())
        yield f"{result.verdict:{kinds}}  {result.name:{width}}  {result.seconds:4.0f} s  {observed}"
    counts = Counter(result.verdict for result in results)
    yield ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict)


def details(results: Iterable[Result], checks: Iterable[Check]) -> Iterator[str]:
    """Yield the checks that did not hold: the statement, what relies on it, and where AWS documents it."""
    by_name = {check.name: check for check in checks}
    for result in results:
        if result.verdict is Verdict.DID_NOT_HOLD:
            check = by_name[result.name]
            yield f"{check.name} did not hold"
            yield f"  expected:   {check.statement}"
            yield f"  observed:   {result.observed}"
            yield f"  relied on:  {check.relied_on}"
            yield f"  source:     {check.source}"


def by_hand(items: Iterable[ByHand]) -> Iterator[str]:
    """Yield the behavior that was not checked here, and how to check it."""
    for item in items:
        yield f"{Verdict.NOT_TRIED}  {item.name}: {item.why}. {item.statement}."
        yield f"    {item.how}"


def remaining(left: Mapping[str, str]) -> Iterator[str]:
    """Yield the resources that could not be deleted, and what to do.

    Args:
        left: reasons by name.
    """
    for name, reason in left.items():
        yield f"not deleted: {name}: {reason}"
    if left:
        yield "Remove what the reasons name, then: make verify-aws ARGS=--clean"
