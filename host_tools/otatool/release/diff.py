"""Patches between two image files, and what is in them, for people.

A patch file is a package without signatures: anyone can apply it with `otatool patch`,
devices reject it. Packages for devices are those of package.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import ToolError
from ..patch import find, payload
from ..patch.covers import different_runs
from ..terminal import values
from . import package

PRODUCT = "unsigned"  # a package names one; this one is for no device
BLOCK_MIN, BLOCK_MAX = 256, 4096


@dataclass
class Summary:
    """What a patch is made of; bytes except for the counts.

    Attributes:
        blocks: of the new image.
        written: of them, those that the patch brings.
        unchanged: those equal to the old bytes at their place.
    """

    image: int
    patch: int
    full: int
    payload: int
    blocks: int
    written: int
    unchanged: int
    copies: int
    copied: int
    corrected: int
    literal: int
    meta_max: int


def parse_sector(text: str) -> int:
    """Bytes of a sector, as values.size() reads them, a power of two. Raises ToolError."""
    try:
        value = values.size(text)
    except ToolError:
        value = 0
    if value <= 0 or value & (value - 1):
        raise ToolError(f"{text!r} is not a sector size: a power of two like 2048, 0x800 or 2k")
    return value


def block_size(sector: int, in_place: bool) -> int:
    """The output block for flash with such sectors.

    Raises:
        ToolError: there is none.
    """
    if in_place and sector > BLOCK_MAX:
        raise ToolError(
            f"in place, a sector is composed in RAM and has at most {BLOCK_MAX} bytes, "
            f"not {sector}; without --in-place any size works"
        )
    return max(BLOCK_MIN, min(sector, BLOCK_MAX))


def make(
    old: bytes,
    new: bytes,
    old_version: str = "0.0",
    new_version: str = "0.0",
    sector: int = BLOCK_MAX,
    in_place: bool = False,
    quick: bool = False,
    spare: int = 0,
    progress: Callable[[float], None] | None = None,
) -> tuple[bytes, Summary]:
    """The patch from old to new and what is in it; it was decoded by the device's code.

    Args:
        sector: bytes, a power of two.
        quick, spare, progress: see find.best().

    Raises:
        ToolError: there is no such patch.
    """
    for image, name in ((old, "old"), (new, "new")):
        if not image:
            raise ToolError(f"the {name} image is empty: a patch needs both")
    for version in (old_version, new_version):
        values.version(version)
    if old == new:
        raise ToolError("the images are equal: there is nothing to patch")
    block = block_size(sector, in_place)
    smallest = min(sector, block)
    writer = find.best(old, new, block, in_place, smallest, quick, spare, progress)
    meta = package.Meta(PRODUCT, new_version, base_version=old_version)
    built = package.package(writer, new, old, meta, (), block=block, ordered=in_place)
    full = package.full(new, meta, (), block)
    return built.data, summary(writer, old, new, block, built, len(full.data))


def summary(
    writer: payload.PatchWriter,
    old: bytes,
    new: bytes,
    block: int,
    built: package.Built,
    full: int,
) -> Summary:
    """Count what a patch is made of.

    Args:
        built: its package.
        full: size of the full one.
    """
    segments = [s for p in writer.plans for s in p.segments]
    copies = [s for s in segments if s.old is not None]
    runs = [
        end - start
        for s in copies
        for start, end in different_runs(writer.source.copy(s), new[s.new : s.new + s.length])
    ]
    blocks = [(at, new[at : at + block]) for at in range(0, len(new), block)]
    return Summary(
        image=len(new),
        patch=len(built.data),
        full=full,
        payload=built.payload,
        blocks=len(blocks),
        written=writer.count,
        unchanged=sum(old.startswith(data, at) for at, data in blocks),
        copies=len(copies),
        copied=sum(s.length for s in copies),
        corrected=sum(runs),
        literal=sum(s.length for s in segments if s.old is None),
        meta_max=writer.meta_max,
    )
