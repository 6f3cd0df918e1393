"""Findings about the principals with the engine's evaluator policies: each must be the role of a sensor's function."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from treadle.model.deployment import DeployedSensor
from treadle.model.health import HOLDERS, PolicyHolder
from treadle.operate.findings import Finding, Severity

_DETACH = "Detach the engine's policy from it, or correct its tag treadle:sensor."


def of_holders(holders: Sequence[PolicyHolder], sensors: Iterable[DeployedSensor]) -> Iterator[Finding]:
    """Report principals with the engine's evaluator policies that are not the role of the tagged sensor's function.

    A principal that has them with a sensor's tag can write that sensor's state, and request runs in its name.

    Args:
        holders: the principals that have them.
        sensors: the registered sensors.
    """
    roles = {each.name: each.role for each in sensors}
    tagged: dict[str, list[PolicyHolder]] = {}
    for each in holders:
        if each.kind != "role":
            message = f"The {each.kind} {each.name} has the engine's policies for evaluators, which are for roles of functions."
            yield Finding(HOLDERS, f"{each.kind} {each.name}", Severity.PROBLEM, message, _DETACH)
            continue
        tagged.setdefault(each.sensor, []).append(each)
        if each.trusted:
            message = f"Its role {each.name} can be assumed by {', '.join(each.trusted)}, who can act as the sensor."
            advice = "Let its trust policy name lambda.amazonaws.com only."
            yield Finding(HOLDERS, _sensor_of(each.sensor, each), Severity.WARNING, message, advice)
    for sensor, found in tagged.items():
        yield from _of_tagged(sensor, found, roles)


def _of_tagged(sensor: str, found: Sequence[PolicyHolder], roles: Mapping[str, str]) -> Iterator[Finding]:
    """Report the problems of roles with the same tag."""
    own, subject = roles.get(sensor), _sensor_of(sensor, found[0])
    if not sensor:
        for each in found:
            message = "It has the engine's policies for evaluators and no tag treadle:sensor, so they allow it nothing of a sensor's."
            yield Finding(HOLDERS, _sensor_of("", each), Severity.WARNING, message, _DETACH)
    elif own:
        for each in found:
            if each.name != own:
                message = f"Role {each.name} has its tag treadle:sensor, and its function has role {own}: both act as the sensor."
                yield Finding(HOLDERS, subject, Severity.PROBLEM, message, _DETACH)
    elif len(found) > 1:
        names = " and ".join(each.name for each in found)
        message = f"Roles {names} have the same tag treadle:sensor, {sensor}: each can act as the sensor."
        yield Finding(HOLDERS, subject, Severity.PROBLEM, message, _DETACH)
    elif own is None:
        message = (
            f"Role {found[0].name} has the tag treadle:sensor of a sensor that is not registered: {sensor}."
        )
        advice = f"If no deployment is under way: {_DETACH[0].lower()}{_DETACH[1:]}"
        yield Finding(HOLDERS, subject, Severity.WARNING, message, advice)


def _sensor_of(sensor: str, holder: PolicyHolder) -> str:
    return f"sensor {sensor}" if sensor else f"role {holder.name}"
