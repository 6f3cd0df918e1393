"""Fault injection: at every call of a port, the process can die, hang, or get no response."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar, cast

from treadle.definitions.errors import StoreError, StoreThrottledError

P = TypeVar("P")


_BATCHES = frozenset({"send", "create_many", "replace_many", "put_many", "mark_many_dispatched"})
"""The methods of ports that may do a part of their work: its parts are their first argument."""


class ProcessKilled(BaseException):
    """The process is dead; a BaseException, so that no `except Exception` catches it."""


class Fault(StrEnum):
    """What can happen at a call."""

    KILL_BEFORE = "killed before"
    KILL_AFTER = "killed after"
    ANSWER_LOST = "answer lost"
    PAUSE = "paused"
    HALF_KILLED = "killed half-way"
    HALF_LOST = "refused half-way"
    THROTTLED = "throttled"
    REPEATED = "sent twice"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a port.

    Attributes:
        number: from 1, in the order of all calls.
        port: such as "RunStore".
        method: such as "create".
        step: the component whose process made it.
        size: the number of messages that it sends, or of records that it writes; 1 for any other call.
        process: the number of that process.
    """

    number: int
    port: str
    method: str
    step: str
    size: int = 1
    process: int = 0

    @property
    def site(self) -> str:
        """Return port and method."""
        return f"{self.port}.{self.method}"

    def __str__(self) -> str:
        """Return number, site and component."""
        return f"call {self.number}, {self.site} in {self.step}"


@dataclass(slots=True)
class _Process:
    step: str
    number: int
    is_dead: bool = False


@dataclass(slots=True)
class Faults:
    """Counts the calls of all ports, and injects faults into some of them.

    Attributes:
        plan: the fault to inject, by the number of the call.
        pause: lets everything else proceed while a call hangs.
        throttles: called at each call without a plan: returns whether it is throttled.
        calls: all calls, in order.
        injected: the calls with an injected fault.
    """

    plan: Mapping[int, Fault] = field(default_factory=dict)
    pause: Callable[[], None] = lambda: None
    throttles: Callable[[], bool] = lambda: False
    calls: list[Call] = field(default_factory=list)
    injected: list[tuple[Call, Fault]] = field(default_factory=list)
    _processes: list[_Process] = field(default_factory=list)
    _begun: int = 0

    def run(self, step: str, function: Callable[[], object]) -> bool:
        """Run a component in its own process.

        Args:
            step: the component's name.
            function: the component.

        Returns:
            False if the process was killed.
        """
        self._begun += 1
        self._processes.append(_Process(step, self._begun))
        try:
            function()
        except ProcessKilled:
            return False
        finally:
            self._processes.pop()
        return True

    def call(self, call: "PendingCall") -> Any:
        """Make a call, or inject a fault.

        Raises:
            ProcessKilled: if the process is dead, or dies at this call.
        """
        if not self._processes:
            return call.make()  # Called by a test, not by a component.
        process = self._processes[-1]
        if process.is_dead:
            raise ProcessKilled
        number = len(self.calls) + 1
        made = Call(number, call.port, call.method, process.step, call.size, process.number)
        self.calls.append(made)
        fault = self.plan.get(made.number) or (Fault.THROTTLED if self.throttles() else None)
        if fault is None:
            return call.make()
        self.injected.append((made, fault))
        try:
            return self._inject(call, fault)
        except ProcessKilled:
            # Code of it that still runs, such as a cleanup, must have no effect.
            process.is_dead = True
            raise

    def _inject(self, call: "PendingCall", fault: Fault) -> Any:
        if fault is Fault.THROTTLED:
            raise call.throttled(f"{call.port}.{call.method} was throttled.")
        if fault is Fault.PAUSE:
            self.pause()
            return call.make()
        if fault is Fault.KILL_BEFORE:
            raise ProcessKilled
        if fault in {Fault.HALF_KILLED, Fault.HALF_LOST}:
            call.half()
        else:
            answer = call.make()
            if fault is Fault.REPEATED:
                return call.make()
            del answer
        if fault in {Fault.KILL_AFTER, Fault.HALF_KILLED}:
            raise ProcessKilled
        raise call.lost(f"{call.port}.{call.method} gave no answer.")


@dataclass(slots=True)
class PendingCall:
    """A call that is about to be made.

    Attributes:
        port: such as "Queue".
        method: such as "send".
        function: the method of the wrapped port.
        args: its positional arguments.
        kwargs: its other arguments.
        size: the number of its messages or records.
        lost: creates the error of a lost response.
        throttled: creates the error of a throttled call.
    """

    port: str
    method: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    size: int
    lost: Callable[[str], Exception]
    throttled: Callable[[str], Exception]

    def make(self) -> Any:
        """Make the call."""
        return self.function(*self.args, **self.kwargs)

    def half(self) -> None:
        """Send the first half of its messages, or write the first half of its records."""
        half = self.size // 2
        halved = {name: each[:half] if isinstance(each, list) else each for name, each in self.kwargs.items()}
        self.function(self.args[0][:half], **halved)


def faulty(
    port: P,
    name: str,
    faults: Faults,
    *,
    lost: Callable[[str], Exception] = StoreError,
    throttled: Callable[[str], Exception] = StoreThrottledError,
    only: Collection[str] | None = None,
) -> P:
    """Wrap a port so that faults can be injected into each of its calls.

    Args:
        port: the wrapped port.
        name: the port's name, such as "RunStore".
        faults: injects the faults.
        lost: creates the error of a lost response.
        throttled: creates the error of a throttled call.
        only: the methods that count; None for all.
    """
    return cast("P", _Faulty(port, name, faults, lost, throttled, only))


@dataclass(slots=True)
class _Faulty:
    _port: Any
    _name: str
    _faults: Faults
    _lost: Callable[[str], Exception]
    _throttled: Callable[[str], Exception]
    _only: Collection[str] | None

    def __getattr__(self, method: str) -> Any:
        function = getattr(self._port, method)
        if not callable(function) or (self._only is not None and method not in self._only):
            return function

        def call(*args: Any, **kwargs: Any) -> Any:
            size = len(args[0]) if method in _BATCHES and isinstance(args[0], list) else 1
            if not size:
                return function(*args, **kwargs)  # Performs no I/O.
            return self._faults.call(
                PendingCall(self._name, method, function, args, kwargs, size, self._lost, self._throttled)
            )

        return call
