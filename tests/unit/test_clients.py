"""The clients of AWS's services: one session, and no look at the services that nobody asks for."""

import pytest
from botocore.exceptions import UnknownServiceError
from botocore.session import get_session

from treadle.adapters import clients
from treadle.adapters.clients import client


def test_clients_are_made_once_over_one_session() -> None:
    assert client("sqs") is client("sqs")
    assert client("sqs") is not client("sqs", once=True)
    assert client("sqs")._request_signer._credentials is client("s3")._request_signer._credentials  # type: ignore[attr-defined]


def test_what_the_environment_says_later_holds_after_forgetting(monkeypatch: pytest.MonkeyPatch) -> None:
    before = client("sqs").meta.region_name
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    clients.forget()

    assert (before, client("sqs").meta.region_name) == ("us-east-1", "eu-central-1")


def test_each_service_that_botocore_finds_is_found() -> None:
    found = clients.session().get_component("data_loader").list_available_services("service-2")

    assert set(get_session().get_available_services()) <= set(found)


def test_models_of_ones_own_are_found_where_botocore_looks(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("models")
    (folder / "looms" / "2026-11-28").mkdir(parents=True)
    (folder / "looms" / "2026-11-28" / "service-2.json").write_text('{"metadata": {"serviceId": "Looms"}}')
    monkeypatch.setenv("AWS_DATA_PATH", str(folder))
    clients.forget()

    assert clients.session().get_service_model("looms").service_id == "Looms"


def test_an_unknown_service_is_refused_as_botocore_refuses_it() -> None:
    with pytest.raises(UnknownServiceError, match="looms"):
        clients.session().create_client("looms")
