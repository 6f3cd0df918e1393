"""A store of runs in memory that notes which of its methods are called."""

from collections.abc import Callable, Collection, Sequence

from treadle.model.runs import Claim, PendingStart, Run
from treadle.testing.stores import InMemoryRunStore
from treadle.testing.tables import InMemoryTables


class CountingRuns(InMemoryRunStore):
    """Notes which methods were called, and lets others write before the writes of a batch."""

    def __init__(self, tables: InMemoryTables, meanwhile: Callable[[], object] = lambda: None) -> None:
        super().__init__(tables)
        self.called: list[str] = []
        self._meanwhile = meanwhile

    def get(self, run_id: str) -> Run | None:
        self.called.append("get")
        return super().get(run_id)

    def get_many(self, run_ids: Collection[str]) -> dict[str, Run]:
        self.called.append("get_many")
        return super().get_many(run_ids)

    def claim(
        self, run_id: str, job: str, attempt: int, claim: Claim, pending_start: PendingStart
    ) -> Run | None:
        called = [*self.called, "claim"]
        run = super().claim(run_id, job, attempt, claim, pending_start)
        self.called = called  # Without the read by which memory does what DynamoDB does in one request.
        return run

    def replace_many(self, changes: Sequence[tuple[Run, Run]]) -> list[Run | Exception | None]:
        self.called.append(f"replace_many of {len(changes)}")
        self._meanwhile()
        return super().replace_many(changes)
