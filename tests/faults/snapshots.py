"""Copies of a simulation between two steps: what differs in a later step only is simulated from there."""

import io
import pickle
import random
from dataclasses import dataclass, is_dataclass
from enum import Enum
from threading import RLock
from types import BuiltinFunctionType, CellType, FunctionType, ModuleType
from typing import Any

_SHARED = (type, ModuleType, BuiltinFunctionType, Enum)
"""What no simulation changes."""

_LOCK = type(RLock())

_RECORDS = ("treadle.model.", "treadle.testing.faults")
"""The modules whose frozen dataclasses contain nothing that a simulation changes."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A simulation as it was between two steps.

    Attributes:
        calls: the number of calls of ports before.
        state: the pickled simulation, without what all copies share.
        shared: what they share, by its number in the state.
        random: the state of the module `random`.
    """

    calls: int
    state: bytes
    shared: tuple[Any, ...]
    random: Any

    @classmethod
    def of(cls, simulation: Any) -> "Snapshot":
        """Return the snapshot of a simulation that is between two steps."""
        file, shared = io.BytesIO(), list[Any]()
        _Pickler(file, shared).dump(simulation)
        return cls(len(simulation.faults.calls), file.getvalue(), tuple(shared), random.getstate())

    def restored(self) -> Any:
        """Return a copy of the simulation."""
        random.setstate(self.random)
        return _Unpickler(io.BytesIO(self.state), self.shared).load()


@dataclass(frozen=True, slots=True)
class _Original:
    """The function of which a closure is an instance."""

    function: FunctionType


class _Pickler(pickle.Pickler):
    """Pickles closures with what they have captured, and by reference what no simulation changes."""

    def __init__(self, file: io.BytesIO, shared: list[Any]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._shared = shared

    def persistent_id(self, value: Any) -> int | None:
        """Return the number of an object that is shared."""
        if isinstance(value, _Original):
            self._shared.append(value.function)
        elif _is_shared(value):
            self._shared.append(value)
        else:
            return None
        return len(self._shared) - 1

    def reducer_override(self, value: Any) -> Any:
        """Return how a closure is made again; anything else is pickled as usual."""
        if isinstance(value, FunctionType):
            return _closure, (_Original(value), value.__closure__)
        if isinstance(value, _LOCK):
            return RLock, ()
        if isinstance(value, CellType):
            return CellType, (), (value.cell_contents,), None, None, _fill
        if hasattr(type(value), "__getattr__"):
            # Such a wrapper would look for `__setstate__` in what it does not wrap yet.
            return object.__new__, (type(value),), object.__getstate__(value), None, None, _restore
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    """Unpickles a simulation with what it shares."""

    def __init__(self, file: io.BytesIO, shared: tuple[Any, ...]) -> None:
        super().__init__(file)
        self._shared = shared

    def persistent_load(self, pid: Any) -> Any:
        """Return a shared object by its number."""
        return self._shared[pid]


def _is_shared(value: Any) -> bool:
    kind = type(value)
    if kind is FunctionType:
        return value.__closure__ is None
    if kind.__module__.startswith(_RECORDS) and is_dataclass(kind):
        return bool(kind.__dataclass_params__.frozen)  # type: ignore[attr-defined]
    return isinstance(value, _SHARED)


def _closure(original: FunctionType, cells: tuple[CellType, ...]) -> FunctionType:
    made = FunctionType(
        original.__code__, original.__globals__, original.__name__, original.__defaults__, cells
    )
    made.__kwdefaults__ = original.__kwdefaults__
    return made


def _fill(cell: CellType, contents: tuple[Any]) -> None:
    [cell.cell_contents] = contents


def _restore(wrapper: object, state: Any) -> None:
    for attributes in state if isinstance(state, tuple) else (state,):
        for name, value in (attributes or {}).items():
            object.__setattr__(wrapper, name, value)
