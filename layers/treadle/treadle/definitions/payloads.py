"""Run configs that are too large to be sent with their runs: a reference to the object that has them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from treadle.definitions.canonical import canonical_json
from treadle.definitions.runs import PAYLOAD_NAME

FOLDER = "large/"
"""Where the objects are in the payload bucket; then come sensor and job, by which permissions are given."""

MAX_PAYLOAD_BYTES = 6_000_000
"""The maximum size of a run config, as canonical JSON: with its copies it fits into the memory of a sensor's function."""


@dataclass(frozen=True, slots=True)
class PayloadReference:
    """What a run has in place of a large run config, the same for each attempt.

    Attributes:
        url: the object's address, as s3://bucket/key.
        sha256: of its content, in hexadecimal.
        size: of its content, in bytes.
    """

    url: str
    sha256: str
    size: int

    def __str__(self) -> str:
        """Return the run config that contains nothing but the reference, as canonical JSON."""
        return canonical_json({PAYLOAD_NAME: asdict(self)})

    def is_of(self, content: bytes) -> bool:
        """Return whether a content is the one that was stored."""
        return len(content) == self.size and hashlib.sha256(content).hexdigest() == self.sha256


def payload_key(sensor: str, job: str, content: bytes) -> str:
    """Return the key of the object of a run config, which the same content of the same sensor and job has again."""
    return f"{FOLDER}{sensor}/{job}/{hashlib.sha256(content).hexdigest()}"


def reference_in(run_config: object) -> PayloadReference | None:
    """Return the reference that a run config consists of; None if it is any other.

    Args:
        run_config: as an object, or as JSON.
    """
    if isinstance(run_config, str | bytes):
        try:
            run_config = json.loads(run_config)
        except ValueError:
            return None
    found = run_config.get(PAYLOAD_NAME) if isinstance(run_config, Mapping) and len(run_config) == 1 else None
    match found:
        case {"url": str(url), "sha256": str(sha256), "size": int(size), **others} if not others:
            return PayloadReference(url, sha256, size)
    return None
