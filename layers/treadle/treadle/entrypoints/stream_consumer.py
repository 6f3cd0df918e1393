"""Evaluates the records of a stream, of which none may block those after it, nor be lost."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from treadle.adapters.stream_records import sequence_number
from treadle.bootstrap.inbox import Inbox
from treadle.definitions.errors import SensorEvaluationError, SensorOwnershipError, StoreError, TreadleError
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.tick.event_ticks import EventBatchState, EventTicks
from treadle.engine.tick.given_up_records import dead_letter_of
from treadle.entrypoints import metric_names
from treadle.entrypoints.handler import PERMANENT, count, logger, send_to_dlq
from treadle.ports.system import BlobStore

if TYPE_CHECKING:
    from treadle.definitions.stream_record import StreamRecord

MOST_RECORDS = 100
"""Of a batch; the others are delivered again. The state of as many ticks is read in one request."""

_Record = Mapping[str, Any]
_Entry = tuple[_Record, "StreamRecord | TreadleError"]


class StreamBatch:
    """Evaluates a batch of one shard's records.

    Args:
        events: the sensor's ticks.
        parse: converts a record.
        evaluate: evaluates a record.
        inbox: the sensor's dead-letter queue.
        blobs: stores records that are too large for it.
        max_attempts: how often a record is evaluated before it is given up.
        has_time: returns whether there is time to evaluate another record, after the first.
    """

    def __init__(
        self,
        events: EventTicks,
        parse: "Callable[[_Record], StreamRecord]",
        evaluate: "Callable[[StreamRecord, EventBatchState], Outcome]",
        inbox: Inbox,
        blobs: BlobStore,
        max_attempts: int,
        has_time: Callable[[], bool],
    ) -> None:
        self._events = events
        self._parse = parse
        self._evaluate = evaluate
        self._inbox = inbox
        self._blobs = blobs
        self._max_attempts = max_attempts
        self._has_time = has_time
        self._sensor = inbox.origin.removeprefix("sensor ")
        self._has_begun = False

    def consume(self, records: Sequence[_Record]) -> dict[str, Any]:
        """Evaluate records, those of a key in order; one whose key has an unfinished record waits.

        Lambda delivers the batch again from the first record that the response names ("Reporting batch item failures
        for Lambda functions with an Amazon Kinesis Data Streams trigger" in the Lambda developer guide). Those that
        were evaluated already are recognized by their ticks.

        Args:
            records: the stream's batch.

        Returns:
            The partial batch response: the first record that is neither evaluated nor given up.

        Raises:
            StoreError: if such a record has no sequence number.
        """
        entries = [(each, self._parsed(each)) for each in records[:MOST_RECORDS]]
        parsed = [event for _, event in entries if not isinstance(event, TreadleError)]
        try:
            batch_state = self._events.load_batch_state(parsed)
        except StoreError as error:
            self._retried(error)
            return _from(records[0])
        if not self._events.is_running(batch_state):
            logger().info(f"Sensor {self._sensor} is stopped; {len(records)} records stay in their stream.")
            return _from(records[0])
        unfinished = [*self._unfinished(entries, batch_state), *records[MOST_RECORDS:]]
        return _from(unfinished[0]) if unfinished else {"batchItemFailures": []}

    def _parsed(self, record: _Record) -> "StreamRecord | TreadleError":
        try:
            return self._parse(record)
        except TreadleError as error:
            return error

    def _unfinished(self, entries: Sequence[_Entry], batch_state: EventBatchState) -> Iterator[_Record]:
        """Evaluate records; yield each that must be delivered again."""
        waiting: set[str] = set()
        for place, (record, event) in enumerate(entries):
            if isinstance(event, TreadleError):
                if not self._is_given_up(record, event):
                    yield record
            elif event.key in waiting or (place and not self._has_time()):
                logger().info(f"{event.summary} waits for an earlier record of its key, or for more time.")
                waiting.add(event.key)
                yield record
            elif not self._is_done(record, event, batch_state):
                waiting.add(event.key)
                yield record

    def _is_done(self, record: _Record, event: "StreamRecord", batch_state: EventBatchState) -> bool:
        """Return whether a record's tick is committed, now or before, or the record is given up."""
        if self._is_exhausted(event, batch_state):
            return self._is_given_up(record, self._exhausted(event))
        try:
            # An attempt of the first record counts before it ends: one that ends the process is that one in the end.
            self._has_begun = self._has_begun or self._events.begin(event, batch_state)
            return self._evaluate(event, batch_state).decision is not Decision.STOPPED
        except SensorEvaluationError as error:  # It has been reported.
            if error.error_type == SensorOwnershipError.__name__:
                self._withdraw(event, batch_state, error)
            elif self._events.attempts(event, batch_state) + 1 >= self._max_attempts:
                return self._is_given_up(record, error)
            self._count_retry()
        except PERMANENT as error:
            return self._is_given_up(record, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, others must go on
            self._retried(error)
            if isinstance(error, TreadleError):
                self._withdraw(event, batch_state, error)
        return False

    def _is_exhausted(self, event: "StreamRecord", batch_state: EventBatchState) -> bool:
        """Return whether a record was evaluated as often as it may be, without having been given up after that."""
        return self._events.attempts(event, batch_state) >= self._max_attempts

    def _exhausted(self, event: "StreamRecord") -> TreadleError:
        return SensorEvaluationError(
            f"{event.summary} was evaluated {self._max_attempts} times in vain. Its tick has the reason.",
            error_type=SensorEvaluationError.__name__,
            stack="",
        )

    def _is_given_up(self, record: _Record, error: TreadleError) -> bool:
        """Send a record to the dead-letter queue; return whether that was possible.

        A function that is killed before its response sends it again: the record's tick is the same.
        """
        try:
            dead_letter = dead_letter_of(record, self._sensor, self._blobs)
            send_to_dlq(dead_letter, error, self._inbox.dead_letters, self._inbox.origin)
        except StoreError as unsent:
            self._retried(unsent)
            return False
        return True

    def _withdraw(self, event: "StreamRecord", batch_state: EventBatchState, error: TreadleError) -> None:
        """Record that an attempt was none, so that what is not about a record does not exhaust it."""
        try:
            self._events.withdraw(event, batch_state, error)
        except StoreError as unrecorded:
            logger().warning(str(unrecorded))

    def _retried(self, error: Exception) -> None:
        is_known = isinstance(error, TreadleError)
        logger().warning(f"Records will be delivered again: {error}", exc_info=not is_known)
        self._count_retry()

    def _count_retry(self) -> None:
        count(metric_names.MESSAGES_RETRIED, dimension=("sensor", self._sensor))


def _from(record: _Record) -> dict[str, Any]:
    """Return the response that lets a stream continue with a record."""
    number = sequence_number(record)
    if number is None:
        msg = "A record without a sequence number was not evaluated, so its whole batch must be delivered again."
        raise StoreError(msg)
    return {"batchItemFailures": [{"itemIdentifier": number}]}
