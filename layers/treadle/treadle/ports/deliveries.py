"""The store of what identifies the requests that webhook sensors have accepted, and where their secrets are read."""

from typing import Protocol

from treadle.definitions.webhook_verification import Identities


class DeliveryStore(Protocol):
    """Records each identity of a request once, for as long as its sensor exists."""

    def accept(self, sensor: str, identities: Identities, at: int) -> int | None:
        """Record a request if both its identities are new, or else nothing, strongly consistent.

        Args:
            sensor: the sensor's name.
            identities: of the request, which last.
            at: the time.

        Returns:
            When the request of this key was accepted first: `at` if this call, or an earlier one of the same time, has
            recorded it. None if the delivery's id belongs to a request with another key.

        Raises:
            StoreError: if the store did not answer.
        """

    def accepted_at(self, sensor: str, identities: Identities) -> int | None:
        """Return when the request of this key was accepted first, strongly consistent; None if it never was.

        Raises:
            StoreError: if the store did not answer.
        """


class SecretStore(Protocol):
    """Reads a secret with its previous version, which stays valid while its users change to the current one."""

    def read(self, name: str) -> tuple[str, ...]:
        """Return the current version and, if there is one, the previous version.

        Args:
            name: as the deployment names it.

        Raises:
            WebhookSecretError: if the current version cannot be read, or is empty.
        """
