"""Adds a sensor, and its job if that is new, to the text of template.yaml; only ever adds lines.

What is added goes behind what the last sensor and the last job have there, so the template's own order shows where.
"""

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from treadle.cli.fragments import NewSensor, pascal
from treadle.cli.kinds import STEP_FUNCTIONS
from treadle.cli.yaml_lines import YamlLines, mapping, sequence
from treadle.definitions.errors import ScaffoldError

MOST_PARAMETERS = 200
"""CloudFormation's limit for one template."""
MOST_ALTERNATIVES = 10
"""Conditions in one `!Or`, by CloudFormation's limit."""

_INTERFACE = ("Metadata", "AWS::CloudFormation::Interface")
_JOB_ENTRY = "/treadle/${AWS::StackName}/jobs/"
_ARN = "StateMachineArn"
_SOURCES = ("Condition", "ArnEquals", "aws:SourceArn")
_POLICY = ("Properties", "PolicyDocument", "Statement")
_UNDELIVERABLE = ("Resources", "DeadLetterQueuePolicy", *_POLICY, ("Sid", "UndeliverableEvents"), *_SOURCES)
_RECORDED = ("Resources", "RecordQueuePolicy", *_POLICY, ("Sid", "StatusEvents"), *_SOURCES)


def add_sensor(template: YamlLines, new: NewSensor) -> str:
    """The template with the sensor's block added.

    Args:
        template: as it is; what is to be added is noted in it.
        new: the sensor.

    Raises:
        ScaffoldError: if names are taken, a limit is reached, or a place to add at is missing.
    """
    known = jobs(template).get(new.job) if new.job else None
    if known and new.target not in {None, known["target"]}:
        msg = f"Job {new.job} is there already, as {known['target']}: leave out --target, or choose another job."
        raise ScaffoldError([msg])
    _add_sensor(template, new)
    if new.job and known is None:
        _add_job(template, new)
    result = template.result()
    edited = YamlLines("template.yaml", result)
    both = set(edited.keys("Parameters")) & set(edited.keys("Resources"))
    if taken := sorted({*edited.repeated_keys(), *both}):
        msg = f"template.yaml has {', '.join(taken)} already: choose another name for the sensor or its job."
        raise ScaffoldError([msg])
    if len(edited.keys("Parameters")) > MOST_PARAMETERS:
        msg = f"template.yaml would have more than {MOST_PARAMETERS} parameters: begin a second stack."
        raise ScaffoldError([msg])
    return result


