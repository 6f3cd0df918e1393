"""Fault injection: every call of a port can be the one at which a process dies, hangs, or gets no answer."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar, cast

from treadle.definitions.errors import StoreError, StoreThrottledError

P = TypeVar("P")


class ProcessKilled(BaseException):
    """The process is gone; no `except Exception` may hold this up."""


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
        step: the step whose process made it.
        size: how many messages it sends; 1 for any other call.
    """

    number: int
    port: str
    method: str
    step: str
    size: int = 1

    @property
    def site(self) -> str:
        """Port and method."""
        return f"{self.port}.{self.method}"

    def __str__(self) -> str:
        """Number, site and step, in words."""
        return f"call {self.number}, {self.site} in {self.step}"


@dataclass(slots=True)
class _Process:
    step: str
    is_dead: bool = False


@dataclass(slots=True)
class Faults:
    """Counts the calls of all ports, and strikes at some of them.

    Attributes:
        plan: by the number of a call, what happens at it.
        pause: lets everything else go on while a call is held up.
        throttles: asked at each call that has no plan: whether it is throttled.
        calls: all that were made, in order.
        struck: those at which a fault struck.
    """

    plan: Mapping[int, Fault] = field(default_factory=dict)
    pause: Callable[[], None] = lambda: None
    throttles: Callable[[], bool] = lambda: False
    calls: list[Call] = field(default_factory=list)
    struck: list[tuple[Call, Fault]] = field(default_factory=list)
    _processes: list[_Process] = field(default_factory=list)

    def run(self, step: str, function: Callable[[], object]) -> bool:
        """Run a step in a process of its own.

        Args:
            step: its name.
            function: the step.

        Returns:
            False if the process was killed.
        """
        self._processes.append(_Process(step))
        try:
            function()
        except ProcessKilled:
            return False
        finally:
            self._processes.pop()
        return True

    def call(self, call: "PendingCall") -> Any:
        """Make a call, or let a fault strike at it.

        Raises:
            ProcessKilled: if the process is dead, or dies at it.
        """
        process = self._processes[-1] if self._processes else _Process("TEST")
        if process.is_dead:
            raise ProcessKilled
        made = Call(len(self.calls) + 1, call.port, call.method, process.step, call.size)
        self.calls.append(made)
        fault = self.plan.get(made.number) or (Fault.THROTTLED if self.throttles() else None)
        if fault is None:
            return call.function()
        self.struck.append((made, fault))
        try:
            return self._strike(call, fault)
        except ProcessKilled:
            # Whatever still runs of it, such as a clean-up, must reach nobody.
            process.is_dead = True
            raise

    def _strike(self, call: "PendingCall", fault: Fault) -> Any:
        if fault is Fault.THROTTLED:
            raise call.throttled(f"{call.port}.{call.method} was throttled.")
        if fault is Fault.PAUSE:
            self.pause()
            return call.function()
        if fault is Fault.KILL_BEFORE:
            raise ProcessKilled
        if fault in {Fault.HALF_KILLED, Fault.HALF_LOST}:
            call.half()
        else:
            answer = call.function()
            if fault is Fault.REPEATED:
                return call.function()
            del answer
        if fault in {Fault.KILL_AFTER, Fault.HALF_KILLED}:
            raise ProcessKilled
        raise call.lost(f"{call.port}.{call.method} gave no answer.")


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A call about to be made.

    Attributes:
        port: such as "Queue".
        method: such as "send".
        function: makes it.
        half: sends the first half of its messages.
        size: how many messages it sends.
        lost: the error that a caller sees who gets no answer.
        throttled: the error that a caller sees who is throttled.
    """

    port: str
    method: str
    function: Callable[[], Any]
    half: Callable[[], Any]
    size: int
    lost: Callable[[str], Exception]
    throttled: Callable[[str], Exception]


def faulty(
    port: P,
    name: str,
    faults: Faults,
    *,
    lost: Callable[[str], Exception] = StoreError,
    throttled: Callable[[str], Exception] = StoreThrottledError,
    only: Collection[str] | None = None,
) -> P:
    """The port, each of whose calls may meet a fault.

    Args:
        port: the one behind it.
        name: of the port, such as "RunStore".
        faults: strike.
        lost: makes the error that a caller sees who gets no answer.
        throttled: makes the error that a caller sees who is throttled.
        only: the methods that count; None for all.
    """
    return cast("P", _Faulty(port, name, faults, lost, throttled, only))


@dataclass(frozen=True, slots=True)
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
            batch = args[0] if method == "send" and isinstance(args[0], list) else [None]
            half = len(batch) // 2
            if not batch:
                return function(*args, **kwargs)  # Asks nothing of anybody.

            def send_half() -> Any:
                delays = kwargs.get("delay_seconds", 0)
                delays = delays[:half] if isinstance(delays, list) else delays
                return function(batch[:half], delay_seconds=delays)

            return self._faults.call(
                PendingCall(
                    self._name,
                    method,
                    lambda: function(*args, **kwargs),
                    send_half,
                    len(batch),
                    self._lost,
                    self._throttled,
                )
            )

        return call
