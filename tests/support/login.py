"""An OpenID Connect issuer on this machine: code flow with PKCE, without passwords."""

import base64
import contextlib
import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.support.http_server import running_server

CLIENT_ID = "the-console"


class Issuer(ThreadingHTTPServer):
    """Signs every user in.

    Attributes:
        tokens: access tokens that were issued.
        changes: replacements in its responses, such as a foreign `nonce`.
        signed_out: the number of sign-outs.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tokens: set[str] = set()
        self.changes: dict[str, str] = {}
        self.signed_out = 0
        self.codes: dict[str, Mapping[str, str]] = {}

    @property
    def url(self) -> str:
        """Its issuer URL."""
        return f"http://127.0.0.1:{self.server_port}"

    def authorize(self, parameters: Mapping[str, str]) -> str:
        """Return the address to which the browser is sent with a code."""
        assert (parameters["response_type"], parameters["client_id"]) == ("code", CLIENT_ID)
        assert parameters["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe()
        self.codes[code] = parameters
        answer = {"code": code, "state": parameters["state"], **self.changes}
        return f"{parameters['redirect_uri']}?{urlencode(answer)}"

    def exchange(self, given: Mapping[str, str]) -> tuple[int, Mapping[str, object]]:
        """Return tokens for a code, once, to a client that knows the verifier."""
        parameters = self.codes.pop(given.get("code", ""), None)
        digest = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if parameters is None or challenge != parameters["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        token = secrets.token_urlsafe()
        self.tokens.add(token)
        claims = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "sub": "ann",
            "nonce": parameters["nonce"],
            **self.changes,
        }
        made = {"access_token": token, "id_token": jwt(claims), "token_type": "Bearer", "expires_in": 3600}
        return 200, made


def jwt(claims: Mapping[str, object]) -> str:
    """Return an unsigned token with claims."""
    parts = ({"alg": "none"}, claims)
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts) + "."
    )


class _Handler(BaseHTTPRequestHandler):
    server: Issuer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the standard library
        """Log nothing."""

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        parameters = dict(parse_qsl(address.query))
        url = self.server.url
        if address.path == "/.well-known/openid-configuration":
            found = {
                "issuer": url,
                "authorization_endpoint": f"{url}/authorize",
                "token_endpoint": f"{url}/token",
            }
            self._answer(200, {**found, "end_session_endpoint": f"{url}/logout"})
        elif address.path == "/authorize":
            self._redirect(self.server.authorize(parameters))
        else:
            self.server.signed_out += 1
            self._redirect(parameters["post_logout_redirect_uri"])

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._answer(*self.server.exchange(dict(parse_qsl(body))))

    def _redirect(self, address: str) -> None:
        self.send_response(302)
        self.send_header("Location", address)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, status: int, body: Mapping[str, object]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextlib.contextmanager
def issuing() -> Iterator[Issuer]:
    """Run an issuer for as long as it is needed."""
    with running_server(Issuer()) as server:
        yield server
