"""What an evaluation reads that was not recorded with its tick."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn

from treadle.definitions.errors import UnrecordedInputError
from treadle.definitions.objects import S3Object


class Unrecorded:
    """Notes the first unrecorded input that an evaluation reads: its code may catch the error, and go on.

    Attributes:
        what: the input; None if the evaluation has read nothing of that kind.
    """

    def __init__(self) -> None:
        self.what: str | None = None

    def clear(self) -> None:
        """Begin another evaluation."""
        self.what = None

    def refuse(self, what: str) -> NoReturn:
        """Note the input, and fail the evaluation.

        Args:
            what: the input, as the subject of a sentence.

        Raises:
            UnrecordedInputError: in any case.
        """
        self.what = self.what or what
        raise UnrecordedInputError(what)


class UnrecordedObject:
    """An object of which nothing is recorded: each of its methods fails.

    Args:
        unrecorded: notes that it was called.
        what: what its methods read, as the subject of a sentence.
    """

    def __init__(self, unrecorded: Unrecorded, what: str) -> None:
        self._unrecorded = unrecorded
        self._what = what

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *_args, **_options: self._unrecorded.refuse(self._what)


class RecordedS3Object(S3Object):
    """An object of an event, of which not all attributes were recorded with the tick; the others fail when read."""

    __slots__ = ("_known", "_unrecorded")

    _known: Mapping[str, Any]
    _unrecorded: Unrecorded

    def __init__(self, unrecorded: Unrecorded, known: Mapping[str, Any]) -> None:
        # The class that it extends is frozen, and its attributes are replaced by properties here.
        object.__setattr__(self, "_known", known)
        object.__setattr__(self, "_unrecorded", unrecorded)
        object.__setattr__(self, "names", known.get("names", {}))
        object.__setattr__(self, "times", known.get("times", {}))
        object.__setattr__(self, "group", None)

    def with_names(self, names: Mapping[str, str], times: Mapping[str, datetime]) -> "RecordedS3Object":
        """Return the object with the names, without reading what is not known."""
        return RecordedS3Object(self._unrecorded, {**self._known, "names": names, "times": times})

    def _value(self, name: str) -> Any:
        if name in self._known:
            return self._known[name]
        return self._unrecorded.refuse(f"the object's {name}")

    bucket = property(lambda self: self._value("bucket"))
    key = property(lambda self: self._value("key"))
    etag = property(lambda self: self._value("etag"))
    version = property(lambda self: self._value("version"))
    size = property(lambda self: self._value("size"))
    last_modified = property(lambda self: self._value("last_modified"))
