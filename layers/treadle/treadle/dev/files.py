"""Stores objects in the folders of buckets, for the command line and the console."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from treadle.definitions.errors import CommandRefusedError


def store(folders: Mapping[str, Path], bucket: str, key: str, write: Callable[[Path], object]) -> None:
    """Store an object, all of it at once.

    Args:
        folders: each bucket's folder.
        bucket: the bucket.
        key: the object's key.
        write: writes its content to a path.

    Raises:
        CommandRefusedError: if there is no such bucket, or the key cannot be a file.
    """
    if bucket not in folders:
        known = ", ".join(folders) or "none"
        msg = f"There is no bucket {bucket!r}; there are: {known}. Start `treadle dev` with --bucket {bucket}=DIR."
        raise CommandRefusedError(msg)
    if any(not part or part.startswith(".") for part in key.split("/")):
        msg = f"The key {key!r} cannot be a file here: a part of it is empty or begins with a dot. Use another key."
        raise CommandRefusedError(msg)
    target = folders[bucket] / key
    # Hidden until it is complete.
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write(partial)
        partial.replace(target)
    except OSError as error:
        msg = f"The object s3://{bucket}/{key} cannot be stored: {error}. Use another key or folder."
        raise CommandRefusedError(msg) from error
