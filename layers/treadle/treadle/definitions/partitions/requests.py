"""Requests to add and delete keys of stored sets of dynamic partitions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from treadle.definitions.bounds import MAX_PARTITION_KEY, byte_size, shown
from treadle.definitions.errors import DagsterInvariantViolationError, InvalidResultError
from treadle.definitions.values import text_value

MAX_SET_NAME = 512
"""Bytes: with its prefix it still fits into a key of the table."""


def set_name(given: object) -> str:
    """Return the name of a set of dynamic partitions, if it can be stored.

    Raises:
        InvalidResultError: if it is not a string, empty, not valid Unicode, or too long.
    """
    name = text_value(given, "partitions_def_name", wanted="a string")
    if not 0 < byte_size(name) <= MAX_SET_NAME:
        msg = (
            f"partitions_def_name {shown(name)} has {byte_size(name)} bytes: it must have 1 to {MAX_SET_NAME}. Choose "
            "another name."
        )
        raise InvalidResultError(msg)
    return name


def set_keys(given: object) -> list[str]:
    """Return keys of dynamic partitions, each once and in order, if they can be stored.

    Raises:
        InvalidResultError: if they are not a list of strings, or one is empty, not valid Unicode, or too long.
    """
    if isinstance(given, str) or not isinstance(given, Sequence):
        msg = f"partition_keys must be a list of strings, not {type(given).__name__}: {shown(given)}. Give a list."
        raise InvalidResultError(msg)
    keys = list(dict.fromkeys(text_value(key, "A partition key", wanted="a string") for key in given))
    for key in keys:
        if not 0 < byte_size(key) <= MAX_PARTITION_KEY:
            msg = (
                f"Partition key {shown(key)} has {byte_size(key)} bytes: it must have 1 to {MAX_PARTITION_KEY}. Use "
                "another key."
            )
            raise InvalidResultError(msg)
    return keys


def keys_to_find(given: Sequence[object]) -> list[str]:
    """Return keys to look up; one that cannot be stored, such as an empty one, is in no set.

    Raises:
        InvalidResultError: if one is not a string.
    """
    # A string is not checked: one that is not valid Unicode is merely not found.
    return [
        key if isinstance(key, str) else text_value(key, "A partition key", wanted="a string")
        for key in given
    ]


@dataclass(frozen=True, slots=True)
class DynamicPartitionsRequest:
    """What both kinds of requests have in common.

    Attributes:
        partitions_def_name: the set's name.
        partition_keys: the keys, each once.
    """

    partitions_def_name: str
    partition_keys: Sequence[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "partitions_def_name", set_name(self.partitions_def_name))
        object.__setattr__(self, "partition_keys", set_keys(self.partition_keys))


@dataclass(frozen=True, slots=True)
class AddDynamicPartitionsRequest(DynamicPartitionsRequest):
    """A request to add keys to a set of dynamic partitions, for `SensorResult`.

    Args:
        partitions_def_name: the set's name.
        partition_keys: the keys; one that exists stays where it is.

    Raises:
        InvalidResultError: if the name or a key cannot be stored.
    """


@dataclass(frozen=True, slots=True)
class DeleteDynamicPartitionsRequest(DynamicPartitionsRequest):
    """A request to delete keys from a set of dynamic partitions, for `SensorResult`.

    Args:
        partitions_def_name: the set's name.
        partition_keys: the keys; one that does not exist is ignored.

    Raises:
        InvalidResultError: if the name or a key cannot be stored.
    """


def check_requests(requests: Sequence[DynamicPartitionsRequest]) -> None:
    """Check that a result requests each key once.

    Raises:
        DagsterInvariantViolationError: if a key is in two requests.
    """
    requested: dict[tuple[str, str], type] = {}
    for request in requests:
        name = request.partitions_def_name
        kinds = {requested[name, key] for key in request.partition_keys if (name, key) in requested}
        twice = [key for key in request.partition_keys if (name, key) in requested]
        where = f"partitions_def_name {name!r}, partition_keys: {shown(twice)}"
        if kinds - {type(request)}:
            msg = (
                "Dynamic partition requests cannot contain both add and delete requests for the same partition keys. "
                f"Invalid request: {where}. Request one of the two."
            )
            raise DagsterInvariantViolationError(msg)
        if kinds:
            verb = "add" if isinstance(request, AddDynamicPartitionsRequest) else "delete"
            msg = (
                f"Cannot request to {verb} duplicate dynamic partition keys: {where}. Request each key once."
            )
            raise DagsterInvariantViolationError(msg)
        requested |= {(name, key): type(request) for key in request.partition_keys}


def change_partitions(instance: Any, requests: Sequence[DynamicPartitionsRequest]) -> None:
    """Add and delete the keys of requests through an instance.

    Args:
        instance: a `DagsterInstance`.
        requests: the requests.
    """
    for request in requests:
        name = request.partitions_def_name
        if isinstance(request, AddDynamicPartitionsRequest):
            instance.add_dynamic_partitions(name, request.partition_keys)
        else:
            for key in request.partition_keys:
                instance.delete_dynamic_partition(name, key)
