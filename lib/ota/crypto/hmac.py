"""HMAC-SHA256 (RFC 2104, FIPS 198-1) from two sha256 objects.

For devices that can only share a secret. Whoever extracts it from one device can sign for all
devices with the same secret.
"""

import hashlib
from binascii import unhexlify

_BLOCK = 64  # bytes, the block of SHA-256
_LENGTH = 32
_MIN_SECRET = 16
_MAX_SECRET = 256


def mac(secret, message) -> bytes:
    """The 32 bytes of HMAC-SHA256 of message under secret, both bytes-like."""
    if len(secret) > _BLOCK:
        secret = hashlib.sha256(secret).digest()
    pad = bytearray(_BLOCK)
    pad[: len(secret)] = secret
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in pad))
    inner.update(message)
    outer = hashlib.sha256(bytes(b ^ 0x5C for b in pad))
    outer.update(inner.digest())
    return outer.digest()


def equal(a, b) -> bool:
    """True if a and b are equal; takes the same time wherever they differ."""
    if len(a) != len(b):
        return False
    difference = 0
    for i in range(len(a)):
        difference |= a[i] ^ b[i]
    return not difference


class Hmac:
    """A shared secret.

    secret: hex of 16 to 256 bytes. Raises ValueError for anything else.
    """

    signature_length = _LENGTH

    def __init__(self, secret: str):
        try:
            self.material = unhexlify(secret)
        except (TypeError, ValueError):
            raise ValueError("hmac key: secret is not an even number of hex digits")
        if len(self.material) < _MIN_SECRET or len(self.material) > _MAX_SECRET:
            raise ValueError("hmac key: secret is not 16 to 256 bytes long")

    def verify(self, message, signature) -> bool:
        """True if signature (bytes-like) is the whole MAC of message (bytes-like)."""
        return equal(mac(self.material, message), signature)
