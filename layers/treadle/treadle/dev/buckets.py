"""Buckets that are folders: a file in one is an object, and a new or changed file is its event."""

import os
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from treadle.definitions.objects import ObjectCreated
from treadle.dev.locking import Locked
from treadle.dev.template import ACCOUNT, REGION
from treadle.ports.system import Clock
from treadle.testing.objects import InMemoryObjects

Stamp = tuple[int, int, int]


class FolderBuckets:
    """Buckets, each a folder.

    Args:
        clock: the clock.

    Attributes:
        objects: lists them, as S3 does.
        folders: each bucket's folder.
    """

    def __init__(self, clock: Clock) -> None:
        self._lock = threading.RLock()
        self._objects = InMemoryObjects(clock)
        self.objects = cast("InMemoryObjects", Locked(self._objects, self._lock))
        self.folders: dict[str, Path] = {}
        self._known: dict[str, dict[str, Stamp]] = {}
        self._unsettled: dict[tuple[str, str], Stamp] = {}

    def add(self, bucket: str, folder: Path) -> None:
        """Let a folder be a bucket; the files in it are objects without an event."""
        folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self.folders[bucket] = folder
            self._known[bucket] = {}
            for key, stamp in _files(folder):
                self._put(bucket, key, stamp, datetime.fromtimestamp(stamp[0] / 1e9, UTC))

    def poll(self) -> list[ObjectCreated]:
        """Return the events of files that are new or changed, and complete: unchanged since the last call."""
        with self._lock:
            return list(self._changes())

    def _changes(self) -> Iterator[ObjectCreated]:
        for bucket, folder in self.folders.items():
            known, found = self._known[bucket], dict(_files(folder))
            for key in known.keys() - found.keys():
                del known[key]
                self._objects.delete(bucket, key)
            for key, stamp in found.items():
                if known.get(key) == stamp:
                    self._unsettled.pop((bucket, key), None)
                elif self._unsettled.get((bucket, key)) == stamp:
                    event = self._put(bucket, key, stamp)
                    if event is not None:
                        yield event
                else:
                    self._unsettled[bucket, key] = stamp

    def _put(
        self, bucket: str, key: str, stamp: Stamp, modified: datetime | None = None
    ) -> ObjectCreated | None:
        try:
            body = (self.folders[bucket] / key).read_bytes()
        except OSError:
            return None  # It is gone, or cannot be read yet.
        self._known[bucket][key] = stamp
        self._unsettled.pop((bucket, key), None)
        return self._objects.put(bucket, key, body, modified=modified)


def object_event(event: ObjectCreated) -> Mapping[str, object]:
    """Return the event of an object as EventBridge delivers it."""
    stored = event.object
    return {
        "version": "0",
        "source": "aws.s3",
        "detail-type": "Object Created",
        "account": ACCOUNT,
        "region": REGION,
        "time": event.time.isoformat(),
        "detail": {
            "bucket": {"name": stored.bucket},
            "object": {
                "key": stored.key,
                "size": stored.size,
                "etag": stored.etag,
                "sequencer": event.sequencer,
            },
            "reason": "PutObject",
        },
    }


def _files(folder: Path) -> Iterator[tuple[str, Stamp]]:
    """Yield the keys of the files below a folder, with what changes when a file does; hidden files are left out."""
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                found = [each for each in entries if not each.name.startswith(".")]
        except OSError:
            continue  # Deleted meanwhile.
        for each in found:
            if each.is_dir():
                waiting.append(each.path)
                continue
            try:
                stat = each.stat()
            except OSError:
                continue
            yield (
                Path(each.path).relative_to(folder).as_posix(),
                (stat.st_mtime_ns, stat.st_size, stat.st_ino),
            )
