"""RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 8.2.2): verify only, by one pow().

The expected encoded message is built and compared as a whole. Padding is never parsed, which is
where verifiers of this kind go wrong. Needs a port with the three-argument pow().
"""

import hashlib
from binascii import unhexlify

from ..compat import const

# DigestInfo of SHA-256 up to the digest (RFC 8017 9.2, note 1): the only accepted form.
_DIGEST_INFO = const(
    b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"
)
_MIN_LENGTH = const(256)  # bytes of the modulus: 2048 to 4096 bits
_MAX_LENGTH = const(512)


class Rsa:
    """A trusted RSA public key.

    Args:
        n: modulus in hex without leading zero bytes, 2048 to 4096 bits, odd.
        e: exponent, odd, 3 to 2**32 - 1.
    Raises:
        ValueError: anything else.
    """

    def __init__(self, n: str, e: int):
        try:
            raw = unhexlify(n)
        except (TypeError, ValueError):
            raise ValueError("rsa key: n is not an even number of hex digits")
        if len(raw) < _MIN_LENGTH or len(raw) > _MAX_LENGTH:
            raise ValueError("rsa key: n is not 2048 to 4096 bits long")
        if not raw[0] or (len(raw) == _MIN_LENGTH and raw[0] < 0x80):
            raise ValueError("rsa key: n has leading zeros")
        if not raw[-1] & 1:
            raise ValueError("rsa key: n is even")
        if not isinstance(e, int) or e < 3 or e > 0xFFFFFFFF or not e & 1:
            raise ValueError("rsa key: e is not an odd number from 3 to 2**32 - 1")
        self._n = int.from_bytes(raw, "big")
        self._e = e
        self.signature_length = len(raw)

    @property
    def material(self) -> bytes:
        """n and e, big-endian: the bytes behind the key's id."""
        return self._n.to_bytes(self.signature_length, "big") + self._e.to_bytes(4, "big")

    def verify(
        self, message: bytes | bytearray | memoryview, signature: bytes | bytearray | memoryview
    ) -> bool:
        """True if `signature` is this key's signature of `message`."""
        size = self.signature_length
        if len(signature) != size:
            return False
        s = int.from_bytes(signature, "big")
        if s >= self._n:
            return False
        # First, because it takes the most memory.
        got = pow(s, self._e, self._n).to_bytes(size, "big")
        end = _DIGEST_INFO + hashlib.sha256(message).digest()
        return got == b"\x00\x01" + b"\xff" * (size - 3 - len(end)) + b"\x00" + end
