"""Every error that Treadle raises, as one tree.

    TreadleError
    ├── DagsterInvalidDefinitionError       a definition that cannot work
    │   └── DagsterInvalidPythonicConfigDefinitionError  ... as config cannot have a field's type
    ├── DagsterInvalidInvocationError       a sensor called with the wrong arguments
    ├── DagsterInvalidConfigError           a run config, or a resource's config, that does not fit its schema
    ├── DagsterInvalidConfigDefinitionError a config schema with a value that is no type of config
    ├── DagsterConfigMappingFunctionError   the function given to `configured` failed
    ├── DagsterResourceFunctionError        a resource could not be made or closed
    ├── DagsterUnknownPartitionError        a partition key that no partition of a definition has
    ├── DagsterInvariantViolationError      a rule of the authoring API broken at evaluation
    ├── InvalidReportError                  a run status or an asset is reported with invalid arguments
    │   └── DagsterInvalidMetadata          ... or a metadata value has no type of metadata
    ├── InvalidResultError                  an evaluation returned what no sensor may return
    ├── SensorEvaluationError               the sensor's function raised
    │   └── SensorTimeoutError              ... or ran into its deadline
    ├── SettingsError                       variables of the environment are missing or malformed
    ├── ScaffoldError                       something new cannot be written into the project
    ├── CommandRefusedError                 an operator's command that cannot be carried out as things stand
    ├── DeploymentError                     a deployed stack that cannot be read
    ├── InvocationError                     a function, invoked directly, failed or did not answer
    ├── UnknownEventError                   an event that no parser knows
    ├── UnreadableRecordError               a stored record that no longer is what its table holds
    ├── EngineMismatchError                 the engine for which a function was deployed is gone, or another one
    ├── SensorOwnershipError                the state of a sensor belongs to another project
    ├── LeaseLostError                      another tick or an operator's edit came in between
    ├── PayloadError                        a large run config cannot be read by the job that it was requested for
    ├── BucketError                         a watched bucket is missing, or may not be listed
    ├── AlertError                          a service did not accept an alert, or its secret cannot be read
    │   └── AlertDelayedError               ... as it gave no answer, or has too much to do (retryable)
    ├── StoreError                          the store did not answer (retryable)
    │   ├── StoreRejectedError              ... or will never take this item (not retryable)
    │   └── StoreThrottledError             ... as it has too much to do (retryable, for as long as it takes)
    └── LaunchError
        ├── LaunchRejectedError             the target will never accept this
        ├── LaunchDeniedError               permissions are missing (retryable for a while)
        ├── LaunchDelayedError              the target is throttled: nothing was started (retryable)
        └── LaunchUncertainError            the target may have started it or not (retryable, once that is known)

Dagster's names of its own errors are kept, so that a ported test keeps its `pytest.raises`.
"""

from collections.abc import Sequence
from typing import ClassVar


class TreadleError(Exception):
    """What went wrong, with what, and what to do.

    Attributes:
        retryable: True if the same call may succeed later without any change.
    """

    retryable: ClassVar[bool] = False


def is_passing(error: Exception) -> bool:
    """Return whether the same call may succeed later by itself; other errors concern only one item."""
    return bool(getattr(error, "retryable", False))


class DagsterInvalidDefinitionError(TreadleError):
    """A definition is invalid; lists all its problems at once."""


class DagsterInvalidInvocationError(TreadleError):
    """A sensor was called directly with invalid arguments."""


class DagsterInvalidConfigError(TreadleError):
    """A run config does not match its job's schema, or a resource's config its own; has the validator's message."""


class DagsterInvalidConfigDefinitionError(TreadleError):
    """A config schema has a value that is no type of config."""


class DagsterInvalidPythonicConfigDefinitionError(DagsterInvalidDefinitionError):
    """A field of a `Config` or a `ConfigurableResource` has a type that config cannot have."""


class DagsterConfigMappingFunctionError(TreadleError):
    """The function given to `configured` failed."""


class DagsterResourceFunctionError(TreadleError):
    """A resource could not be made or closed; names the resource and has the cause's message."""


class DagsterUnknownPartitionError(TreadleError):
    """No partition of a definition has this key."""


class DagsterInvariantViolationError(TreadleError):
    """A rule of the authoring API was broken while a sensor was evaluated."""


class InvalidReportError(TreadleError):
    """A run's status or an asset was reported with invalid arguments; nothing was sent."""


class DagsterInvalidMetadata(InvalidReportError):  # noqa: N818 - Dagster's name
    """A metadata value has a type that metadata cannot have."""


class InvalidResultError(TreadleError):
    """An evaluation returned or yielded what no sensor may return."""


class SensorEvaluationError(TreadleError):
    """The sensor's function raised; carries the trimmed stack of the user's own code."""

    def __init__(self, message: str, *, error_type: str, stack: str) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.stack = stack


