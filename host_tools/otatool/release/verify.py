"""Checks a package or a manifest as a device would, before it is published or trusted.

Whatever can be checked without the board is: signature, every field of the header, every chunk
of the hash chain, the reverse package behind it, the image, and the packages that a manifest
names beside it.
"""

import datetime
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from ota import manifest
from ota import package as fmt
from ota.crypto import Keys
from ota.errors import OtaError

from .. import files
from ..errors import ToolError
from ..terminal import meanings
from . import decode, keys

_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_BINARY = "copy it in binary mode"
# Binary data of some length has single line feeds; a copy in text mode left none.
_PAIRS = 8


def verify(
    data: bytes,
    trusted: Keys,
    folder: Path | None = None,
    image: bytes | None = None,
    base: bytes | None = None,
    now: float | None = None,
) -> str:
    """One sentence about a package or a manifest that is valid in every respect.

    Args:
        trusted: the keys that a device has.
        folder: of a manifest, where its packages are; None leaves them out.
        image: that the package must make.
        base: image that a patch starts from; with it, or for a full package, the payload is
            decoded and the image's digest compared.
        now: seconds since 1970, for the end of a manifest; None does not look at it.

    Raises:
        ToolError: one sentence: what is wrong, and where.
    """
    refuse_altered(data)
    try:
        if data[:4] == fmt.MAGIC:
            return _package(data, trusted, image, base)
        if data[:1] == b"{" and b"\nsig " in data:
            if image is not None or base is not None:
                raise ToolError("this is a manifest: --image and --base are for a package")
            return _manifest(data, trusted, folder, now)
    except OtaError as e:
        raise ToolError(meanings.explain(e)) from e
    raise ToolError("not a package and not a signed manifest of this tool")


def altered(data: bytes) -> str:
    """How a copy in text mode has changed a file of ours, in words; "" where it has not."""
    body = data
    for bom in _BOMS:
        if body.startswith(bom):
            body = body[len(bom) :]
            if bom != _BOMS[0]:
                body = body.replace(b"\0", b"")
            if body[:1] == b"{" or body[:4] == fmt.MAGIC:
                return "a byte order mark (BOM) was put in front of it"
            return ""
    if body[:1] == b"{":
        # A signed manifest has no carriage return: JSON writes them with a backslash.
        ends = b"\r" in body and b"sig " in body
    else:
        pairs = body.count(b"\r\n")
        ends = body[:4] == fmt.MAGIC and pairs >= _PAIRS and pairs == body.count(b"\n")
    return "its line ends were changed to CR LF" if ends else ""


def refuse_altered(data: bytes, name: str = "") -> None:
    """Raise ToolError if a copy in text mode has changed data.

    Args:
        name: of the file.
    """
    how = altered(data)
    if how:
        where = name + ": " if name else ""
        raise ToolError(
            f"{where}the file was altered by a copy: {how}, so no signature matches; {_BINARY}"
        )


def trusted(paths: Iterable[str | Path]) -> Keys:
    """The keys in files: NAME.pub.json, a layout.json with its keys, or a private or public
    key as keygen and openssl write it. Raises ToolError."""
    entries: list[dict] = []
    for path in paths:
        entries += _entries(path)
    try:
        return Keys(entries)
    except (ValueError, TypeError, AttributeError) as e:
        raise ToolError(f"{', '.join(map(str, paths))}: a device cannot use this key: {e}") from e


def _package(data, trusted, image, base):
    h, name = _signed(data, trusted)
    count = decode.whole(data, h)
    done = f"{count} chunks"
    if image is not None:
        if len(image) != h.image_size or hashlib.sha256(image).digest() != h.image_digest:
            raise ToolError(
                f"it produces another image than --image: {h.image_size} bytes, "
                f"{h.image_digest.hex()}; --image has {len(image)} bytes, "
                f"{hashlib.sha256(image).hexdigest()}"
            )
        done += ", the image is the one that was given"
    if h.encoding == fmt.FULL or base is not None:
        decode.decode(data, base if h.encoding == fmt.PATCH else None)
        done += " and the decoded payload has its digest" if image else ", the image's digest"
    elif image is None:
        done += " (a patch: --base OLD decodes it too)"
    start = f" from {h.base_version}" if h.base_version else ""
    kind = "full package" if h.encoding == fmt.FULL else "patch"
    return f"{kind} of {h.product} {h.version}{start} for {h.target}, signed by {name}; " + done


