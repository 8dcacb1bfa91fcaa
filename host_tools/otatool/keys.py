"""Signing keys: made, kept and used on the host; the device's half is ota.crypto."""

import json
import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from ota.crypto import Keys, hmac

from . import files
from .errors import ToolError

TYPES = ("rsa", "hmac")
BITS = (2048, 3072, 4096)
_SUFFIX = {"rsa": ".pem", "hmac": ".key"}
_SECRET = 32  # bytes


class SigningKey:
    """One key that can sign.

    id: 8 bytes. public: the dict a device trusts (for an HMAC key it holds the secret).
    signature_length: bytes. Raises ToolError if the device would not take the key.
    """

    def __init__(self, private: rsa.RSAPrivateKey | bytes):
        self._private = private
        self.type = "hmac" if isinstance(private, bytes) else "rsa"
        self.public = _public(private)
        try:
            keys = Keys([self.public])
        except ValueError as e:
            raise ToolError(f"a device cannot use this key: {e}") from e
        self.id = bytes.fromhex(keys.ids()[0])
        self.signature_length = keys.signature_length(self.id)

    def sign(self, message: bytes) -> bytes:
        """Signature over message: RSASSA-PKCS1-v1_5 with SHA-256, or HMAC-SHA256."""
        if isinstance(self._private, bytes):
            return hmac.mac(self._private, message)
        return self._private.sign(message, padding.PKCS1v15(), hashes.SHA256())

    def secret_file(self) -> bytes:
        """What the private file holds: PKCS#8 PEM, or JSON for an HMAC key."""
        if isinstance(self._private, bytes):
            return json.dumps(self.public).encode() + b"\n"
        return self._private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def public_file(self) -> bytes:
        """What NAME.pub.json holds: the device's dict and the id."""
        return json.dumps({**self.public, "id": self.id.hex()}, indent=1).encode() + b"\n"


def generate(type: str = "rsa", bits: int = 3072) -> SigningKey:
    """A new key. type: "rsa" or "hmac"; bits: 2048, 3072 or 4096, of an RSA modulus."""
    if type == "hmac":
        return SigningKey(secrets.token_bytes(_SECRET))
    if type != "rsa":
        raise ToolError(f"unknown key type {type!r}: use one of {', '.join(TYPES)}")
    if bits not in BITS:
        raise ToolError(f"{bits} bits: use 2048, 3072 or 4096")
    return SigningKey(rsa.generate_private_key(public_exponent=65537, key_size=bits))


def load(path: str | os.PathLike) -> SigningKey:
    """The key in a file that keygen, or openssl (PEM, RSA, unencrypted), wrote.

    Raises ToolError in words.
    """
    raw = files.read(path)
    if raw.lstrip().startswith(b"{"):
        return _load_json(path, raw)
    try:
        private = serialization.load_pem_private_key(raw, password=None)
    except TypeError as e:
        raise ToolError(f"{path}: encrypted; decrypt it first: openssl pkcs8 -in {path}") from e
    except ValueError as e:
        raise ToolError(f"{path}: not a private key; make one with otatool keygen") from e
    if not isinstance(private, rsa.RSAPrivateKey):
        raise ToolError(f"{path}: not an RSA key; make one with otatool keygen")
    return SigningKey(private)


def write(key: SigningKey, name: str, force: bool = False) -> tuple[Path, Path]:
    """Write the private and the public file of a key, and return their paths.

    name: path without suffix. Raises ToolError if one exists and force is not given.
    """
    private = Path(name + _SUFFIX[key.type])
    public = Path(name + ".pub.json")
    for path in (private, public):
        if path.exists() and not force:
            raise ToolError(f"{path} exists; choose another name, or --force to replace the key")
    files.write(private, key.secret_file(), 0o600)
    # The device's half of a shared secret is the secret.
    files.write(public, key.public_file(), 0o600 if key.type == "hmac" else 0o644)
    return private, public


def _public(private: rsa.RSAPrivateKey | bytes) -> dict:
    if isinstance(private, bytes):
        return {"type": "hmac", "secret": private.hex()}
    numbers = private.public_key().public_numbers()
    length = (numbers.n.bit_length() + 7) // 8
    return {"type": "rsa", "n": numbers.n.to_bytes(length, "big").hex(), "e": numbers.e}


def _load_json(path: str | os.PathLike, raw: bytes) -> SigningKey:
    try:
        entry = json.loads(raw)
        if entry["type"] == "rsa":
            raise ToolError(f"{path}: the public half; signing needs the .pem beside it")
        return SigningKey(bytes.fromhex(entry["secret"]))
    except (ValueError, KeyError, TypeError) as e:
        raise ToolError(f"{path}: not a key file; make one with otatool keygen") from e
