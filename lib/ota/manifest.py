"""The signed manifest: parsing, and the choice of the package that this device takes. Pure.

    {"format": 1, ...JSON...}
    sig <key id, 16 hex digits> <signature, base64>

The signed bytes are everything before the first line that starts with "sig ". They are never
re-serialised, and not parsed before a signature is verified. docs/format.md section 2.
"""

import hashlib
from binascii import a2b_base64, b2a_base64, hexlify, unhexlify

from .compat import const, loads
from .errors import ManifestError, PolicyError, SignatureError
from .package import version

if False:  # for type checkers
    from ota_hints import Buffer, Facts, Record, Verifier

MANIFEST_MAX = const(8192)
_FORMAT = const(1)
_MARK = b"\nsig "
_SIGNATURES = const(4)
_LIST = const(32)
_EVERYONE = const(10000)
_KNOWN = ("format", "product", "channel", "sequence", "issued", "expires", "critical", "releases")


class Choice:
    """The package that decide() chose.

    url may be relative; size is in bytes; digest is that of the package's header; delta is True
    for a patch; issued is in Unix seconds, 0 if the manifest has no such date.
    """

    sequence: int
    issued: int
    version: str
    floor: int
    target: str
    image_size: int
    image_digest: bytes
    url: str
    size: int
    digest: bytes
    delta: bool
    # No methods: one would keep this module in memory as long as the choice, see modules.unload().


def parse(data: bytes, keys: "Verifier") -> dict:
    """Verify a manifest and parse it; digests become bytes.

    Args:
        data: bytes as fetched.
        keys: crypto.Keys.
    Raises:
        SignatureError, ManifestError: as check() and read().
    """
    return read(data, check(data, keys))


def check(data: "Buffer", keys: "Verifier") -> int:
    """Verify the signature of a manifest; return how many of its bytes are JSON.

    Raises:
        SignatureError: "key", "signature".
        ManifestError: "size"; "manifest" if it is none, followed by "byte order mark" or "line
            ends" if it was changed in transit.
    """
    if len(data) > MANIFEST_MAX:
        raise ManifestError("size", len(data))
    if not isinstance(data, (bytes, bytearray)):
        data = bytes(data)
    at = data.find(_MARK)
    if data[:3] == b"\xef\xbb\xbf" or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ManifestError("manifest", "byte order mark")
    if at < 0 or data[:1] != b"{":
        raise ManifestError("manifest", len(data))
    try:
        _check(data, at + 1, keys)
    except (ManifestError, SignatureError):
        # Nothing that otatool publishes has such line ends: a copy in text mode made them.
        if data.find(b"\r\n", at - 1) >= 0:
            raise ManifestError("manifest", "line ends")
        raise
    return at


def read(data: bytes, length: int) -> dict:
    """The manifest in the first length bytes of data, whose signature was checked, with digests
    as bytes. Raises ManifestError "manifest" (no JSON), "format", "critical", "field"."""
    try:
        # No copy: it may be long.
        m = loads(memoryview(data)[:length])  # type: ignore[arg-type]
    except (ValueError, RuntimeError, TypeError) as e:  # TypeError: a list as a member's name
        raise ManifestError("manifest", e)
    if not isinstance(m, dict) or _integer(m, "format") != _FORMAT:
        raise ManifestError("format")
    for name in _list(m, "critical", ()):
        if name not in _KNOWN:
            raise ManifestError("critical", name)
    for name in ("product", "channel"):
        _text(m, name)
    _integer(m, "sequence")
    _integer(m, "issued", 0)
    _integer(m, "expires", 0)
    for release in _list(m, "releases"):
        _release(release)
    return m


