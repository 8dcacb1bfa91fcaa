"""Trusted keys: an id finds the key, and the key determines the algorithm.

A message never says which algorithm to use. A key is a dict, as in a board layout or in the
NAME.pub.json of `otatool keygen`:

    {"type": "rsa", "n": "<hex>", "e": 65537}
    {"type": "hmac", "secret": "<hex>"}

Its id is the first 8 bytes of SHA-256(b"ota-key-v1" + type + b"\\0" + material); material is
n and e (4 bytes), big-endian, or the secret. A dict may have an "id" in hex, which is then
compared; other fields are ignored.
"""

import hashlib
from binascii import hexlify

from ..errors import SignatureError
from .hmac import Hmac
from .rsa import Rsa

ID_LENGTH = 8


def key_id(kind: str, material: bytes | bytearray | memoryview) -> bytes:
    """The 8-byte id of a key.

    Args:
        kind: "rsa" or "hmac".
        material: what identifies the key, see the top of this file.
    """
    h = hashlib.sha256(b"ota-key-v1" + kind.encode() + b"\0")
    h.update(material)
    return h.digest()[:ID_LENGTH]


def _load(entry):
    """(id, key) of one dict. Raises ValueError."""
    if not isinstance(entry, dict):
        raise ValueError("key: not a dict")
    kind = entry.get("type")
    if kind == "rsa":
        key = Rsa(entry.get("n"), entry.get("e"))
    elif kind == "hmac":
        key = Hmac(entry.get("secret"))
    else:
        raise ValueError("key: type is not rsa or hmac")
    ident = key_id(kind, key.material)
    if "id" in entry and entry["id"] != hexlify(ident).decode():
        raise ValueError("%s key: id does not belong to the key" % kind)
    return ident, key


class Keys:
    """Trusted keys by id.

    Args:
        entries: key dicts, see the top of this file.
    Raises:
        ValueError: an entry is invalid; a device must not start with fewer keys than configured.
    """

    def __init__(self, entries: list):
        self._keys = dict(map(_load, entries))

    def __contains__(self, ident) -> bool:
        return bytes(ident) in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def ids(self) -> list:
        """Ids of all keys in hex, sorted."""
        return sorted([hexlify(i).decode() for i in self._keys])

    def signature_length(self, ident: bytes | bytearray | memoryview) -> int:
        """Length in bytes of a signature by the key `ident`.

        Raises:
            SignatureError: "key" if the key is not trusted.
        """
        return self._find(ident).signature_length

    def verify(
        self,
        ident: bytes | bytearray | memoryview,
        message: bytes | bytearray | memoryview,
        signature: bytes | bytearray | memoryview,
    ) -> None:
        """Check that `signature` is the signature of `message` by the key `ident`.

        Raises:
            SignatureError: "key" if the key is not trusted, "signature" if it does not match.
        """
        if not self._find(ident).verify(message, signature):
            raise SignatureError("signature")

    def _find(self, ident):
        key = self._keys.get(bytes(ident))
        if key is None:
            raise SignatureError("key")
        return key
