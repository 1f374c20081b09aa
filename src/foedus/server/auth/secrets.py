"""Random secrets that are shown once; the database keeps their SHA-256.

A random token of 256 bits needs no slow hash: nobody can guess it, whatever a guess costs.
"""

import hashlib
import secrets

_BYTES = 32


def new_secret() -> str:
    """Return a new secret of 256 bits, safe in URLs."""
    return secrets.token_urlsafe(_BYTES)


def hash_of(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()
