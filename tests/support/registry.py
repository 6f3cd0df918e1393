"""RECONCILE's copy of a registry."""

from collections.abc import Iterable, Mapping

from treadle.model.registry import JOBS, SENSORS, KeptEntry, RegistryCopy
from treadle.model.targets import JobSettings
from treadle.testing.registry import job_text, sensor_text


def copied(
    engine: str, at: int, sensors: Mapping[str, Iterable[str]], jobs: Iterable[JobSettings]
) -> RegistryCopy:
    """Return the copy of a project that has registered some sensors and jobs.

    Args:
        engine: its name.
        at: when Parameter Store was listed, in milliseconds.
        sensors: with the jobs that each may start.
        jobs: their settings.
    """
    texts = {f"{SENSORS}/{name}": sensor_text("shop", *granted) for name, granted in sensors.items()}
    texts |= {f"{JOBS}/{settings.job}": job_text("shop", settings) for settings in jobs}
    return RegistryCopy(engine, {path: KeptEntry(text, at) for path, text in texts.items()}, at)
