"""The lookup of S3 objects, for operators who ask why one was not processed."""

from typing import Protocol

from treadle.model.objects import ObjectInspection


class ObjectLookup(Protocol):
    """Inspects objects as a sensor does."""

    def inspect(
        self, sensor: str, bucket: str, key: str, cursor: str | None, now: int
    ) -> ObjectInspection | None:
        """Assess a key as the sensor would; return None if the sensor does not watch a bucket.

        Args:
            sensor: the sensor's name.
            bucket: the bucket's name.
            key: the full key.
            cursor: the sensor's cursor, which records the progress of its sweep.
            now: milliseconds since the epoch.

        Raises:
            TreadleError: if the bucket is missing or may not be listed, or the sensor's selection cannot be
                read.
        """
