"""Adds a sensor, and its job if that is new, to the text of template.yaml; only ever adds lines.

What is added goes behind what the last sensor and the last job have there, so the template's own order shows where.
"""

import json

from treadle.cli.fragments import NewSensor
from treadle.cli.yaml_lines import YamlLines, mapping, sequence
from treadle.definitions.errors import ScaffoldError

MOST_PARAMETERS = 200
"""CloudFormation's limit for one template."""
MOST_ALTERNATIVES = 10
"""Conditions in one `!Or`, by CloudFormation's limit."""

_INTERFACE = ("Metadata", "AWS::CloudFormation::Interface")
_ARN = "StateMachineArn"


def add_sensor(template: YamlLines, new: NewSensor) -> str:
    """The template with the sensor's block added.

    Args:
        template: as it is; what is to be added is noted in it.
        new: the sensor.

    Raises:
        ScaffoldError: if names are taken, a limit is reached, or a place to add at is missing.
    """
    _add_sensor(template, new)
    if new.job not in jobs(template):
        _add_job(template, new)
    result = template.result()
    edited = YamlLines("template.yaml", result)
    if taken := edited.repeated_keys():
        msg = f"template.yaml has {', '.join(taken)} already: choose another name for the sensor or its job."
        raise ScaffoldError([msg])
    if len(edited.keys("Parameters")) > MOST_PARAMETERS:
        msg = f"template.yaml would have more than {MOST_PARAMETERS} parameters: begin a second stack."
        raise ScaffoldError([msg])
    return result


def jobs(template: YamlLines) -> list[str]:
    """The names of the jobs that LAUNCH knows.

    Raises:
        ScaffoldError: if they cannot be read.
    """
    text = template.scalar(*_variable("Launch", "TREADLE_JOBS"), 0)
    try:
        return list(json.loads(text))
    except ValueError as error:
        raise ScaffoldError([f"template.yaml: LaunchFunction's TREADLE_JOBS is no JSON: {error}"]) from error


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
    """How the parameter of the template's last job begins.

    Raises:
        ScaffoldError: if it has none.
    """
    found = [name.removesuffix(_ARN) for name in template.keys("Parameters") if name.endswith(_ARN)]
    if not found:
        raise ScaffoldError(["template.yaml has no job yet, behind which another could be added."])
    return found[-1]


def _add_sensor(template: YamlLines, new: NewSensor) -> None:
    last = last_sensor(template)
    groups, labels = (*_INTERFACE, "ParameterGroups"), (*_INTERFACE, "ParameterLabels")
    template.add_after((*groups, _group_of(template, f"{last}Jobs")), new.fragment("group.yaml"))
    template.add_after((*labels, f"{last}Jobs"), new.fragment("labels.yaml"))
    template.add_after(("Parameters", f"{last}Jobs"), new.fragment("parameters.yaml"))
    template.append(
        (*_statement("Schedule", "tick", "TickSensors"), "Resource"),
        new.fill("- !GetAtt {{Sensor}}Function.Arn\n"),
    )
    template.add_before_banner(("Resources", f"{last}Function"), new.fragment("resources.yaml"))
    grants = _variable("Dispatch", "TREADLE_GRANTS")
    template.add_into_text((*grants, 0), "{", new.fill('"{{sensor}}": "${{{Sensor}}}",\n'))
    template.append((*grants, 1), new.fill("{{Sensor}}: !Join [',', !Ref {{Sensor}}Jobs]\n"))
    template.add_after(("Resources", f"{last}AgeAlarm"), new.fragment("alarms.yaml"))
    for output, described in (("QueueUrl", "Queue of"), ("FunctionName", "Evaluator of")):
        value = "Queue" if output == "QueueUrl" else "Function"
        entry = f"{{{{Sensor}}}}{output}:\n  Description: {described} the sensor {{{{sensor}}}}\n"
        entry += f"  Value: !Ref {{{{Sensor}}}}{value}\n"
        template.add_after(("Outputs", f"{last}{output}"), new.fill(entry))


def _add_job(template: YamlLines, new: NewSensor) -> None:
    last, given = f"{last_job(template)}{_ARN}", f"{new.job_prefix}IsGiven"
    groups = (*_INTERFACE, "ParameterGroups")
    template.add_after((*groups, _group_of(template, last)), new.fragment("job_group.yaml"))
    template.add_after(
        (*_INTERFACE, "ParameterLabels", last),
        new.fill("{{Job}}StateMachineArn: { default: State machine to start }\n"),
    )
    template.add_after(("Parameters", last), new.fragment("job_parameter.yaml"))
    template.append(("Conditions",), f"{given}: !Not [!Equals [!Ref {new.job_prefix}{_ARN}, '']]\n")
    _add_alternative(template, given)
    setting = '"{{job}}": {"target": "step_functions", "arn": "${{{Job}}}", "parameter": "{{Job}}StateMachineArn"},\n'
    chosen = new.fill("- !If [{{Job}}IsGiven, !Ref {{Job}}StateMachineArn, !Ref AWS::NoValue]\n")
    for function, policy in (("Launch", "launch"), ("Record", "record")):
        variable = _variable(function, "TREADLE_JOBS")
        template.add_into_text((*variable, 0), "{", new.fill(setting))
        template.append((*variable, 1), new.fill("{{Job}}: !Ref {{Job}}StateMachineArn\n"))
        described = (*_statement(function, policy, "DescribeExecutions"), "Resource")
        template.append(described, new.fragment("job_executions.yaml"))
    template.append((*_statement("Launch", "launch", "StartStateMachines"), "Resource"), chosen)
    rule = ("Resources", "StateMachinesRule", "Properties", "EventPattern", "detail", "stateMachineArn")
    template.append(rule, chosen)
    template.add_after(("Outputs", last), new.fragment("job_output.yaml"))


def _add_alternative(template: YamlLines, condition: str) -> None:
    """Let `AnyJobIsConfigured` hold with one condition more; from the tenth on in an `!Or` of its own."""
    path: tuple[str | int, ...] = ("Conditions", "AnyJobIsConfigured")
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


def _variable(function: str, name: str) -> tuple[str, ...]:
    return ("Resources", f"{function}Function", "Properties", "Environment", "Variables", name)


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
