"""pydantic's `Field`, `PrivateAttr` and `ValidationError` for a project without pydantic, by the same rules.

A `Config` or `ConfigurableResource` takes these where pydantic is not loaded, and pydantic's own where it is.
"""

from treadle.definitions.fields import Field, PrivateAttr, ValidationError

__all__ = ["Field", "PrivateAttr", "ValidationError"]
