"""The trusted keys of a device, by id. The algorithm belongs to the key, never to the message.

A key is a dict, as in a layout or in the NAME.pub.json of `otatool keygen`:

    {"type": "rsa", "n": "<hex>", "e": 65537}
    {"type": "hmac", "secret": "<hex>"}

Its id is the first 8 bytes of SHA-256(b"ota-key-v1" + type + b"\\0" + material); material is
n and e (4 bytes), big-endian, or the secret. A dict may carry the id as hex, "id", which must
then be right; other fields are for people.
"""

import hashlib
from binascii import hexlify

from ..errors import SignatureError
from .hmac import Hmac
from .rsa import Rsa

ID_LENGTH = 8


def key_id(kind: str, material) -> bytes:
    """The 8-byte id of a key. kind: "rsa" or "hmac"; material: bytes, see above."""
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

    entries: dicts as described at the top of this file. Raises ValueError if one is malformed:
    a device must not start with fewer keys than configured.
    """

    def __init__(self, entries):
        self._keys = dict(map(_load, entries))

    def __contains__(self, ident) -> bool:
        return bytes(ident) in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def ids(self) -> list:
        """Ids of all keys as hex text, sorted."""
        return sorted([hexlify(i).decode() for i in self._keys])

    def signature_length(self, ident) -> int:
        """Bytes of a signature by that key. Raises SignatureError "key"."""
        return self._find(ident).signature_length

    def verify(self, ident, message, signature) -> None:
        """Verify a signature of key `ident` over message; all are bytes-like.

        Raises:
            SignatureError: "key" if the key is not trusted, "signature" if it is invalid.
        """
        if not self._find(ident).verify(message, signature):
            raise SignatureError("signature")

    def _find(self, ident):
        key = self._keys.get(bytes(ident))
        if key is None:
            raise SignatureError("key")
        return key
