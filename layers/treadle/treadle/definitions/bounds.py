"""Size limits of stored values and text from elsewhere, and functions that make any text storable.

The only place for these numbers. All count bytes of UTF-8, as DynamoDB's limit of 400 KB per item does.
"""

MAX_RUN_KEY = 2_048
MAX_PARTITION_KEY = 1_024

MAX_LEVELS = 100
"""Nested lists and objects; parsers of other services end at a few hundred."""

MAX_REASON = 2_000
"""The reason of a tick's or run's status; what triggered it; why a sensor was paused."""

MAX_REJECTION = 1_000
MAX_REJECTED_BYTES = 500_000
"""The reasons for one tick's rejected requests: beyond it each is cut to `SHORT`."""

SHORT = 200
MAX_REFUSAL = 500
MAX_REFUSALS = 40

MAX_NAME = 256
"""The name of an error, or of a part of a run."""

MAX_MESSAGE = 8_000
MAX_STACK = 16_000
MAX_LOG = 48_000
"""A tick's log, written as JSON in ASCII."""

MAX_CAUSE = 2_000
MAX_STEP_CAUSE = 1_000
"""Characters of the cause of a run's failure, and of a part's: JSON in ASCII has up to six bytes for each."""

MAX_ID = 512

_SHOWN = 80


def fit(text: str, most: int) -> str:
    """Return the text in storable form: as UTF-8, truncated if it is longer.

    Invalid Unicode, as in a file name that is not UTF-8, becomes the replacement character.

    Args:
        text: of any origin.
        most: bytes of UTF-8.
    """
    if text.isascii():
        return text[:most]
    return unicode_text(text[:most]).encode()[:most].decode(errors="ignore")


def fit_end(text: str, most: int) -> str:
    """Return the text in storable form, with its beginning cut off if it is longer.

    Args:
        text: of any origin.
        most: bytes of UTF-8, at least one.
    """
    if text.isascii():
        return text[-most:]
    return unicode_text(text[-most:]).encode()[-most:].decode(errors="ignore")


def fit_some(text: str | None, most: int) -> str | None:
    """Apply `fit`; None stays None."""
    return None if text is None else fit(text, most)


def unicode_text(text: str) -> str:
    """Return the text with a replacement character for each lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def byte_size(text: str) -> int:
    """Return the size of a text in bytes of UTF-8."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is one."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def shown(value: object) -> str:
    """Format an invalid value for an error message, truncated."""
    try:
        return fit(repr(value), _SHOWN)
    except Exception:  # noqa: BLE001 - a repr is the author's code, too, and the value is wrong anyway
        return f"a {type(value).__name__}"


def error_text(error: BaseException) -> str:
    """Return an error's name and message; only its name if the message cannot be read."""
    name = type(error).__name__
    try:
        return f"{name}: {error}"
    except Exception:  # noqa: BLE001 - str() of an error is the code of whoever defined it
        return f"{name}: <unreadable message>"
