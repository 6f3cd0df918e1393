"""The common part of targets that accept a message and cannot be queried about it."""

from collections.abc import Iterator
from typing import ClassVar, NoReturn

from treadle.adapters.targets.roles import AwsTarget
from treadle.definitions.errors import LaunchRejectedError
from treadle.model.targets import Execution, JobSettings, Listed, Start, StartContract


class FireAndForgetTarget(AwsTarget):
    """A `Target` that cannot be queried; each start has at-least-once semantics.

    Attributes:
        called: what the service accepts, for messages.
    """

    contract: ClassVar[StartContract] = StartContract(describes=False)
    called: ClassVar[str]

    def resolve(self, start: Start) -> Execution | None:
        """Return None: what was accepted cannot be found again."""
        del start
        return None

    def describe(self, external_id: str, role: str = "") -> Execution:
        """Refuse, with the reason."""
        del role
        self._cannot(external_id, "has no status to query")

    def recent(self, settings: JobSettings, since: int) -> Iterator[Listed]:
        """Refuse, with the reason."""
        del since
        self._cannot(f"What {settings.arn} receives", "cannot be listed")

    def cancel(self, external_id: str, role: str = "", reason: str = "") -> None:
        """Refuse, with the reason."""
        del role, reason
        self._cannot(external_id, "cannot be canceled")

    def _cannot(self, external_id: str, what: str) -> NoReturn:
        msg = f"{external_id} is {self.called}, which {what}: the target is fire-and-forget. Check its consumer."
        raise LaunchRejectedError(msg)
