"""A sweep over 10,000 objects on S3 as moto plays it, which takes its time to list them."""

from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.s3.models import s3_backends

from treadle.adapters import clients
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.integrations.s3.lister import S3Lister
from treadle.integrations.s3.selection import S3Selection, StartFrom
from treadle.integrations.s3.sweep import sweep

BUCKET = "watched"


@pytest.mark.timeout(400)
def test_ten_thousand_objects_are_found_once_though_each_second_process_dies() -> None:
    """A page a tick; those that die commit nothing, and the next one lists their page again."""
    selection = S3Selection(BUCKET, "in/", start_from=StartFrom.BEGINNING)
    cursor: str | None = None
    found: list[str] = []
    clients.forget()

    with mock_aws():
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        store: Any = s3_backends["123456789012"]["aws"]
        for number in range(10_000):
            store.put_object(BUCKET, f"in/{number:05}", b"x")
        for tick in range(100):
            context = SensorEvaluationContext("watch", cursor, _remaining_seconds=lambda: 0.0)
            part = sweep(context, selection, S3Lister())
            if tick % 2 == 0:
                continue
            cursor = str(part.cursor)
            found += [stored.key for stored in part.objects]
            if part.is_complete:
                break
    clients.forget()

    assert found == [f"in/{number:05}" for number in range(10_000)]
