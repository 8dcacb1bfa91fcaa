"""HMAC-SHA256 (RFC 2104, FIPS 198-1) from two sha256 objects.

For devices that can only share a secret. Whoever reads it from one device can sign for every
device that has the same one.
"""

import hashlib
from binascii import unhexlify

_BLOCK = 64  # bytes, the block of SHA-256
_LENGTH = 32
_MIN_SECRET = 16
_MAX_SECRET = 256


def mac(secret: bytes | bytearray | memoryview, message: bytes | bytearray | memoryview) -> bytes:
    """HMAC-SHA256 of `message` with `secret`, 32 bytes."""
    if len(secret) > _BLOCK:
        secret = hashlib.sha256(secret).digest()
    pad = bytearray(_BLOCK)
    pad[: len(secret)] = secret
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in pad))
    inner.update(message)
    outer = hashlib.sha256(bytes(b ^ 0x5C for b in pad))
    outer.update(inner.digest())
    return outer.digest()


def equal(a: bytes | bytearray | memoryview, b: bytes | bytearray | memoryview) -> bool:
    """Compare bytes; the time taken does not depend on where they differ."""
    if len(a) != len(b):
        return False
    difference = 0
    for i in range(len(a)):
        difference |= a[i] ^ b[i]
    return not difference


class Hmac:
    """A shared secret.

    Args:
        secret: 16 to 256 bytes in hex.
    Raises:
        ValueError: anything else.
    """

    signature_length = _LENGTH

    def __init__(self, secret: str):
        try:
            self.material = unhexlify(secret)
        except (TypeError, ValueError):
            raise ValueError("hmac key: secret is not an even number of hex digits")
        if len(self.material) < _MIN_SECRET or len(self.material) > _MAX_SECRET:
            raise ValueError("hmac key: secret is not 16 to 256 bytes long")

    def verify(
        self, message: bytes | bytearray | memoryview, signature: bytes | bytearray | memoryview
    ) -> bool:
        """True if `signature` is the complete MAC of `message`."""
        return equal(mac(self.material, message), signature)
