"""Everything a new product starts with: keys, layout, partition table, first images, a board.

NAME.pem or .key, NAME.pub.json   signing key and its public half (kept if they exist)
ptbl.bin                          TobudOS partition table
layout.json                       what the firmware knows: keys, table, strategy, URL
board.flash (and .board)          the virtual board, ready for `otatool sim`
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from ota.errors import OtaError
from ota.partition import layout as device_layout

from .. import files
from ..errors import ToolError
from ..image import checks
from ..image.build import contents, describe, needs_mpy
from ..release import keys, package
from ..terminal import values
from . import ptbl, settings

BASE = 0x08000000  # of the virtual board's flash, for the absolute addresses of its table
STRATEGIES = ("ab", "pingpong", "inplace")
KB = 1024
_BOARD = ("layout.json", "ptbl.bin", "board.flash", "board.flash.board")


@dataclass
class Product:
    """A product.

    Attributes:
        image: its first application image.
        size, sector, program: of the flash, bytes.
        fs: bytes of the root file system.
        firmware: bytes of flash in front of it.
        slot: bytes of a slot, 0: what the flash has.
        url: of the manifest.
        factory: keep the first image as the factory image too.
        config: further keys for layout.json (docs/config.md).
    """

    name: str
    strategy: str
    image: bytes
    version: str = "0.1"
    url: str = ""
    size: int = 1024 * KB
    sector: int = 4096
    program: int = 8
    fs: int = 128 * KB
    factory: bool = False
    config: dict = field(default_factory=dict)
    firmware: int = 192 * KB
    slot: int = 0


@dataclass
class Provisioned:
    """Paths of what was written, the partitions as (name, offset, size), and sentences about
    what is odd."""

    key: Path
    layout: Path
    flash: Path
    partitions: list[tuple[str, int, int]]
    warnings: list[str] = field(default_factory=list)


def provision(
    folder: str | Path,
    product: Product,
    key_type: str = "rsa",
    force: bool = False,
    passphrase: str = "",
) -> Provisioned:
    """Write everything a product starts with into folder.

    Args:
        force: replace the board that is there; the key is kept in any case.
        passphrase: of a new key, see keys.SigningKey.secret_file().

    Raises:
        ToolError: an invalid name or strategy, an image that does not fit the flash, a
            configuration that a board would reject, or a board that exists. Nothing is written
            before everything was checked.
    """
    config = _checked(product)
    folder = Path(folder)
    there = [name for name in _BOARD if os.path.lexists(folder / name)]
    if there and not force:
        raise ToolError(
            f"{folder} holds a board ({', '.join(there)}): give another folder, or --force to "
            "replace it"
        )
    key_file, key, made = _key(folder, product.name, key_type)
    secret = key.secret_file(passphrase) if made else b""
    factory = b""
    component = config.get("component", "app")
    if product.factory:
        meta = package.Meta(product.name, product.version, component)
        meta.mpy = needs_mpy(product.image)
        factory = package.full(product.image, meta, [key]).data
    spans = partition(product, len(factory))
    at = {n: o for n, o, _ in spans}
    flash_name, devices = _flash(config)
    table = _table(product, spans, devices[flash_name]["base"])
    own = {
        "product": product.name,
        "strategy": product.strategy,
        "table": {"flash": flash_name, "offset": at["table"]},
        "keys": [key.public],
        "channel": "stable",
        **({"url": product.url} if product.url else {}),
        **({} if _kind(product.image) else {"image_size": len(product.image)}),
    }
    partitions = {
        n: {"flash": flash_name, "offset": o, "size": s}
        for n, o, s in spans
        if n in ("firmware", "fs", "factory")
    }
    layout = {
        **own,
        **config,
        "flash": devices,
        "partitions": {**partitions, **config.get("partitions", {})},
    }
    _read_back(product, layout, table)
    private = settings.secrets(layout)
    warnings = _warnings(product, component, key_file, layout, private)
    missing = _write(folder, product, layout, private, {
        key_file.name: secret,
        product.name + ".pub.json": key.public_file() if made else b"",
        "ptbl.bin": table,
    }, {
        at["active"]: product.image,
        at["table"]: table,
        **({at["factory"]: factory} if factory else {}),
    })  # fmt: skip
    if missing:
        warnings.append("no virtual board: " + missing)
    return Provisioned(key_file, folder / "layout.json", folder / "board.flash", spans, warnings)


def partition(product: Product, factory: int = 0) -> list[tuple[str, int, int]]:
    """(name, offset, size) of every partition, in the order of the flash.

    The slots get all that the others leave, in whole sectors, or what product.slot says. The OTA
    partition has room for a full package, the reverse package, scratch and journal.

    Args:
        factory: bytes of the package with the factory image, 0 for none.

    Raises:
        ToolError: one sentence for people.
    """
    sector = product.sector

    def up(n: int) -> int:
        return -(-n // sector) * sector

    def of(slot: int) -> list[tuple[str, int, int]]:
        spans = [("firmware", up(product.firmware)), ("fs", up(product.fs)), ("active", slot)]
        if product.strategy != "inplace":
            spans.append(("backup", slot))
        # Strategy ab stages nothing; there is room for a package put there by hand.
        ota = {"ab": slot // 2, "pingpong": slot, "inplace": slot}[product.strategy]
        spans += [("ota", up(ota) + 12 * sector), ("kv", kv), ("table", sector)]
        if factory:
            spans.append(("factory", up(factory)))
        out, at = [], 0
        for name, size in spans:
            out.append((name, at, size))
            at += size
        return out

    def end(slot: int) -> int:
        _, at, size = of(slot)[-1]
        return at + size

    _check_flash(product)
    # Small sectors or large program units hold few records: more of them.
    kv = (8 if product.program > 32 or sector < 4096 else 4) * sector
    least = up(len(product.image))
    if product.slot % sector:
        raise ToolError(f"--slot-size {product.slot}: slots are whole sectors of {sector} bytes")
    if product.slot and product.slot < least:
        raise ToolError(
            f"the image has {len(product.image)} bytes, which do not fit a slot of {product.slot}"
        )
    least = product.slot or least
    if end(least) > product.size:
        raise ToolError(
            f"{end(least)} bytes are needed for slots of {least}, the flash has {product.size}"
        )
    if product.slot:
        return of(product.slot)
    low, high = least // sector, product.size // sector
    while low < high:  # the largest slot that fits
        middle = (low + high + 1) // 2
        low, high = (middle, high) if end(middle * sector) <= product.size else (low, middle - 1)
    return of(low * sector)


def _checked(product: Product) -> dict:
    """The further configuration of a product, its texts numbers. Raises ToolError."""
    values.name(product.name, "product")
    checks.refuse_others(product.image, "the image")
    config = settings.numbers(product.config)
    for name, value in (("product", product.name), ("strategy", product.strategy)):
        if config.get(name, value) != value:
            raise ToolError(f"the configuration says {name} {config[name]!r}, not {value!r}")
    wrong = settings.mistakes({**({"url": product.url} if product.url else {}), **config,
                               "strategy": product.strategy})  # fmt: skip
    if wrong:
        raise ToolError("; ".join(wrong))
    if product.strategy not in STRATEGIES:
        raise ToolError(f"strategy {product.strategy!r}: use one of {', '.join(STRATEGIES)}")
    ptbl.parse_version(product.version)
    return config


def _check_flash(product):
    size, sector, program = product.size, product.sector, product.program
    if (
        min(size, sector, program) < 1
        or program & (program - 1)
        or sector % program
        or size % sector
    ):
        raise ToolError(
            f"flash of {size} bytes with sectors of {sector} and units of {program}: a unit is a "
            "power of two, and the sizes must divide each other"
        )


def _key(folder: Path, name: str, type: str) -> tuple[Path, keys.SigningKey, bool]:
    """(file, key, True if it is new) of a product. Raises ToolError."""
    key_file = folder / (name + (".key" if type == "hmac" else ".pem"))
    if key_file.exists():
        return key_file, keys.load(key_file), False
    public = folder / (name + ".pub.json")
    if public.exists():
        raise ToolError(f"{public} does not belong to {key_file.name}: move it away")
    return key_file, keys.generate(type), True


def _flash(config: dict) -> tuple[str, dict]:
    """Name of the flash that holds the partitions, and all flash devices, that one with a base
    address for the table. Raises ToolError."""
    devices = config.get("flash", {"nor": {"driver": "virtual:Nor"}})
    if not isinstance(devices, dict) or not all(isinstance(d, dict) for d in devices.values()):
        raise ToolError(
            'the configuration\'s "flash" must be an object of objects (docs/config.md)'
        )
    if not devices:
        raise ToolError('configuration "flash" has no device')
    name = "nor" if "nor" in devices else next(iter(devices))
    return name, {**devices, name: {"base": BASE, **devices[name]}}


class _Chip:
    """Flash that holds nothing but a table at an offset."""

    def __init__(self, product: Product, offset: int, table: bytes):
        self.size, self.sector_size = product.size, product.sector
        self.program_size = product.program
        self._offset, self._table = offset, table

    def read(self, offset: int, buf) -> None:
        at = offset - self._offset
        buf[:] = self._table[max(0, at) : max(0, at + len(buf))].ljust(len(buf), b"\xff")


def _read_back(product: Product, layout: dict, table: bytes) -> None:
    """Raise ToolError unless the device's own code finds all partitions by layout and table."""
    chip = _Chip(product, layout["table"]["offset"], table)
    devices = {
        name: {"driver": chip if name == layout["table"]["flash"] else _Chip(product, 0, b""),
               "base": entry.get("base")}
        for name, entry in layout["flash"].items()
    }  # fmt: skip
    try:
        device_layout.build({**layout, "flash": devices})
    except (OtaError, KeyError, TypeError, AttributeError) as e:
        told = ", ".join(map(str, e.args)) if isinstance(e, OtaError) else repr(e)
        raise ToolError(f"a board would reject this layout: {told}") from e


