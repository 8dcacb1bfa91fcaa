"""Say in words what a file is: package, manifest, partition table, image, key, flash dump."""

import copy
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ota import clock, manifest, state
from ota import package as fmt
from ota.crypto import Keys
from ota.device import Device
from ota.errors import OtaError
from ota.flash.ram import RamFlash
from ota.partition import tobudos
from ota.partition.text import text
from ota.state import record as slots
from ota.strategy import staging

from ..errors import ToolError
from ..image.build import describe
from ..product import settings
from ..release import decode, verify
from ..terminal import meanings
from ..terminal.values import WHOLE
from . import report

NOT_CHECKED = "not checked: give --key NAME.pub.json"
_MALFORMED = (
    ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError,
    struct.error,
)  # fmt: skip


@dataclass
class Section:
    """A headline, rows of (name, value), and a table with its column names.

    Attributes:
        numbers: how many of the last columns are set to the right.
        total: the last row is one.
    """

    title: str
    rows: list[tuple[str, str]] = field(default_factory=list)
    columns: tuple[str, ...] = ()
    table: list[tuple[str, ...]] = field(default_factory=list)
    numbers: int = 0
    total: bool = False


def show(data: bytes, layout: dict | None = None, keys: Keys | None = None) -> list[Section]:
    """What data is.

    Args:
        layout: of the board, for a flash dump.
        keys: that signatures are checked with; None says that they were not.

    Raises:
        ToolError: data is unknown, damaged, or not signed by these keys.
    """
    if layout is None:
        verify.refuse_altered(data)
    readers: list[tuple[bool, Callable[[bytes], list[Section]]]] = [
        (layout is not None, lambda d: flash(d, layout or {})),
        (data[:4] == fmt.MAGIC, lambda d: package(d, keys)),
        (data[:1] == b"{" and b"\nsig " in data, lambda d: signed_manifest(d, keys)),
        (data[:1] == b"{", _json),
        (data[:2] == tobudos.MAGIC and len(data) <= 64, ptbl),
    ]
    for fits, read in readers:
        if fits:
            try:
                return read(data)
            except OtaError as e:
                raise ToolError(f"damaged: {meanings.explain(e)}") from e
            except _MALFORMED as e:
                raise ToolError(f"damaged: {type(e).__name__} {e}") from e
    try:
        found = describe(data)
    except _MALFORMED as e:
        raise ToolError(f"a damaged image: {type(e).__name__} {e}") from e
    if found["kind"] != "raw":
        return [_image(found)]
    raise ToolError("not a file of this tool; for a flash dump give --layout layout.json")


def package(data: bytes, keys: Keys | None = None) -> list[Section]:
    """A package and the reverse package behind it, its chain checked, and its signature if there
    are keys."""
    h = decode.head(data, keys)
    kind = "full image" if h.encoding == fmt.FULL else "patch"
    if h.ordered:
        kind += ", in place"
    s = Section(f"package: {kind}")
    s.rows = [
        ("product, target", f"{h.product}, {h.target}"),
        ("version", h.version + (f" from {h.base_version}" if h.base_version else "")),
        ("floor", str(h.floor)),
        ("image", f"{h.image_size} bytes, {h.image_digest.hex()}"),
    ]
    if h.base_size:
        s.rows.append(("base", f"{h.base_size} bytes, {h.base_digest.hex()}"))
    s.rows += [
        ("digest", h.digest.hex()),
        ("header, payload", f"{h.length} + {h.payload_size} bytes"),
        ("window, block", f"{1 << h.wbits}, {h.block_size} bytes"),
        ("key", ", ".join(decode.signers(data)) or "none"),
        ("signature", NOT_CHECKED if keys is None else "valid"),
    ]
    if h.encoding == fmt.PATCH and max(h.image_size, h.base_size) <= report.SIZE_MAX:
        for p in report.parts(report.explain(data)):
            makes = f" for {p.bytes} of the image" if p.bytes else ""
            s.rows.append((p.name, f"{p.count}, {p.payload} bytes{makes}"))
    s.columns = ("chunk at", "stored", "inflated", "blocks", "first block", "restart")
    for chunk in decode.walk(data, h):
        restart = "restart" if chunk.restart else ""
        numbers = (chunk.start, chunk.stored, chunk.inflated, chunk.blocks, chunk.first)
        s.table.append((*map(str, numbers), restart))
    decode.whole(data, h)
    more = package(data[h.size :], keys) if h.reverse_size else []
    for other in more:
        other.title = "reverse " + other.title
    return [s, *more]


def regions(r: report.Report) -> Section:
    """What becomes of each file or range of the new image, and what it costs."""
    kinds = [k for k in report.KINDS if k != report.REWRITTEN or (r.kinds == k).any()]
    s = Section("where the payload goes", total=True, numbers=len(kinds) + 3)
    names = ("same", "moved", "rewritten", "corrected", "literal")
    s.columns = ("region", "bytes", *(names[k] for k in kinds), "payload", "share")
    rows = report.rows(r)
    sums = np.array([row.kinds for row in rows]).sum(0).tolist()
    for row in (*rows, report.Row("total", len(r.kinds), tuple(sums), r.payload)):
        numbers = [row.bytes, *(row.kinds[k] for k in kinds)] if row.bytes else []
        blank = [""] * (len(kinds) + 1 - len(numbers))
        share = f"{100 * row.payload / r.payload:.1f} %"
        s.table.append((row.name, *map(str, numbers), *blank, str(row.payload), share))
    return s


