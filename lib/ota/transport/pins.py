"""Public key pinning: servers identified by the SHA-256 of their public key."""

import hashlib
from binascii import unhexlify

from ..compat import const
from ..errors import TransportError

if False:  # for type checkers
    from ota_hints import Buffer

_REFUSED = const(-0x2700)  # mbedTLS: certificate verification failed
_SEQUENCE = const(0x30)
_VERSION = const(0xA0)
_BEFORE = const(5)  # number, algorithm, issuer, validity, subject


class Pins:
    """pins: list of hex texts, each the SHA-256 of a public key (SubjectPublicKeyInfo, RFC 5280)
    or of a whole certificate. Raises TransportError "tls" if there is none or one is malformed."""

    def __init__(self, pins):
        try:
            self._pins = [unhexlify(pin) for pin in pins]
        except (ValueError, TypeError) as e:
            raise TransportError("tls", "pins", e)
        if not self._pins or any(len(pin) != 32 for pin in self._pins):
            raise TransportError("tls", "pins")

    def check(self, der: bytes, depth: int) -> int:
        """Verify callback of TLS for each certificate of a chain; 0 accepts, else an error number.

        der: bytes of the certificate; depth: 0 for the server's own.
        """
        if depth:
            return 0  # its issuers do not matter: the key is pinned
        try:
            found = hashlib.sha256(der).digest(), hashlib.sha256(public_key(der)).digest()
        except ValueError:
            return _REFUSED
        return 0 if found[0] in self._pins or found[1] in self._pins else _REFUSED


def public_key(der: "Buffer") -> bytes | memoryview:
    """The part of a DER certificate that is its SubjectPublicKeyInfo. Raises ValueError."""
    der = memoryview(der)
    at, end, _ = _inside(der, 0, len(der))
    at, end, _ = _inside(der, at, end)
    if der[at] == _VERSION:
        at = _item(der, at, end)[1]
    for _ in range(_BEFORE):
        at = _item(der, at, end)[1]
    return der[at : _inside(der, at, end)[1]]


def _inside(der, at, end):
    # Of a sequence: where its contents begin and end.
    start, end, tag = _item(der, at, end)
    if tag != _SEQUENCE or start == end:
        raise ValueError(at)
    return start, end, tag


def _item(der, at, end):
    # One item: where its contents begin and end, and its tag.
    if end - at < 2:
        raise ValueError(at)
    tag, length = der[at], der[at + 1]
    at += 2
    if length > 127:
        count = length & 127
        if not 0 < count <= 3 or end - at < count:
            raise ValueError(at)
        length = int.from_bytes(der[at : at + count], "big")
        at += count
    if end - at < length:
        raise ValueError(at)
    return at, at + length, tag
