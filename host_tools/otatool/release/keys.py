"""Signing keys: made, kept and used on the host; the device's half is ota.crypto."""

import getpass
import json
import os
import secrets
import sys
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from ota.crypto import Keys, hmac

from .. import files
from ..errors import ToolError

PASSPHRASE = "OTA_KEY_PASSPHRASE"  # of the environment
TYPES = ("rsa", "hmac")
BITS = (2048, 3072, 4096)
_SUFFIX = {"rsa": ".pem", "hmac": ".key"}
_SECRET = 32  # bytes
_NO_KEYS = {
    b"PUBLIC KEY": "the public half; signing needs the private one",
    b"RSA PUBLIC KEY": "the public half; signing needs the private one",
    b"CERTIFICATE": "a certificate; signing needs the private key",
    b"OPENSSH PRIVATE KEY": "in the form of OpenSSH; a copy in PEM: ssh-keygen -p -m PEM -f COPY",
}


class SigningKey:
    """One key that can sign.

    id: 8 bytes. public: the dict a device trusts (for an HMAC key it holds the secret).
    signature_length: bytes.

    Raises:
        ToolError: the device would not take the key.
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

    def secret_file(self, passphrase: str = "") -> bytes:
        """What the private file holds: PKCS#8 PEM, or JSON for an HMAC key.

        Args:
            passphrase: encrypts the PEM.

        Raises:
            ToolError: a passphrase for an HMAC key, whose secret every device holds anyway.
        """
        if isinstance(self._private, bytes):
            if passphrase:
                raise ToolError(
                    "a shared secret cannot have a passphrase: every device holds it, too"
                )
            return json.dumps(self.public).encode() + b"\n"
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase:
            encryption = serialization.BestAvailableEncryption(passphrase.encode())
        return self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )

    def public_file(self) -> bytes:
        """What NAME.pub.json holds: the device's dict and the id."""
        return json.dumps({**self.public, "id": self.id.hex()}, indent=1).encode() + b"\n"


def generate(type: str = "rsa", bits: int = 3072) -> SigningKey:
    """A new key.

    Args:
        type: "rsa" or "hmac".
        bits: 2048, 3072 or 4096, of an RSA modulus.
    """
    if type == "hmac":
        return SigningKey(secrets.token_bytes(_SECRET))
    if type != "rsa":
        raise ToolError(f"unknown key type {type!r}: use one of {', '.join(TYPES)}")
    if bits not in BITS:
        raise ToolError(f"{bits} bits: use 2048, 3072 or 4096")
    return SigningKey(rsa.generate_private_key(public_exponent=65537, key_size=bits))


def load(path: str | os.PathLike) -> SigningKey:
    """The key in a file that keygen, or openssl (PEM, RSA), wrote.

    The passphrase of an encrypted one comes from the environment (PASSPHRASE), else from the
    terminal.

    Raises:
        ToolError: one sentence for people.
    """
    raw = files.read(path)
    if raw.lstrip().startswith(b"{"):
        return _load_json(path, raw)
    for label, words in _NO_KEYS.items():
        if b"-----BEGIN " + label in raw:
            raise ToolError(f"{path}: {words}")
    try:
        private = serialization.load_pem_private_key(raw, password=None)
    except TypeError:
        private = _decrypted(path, raw)
    except (ValueError, UnsupportedAlgorithm) as e:
        raise ToolError(f"{path}: not a private key; make one with otatool keygen") from e
    if not isinstance(private, rsa.RSAPrivateKey):
        raise ToolError(f"{path}: not an RSA key; make one with otatool keygen")
    return SigningKey(private)


def new_passphrase(ask: bool) -> str:
    """The passphrase for a new key, "" for none: of the environment (PASSPHRASE); else, if ask,
    typed twice. Raises ToolError."""
    found = os.environ.get(PASSPHRASE, "")
    if found or not ask:
        return found
    if not sys.stdin.isatty():
        raise ToolError(f"--passphrase: no terminal to ask on; set {PASSPHRASE}")
    found = getpass.getpass("passphrase for the new key: ")
    if not found:
        raise ToolError("--passphrase: nothing was typed")
    if getpass.getpass("once more: ") != found:
        raise ToolError("--passphrase: the two differ")
    return found


def write(
    key: SigningKey, name: str, force: bool = False, passphrase: str = ""
) -> tuple[Path, Path]:
    """Write the private and the public file of a key, and return their paths.

    Args:
        name: path without suffix.
        passphrase: see SigningKey.secret_file().

    Raises:
        ToolError: one exists and force is not given.
    """
    if not Path(name).name or name.endswith(("/", "\\", os.sep)):
        raise ToolError(f"{name!r} is a folder: give the name of the key, such as {name}lamp")
    private = Path(name + _SUFFIX[key.type])
    public = Path(name + ".pub.json")
    for path in (private, public):
        if path.exists() and not force:
            raise ToolError(f"{path} exists; choose another name, or --force to replace the key")
        files.check_output(path)
    files.write(private, key.secret_file(passphrase), private=True)
    # The device's half of a shared secret is the secret.
    files.write(public, key.public_file(), private=key.type == "hmac")
    return private, public


def _public(private: rsa.RSAPrivateKey | bytes) -> dict:
    if isinstance(private, bytes):
        return {"type": "hmac", "secret": private.hex()}
    numbers = private.public_key().public_numbers()
    length = (numbers.n.bit_length() + 7) // 8
    return {"type": "rsa", "n": numbers.n.to_bytes(length, "big").hex(), "e": numbers.e}


def _decrypted(path, raw):
    given = os.environ.get(PASSPHRASE, "")
    if not given:
        if not sys.stdin.isatty():
            raise ToolError(f"{path}: encrypted; set {PASSPHRASE} to its passphrase")
        given = getpass.getpass(f"passphrase of {path}: ")
    try:
        return serialization.load_pem_private_key(raw, password=given.encode() or b" ")
    except ValueError as e:
        raise ToolError(f"{path}: encrypted, and the passphrase is wrong") from e


def _load_json(path: str | os.PathLike, raw: bytes) -> SigningKey:
    try:
        entry = json.loads(raw)
        if entry["type"] == "rsa":
            raise ToolError(f"{path}: this is the public key; signing needs the .pem next to it")
        return SigningKey(bytes.fromhex(entry["secret"]))
    except (ValueError, KeyError, TypeError, RecursionError) as e:
        raise ToolError(f"{path}: not a key file; make one with otatool keygen") from e
