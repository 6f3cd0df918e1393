"""Runs checks one after the other, and deletes their resources, whatever happens."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError, ClientError

from tools.verify.account import Account
from tools.verify.lab import DidNotHoldError, Lab, NotTriedError, is_denial
from tools.verify.model import Check, Result, Verdict
from tools.verify.stacks import Stacks

Say = Callable[[str], None]


@dataclass(slots=True)
class Run:
    """One run of checks.

    Attributes:
        account: where it runs.
        stacks: creates their stacks.
        checks: in order.
        echo: prints the progress.
        results: of the completed checks.
    """

    account: Account
    stacks: Stacks
    checks: Sequence[Check]
    echo: Say
    results: list[Result] = field(default_factory=list)
    _refused: dict[str, str] = field(default_factory=dict)

    def is_tried(self, check: Check) -> bool:
        """Return whether a check can be tried in this account."""
        return not (self.account.is_local and check.not_local)

    def execute(self) -> None:
        """Create all stacks of the checks at once, then run one check after the other."""
        needed = [check for check in self.checks if check.template and self.is_tried(check)]
        self.echo(f"creating {len(needed)} stacks {self.account.name}-…")
        for check in needed:
            self._create(check)
        for check in self.checks:
            began = time.monotonic()
            verdict, observed = self._try(check)
            seconds = time.monotonic() - began
            self.results.append(Result(check.name, check.statement, verdict, observed, seconds))
            self.echo(f"{check.name}: {verdict}")

    def interrupt(self) -> None:
        """Record the interruption as the result of each check that was not tried."""
        done = {result.name for result in self.results}
        self.results += [
            Result(check.name, check.statement, Verdict.NOT_TRIED, "the run was interrupted")
            for check in self.checks
            if check.name not in done
        ]

    def _create(self, check: Check) -> None:
        if check.template is None:
            return
        try:
            self.stacks.create(self.stacks.name_of(check.name), check.template(self.account))
        except (ClientError, BotoCoreError) as error:
            self._refused[check.name] = f"its stack was refused: {error}"

    def _try(self, check: Check) -> tuple[Verdict, str]:
        if not self.is_tried(check):
            return Verdict.NOT_TRIED, check.not_local
        lab = Lab(self.account, self.stacks, check.name, pause=self.stacks.pause / 3)
        try:
            if check.template:
                lab.outputs = self._outputs(check)
            return Verdict.HELD, check.run(lab)
        except DidNotHoldError as error:
            return Verdict.DID_NOT_HOLD, str(error)
        except NotTriedError as error:
            return Verdict.NOT_TRIED, str(error)
        except ClientError as error:
            return (
                Verdict.NOT_TRIED,
                f"{'the caller is not permitted' if is_denial(error) else 'AWS refused'}: {error}",
            )
        except Exception as error:  # noqa: BLE001  # One check that fails must not keep the others from being tried.
            return Verdict.NOT_TRIED, f"the check failed with {type(error).__name__}: {error}"

    def _outputs(self, check: Check) -> dict[str, str]:
        if check.name in self._refused:
            raise NotTriedError(self._refused[check.name])
        stack = self.stacks.wait(self.stacks.name_of(check.name))
        if not stack.is_complete:
            raise NotTriedError(f"its stack ended {stack.status}: {stack.reason}")
        return dict(stack.outputs)
