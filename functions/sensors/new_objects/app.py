"""Starts one run of `process_file` for each object that lands in the watched bucket."""

from treadle import JobDefinition, RunRequest, S3Object, SensorEvaluationContext, evaluator, s3_sensor

process_file = JobDefinition("process_file", description="Processes one object.")


@s3_sensor(job=process_file)
def new_objects(context: SensorEvaluationContext, stored: S3Object) -> RunRequest:
    """Start one run per object; bucket, prefix, suffix and identity come from the deployment's parameters."""
    context.log.info("Object s3://%s/%s", stored.bucket, stored.key)
    return RunRequest()


handler = evaluator(new_objects)
