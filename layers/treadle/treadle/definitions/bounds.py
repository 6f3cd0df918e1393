"""How much is stored of values and text that Treadle did not write, and how any text is made storable.

The one home of these numbers. All count bytes of UTF-8, as DynamoDB's 400 KB of an item do.
"""

MAX_RUN_KEY = 2_048
MAX_PARTITION_KEY = 1_024

MAX_LEVELS = 100
"""Of lists and objects in one another; parsers of other services end at a few hundred."""

MAX_REASON = 2_000
"""Of why a tick or run is as it is; of what set it off; of why a sensor was paused."""

MAX_SET_ASIDE = 1_000
MAX_SET_ASIDE_BYTES = 500_000
"""Of one tick's reasons for setting requests aside: beyond it each is cut to `SHORT`."""

SHORT = 200
MAX_REFUSAL = 500
MAX_REFUSALS = 40

MAX_NAME = 256
"""Of an error's name, or of a part of a run."""

MAX_MESSAGE = 8_000
MAX_STACK = 16_000
MAX_LOG = 48_000
"""Of a tick's log, written as JSON in ASCII."""

MAX_CAUSE = 2_000
MAX_STEP_CAUSE = 1_000
"""Characters, of why a run failed, and of why a part of it did: JSON in ASCII has up to six bytes for one."""

MAX_ID = 512

_SHOWN = 80


def fit(text: str, most: int) -> str:
    """The text as it can be stored: as UTF-8, cut where it is longer.

    What is no Unicode, as in a file's name that is not UTF-8, becomes the replacement character.

    Args:
        text: of whatever origin.
        most: bytes of UTF-8.
    """
    if text.isascii():
        return text[:most]
    return unicode_text(text[:most]).encode()[:most].decode(errors="ignore")


def fit_end(text: str, most: int) -> str:
    """The text as it can be stored, cut at its beginning.

    Args:
        text: of whatever origin.
        most: bytes of UTF-8, at least one.
    """
    if text.isascii():
        return text[-most:]
    return unicode_text(text[-most:]).encode()[-most:].decode(errors="ignore")


def fit_some(text: str | None, most: int) -> str | None:
    """As `fit`; None stays None."""
    return None if text is None else fit(text, most)


def unicode_text(text: str) -> str:
    """The text with a replacement character for each lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def byte_size(text: str) -> int:
    """How many bytes of UTF-8 a text has."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def shown(value: object) -> str:
    """A wrong value as an error's message shows it, cut."""
    try:
        return fit(repr(value), _SHOWN)
    except Exception:  # noqa: BLE001 - a repr is the author's code, too, and the value is wrong anyway
        return f"a {type(value).__name__}"


def error_text(error: BaseException) -> str:
    """An error's name and message; its name alone where the message cannot be had."""
    name = type(error).__name__
    try:
        return f"{name}: {error}"
    except Exception:  # noqa: BLE001 - str() of an error is the code of whoever defined it
        return f"{name}: <unreadable message>"