def signed_manifest(data: bytes, keys: Keys | None = None) -> list[Section]:
    """A manifest; its signature is checked if there are keys."""
    if keys is not None:
        manifest.check(data, keys)
    body, _, lines = data.partition(b"\nsig ")
    m = manifest.read(data, len(body))
    ids = [line.split(b" ")[0].decode("ascii", "replace") for line in lines.split(b"\nsig ")]
    s = Section(f"manifest of {m['product']}, channel {m['channel']}, sequence {m['sequence']}")
    s.rows = [
        ("key", ", ".join(ids)),
        ("signature", NOT_CHECKED if keys is None else "valid"),
        ("bytes", f"{len(data)} of {manifest.MANIFEST_MAX}"),
    ]
    s.rows += [(name, verify.day(m[name])) for name in ("issued", "expires") if m.get(name)]
    for r in m["releases"]:
        share = r["rollout"]
        if share < WHOLE:
            s.rows.append(
                ("rollout", f"{r['version']} to {100 * share / WHOLE:g} % of the devices")
            )
    s.columns = ("version", "floor", "target", "package", "base", "bytes", "url")
    for r in m["releases"]:
        for i in r["images"]:
            for p in i["packages"]:
                base = p["base"]
                kind = ("in place" if p["in_place"] else "delta") if base else "full"
                s.table.append((
                    r["version"], str(r["floor"]), i["target"], kind,
                    base["digest"].hex()[:12] if base else "", str(p["size"]), p["url"],
                ))  # fmt: skip
    return [s]


def ptbl(data: bytes) -> list[Section]:
    """A TobudOS partition table."""
    t = tobudos.parse(data, 1)
    s = Section(f"TobudOS partition table, {t.mode}, version {t.version}")
    s.columns = ("partition", "start", "end", "bytes")
    for name, _, start, size in t.entries:
        s.table.append((name, f"{start:#010x}", f"{start + size:#010x}", str(size)))
    return [s]


def flash(data: bytes, layout: dict) -> list[Section]:
    """The contents of a whole flash: partitions, state, KV, what is staged."""
    config = copy.deepcopy(layout)
    try:
        devices = list(config["flash"].values())
    except (AttributeError, KeyError) as e:
        raise ToolError('no "flash" in the layout: give the layout.json of the board') from e
    for entry in devices:
        # The KV settles itself on mount: on a copy, the file stays as it is.
        ram = RamFlash(len(data))
        ram.data[:] = data
        entry["driver"] = ram
    d = Device(config)
    lines = [("", line) for line in text(d.partitions)]
    out = [Section("partitions", lines + _mistakes(layout))]
    kept = Section("KV", columns=("key", "bytes", "value"))
    for key, value in sorted(d.kv.items()):
        kept.table.append((key, str(len(value)), value[:24].hex(" ")))
    out += [_record(d), kept]
    if "ota" in d.partitions:
        try:
            header = staging.find(d.region("ota"))[0]
            good = staging.durable(d, d.region("ota"), header)
            rows = [("staged", f"{good} of {header.size} bytes hold"), ("version", header.version)]
            out.append(Section("OTA partition", rows))
        except OtaError as e:
            out.append(Section("OTA partition", [("nothing staged", e.reason)]))
    return out


def _record(d):
    r = d.slots.load()
    if r is None:
        return Section("state: none yet, the board has not booted")
    s = Section("state: " + state.name(r.state))
    s.rows = [
        ("active slot", f"{r.active}, {_known(r.image)}"),
        ("previous", "none" if r.previous == slots.NONE else f"{r.previous}, {_known(r.old)}"),
        ("next", _known(r.new)),
        ("tries left", str(r.tries)),
        ("floor, sequence", f"{r.floor}, {r.sequence}"),
        ("clock at least", verify.day(clock.since(r.month)) if r.month else "not known"),
        ("reason", meanings.reason(r.reason)),
    ]
    return s


def _known(i):
    return f"{i.version}, {i.size} bytes, {i.digest.hex()[:16]}" if i.size else "none"


def _image(found):
    s = Section(f"{found['kind']} image, {found['size']} bytes", columns=("file", "bytes"))
    for f in found["files"]:
        s.table.append((f.name, str(f.size)))
    return s


def _json(data):
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as e:
        raise ToolError(f"not JSON: {e}") from e
    if "type" in content:
        try:
            return [Section(f"{content['type']} key", [("id", Keys([content]).ids()[0])])]
        except _MALFORMED as e:
            raise ToolError(f"a damaged key: {e}") from e
    rows = [(k, str(v) if len(str(v)) < 80 else str(v)[:77] + "...") for k, v in content.items()]
    return [Section("configuration", rows + _mistakes(content))]


def _mistakes(config):
    passed = [("ignored", f"{name}: unknown key") for name in settings.unknown(config)]
    return passed + [("mistake", text) for text in settings.mistakes(config)]


def layout_beside(path: Path) -> dict | None:
    """layout.json in the folder of a flash file, as `otatool provision` leaves it."""
    beside = path.with_name("layout.json")
    if path.suffix == ".flash" and beside.exists():
        return settings.read(beside)
    return None
