"""S3 sensors: one run per object, or group of objects, found by event and by sweep."""

from treadle.integrations.s3.definition import S3SensorDefinition, s3_sensor
from treadle.integrations.s3.groups import FileCount, FileNames, Marker
from treadle.integrations.s3.selection import S3Selection, StartFrom

__all__ = ["FileCount", "FileNames", "Marker", "S3Selection", "S3SensorDefinition", "StartFrom", "s3_sensor"]
