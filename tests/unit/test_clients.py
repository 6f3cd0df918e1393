"""The clients of AWS's services: one session, and no scan of services that nobody uses."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import EndpointVariantError, UnknownServiceError
from botocore.session import get_session

from treadle.adapters import clients
from treadle.adapters.clients import client


def test_clients_are_made_once_over_one_session() -> None:
    assert client("sqs") is client("sqs")
    assert client("sqs") is not client("sqs", once=True)
    assert client("sqs")._request_signer._credentials is client("events")._request_signer._credentials  # type: ignore[attr-defined]


def test_what_the_environment_says_later_holds_after_forgetting(monkeypatch: pytest.MonkeyPatch) -> None:
    before = client("sqs").meta.region_name
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    clients.forget()

    assert (before, client("sqs").meta.region_name) == ("us-east-1", "eu-central-1")


def test_each_service_that_botocore_finds_is_found() -> None:
    found = clients.session_for("s3").get_component("data_loader").list_available_services("service-2")

    assert set(get_session().get_available_services()) <= set(found)


def test_models_of_ones_own_are_found_where_botocore_looks(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("models")
    (folder / "looms" / "2026-11-28").mkdir(parents=True)
    (folder / "looms" / "2026-11-28" / "service-2.json").write_text('{"metadata": {"serviceId": "Looms"}}')
    monkeypatch.setenv("LOOMS", str(folder))
    monkeypatch.setenv("AWS_DATA_PATH", "$LOOMS")
    clients.forget()

    assert clients.session_for("looms").get_service_model("looms").service_id == "Looms"


def test_an_unknown_service_is_refused_as_botocore_refuses_it() -> None:
    with pytest.raises(UnknownServiceError, match="looms"):
        clients.session_for("looms").create_client("looms")


BOTOCORE = get_session()
REGIONS = [
    region
    for partition in BOTOCORE.get_available_partitions()
    for region in BOTOCORE.get_available_regions("dynamodb", partition)[:3]
]


def sent(made: Any, call: Callable[[Any], object]) -> tuple[str, str]:
    """Return where a client sends a request, and for what it signs it."""
    found: list[tuple[str, str]] = []

    def take(request: AWSPreparedRequest, **_: object) -> Any:
        signed: Any = request.headers["Authorization"]
        [scope] = re.findall(r"Credential=[^/]+/\d+/([^,]+),", signed.decode())
        found.append((str(request.url), scope))
        answer: Any = AWSResponse(str(request.url), 200, HTTPHeaders(), None)
        answer._content = ANSWERS.get(scope.split("/")[1], b"{}")
        return answer

    made.meta.events.register("before-send", take)
    call(made)
    [only] = found
    return only


ANSWERS = {"sts": b"<R><GetCallerIdentityResult/><ResponseMetadata/></R>"}
"""By the service that a request is signed for: what is answered where that is no JSON."""

CALLS: dict[str, Callable[[Any], object]] = {
    "dynamodb": lambda made: made.list_tables(),
    "events": lambda made: made.list_event_buses(),
    "lambda": lambda made: made.list_functions(),
    "sqs": lambda made: made.list_queues(),
    "stepfunctions": lambda made: made.list_state_machines(),
    "sts": lambda made: made.get_caller_identity(),
}


@pytest.mark.parametrize(
    "config",
    [Config(), Config(use_fips_endpoint=True), Config(use_dualstack_endpoint=True)],
    ids=["plain", "FIPS", "dual stack"],
)
@pytest.mark.parametrize("service", sorted(clients.RULED))
def test_requests_go_where_botocore_sends_them_and_are_signed_alike(service: str, config: Config) -> None:
    """In Regions of each partition, though the table of all endpoints was left out."""
    ours, theirs = clients.session_for(service), get_session()
    compared = 0

    for region in REGIONS:
        try:
            other = theirs.create_client(service, region, config=config)
        except EndpointVariantError:
            continue  # There is no such endpoint in that partition, as far as the table knows.
        one = ours.create_client(service, region, config=config)
        assert sent(one, CALLS[service]) == sent(other, CALLS[service]), region
        compared += 1

    assert compared > 5
