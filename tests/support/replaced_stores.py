"""The stores of a deployment, of which a simulation replaces some."""

from typing import Any


class ReplacedStores:
    """All stores of a deployment, some of them replaced, such as by ones behind faults.

    Args:
        stores: the deployment's.
        replaced: the replaced ones, by name.
    """

    def __init__(self, stores: Any, **replaced: Any) -> None:
        self.__dict__.update(vars(stores) | replaced)
        self._stores = stores

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stores, name)
