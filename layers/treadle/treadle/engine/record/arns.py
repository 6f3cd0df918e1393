"""Comparison of ARNs that targets report with the deployment's addresses, which may be abbreviated."""

from collections.abc import Iterator

from treadle.model.runs import PendingStart, Run
from treadle.model.targets import JobSettings, kind_of

_FOLDERS = {"glue": ("glue", "job"), "batch": ("batch", "job-definition")}
"""For target types whose address may be a plain name: the service, and the resource type of the name."""

_FUNCTION_PARTS = 7


def kind_of_run(run: Run, settings: JobSettings | None) -> str:
    """Return the type of target that a run was started on, even if its job's has changed; "" if unknown.

    Args:
        run: the run's record.
        settings: the job's current settings; None if the job is gone.
    """
    pending_start = run.pending_start
    if pending_start is not None and pending_start.kind:
        return pending_start.kind
    address = run.target or (pending_start.target if pending_start is not None else "")
    return kind_of(address) or (settings.target if settings else "")


def role_of_start(pending_start: PendingStart, settings: JobSettings) -> str:
    """Return the role for a pending start.

    It is the deployed role if the job's current or a former address is that of the start, else the role that
    was recorded.

    Args:
        pending_start: one with an address.
        settings: the job's current settings.
    """
    kind = pending_start.kind or settings.target
    is_there = (kind, pending_start.target) == (settings.target, settings.arn)
    was_there = any(
        k == kind and _is_same(kind, pending_start.target, each) for k, each in former_of(settings)
    )
    return settings.role if is_there or was_there or pending_start.role is None else pending_start.role


def role_of_run(run: Run, settings: JobSettings | None) -> str:
    """Return the role for describing and canceling a run; "" for the engine's own permissions.

    Args:
        run: the run's record.
        settings: the job's current settings; None if the job is gone.
    """
    pending_start = run.pending_start
    if pending_start is None or not pending_start.target:
        return settings.role if settings is not None else ""
    return pending_start.role or "" if settings is None else role_of_start(pending_start, settings)


def former_of(settings: JobSettings) -> Iterator[tuple[str, str]]:
    """Return a job's former addresses, each with its target type."""
    return ((kind_of(each) or settings.target, each) for each in settings.former)


def _is_same(kind: str, one: str, other: str) -> bool:
    """Return whether two addresses may be the same, where one may be the plain name in the other's ARN."""
    return arn_matches(kind, one, other, _place_of(one)) or arn_matches(kind, other, one, _place_of(other))


def _place_of(address: str) -> str:
    parts = address.split(":")
    return f"{parts[4]}/{parts[3]}" if len(parts) > 5 else ""


def is_elsewhere(address: str | None, place: str) -> bool:
    """Whether an address is in another account than the own one; a bare name is not.

    Args:
        address: an ARN or a name.
        place: the own account and region, as `account/region`, and whatever follows; "" where that is not known.
    """
    account = _place_of(address or "").partition("/")[0]
    return bool(place) and account not in ("", place.partition("/")[0])


def arn_matches(kind: str, reported: str, given: str | None, place: str) -> bool:
    """Return whether the address that a target reports matches the given one.

    A plain name is looked up in the engine's account and region, a job definition without revision matches
    all its revisions, and a function with an alias matches the function, because its events do not contain
    the alias.

    Args:
        kind: the target type.
        reported: the reported ARN.
        given: the ARN or name in the deployment.
        place: the engine's account and region, as `account/region`, and optionally more.
    """
    if not reported or not given:
        return False
    if reported == given:
        return True
    if kind == "lambda":
        return reported == ":".join(given.split(":")[:_FUNCTION_PARTS])
    if kind not in _FOLDERS:
        return False
    full = full_address(kind, given, place)
    name, _, revision = reported.rpartition(":")
    return full in ((reported, name) if kind == "batch" and revision.isdecimal() else (reported,))


def full_address(kind: str, given: str, place: str) -> str:
    """Return the ARN for an address; a plain name is in the engine's account and region.

    Args:
        kind: the target type.
        given: an ARN or a name.
        place: the engine's account and region, as `account/region`, and optionally more.
    """
    if given.startswith("arn:") or kind not in _FOLDERS:
        return given
    service, folder = _FOLDERS[kind]
    account, _, rest = place.partition("/")
    region = rest.partition("/")[0]
    return f"arn:{partition_of(region)}:{service}:{region}:{account}:{folder}/{given}"


def partition_of(region: str) -> str:
    """Return the AWS partition of a region."""
    apart = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
    return next((name for prefix, name in apart.items() if region.startswith(prefix)), "aws")
