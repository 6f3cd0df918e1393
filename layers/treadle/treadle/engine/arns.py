"""Whether what a target tells of is what the deployment named, which may have left out what goes without saying."""

from collections.abc import Iterator

from treadle.ports.runs import PendingStart, Run
from treadle.ports.targets import JobSettings, kind_of

_FOLDERS = {"glue": ("glue", "job"), "batch": ("batch", "job-definition")}
"""For kinds whose address may be a bare name: the service, and the folder that the name is in."""

_FUNCTION_PARTS = 7


def kind_of_run(run: Run, settings: JobSettings | None) -> str:
    """The kind of target that a run was started on, whatever its job launches by now; "" if that is not known.

    Args:
        run: its record.
        settings: what its job launches by now; None if the job is gone.
    """
    pending_start = run.pending_start
    if pending_start is not None and pending_start.kind:
        return pending_start.kind
    address = run.target or (pending_start.target if pending_start is not None else "")
    return kind_of(address) or (settings.target if settings else "")


def role_of_start(pending_start: PendingStart, settings: JobSettings) -> str:
    """The role for what was tried: the deployed one if the job is, or says that it was, at that address, else that of then.

    Args:
        pending_start: with an address.
        settings: what the job launches by now.
    """
    kind = pending_start.kind or settings.target
    is_there = (kind, pending_start.target) == (settings.target, settings.arn)
    was_there = any(
        k == kind and _is_same(kind, pending_start.target, each) for k, each in former_of(settings)
    )
    return settings.role if is_there or was_there or pending_start.role is None else pending_start.role


def role_of_run(run: Run, settings: JobSettings | None) -> str:
    """The role with which a run is looked at and canceled; "" for the engine's own permissions.

    Args:
        run: its record.
        settings: what its job launches by now; None if the job is gone.
    """
    pending_start = run.pending_start
    if pending_start is None or not pending_start.target:
        return settings.role if settings is not None else ""
    return pending_start.role or "" if settings is None else role_of_start(pending_start, settings)


def former_of(settings: JobSettings) -> Iterator[tuple[str, str]]:
    """The addresses that a job had before, each with the kind of target that it is of.

    Args:
        settings: what the job launches by now.
    """
    return ((kind_of(each) or settings.target, each) for each in settings.former)


def _is_same(kind: str, one: str, other: str) -> bool:
    """Whether two addresses may name the same, where one may be the bare name of what the other is the ARN of."""
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


def arn_matches(kind: str, told: str, given: str | None, place: str) -> bool:
    """Whether an address that a target told is the given one.

    A bare name stands for what bears it in the own account and region, a job definition without revision for
    all of its revisions, and a function with alias for the function: its events name none.

    Args:
        kind: of the target.
        told: an ARN.
        given: an ARN or a name, as the deployment has it.
        place: the own account and region, as `account/region`, and whatever follows.
    """
    if not told or not given:
        return False
    if told == given:
        return True
    if kind == "lambda":
        return told == ":".join(given.split(":")[:_FUNCTION_PARTS])
    if kind not in _FOLDERS:
        return False
    full = full_address(kind, given, place)
    name, _, revision = told.rpartition(":")
    return full in ((told, name) if kind == "batch" and revision.isdecimal() else (told,))


def full_address(kind: str, given: str, place: str) -> str:
    """The ARN of what an address names: a bare name is in the own account and region.

    Args:
        kind: of the target.
        given: an ARN or a name.
        place: the own account and region, as `account/region`, and whatever follows.
    """
    if given.startswith("arn:") or kind not in _FOLDERS:
        return given
    service, folder = _FOLDERS[kind]
    account, _, rest = place.partition("/")
    region = rest.partition("/")[0]
    return f"arn:{partition_of(region)}:{service}:{region}:{account}:{folder}/{given}"


def partition_of(region: str) -> str:
    """The partition that a region is in."""
    apart = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
    return next((name for prefix, name in apart.items() if region.startswith(prefix)), "aws")
