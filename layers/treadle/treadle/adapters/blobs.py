"""Values in S3 that are too large for a record."""

from botocore.exceptions import BotoCoreError, ClientError

from treadle.adapters.aws_errors import code_of, store_error
from treadle.adapters.clients import client


class S3BlobStore:
    """A `BlobStore` in an S3 bucket."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket

    def put(self, key: str, body: bytes) -> None:
        """Store a value as one object."""
        try:
            client("s3").put_object(
                Bucket=self._bucket, Key=key, Body=body, ContentType="application/octet-stream"
            )
        except (ClientError, BotoCoreError) as error:
            msg = f"S3 did not store the {len(body)} bytes of s3://{self._bucket}/{key}: {error}"
            raise store_error(code_of(error), msg) from error

    def get(self, key: str) -> bytes:
        """Return the object's content."""
        try:
            body: bytes = client("s3").get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except (ClientError, BotoCoreError) as error:
            msg = f"S3 did not return s3://{self._bucket}/{key}: {error}{_hint(error)}"
            raise store_error(code_of(error), msg) from error
        return body

    def address(self, key: str) -> str:
        """Return the object's URL."""
        return f"s3://{self._bucket}/{key}"

    def exists(self, key: str) -> bool:
        """Return whether the object exists, which takes permission to list it, and none to read it."""
        try:
            found = client("s3").list_objects_v2(Bucket=self._bucket, Prefix=key, MaxKeys=1)
        except (ClientError, BotoCoreError) as error:
            msg = f"S3 did not list {self.address(key)}: {error}"
            raise store_error(code_of(error), msg) from error
        return any(each["Key"] == key for each in found.get("Contents", ()))


def _hint(error: Exception) -> str:
    # S3 reports a missing object only to callers that may list the bucket.
    hint = " (S3 also returns this for an object that does not exist)"
    return hint if code_of(error) == "AccessDenied" else ""
