"""The inputs of one invocation, which are processed together, while each has a result of its own."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

from treadle.engine.outcomes import Outcome

T = TypeVar("T")
R = TypeVar("R")


def _itself(input_: Hashable) -> Hashable:
    return input_


class InvocationBatch(Generic[T]):
    """Processes the inputs of an invocation together, and returns the result of each on its turn.

    Args:
        process: processes inputs, no two of them with the same key; returns for each the outcome, or the error that
            concerns it. What it raises concerns each of them.
        key: identifies an input; by default, it is its own key.
    """

    def __init__(
        self,
        process: Callable[[Sequence[T]], Sequence[Outcome | Exception]],
        key: Callable[[T], Hashable] = _itself,
    ) -> None:
        self._process = process
        self._key = key
        self._results: dict[Hashable, Outcome | Exception] = {}

    def begin(self, inputs: Iterable[T]) -> None:
        """Process the inputs of the invocation, if there are any."""
        distinct: dict[Hashable, T] = {}
        for each in inputs:
            distinct.setdefault(self._key(each), each)
        if distinct:
            results = results_of(lambda: self._process(list(distinct.values())), len(distinct))
            self._results.update(zip(distinct, results, strict=True))

    def result(self, of: T) -> Outcome:
        """Return the outcome of an input, or raise its error; a duplicate is processed again, after the first one."""
        key = self._key(of)
        if key not in self._results:
            self.begin([of])
        result = self._results.pop(key)
        if isinstance(result, Exception):
            raise result
        return result


def result_of(work: Callable[[], R]) -> R | Exception:
    """Return the result of work for one input, or its error, which must not fail the others."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - each input has its own result
        return error


def results_of(work: Callable[[], Sequence[R | Exception]], number: int) -> Sequence[R | Exception]:
    """Return the results of work for as many inputs; an error that it raises is the result of each of them."""
    results = result_of(work)
    return [results] * number if isinstance(results, Exception) else results
