"""What targets share that take a message and tell nothing of what becomes of it."""

from collections.abc import Iterator
from typing import ClassVar, NoReturn

from treadle.adapters.targets.roles import AwsTarget
from treadle.definitions.errors import LaunchRejectedError
from treadle.ports.targets import Execution, JobSettings, Listed, Start, StartContract


class FireAndForgetTarget(AwsTarget):
    """The part of a `Target` that such a service cannot play; each start is at least once.

    Attributes:
        called: what the service takes, for messages.
    """

    contract: ClassVar[StartContract] = StartContract(describes=False)
    called: ClassVar[str]

    def resolve(self, start: Start) -> Execution | None:
        """None: what was taken cannot be found again."""
        del start
        return None

    def describe(self, external_id: str, role: str = "") -> Execution:
        """Nothing: refuses, with the reason."""
        del role
        self._cannot(external_id, "has no status to query")

    def recent(self, settings: JobSettings, since: int) -> Iterator[Listed]:
        """Nothing: refuses, with the reason."""
        del since
        self._cannot(f"What {settings.arn} receives", "cannot be listed")

    def cancel(self, external_id: str, role: str = "") -> None:
        """Nothing: refuses, with the reason."""
        del role
        self._cannot(external_id, "cannot be canceled")

    def _cannot(self, external_id: str, what: str) -> NoReturn:
        msg = f"{external_id} is {self.called}, which {what}: the target is fire-and-forget. Check its consumer."
        raise LaunchRejectedError(msg)