def jobs(template: YamlLines) -> Mapping[str, Mapping[str, Any]]:
    """The jobs that the template registers, by name, with their entries.

    Raises:
        ScaffoldError: if they cannot be read.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for logical_id, name in _job_entries(template):
        # Alone, or with the values of what it names.
        path = ("Resources", logical_id, "Properties", "Value")
        text = template.scalar(*path, 0) if sequence(template.find(*path)) else template.scalar(*path)
        try:
            found[name] = json.loads(text)
        except ValueError as error:
            raise ScaffoldError([f"template.yaml: the value of {logical_id} is no JSON: {error}"]) from error
    return found


def _job_entries(template: YamlLines) -> Iterator[tuple[str, str]]:
    """Each job's entry: its logical id, and the job's name."""
    for logical_id, resource in template.entries("Resources"):
        properties = {key.value: value for key, value in mapping(resource)}.get("Properties")
        for key, value in mapping(properties) if properties else ():
            if key.value == "Name" and str(value.value).startswith(_JOB_ENTRY):
                yield logical_id, str(value.value).removeprefix(_JOB_ENTRY)


def last_sensor(template: YamlLines) -> str:
    """How the parameters and resources of the template's last sensor begin.

    Raises:
        ScaffoldError: if it has none.
    """
    found = [
        name.removesuffix("Function")
        for name, resource in template.entries("Resources")
        for key, value in mapping(resource)
        if key.value == "Properties"
        and any(k.value == "CodeUri" and v.value.startswith("functions/sensors/") for k, v in mapping(value))
    ]
    if not found:
        raise ScaffoldError(["template.yaml has no sensor yet, behind which another could be added."])
    return found[-1]


def last_job(template: YamlLines) -> str:
    """The last parameter of the template's last job.

    Raises:
        ScaffoldError: if it has none.
    """
    addresses = {job["parameter"] for job in jobs(template).values()}
    groups = sequence(template.find(*_INTERFACE, "ParameterGroups"))
    listed = [
        [item.value for item in sequence(value)]
        for group in groups
        for key, value in mapping(group)
        if key.value == "Parameters"
    ]
    found = [names[-1] for names in listed if addresses.intersection(names)]
    if not found:
        raise ScaffoldError(["template.yaml has no job yet, behind which another could be added."])
    return str(found[-1])


def _add_sensor(template: YamlLines, new: NewSensor) -> None:
    last, kind = last_sensor(template), new.sensor_kind
    groups, labels = (*_INTERFACE, "ParameterGroups"), (*_INTERFACE, "ParameterLabels")
    template.add_after((*groups, _group_of(template, f"{last}Jobs")), new.fragment("sensors/group.yaml"))
    template.add_after((*labels, f"{last}Jobs"), new.fragment("sensors/labels.yaml"))
    template.add_after(("Parameters", f"{last}Jobs"), new.fragment("sensors/parameters.yaml"))
    if kind.watches:
        template.append(("Conditions",), new.fragment("sensors/conditions.yaml"))
    if kind.has_schedule or kind.has_deadlines:
        ticked = (*_statement("Schedule", "tick", "TickSensors"), "Resource")
        template.append(ticked, new.fill("- !GetAtt {{Sensor}}Function.Arn\n"))
    if kind.hears:
        template.append(_UNDELIVERABLE, new.fill("- !GetAtt {{Sensor}}Rule.Arn\n"))
    template.add_before_banner(("Resources", f"{last}Function"), new.fragment("sensors/resources.yaml"))
    template.add_after(("Resources", f"{last}AgeAlarm"), new.fragment("sensors/alarms.yaml"))
    for output, described in (("QueueUrl", "Queue of"), ("FunctionName", "Evaluator of")):
        value = "Queue" if output == "QueueUrl" else "Function"
        entry = f"{{{{Sensor}}}}{output}:\n  Description: {described} the sensor {{{{sensor}}}}\n"
        entry += f"  Value: !Ref {{{{Sensor}}}}{value}\n"
        template.add_after(("Outputs", f"{last}{output}"), new.fill(entry))


def _add_job(template: YamlLines, new: NewSensor) -> None:
    last, kind = last_job(template), new.kind
    groups = (*_INTERFACE, "ParameterGroups")
    parameters = new.fill(kind.parameters)
    listed = YamlLines("its parameters", parameters).entries()
    names = "".join(f"    - {name}\n" for name, _ in listed)
    group = new.fill('- Label: { default: "Job {{job}}" }\n  Parameters:\n') + names
    template.add_after((*groups, _group_of(template, last)), group)
    template.add_after((*_INTERFACE, "ParameterLabels", last), new.fill(kind.labels))
    template.add_after(("Parameters", last), f"\n# ---- Job {new.job}\n{parameters}")
    template.append(("Conditions",), _is_given(new) + new.fill(kind.conditions))
    template.add_after(("Resources", list(_job_entries(template))[-1][0]), "\n" + _job_entry(new))
    # Behind statements that have no condition: of another, only what its !If chooses would be found.
    for role, policy, behind, statements in (
        ("Launch", "launch", "Runs", kind.launch),
        ("Record", "record", "Runs", kind.record),
        ("Reconcile", "reconcile", "LaunchQueue", kind.reconcile),
        ("Console", "console", "SendAgain", kind.console),
    ):
        if statements:
            template.add_after(_statement(role, policy, behind), new.fill(statements))
    if kind.name == STEP_FUNCTIONS:
        _add_state_machine(template, new)
    if kind.rule:
        heard = new.fill("- !If [{{Job}}IsGiven, !GetAtt {{Job}}StatusRule.Arn, !Ref AWS::NoValue]\n")
        template.append(_RECORDED, heard)
        template.append(_UNDELIVERABLE, heard)
        template.add_after(("Resources", "ReportsRule"), textwrap.dedent(new.fill(kind.rule)))


def _is_given(new: NewSensor) -> str:
    """The condition that all is there without which nothing can be started."""
    given = [f"!Not [!Equals [!Ref {new.job_prefix}{end}, '']]" for end in new.kind.needs]
    if len(given) == 1:
        return f"{new.job_prefix}IsGiven: {given[0]}\n"
    return f"{new.job_prefix}IsGiven: !And\n" + "".join(f"  - {each}\n" for each in given)


def _job_entry(new: NewSensor) -> str:
    """The resource that registers the job, behind the role that it brings, if it brings one."""
    kind, options = new.kind, ""
    if kind.options:
        given = {option: f"${{{new.job_prefix}{pascal(option)}}}" for option in kind.options}
        options = f',\n      "options": {json.dumps(given)}'
    text = new.fragment("jobs/entry.yaml")
    if kind.name == STEP_FUNCTIONS:
        text = new.fragment("jobs/role.yaml").lstrip() + "\n" + new.fragment("jobs/entry_with_role.yaml")
    return (
        text.replace("[[target]]", kind.name)
        .replace("[[address]]", new.address)
        .replace("[[options]]", options)
    )


def _add_state_machine(template: YamlLines, new: NewSensor) -> None:
    """Let RECORD hear of its executions."""
    _add_alternative(template, f"{new.job_prefix}IsGiven")
    chosen = new.fill("- !If [{{Job}}IsGiven, !Ref {{Job}}StateMachineArn, !Ref AWS::NoValue]\n")
    rule = ("Resources", "StateMachinesRule", "Properties", "EventPattern", "detail", "stateMachineArn")
    template.append(rule, chosen)
    last = [name for name in template.keys("Outputs") if name.endswith(_ARN)][-1]
    template.add_after(("Outputs", last), new.fragment("jobs/output.yaml"))


def _add_alternative(template: YamlLines, condition: str) -> None:
    """Let `AnyStateMachineIsGiven` hold with one condition more; from the tenth on in an `!Or` of its own."""
    path: tuple[str | int, ...] = ("Conditions", "AnyStateMachineIsGiven")
    while sequence(template.find(*path, -1)):
        path = (*path, -1)
    if len(sequence(template.find(*path))) < MOST_ALTERNATIVES - 1:
        return template.append(path, f"- !Condition {condition}\n")
    first = template.scalar(*path, 0)
    return template.append(path, f"- !Or\n  - !Condition {first}\n  - !Condition {condition}\n")


def _group_of(template: YamlLines, parameter: str) -> int:
    groups = sequence(template.find(*_INTERFACE, "ParameterGroups"))
    for number, group in enumerate(groups):
        for key, value in mapping(group):
            if key.value == "Parameters" and parameter in [item.value for item in sequence(value)]:
                return number
    raise ScaffoldError([f"template.yaml has {parameter} in no parameter group."])


def _statement(role: str, policy: str, sid: str) -> tuple[str | tuple[str, str], ...]:
    document = (
        "Resources",
        f"{role}Role",
        "Properties",
        "Policies",
        ("PolicyName", policy),
        "PolicyDocument",
    )
    return (*document, "Statement", ("Sid", sid))
