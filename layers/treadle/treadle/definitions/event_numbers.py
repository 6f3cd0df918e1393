"""Whether a cursor's number is one of the events that it counts: else its sensor would see nothing, and say nothing."""

from treadle.definitions.errors import DagsterInvariantViolationError

_REMEDY = (
    "The sensors table and the events table are from different stacks: reuse both from the earlier "
    'one (docs/guide/delete-recreate-move.md), or start over with "treadle sensor cursor clear {}".'
)


def check_is_recorded(sensor: str, what: str, number: int, *, is_recorded: bool) -> None:
    """That the event which a cursor is at exists.

    Events are numbered from 1 without a gap, and never deleted.

    Args:
        sensor: its name.
        what: the asset or the job, in words.
        number: where the cursor is; 0 before the first.
        is_recorded: whether there is such an event.

    Raises:
        DagsterInvariantViolationError: if there is none.
    """
    if number > 0 and not is_recorded:
        msg = (
            f"Sensor {sensor} cannot continue from its cursor: it is at number {number} of {what}, "
            f"but no event with that number is recorded. {_REMEDY.format(sensor)}"
        )
        raise DagsterInvariantViolationError(msg)
