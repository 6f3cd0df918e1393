"""The inputs of one invocation, which are processed together, while each has a result of its own."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

from treadle.engine.outcomes import Outcome

T = TypeVar("T", bound=Hashable)
R = TypeVar("R")


class InvocationBatch(Generic[T]):
    """Processes the inputs of an invocation together, and returns the result of each on its turn.

    Args:
        process: processes inputs, no two of them equal; returns for each the outcome, or the error that concerns it.
    """

    def __init__(self, process: Callable[[Sequence[T]], Sequence[Outcome | Exception]]) -> None:
        self._process = process
        self._results: dict[T, Outcome | Exception] = {}

    def begin(self, inputs: Iterable[T]) -> None:
        """Process the inputs of the invocation."""
        distinct = list(dict.fromkeys(inputs))
        self._results.update(zip(distinct, self._process(distinct), strict=True))

    def result(self, of: T) -> Outcome:
        """Return the outcome of an input, or raise its error; a duplicate is processed again, after the first one."""
        if of not in self._results:
            self.begin([of])
        result = self._results.pop(of)
        if isinstance(result, Exception):
            raise result
        return result


def result_of(work: Callable[[], R]) -> R | Exception:
    """Return the result of work for one input, or its error, which must not fail the others."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - each input has its own result
        return error
