"""What an AWS error amounts to, where all that matters is whether waiting helps."""

from treadle.definitions.errors import StoreError, StoreThrottledError


def store_error(code: str, words: str) -> StoreError:
    """The error to raise: a throttled call is safe to send again, however often.

    Args:
        code: as AWS gives it, such as "RequestThrottled" or "KMS.ThrottlingException"; empty if it gave none.
        words: what went wrong, to what.
    """
    is_throttled = "throttl" in code.lower() or code == "SlowDown"
    return (StoreThrottledError if is_throttled else StoreError)(words)


def code_of(error: Exception) -> str:
    """The code in an error of the SDK; empty if it has none."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
