"""The HTTP answers of recorded ticks, in cassettes of vcrpy."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from treadle.definitions.errors import CommandRefusedError
from treadle.engine.rehearsal.unrecorded import Unrecorded

_MATCHED = ("method", "scheme", "host", "port", "path", "query", "body")
_SECRET_PARAMETERS = (
    *("access_token", "api_key", "apikey", "sig", "signature", "token"),
    *("X-Amz-Credential", "X-Amz-Security-Token", "X-Amz-Signature"),
)
_SECRET_HEADERS = {"set-cookie"}


class Cassettes:
    """Answers the HTTP requests of evaluations from files.

    A tick's answers are in `SENSOR/TICK_ID.yaml`, or else, for all ticks, in `SENSOR.yaml`.

    Args:
        folder: with the cassettes.
        records: whether requests of a tick without cassette are sent, and their answers recorded in one.

    Raises:
        CommandRefusedError: if vcrpy is not installed.
    """

    def __init__(self, folder: Path, *, records: bool) -> None:
        try:
            # Imported here, as it is an extra.
            from vcr import VCR
        except ModuleNotFoundError as error:
            msg = "Cassettes need vcrpy, which is not installed. Install it: pip install 'treadle[cassettes]'"
            raise CommandRefusedError(msg) from error
        self._folder = folder.resolve()
        self._records = records
        self._vcr: Any = VCR

    @contextmanager
    def playing(self, sensor: str, tick_id: str, unrecorded: Unrecorded) -> Iterator[None]:
        """Answer the requests of one evaluation; a request without recorded answer is noted, and fails.

        Args:
            sensor: the sensor.
            tick_id: the tick.
            unrecorded: notes what is not recorded.
        """
        own, shared = self._folder / sensor / f"{tick_id}.yaml", self._folder / f"{sensor}.yaml"
        path = own if own.exists() or not shared.exists() else shared
        is_recorded = path.exists()
        guard = _Guard(unrecorded)
        player = self._vcr(
            record_mode="once" if self._records and not is_recorded else "none",
            match_on=_MATCHED,
            before_record_request=guard.check,
            before_record_response=_without_secrets,
            filter_query_parameters=_SECRET_PARAMETERS,
            decode_compressed_response=True,
        )
        with player.use_cassette(str(path), allow_playback_repeats=True) as cassette:
            guard.cassette = None if self._records and not is_recorded else cassette
            yield


class _Guard:
    """Notes requests whose answers are not in a cassette.

    Args:
        unrecorded: notes them.

    Attributes:
        cassette: the cassette, once it is loaded; None while it is loaded or recorded.
    """

    def __init__(self, unrecorded: Unrecorded) -> None:
        self._unrecorded = unrecorded
        self.cassette: Any = None

    def check(self, request: Any) -> Any:
        """Return a request as it is compared and recorded: without its headers, which may have secrets.

        Raises:
            UnrecordedInputError: if its answer is not recorded.
        """
        # A copy of the request that is sent.
        request.headers = {}
        cassette, self.cassette = self.cassette, None  # Which calls this for each comparison.
        if cassette is not None:
            is_known = request in cassette
            self.cassette = cassette
            if not is_known:
                self._unrecorded.refuse(f"the answer to {request.method} {request.uri}")
        return request


def _without_secrets(response: Any) -> Any:
    """Return a copy of a response as it is recorded."""
    headers = response["headers"]
    kept = {name: value for name, value in headers.items() if name.lower() not in _SECRET_HEADERS}
    return {**response, "headers": kept}