class SensorTimeoutError(SensorEvaluationError):
    """The evaluation reached its time limit and was stopped."""


class SettingsError(TreadleError):
    """Environment variables are missing or malformed; lists all problems at once."""


class RegistryEntryError(TreadleError):
    """An entry of the registry is malformed, or has a version that this engine does not support."""


class ScaffoldError(TreadleError):
    """Something new cannot be written into the project, and nothing was; lists all problems at once.

    Args:
        problems: each with what to do.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class CommandRefusedError(TreadleError):
    """The current state does not allow an operator's command, and nothing was changed."""


class DeploymentError(TreadleError):
    """A deployed stack cannot be read: it does not exist, or credentials, Region or permissions are wrong."""


class InvocationError(TreadleError):
    """A function, invoked directly, failed or did not respond; its work may have been done.

    Args:
        message: what happened, to which function, and what to do.
        reason: the function's own error; "" if it did not respond.
        is_denied: True if the caller may not invoke it.
    """

    def __init__(self, message: str, *, reason: str = "", is_denied: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.is_denied = is_denied


class UnknownEventError(TreadleError):
    """An event that no parser knows, or that this sensor does not accept."""


class WebhookRejectedError(TreadleError):
    """A webhook's request is refused, and will be each time: it is malformed, too large, or not authentic.

    Args:
        status: the HTTP status of the response.
        message: the response; it contains nothing of the request.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class UnreadableRecordError(TreadleError):
    """A stored record cannot be decoded; reading it again fails until an operator repairs it.

    Args:
        record: its key, such as "run 1b2c".
        reason: why it cannot be decoded.
        is_noted: whether RECONCILE has already marked the record.
        remedy: what to do.
    """

    def __init__(
        self,
        record: str,
        reason: str,
        *,
        is_noted: bool = False,
        remedy: str = "Fix the item in its table, or delete it.",
    ) -> None:
        reason = reason.removeprefix("unreadable: ")
        super().__init__(f"Record of {record} cannot be read: {reason.rstrip('.')}. {remedy}")
        self.record = record
        self.is_noted = is_noted
        self.reason = f"unreadable: {reason}"


class UnrecordedInputError(TreadleError):
    """A rehearsal read what was not recorded with the tick; nothing of the sensor's code is wrong.

    Args:
        what: what it read, as the subject of a sentence.
    """

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The tick cannot be rehearsed: {what} is not recorded. Test the code with values of your own, or rehearse "
            "it from the deployed stack."
        )


class EngineMismatchError(TreadleError):
    """The engine of a function is gone, or another one uses its tables; nothing was committed."""


class SensorOwnershipError(TreadleError):
    """The state under a sensor's name belongs to another project; nothing was evaluated.

    Args:
        sensor: its name.
        owner: the project that the state belongs to.
        project: the project whose function was to evaluate the sensor.
    """

    def __init__(self, sensor: str, owner: str, project: str) -> None:
        super().__init__(
            f"Sensor {sensor} was not evaluated: its state belongs to project {owner}, and its function to project "
            f"{project}. Rename the sensor, or take its state over: treadle sensor adopt {sensor}."
        )


class LeaseLostError(TreadleError):
    """The tick may not commit: its lease ran out, or an operator changed the sensor meanwhile."""


class PayloadError(TreadleError):
    """A large run config cannot be read by the job that it was requested for."""


class BucketError(TreadleError):
    """A watched bucket is missing, or may not be listed; names the permission to grant."""


class AlertError(TreadleError):
    """A service rejected an alert, or its secret cannot be read; never contains the secret."""


class AlertDelayedError(AlertError):
    """A service did not respond, or is throttled; it may have accepted the alert all the same."""

    retryable = True


class StoreError(TreadleError):
    """A store did not respond, or refused for a transient reason."""

    retryable = True


class StoreRejectedError(StoreError):
    """A store will never accept this item: it is too large, or malformed. Nothing was written."""

    retryable = False


class ItemTooLargeError(StoreRejectedError):
    """An item cannot wait for a batch, because it is too large."""


class WebhookSecretError(StoreError):
    """The secret of a webhook sensor cannot be read, so that no request can be authenticated; never contains it."""


class StoreThrottledError(StoreError):
    """A store is throttled; the same call is safe to repeat any number of times."""


class LaunchError(TreadleError):
    """A job run could not be started."""


class LaunchRejectedError(LaunchError):
    """The target will never accept this start: it does not exist, or the input is invalid."""


class LaunchDeniedError(LaunchError):
    """The launcher lacks a permission; new permissions take a while to propagate."""

    retryable = True


class LaunchDelayedError(LaunchError):
    """The target is throttled, or refuses for now; nothing was started."""

    retryable = True


class LaunchUncertainError(LaunchError):
    """The target did not respond, or not clearly enough to know whether it has started the run."""

    retryable = True
