"""What is asked for by name and is not there is a 404; elsewhere a refusal is a 409."""

from collections.abc import Iterator
from contextlib import contextmanager

from aws_lambda_powertools.event_handler.exceptions import NotFoundError

from treadle.definitions.errors import CommandRefusedError


@contextmanager
def not_found() -> Iterator[None]:
    """A refusal within means that there is nothing of the name.

    Raises:
        NotFoundError: in its words.
    """
    try:
        yield
    except CommandRefusedError as error:
        raise NotFoundError(str(error)) from error
