"""An issuer of tokens for tests: its keys, its tokens, and the result of API Gateway's authorizer."""

import json
import time
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from treadle.console.oidc import Issuer

URL = "https://login.example/pool"
AUDIENCE = "treadle-console"
KEY_ID = "k1"
_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)

ISSUER = Issuer(URL, AUDIENCE, "page", "openid", "groups", "treadle-viewer", "treadle-operator")


def token(*, issuer: str = URL, expires_in: int = 600, **claims: Any) -> str:
    """Return a signed token for Ann, an operator unless the claims differ; None leaves a claim out."""
    now = int(time.time())
    made = {
        "iss": issuer,
        "sub": "ann",
        "aud": AUDIENCE,
        "iat": now - 60,
        "exp": now + expires_in,
        "groups": ["staff", "treadle-operator"],
        **claims,
    }
    left = {name: value for name, value in made.items() if value is not None}
    return jwt.encode(left, _KEY, algorithm="RS256", headers={"kid": KEY_ID})


def key_set() -> Mapping[str, Any]:
    """Return the issuer's public keys."""
    key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(_KEY.public_key()))
    return {"keys": [{**key, "kid": KEY_ID, "use": "sig", "alg": "RS256"}]}


def authorized(given: str) -> Mapping[str, Any]:
    """Return what API Gateway's authorizer adds to the context of a request with a valid token."""
    claims = jwt.decode(given, options={"verify_signature": False})
    return {
        "authorizer": {
            "jwt": {"claims": {name: _as_text(value) for name, value in claims.items()}, "scopes": None}
        }
    }


def _as_text(value: object) -> str:
    """Convert a claim as API Gateway does: to text, a list to its items in brackets."""
    if isinstance(value, list):
        return f"[{' '.join(map(_as_text, value))}]"
    return value if isinstance(value, str) else json.dumps(value)
