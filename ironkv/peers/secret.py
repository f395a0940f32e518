"""How two nodes prove to each other that they know the cluster's secret, and neither tells it.

    dialler → acceptor   hello, with a random number that was never used before
    acceptor → dialler   hello, with one of its own
    dialler → acceptor   proof: an HMAC of both hellos, by the secret
    acceptor → dialler   another

Both numbers are in both proofs, so none can be played back; the roles are too, so none can be sent back to
whom it came from. What follows is neither encrypted nor signed: on a network that others can write to, use
TLS.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Final, TypedDict

import msgpack

from ironkv.peers.wire import Hello, WireError

NONCE_SIZE: Final = 16
SECRET_LEAST: Final = 16
"""Bytes of a secret: who hears a handshake can try secrets at home."""


class Sides(TypedDict):
    """Who said what, and whose the proof is."""

    dialled: bool
    dialler: Hello
    acceptor: Hello


def nonce(secret: bytes) -> bytes:
    """A random number for a hello; empty without a secret, which tells the other side so."""
    return secrets.token_bytes(NONCE_SIZE) if secret else b""


def proof(secret: bytes, *, dialled: bool, dialler: Hello, acceptor: Hello) -> bytes:
    """What the side that has dialled (or not) sends."""
    told = msgpack.packb((b"ironkv peer", dialled, tuple(dialler), tuple(acceptor)))
    return hmac.digest(secret, told, "sha256")


def check_nonce(secret: bytes, mine: Hello, theirs: Hello) -> None:
    """Raises WireError when the other side's hello does not go with this one's."""
    if secret and not theirs.nonce:
        raise WireError("it has no cluster.secret, this node has one")
    if theirs.nonce and not secret:
        raise WireError("it has a cluster.secret, this node has none")
    if secret and (len(theirs.nonce) != NONCE_SIZE or theirs.nonce == mine.nonce):
        raise WireError("its hello is not its own")


def check_proof(secret: bytes, given: bytes, *, dialled: bool, dialler: Hello, acceptor: Hello) -> None:
    """Raises WireError."""
    if not hmac.compare_digest(given, proof(secret, dialled=dialled, dialler=dialler, acceptor=acceptor)):
        raise WireError("its cluster.secret is another")
