"""Messages about a bucket that lacks events or versioning, with the command that enables them."""


def merging_command(bucket: str) -> str:
    """Return the command that adds EventBridge to a bucket's notifications and keeps the existing ones."""
    # The call replaces the whole configuration, and the CLI prints nothing at all for an empty one.
    read = f"aws s3api get-bucket-notification-configuration --bucket {bucket}"
    merge = "jq -s '(.[0] // {}) + {EventBridgeConfiguration: {}}'"
    return (
        f"aws s3api put-bucket-notification-configuration --bucket {bucket} "
        f'--notification-configuration "$({read} | {merge})"'
    )


def silence(bucket: str) -> str:
    """Describe that the bucket sends no events, the consequence, and the fix."""
    return (
        "The bucket sends no events to EventBridge, so its objects are found only by the sweep. "
        f"Enable them: {merging_command(bucket)}"
    )


def versioning_command(bucket: str) -> str:
    """Return the command that enables a bucket's versioning."""
    return f"aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled"


def without_versioning(bucket: str) -> str:
    """Describe that a bucket watched by version is not versioned, the consequence, and the fix."""
    return (
        "The bucket's versioning is not enabled, so with identity version an overwritten object gets "
        f"a run only if its etag differs. Enable it: {versioning_command(bucket)}"
    )
