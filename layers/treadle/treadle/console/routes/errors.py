"""A missing resource in the path is a 404; other refusals are a 409."""

from collections.abc import Iterator
from contextlib import contextmanager

from aws_lambda_powertools.event_handler.exceptions import NotFoundError

from treadle.definitions.errors import CommandRefusedError


@contextmanager
def not_found() -> Iterator[None]:
    """Convert a refusal to a 404.

    Raises:
        NotFoundError: with the refusal's message.
    """
    try:
        yield
    except CommandRefusedError as error:
        raise NotFoundError(str(error)) from error