def _signed(data, trusted):
    """(header, id of the key that signed it). Raises OtaError."""
    h = decode.head(data, trusted)
    return h, _by(trusted, decode.signers(data))


def _by(trusted, ids):
    return next(i for i in ids if bytes.fromhex(i) in trusted)


def _manifest(data, trusted, folder, now):
    length = manifest.check(data, trusted)
    m = manifest.read(data, length)
    lines = data[length:].split(b"\nsig ")[1:]
    ids = [line.split(b" ")[0].decode("ascii", "replace") for line in lines]
    name = _by(trusted, [i for i in ids if len(i) == 16])
    if now is not None and m.get("expires") and now > m["expires"]:
        raise ToolError(f"the signature is valid, but it expired on {day(m['expires'])}")
    here = away = 0
    for release in m["releases"]:
        for image in release["images"]:
            for entry in image["packages"]:
                if "://" in entry["url"] or entry["url"].startswith("/"):
                    away += 1
                elif folder is not None:
                    _named(folder, m, release, image, entry, trusted)
                    here += 1
    out = f"manifest of {m['product']}, channel {m['channel']}, sequence {m['sequence']}, "
    out += f"signed by {name}; {here} packages beside it"
    return out + (f"; {away} at other addresses were not checked" if away else "")


def _named(folder, m, release, image, entry, trusted):
    """Check a package that a manifest names."""
    url = entry["url"]
    path = (folder / url).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ToolError(f"it names {url}, which is outside its folder")
    try:
        data = files.read(path)
        refuse_altered(data)
        h, _ = _signed(data, trusted)
        count = decode.whole(data, h)
        assert count
        base = entry["base"]
        for what, found, wanted in (
            ("product", h.product, m["product"]),
            ("size", len(data), entry["size"]),
            ("digest of the header", h.digest.hex(), entry["digest"].hex()),
            ("version", h.version, release["version"]),
            ("floor", h.floor, release["floor"]),
            ("target", h.target, image["target"]),
            ("size of the image", h.image_size, image["size"]),
            ("digest of the image", h.image_digest.hex(), image["digest"].hex()),
            ("size of the base", h.base_size, base["size"] if base else 0),
            ("digest of the base", h.base_digest.hex(), base["digest"].hex() if base else ""),
            ("order of blocks", h.ordered, entry["in_place"]),
        ):
            if found != wanted:
                raise ToolError(f"{what} {found}, but the manifest says {wanted}")
    except OtaError as e:
        raise ToolError(f"{url}: {meanings.explain(e)}") from e
    except ToolError as e:
        text = str(e)
        raise ToolError(text if url in text else f"{url}: {text}") from e


def day(seconds: int) -> str:
    """A date, from seconds since 1970."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).date().isoformat()


def _entries(path):
    raw = files.read(path)
    if raw.lstrip().startswith(b"{"):
        try:
            found = json.loads(raw)
        except (ValueError, RecursionError) as e:
            raise ToolError(f"{path}: not a key file: {e}") from e
        listed = found.get("keys", [found])
        if not isinstance(listed, list) or not listed:
            raise ToolError(f"{path}: no key there")
        return listed
    if b"-----BEGIN PUBLIC KEY-----" in raw:
        try:
            public = serialization.load_pem_public_key(raw)
        except ValueError as e:
            raise ToolError(f"{path}: not a public key") from e
        if not isinstance(public, rsa.RSAPublicKey):
            raise ToolError(f"{path}: not an RSA key")
        n = public.public_numbers()
        length = (n.n.bit_length() + 7) // 8
        return [{"type": "rsa", "n": n.n.to_bytes(length, "big").hex(), "e": n.e}]
    return [keys.load(path).public]
