"""The file that keeps the state of `treadle dev` between two starts: a whole snapshot, replaced at once."""

import pickle
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from treadle.definitions.errors import SettingsError

NAME = "state.pickle"


class SavedState(NamedTuple):
    """What the file contains.

    Attributes:
        version: of the Treadle that wrote it.
        started_at: when the first `treadle dev` of this state began, in milliseconds.
        engine: the engine's snapshot.
    """

    version: str
    started_at: int
    engine: bytes


def read_state(path: Path) -> SavedState | None:
    """Return what the file contains; None if there is no file.

    Raises:
        SettingsError: if it was written by another version of Treadle, or cannot be read.
    """
    try:
        saved = SavedState(*pickle.loads(path.read_bytes()))  # noqa: S301 - the developer's own file
    except FileNotFoundError:
        return None
    except Exception as error:  # noqa: BLE001 - what unpickling raises cannot be listed
        reason = f"{type(error).__name__}: {error}"
    else:
        if saved.version == _version():
            return saved
        reason = f"it is of Treadle {saved.version}, and this is {_version()}"
    msg = f"The saved state {path} cannot be used: {reason}. Delete the file, or start without --keep."
    raise SettingsError(msg)


def write_state(path: Path, started_at: int, engine: bytes) -> None:
    """Replace the file."""
    path.parent.mkdir(exist_ok=True)
    new = path.with_suffix(".new")
    new.write_bytes(pickle.dumps(tuple(SavedState(_version(), started_at, engine))))
    new.replace(path)


def _version() -> str:
    try:
        return version("treadle")
    except PackageNotFoundError:
        return "a checkout"
