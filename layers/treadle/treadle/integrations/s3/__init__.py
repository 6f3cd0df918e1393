"""S3 sensors: one run per object, found by event and by sweep."""

from treadle.integrations.s3.definition import S3SensorDefinition, s3_sensor
from treadle.integrations.s3.selection import S3Selection, StartFrom

__all__ = ["S3Selection", "S3SensorDefinition", "StartFrom", "s3_sensor"]
