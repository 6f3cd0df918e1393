"""What identifies accepted requests, in memory, and the secrets of webhooks in a test."""

from collections.abc import Mapping

from treadle.definitions.errors import WebhookSecretError
from treadle.definitions.webhook_verification import Identities
from treadle.testing.tables import InMemoryTables


class InMemoryDeliveryStore:
    """A `DeliveryStore` in memory."""

    def __init__(self, tables: InMemoryTables) -> None:
        self._tables = tables

    def accept(self, sensor: str, identities: Identities, at: int) -> int | None:
        """Record a request if both its identities are new."""
        known, key = self._tables.deliveries, identities.key
        with self._tables.lock:
            of_delivery = (
                known.get((sensor, "delivery", identities.delivery)) if identities.delivery else None
            )
            if of_delivery is not None and of_delivery[1] != key:
                return None
            before = known.get((sensor, "key", key))
            if before is not None:
                return before[0]
            known[sensor, "key", key] = (at, key)
            if identities.delivery:
                known[sensor, "delivery", identities.delivery] = (at, key)
            return at

    def accepted_at(self, sensor: str, identities: Identities) -> int | None:
        """Return when a request was accepted."""
        found = self._tables.deliveries.get((sensor, "key", identities.key))
        return None if found is None else found[0]


class InMemorySecrets:
    """A `SecretStore` in memory.

    Args:
        versions: the current version and the previous one of each secret, by name.
    """

    def __init__(self, versions: Mapping[str, tuple[str, ...]]) -> None:
        self.versions = versions

    def read(self, name: str) -> tuple[str, ...]:
        """Return a secret's versions."""
        if name not in self.versions:
            msg = f"The secret {name} cannot be read: there is none."
            raise WebhookSecretError(msg)
        return self.versions[name]
