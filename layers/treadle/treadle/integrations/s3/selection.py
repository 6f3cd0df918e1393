"""Which objects a sensor watches."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from treadle.definitions.errors import SettingsError
from treadle.definitions.objects import ObjectIdentity, S3Object


class StartFrom(StrEnum):
    """Which objects count that were there before the sensor was first enabled."""

    NOW = "now"
    BEGINNING = "beginning"


@dataclass(frozen=True, slots=True)
class S3Selection:
    """Which objects a sensor watches, and what makes two sightings the same object.

    Attributes:
        bucket: the bucket's name; "" until the deployment says.
        prefix: what keys begin with.
        suffix: what keys end with.
        identity: what makes two sightings the same object.
        start_from: whether objects count that were there before.
    """

    bucket: str = ""
    prefix: str = ""
    suffix: str = ""
    identity: ObjectIdentity = ObjectIdentity.ETAG
    start_from: StartFrom = StartFrom.NOW

    def selects(self, stored: S3Object) -> bool:
        """Whether the object is watched."""
        return (
            stored.bucket == self.bucket
            and stored.key.startswith(self.prefix)
            and stored.key.endswith(self.suffix)
            and len(stored.key) >= len(self.prefix) + len(self.suffix)
        )

    @property
    def fingerprint(self) -> list[str]:
        """What a bookmark was made with; another one makes it a first enable."""
        return [self.bucket, self.prefix, self.suffix, self.identity.value]

    def configured(self, settings: Mapping[str, str]) -> "S3Selection":
        """The selection with what the deployment says.

        Args:
            settings: `TREADLE_S3_BUCKET`, `_PREFIX`, `_SUFFIX`, `_IDENTITY` and `_START_FROM`, each optional.

        Raises:
            SettingsError: with all problems at once.
        """
        problems: list[str] = []
        chosen = replace(
            self,
            bucket=settings.get("TREADLE_S3_BUCKET", self.bucket),
            prefix=settings.get("TREADLE_S3_PREFIX", self.prefix),
            suffix=settings.get("TREADLE_S3_SUFFIX", self.suffix),
        )
        if not chosen.bucket:
            problems.append("no bucket is given: set TREADLE_S3_BUCKET")
        identity = settings.get("TREADLE_S3_IDENTITY", self.identity.value)
        if identity not in set(ObjectIdentity):
            problems.append(f"TREADLE_S3_IDENTITY is {identity!r}: use key, etag or version")
        start_from = settings.get("TREADLE_S3_START_FROM", self.start_from.value)
        if start_from not in set(StartFrom):
            problems.append(f"TREADLE_S3_START_FROM is {start_from!r}: use now or beginning")
        if problems:
            msg = f"The selection of objects is not complete: {'; '.join(problems)}."
            raise SettingsError(msg)
        return replace(chosen, identity=ObjectIdentity(identity), start_from=StartFrom(start_from))
