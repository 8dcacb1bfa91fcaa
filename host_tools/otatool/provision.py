"""Everything a new product starts with: keys, layout, partition table, first images, a board.

NAME.pem or .key, NAME.pub.json   signing key and its public half (kept if they exist)
ptbl.bin                          TobudOS partition table
layout.json                       what the firmware knows: keys, table, strategy, URL
board.flash (and .board)          the virtual board, ready for `otatool sim`
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from . import build, files, keys, ptbl, settings, sim
from .errors import ToolError

BASE = 0x08000000  # of the virtual board's flash, for the absolute addresses of its table
STRATEGIES = ("ab", "pingpong", "inplace")
KB = 1024
_FIRMWARE = 192 * KB


@dataclass
class Product:
    """A product. image: its first application image; size, sector, program: of the flash,
    bytes; fs: bytes of the root file system; url: of the manifest; factory: keep the first
    image as the factory image too; config: further keys for layout.json (docs/config.md)."""

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


@dataclass
class Provisioned:
    """Paths of what was written, and the partitions as (name, offset, size)."""

    key: Path
    layout: Path
    flash: Path
    partitions: list[tuple[str, int, int]]


def provision(folder: str | Path, product: Product, key_type: str = "rsa") -> Provisioned:
    """Write everything a product starts with into folder.

    Raises ToolError: unknown strategy, an image that does not fit the flash, a configuration
    that a board would refuse.
    """
    wrong = settings.mistakes({**({"url": product.url} if product.url else {}), **product.config,
                               "strategy": product.strategy})  # fmt: skip
    if wrong:
        raise ToolError("; ".join(wrong))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if product.strategy not in STRATEGIES:
        raise ToolError(f"strategy {product.strategy!r}: use one of {', '.join(STRATEGIES)}")
    key_file = folder / (product.name + (".key" if key_type == "hmac" else ".pem"))
    if key_file.exists():
        key = keys.load(key_file)
    else:
        key = keys.generate(key_type)
        files.write(key_file, key.secret_file(), 0o600)
        files.write(folder / (product.name + ".pub.json"), key.public_file())
    package = b""
    if product.factory:
        meta = build.Meta(product.name, product.version, product.config.get("component", "app"))
        package = build.full(product.image, meta, [key]).data
    spans = partition(product, len(package))
    table = _table(product, spans)
    files.write(folder / "ptbl.bin", table)
    layout = {
        "product": product.name,
        "strategy": product.strategy,
        "flash": {"nor": {"driver": "virtual:Nor", "base": BASE}},
        "table": {"flash": "nor", "offset": {n: o for n, o, _ in spans}["table"]},
        "partitions": {
            n: {"flash": "nor", "offset": o, "size": s}
            for n, o, s in spans
            if n in ("firmware", "fs", "factory")
        },
        "keys": [key.public],
        "channel": "stable",
        **({"url": product.url} if product.url else {}),
        **product.config,
    }
    files.write(folder / "layout.json", json.dumps(layout, indent=1) + "\n")
    flash = folder / "board.flash"
    at = {n: o for n, o, _ in spans}
    sim.create(
        flash, layout, product.size, product.sector, product.program,
        contents={
            at["active"]: product.image,
            at["table"]: table,
            **({at["factory"]: package} if package else {}),
        },
    )  # fmt: skip
    return Provisioned(key_file, folder / "layout.json", flash, spans)


def partition(product: Product, factory: int = 0) -> list[tuple[str, int, int]]:
    """(name, offset, size) of every partition, in the order of the flash.

    factory: bytes of the package with the factory image, 0 for none. The slots get
    half as much again as the first image has, in whole sectors. The OTA
    partition holds a full package, the reverse package, scratch and journal. Raises ToolError.
    """
    sector = product.sector

    def up(n: int) -> int:
        return -(-n // sector) * sector

    slot = up(len(product.image) * 3 // 2 + 8 * KB)
    # Small sectors or large program units hold few records: more of them.
    kv = (8 if product.program > 32 or sector < 4096 else 4) * sector
    spans = [("firmware", up(_FIRMWARE)), ("fs", up(product.fs)), ("active", slot)]
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
    if at > product.size:
        raise ToolError(f"{at} bytes are needed, the flash has {product.size}")
    return out


def _table(product, spans):
    """The TobudOS table of the partitions it knows."""
    at = {n: (BASE + o, BASE + o + s) for n, o, s in spans}
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
