"""Classifies AWS errors where all that matters is whether a retry helps."""

from treadle.definitions.errors import StoreError, StoreThrottledError


def store_error(code: str, message: str) -> StoreError:
    """Build the error to raise: a throttled call may be retried any number of times.

    Args:
        code: AWS's error code, such as "RequestThrottled" or "KMS.ThrottlingException"; "" without one.
        message: what failed.
    """
    is_throttled = "throttl" in code.lower() or code == "SlowDown"
    return (StoreThrottledError if is_throttled else StoreError)(message)


def code_of(error: Exception) -> str:
    """Return the code of an SDK error; "" if it has none."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