def decide(m: dict, device: "Facts", record: "Record", now: int = 0) -> Choice | None:
    """Choose the package that this device takes, or None if there is no newer release.

    A patch of the running image is preferred to a full package. Releases that roll out to a
    share of the fleet are ignored by the others.

    Args:
        m: from parse().
        device: object with product, component, in_place and device_id.
        record: state.record.Record.
        now: Unix seconds, 0 if the clock is not trusted.
    Raises:
        PolicyError: "product", "sequence", "expired", "base".
    """
    if m["product"] != device.product:
        raise PolicyError("product")
    if m["sequence"] < record.sequence:
        raise PolicyError("sequence", m["sequence"], record.sequence)
    if now and m.get("expires") and now > m["expires"]:
        raise PolicyError("expired", m["expires"])
    running = version(record.image.version) if record.image.version else ()
    best = None
    for release in m["releases"]:
        v = version(release["version"])
        if v <= running or release["floor"] < record.floor:
            continue
        image = _find(release["images"], device.component)
        if image and (best is None or v > best[0]) and takes_part(device.device_id, release):
            best = v, release, image
    if best is None:
        return None
    _, release, image = best
    chosen = None
    for package in image["packages"]:
        base = package["base"]
        if base is None:
            chosen = chosen or package
        elif base["digest"] == record.image.digest and base["size"] == record.image.size:
            # In place only an ordered patch can be applied; the other strategies need one with
            # every block.
            if device.in_place == package["in_place"]:
                chosen = package
                break
    if chosen is None:
        raise PolicyError("base")
    c = Choice()
    c.sequence = m["sequence"]
    c.issued = m.get("issued", 0)
    c.version = release["version"]
    c.floor = release["floor"]
    c.target = image["target"]
    c.image_size = image["size"]
    c.image_digest = image["digest"]
    c.url = chosen["url"]
    c.size = chosen["size"]
    c.digest = chosen["digest"]
    c.delta = chosen["base"] is not None
    return c


def takes_part(device_id: bytes, release: dict) -> bool:
    """True if a release rolls out to this board.

    Each version draws its own boards; a larger share includes all boards of a smaller one.

    Args:
        device_id: b"" if the board has none: it waits for the whole fleet.
        release: dict with "version" and "rollout", the share in ten-thousandths.
    """
    share = release["rollout"]
    if share >= _EVERYONE or not device_id:
        return share >= _EVERYONE
    drawn = hashlib.sha256(release["version"].encode() + b"\0" + device_id).digest()
    return int.from_bytes(drawn[:4], "big") * _EVERYONE >> 32 < share


def _check(data, start, keys):
    """Raise unless a trusted key signed data[:start], by a line of those from there on."""
    at = start
    for _ in range(_SIGNATURES):
        end = data.find(b"\n", at)
        ident, signature = _signature(bytes(data[at:end] if end >= 0 else data[at:]))
        if ident in keys:
            keys.verify(ident, memoryview(data)[:start], signature)
            return
        if end < 0:
            break
        at = end + 1
    raise SignatureError("key")


def _signature(line):
    """(id of the key, signature) of a line; two times b"" if it is of another kind."""
    parts = line.split(b" ")
    if len(parts) != 3 or parts[0] != b"sig":
        return b"", b""
    try:
        ident = unhexlify(parts[1])
        signature = a2b_base64(parts[2])
    except ValueError:
        raise ManifestError("manifest")
    # One form only: the decoders read more than one, and pass over what they do not know.
    if hexlify(ident) != parts[1] or b2a_base64(signature)[:-1] != parts[2]:
        raise ManifestError("manifest")
    return ident, signature


def _find(images, target):
    for image in images:
        if image["target"] == target:
            return image
    return None


def _release(r):
    if not isinstance(r, dict):
        raise ManifestError("field", "releases")
    version(_text(r, "version"))
    _integer(r, "floor")
    r["rollout"] = _integer(r, "rollout", _EVERYONE)
    if r["rollout"] > _EVERYONE:
        raise ManifestError("field", "rollout")
    for image in _list(r, "images"):
        _sized(image, "images")
        _text(image, "target")
        for package in _list(image, "packages"):
            _sized(package, "packages")
            _text(package, "url", 512)
            package["in_place"] = package.get("in_place") is True
            package["base"] = package.get("base")
            if package["base"] is not None:
                _sized(package["base"], "base")


def _sized(entry, name):
    """An object with size and digest; the digest becomes bytes."""
    if not isinstance(entry, dict):
        raise ManifestError("field", name)
    if _integer(entry, "size") == 0:
        raise ManifestError("field", "size")
    try:
        entry["digest"] = unhexlify(_text(entry, "digest", 64))
    except ValueError:
        raise ManifestError("field", "digest")
    if len(entry["digest"]) != 32:
        raise ManifestError("field", "digest")


def _text(m, name, most=32):
    value = m.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= most:
        raise ManifestError("field", name)
    for c in value:
        if not 32 < ord(c) < 127:
            raise ManifestError("field", name)
    return value


def _integer(m, name, default=None):
    value = m.get(name, default)
    if not isinstance(value, int) or value is True or value is False or not 0 <= value < 1 << 32:
        raise ManifestError("field", name)
    return value


def _list(m, name, default=None):
    value = m.get(name, default)
    if not isinstance(value, (list, tuple)) or len(value) > _LIST:
        raise ManifestError("field", name)
    return value