def _kind(data):
    return describe(data)["kind"] != "raw"


def _warnings(product, component, key_file, layout, private):
    out = []
    found = contents(product.image)
    if found and component == "app" and layout.get("main", "main") == "main":
        out += checks.warnings(found)
    if private:
        out.append("layout.json and the board contain a secret: keep them private")
    if files.exposed(key_file):
        out.append(f"{key_file} can be read by others: chmod 600 {key_file}")
    return out


def _write(folder, product, layout, private, small, flash_contents):
    """Write all files; return why the virtual board is not among them, "" if it is."""
    # All of it before the first file: what does not fit leaves the folder as it was.
    sim, missing = _simulator()
    rom = _firmware(sim, product, layout) if sim else b""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise ToolError(f"{folder}: {e.strerror}") from e
    for name, data in small.items():
        if data:
            hidden = name.endswith((".pem", ".key")) or (private and name.endswith(".pub.json"))
            files.write(folder / name, data, private=hidden)
    files.write(folder / "layout.json", json.dumps(layout, indent=1) + "\n", private=private)
    if not sim:
        return missing
    mask = os.umask(0o077) if private else None
    try:
        sim.create(
            folder / "board.flash", layout, product.size, product.sector, product.program, rom,
            contents=flash_contents,
        )  # fmt: skip
    finally:
        if mask is not None:
            os.umask(mask)
    return ""


def _simulator():
    """(the virtual board's package, ""), or (None, why it cannot run here)."""
    try:
        from .. import sim
    except ImportError as e:
        return None, f"{e.name or e} is missing"
    missing = sim.posix.missing()
    return (None, missing) if missing else (sim, "")


def _firmware(sim, product, layout):
    rom = sim.firmware.build(layout)
    _, room = sim.chip.partitions(layout, product.size, product.sector)["firmware"]
    if len(rom) > room:
        raise ToolError(
            f"the virtual board's firmware has {len(rom)} bytes, its partition {room}: give a "
            "larger --firmware-size"
        )
    return rom


def _table(product, spans, base):
    """The TobudOS table of the partitions it knows."""
    at = {n: (base + o, base + o + s) for n, o, s in spans}
    return ptbl.build(
        ptbl.Layout(
            active=at["active"],
            ota=at["ota"],
            kv=at["kv"],
            backup=at.get("backup"),
            mode="pp" if "backup" in at else "ip",
            version=ptbl.parse_version(product.version),
            sector=product.sector,
        )
    )
