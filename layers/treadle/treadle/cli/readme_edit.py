"""Adds a new sensor's parameters to README.md, where that lists them."""

from treadle.cli.fragments import NewSensor
from treadle.cli.kinds import parameter_rows
from treadle.cli.template_edit import jobs, last_job, last_sensor
from treadle.cli.yaml_lines import YamlLines


def add_to_readme(text: str, template: YamlLines, new: NewSensor) -> str:
    """README.md with a table of the new parameters behind those of the last sensor, and of the last job.

    A text that has no row for those is left as it is.

    Args:
        text: of README.md.
        template: template.yaml as it was before.
        new: the sensor.
    """
    text = _add_behind(text, f"{last_sensor(template)}Jobs", new.fragment("sensors/readme_sensor.md"))
    if new.job is None or new.job in jobs(template):
        return text
    heading = (
        f"\n### Job {new.job}\n\n| parameter | default | allowed | meaning |\n| --- | --- | --- | --- |\n"
    )
    rows = "".join(parameter_rows(new.fill(new.kind.parameters)))
    return _add_behind(text, last_job(template), heading + rows)


def _add_behind(text: str, parameter: str, section: str) -> str:
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        if line.startswith(f"| `{parameter}` |"):
            return "".join((*lines[:number], section, *lines[number:]))
    return text
