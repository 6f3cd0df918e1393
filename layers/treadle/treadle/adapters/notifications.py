"""What to say of a bucket that lacks what its sensor needs, events or versioning: the command that switches it on."""


def merging_command(bucket: str) -> str:
    """The command that adds EventBridge to the bucket's notifications, and keeps those that are there.

    Args:
        bucket: the bucket's name.
    """
    # The call replaces the whole configuration, and of an empty one the CLI prints nothing at all.
    read = f"aws s3api get-bucket-notification-configuration --bucket {bucket}"
    merge = "jq -s '(.[0] // {}) + {EventBridgeConfiguration: {}}'"
    return (
        f"aws s3api put-bucket-notification-configuration --bucket {bucket} "
        f'--notification-configuration "$({read} | {merge})"'
    )


def silence(bucket: str) -> str:
    """That the bucket sends no events, what that costs, and how to change it.

    Args:
        bucket: the bucket's name.
    """
    return (
        "The bucket sends no events to EventBridge, so its objects are found only by the sweep. "
        f"Enable them: {merging_command(bucket)}"
    )


def versioning_command(bucket: str) -> str:
    """The command that enables the bucket's versioning.

    Args:
        bucket: the bucket's name.
    """
    return f"aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled"


def without_versioning(bucket: str) -> str:
    """That a sensor watches the versions of a bucket that makes none, what that costs, and how to change it.

    Args:
        bucket: the bucket's name.
    """
    return (
        "The bucket's versioning is not enabled, so with identity version an overwritten object gets "
        f"a run only if its etag differs. Enable it: {versioning_command(bucket)}"
    )
