"""The assembly of the engine's components over a deployment's tables."""

from dataclasses import dataclass

from treadle.adapters.dynamodb.tables import DynamoStores
from treadle.adapters.system import RandomTokens, SystemClock
from treadle.bootstrap.settings import Settings
from treadle.engine.assembly import Assembly
from treadle.ports.system import BlobStore


@dataclass(frozen=True)
class DeployedAssembly(Assembly):
    """An assembly over DynamoDB's tables."""

    stores: DynamoStores


def assembly(settings: Settings, blobs: BlobStore | None = None) -> DeployedAssembly:
    """Return the assembly of the engine's components, once all settings are valid.

    Args:
        settings: the function's, from which all other values have been read.
        blobs: stores large payloads; None for a component that uses none.

    Raises:
        SettingsError: with all problems at once.
    """
    tables, namespace, ids = settings.tables(), settings.text("TREADLE_NAMESPACE"), RandomTokens()
    settings.check()
    stores = DynamoStores(tables, ids, blobs)
    stores.create_client()
    return DeployedAssembly(stores, SystemClock(), ids, namespace)
