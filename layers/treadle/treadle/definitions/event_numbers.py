"""A check that a cursor's number exists; with a wrong one its sensor would silently see no events."""

from treadle.definitions.errors import DagsterInvariantViolationError

_REMEDY = (
    "The sensors table and the events table are from different stacks: reuse both from the earlier "
    'one (docs/guide/delete-recreate-move.md), or start over with "treadle sensor cursor clear {}".'
)


def check_is_recorded(sensor: str, what: str, number: int, *, is_recorded: bool) -> None:
    """Check that the event at a cursor exists.

    Events are numbered from 1 without a gap, and never deleted.

    Args:
        sensor: its name.
        what: the asset or the job, as text.
        number: the cursor's position; 0 before the first.
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
