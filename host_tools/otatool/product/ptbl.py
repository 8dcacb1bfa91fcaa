"""TobudOS partition tables for the flash of a new board (bytes: ota.partition.tobudos)."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from ota.errors import OtaError
from ota.partition import tobudos

from ..errors import ToolError

LABELS = {"active": "Active APP", "backup": "Backup", "ota": "OTA", "kv": "KV"}
GUIDE_SECTOR = 2048  # of the board the format comes from; the yardstick where none is given

_SPAN = re.compile(r"(?:0x)?([0-9a-f]+),(?:0x)?([0-9a-f]+)", re.IGNORECASE)
_VERSION = re.compile(r"(\d+)\.(\d+)")
Span = tuple[int, int]


def parse_span(text: str) -> Span:
    """START,END in hex, with or without 0x, as (start, end). Raises ToolError."""
    match = _SPAN.fullmatch(text)
    if not match:
        raise ToolError(f"{text!r} is not START,END in hex, like 0x08007800,0x0802D000")
    start, end = (int(group, 16) for group in match.groups())
    for address in (start, end):
        if address > 0xFFFFFFFF:
            raise ToolError(f"{address:#x} does not fit 32 bits")
    return start, end


def parse_version(text: str) -> tuple[int, int]:
    """MAJOR.MINOR, 0 to 255 each. Raises ToolError."""
    match = _VERSION.fullmatch(text)
    if not match:
        raise ToolError(f"{text!r} is not MAJOR.MINOR, like 0.1")
    major, minor = (int(group) for group in match.groups())
    if major > 255 or minor > 255:
        raise ToolError(f"{text!r}: each number goes up to 255")
    return major, minor


@dataclass
class Layout:
    """What goes into a table. Spans are absolute addresses, the end is exclusive."""

    active: Span
    ota: Span
    kv: Span
    backup: Span | None = None
    mode: str = "ip"
    version: tuple[int, int] = (0, 0)
    sector: int = 0
    warnings: list[str] = field(default_factory=list)

    def spans(self) -> list[tuple[str, Span]]:
        """(name, span) in the order of the table."""
        spans = {"active": self.active, "backup": self.backup, "ota": self.ota, "kv": self.kv}
        return [(name, span) for name, span in spans.items() if span]


def build(layout: Layout) -> bytes:
    """The table's bytes, read back by the device's code.

    What is odd but possible is added to layout.warnings; raises ToolError for the rest.
    """
    if layout.mode == "ip" and layout.backup:
        raise ToolError("in-position tables have no backup: drop -b, or use -p pp")
    if layout.mode == "pp" and not layout.backup:
        raise ToolError("ping-pong tables need a backup: give -b START,END")
    if layout.sector < 0:
        raise ToolError("--sector is a positive number of bytes")
    for name, span in layout.spans():
        _check_span(LABELS[name], *span)
    _check_overlaps(layout)
    for problem in _unaligned(layout, layout.sector or GUIDE_SECTOR):
        if layout.sector:
            raise ToolError(problem)
        layout.warnings.append(problem + "; give the erase size of your flash with --sector")
    if layout.backup and _size(layout.backup) != _size(layout.active):
        layout.warnings.append(
            f"Active APP has {_size(layout.active)} bytes, Backup {_size(layout.backup)}:"
            " a TobudOS bootloader will not back up"
        )
    table = bytearray(tobudos.MAGIC + bytes(layout.version) + bytes(4))
    for _, span in layout.spans():
        table += struct.pack("<II", *span)
    table[4] = tobudos.checksum(table)
    _read_back(bytes(table), layout)
    return bytes(table)


def rows(layout: Layout) -> list[tuple[str, str, str, str]]:
    """(label, start, end, size in bytes) of each partition, for people."""
    return [
        (LABELS[name], f"0x{start:08x}", f"0x{end:08x}", str(end - start))
        for name, (start, end) in layout.spans()
    ]


def _size(span: Span) -> int:
    return span[1] - span[0]


def _check_span(label: str, start: int, end: int) -> None:
    for address in (start, end):
        if address in (0, 0xFFFFFFFF):
            raise ToolError(f"{label}: {address:#x} means an address that was never set")
    if start >= end:
        raise ToolError(f"{label}: the start {start:#x} is not below the end {end:#x}")


def _check_overlaps(layout: Layout) -> None:
    spans = sorted((span, name) for name, span in layout.spans())
    for ((_, end), name), ((start, _), other) in zip(spans, spans[1:], strict=False):
        if start < end:
            raise ToolError(f"{LABELS[name]} and {LABELS[other]} overlap at {start:#x}")


def _unaligned(layout: Layout, sector: int) -> Iterator[str]:
    for name, span in layout.spans():
        for address in span:
            if address % sector:
                yield f"{LABELS[name]}: {address:#x} is not on a boundary of {sector}-byte sectors"


def _read_back(table: bytes, layout: Layout) -> None:
    wanted = [(name, "", start, end - start) for name, (start, end) in layout.spans()]
    version = "%d.%d" % layout.version
    try:
        got = tobudos.parse(table, layout.sector or 1)
    except OtaError as e:
        raise ToolError(f"a device would reject this table: {e.reason}") from e
    if (got.mode, got.version, got.entries) != (layout.mode, version, wanted):
        raise ToolError("a device would read something else from this table")
