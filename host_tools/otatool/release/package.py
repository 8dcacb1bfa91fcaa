"""Packages: an image or a patch cut into hash-chained chunks behind a signed header.

The bytes are those of docs/format.md; every package is opened with the device's own code
before it is handed out.
"""

import hashlib
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ota import package as fmt
from ota.errors import OtaError
from ota.package import chunks as device_chunks

from ..errors import ToolError
from ..patch import jobs, payload, stash
from ..patch.covers import Segment
from ..patch.jobs import Search
from ..patch.stream import BlockPlan
from ..terminal import values
from .decode import CHUNK_MAX as CHUNK_MAX
from .decode import decode
from .keys import SigningKey

SMALL = 1792  # bytes: a chunk of smaller blocks still takes so much, for less would cost too much
MORE = 100  # bytes: what deflate may add to a block that does not deflate
WINDOWS = (10, 12)  # of the inflater, log2 of bytes
RESTART = 65536  # bytes of payload between restart points, at most
BLOCK = 4096

# What a larger window must make of a payload, and save: every device pays kilobytes for it.
_WORTH, _WORTH_BYTES = 0.99, 256


@dataclass
class Meta:
    """What a package says of itself.

    Attributes:
        floor: lowest security version that may run after it.
        mpy: .mpy version the image needs, 0 for any.
    """

    product: str
    version: str
    target: str = "app"
    floor: int = 0
    sequence: int = 0
    base_version: str = ""
    mpy: int = 0


@dataclass
class Built:
    """A finished package: its bytes, its name (SHA-256 of the signed header) and sizes."""

    data: bytes
    digest: bytes
    image_size: int
    payload: int = 0
    wbits: int = 0
    chunks: list[tuple[int, bool]] = field(default_factory=list)


def full(
    new: bytes, meta: Meta, keys: Sequence[SigningKey], block: int = BLOCK, **options
) -> Built:
    """A package that carries the whole image.

    Args:
        options: as package().
    """
    return package(payload.FullWriter(new, block), new, None, meta, keys, block=block, **options)


def searches(
    old: bytes,
    new: bytes,
    block: int = BLOCK,
    in_place: bool = False,
    reverse: bool = False,
    quick: bool = False,
    spare: int = 0,
) -> list[Search]:
    """What patch() has to look for: the patch, and the one that leads back if reverse.

    Args:
        quick, spare: see find.plan().

    Raises:
        ToolError: the images are equal.
    """
    if old == new:
        raise ToolError("the images are equal: there is nothing to update")
    there = Search(old, new, block, in_place, quick, spare)
    return [there, there._replace(old=new, new=old)] if reverse else [there]


def search(
    old: bytes,
    new: bytes,
    block: int = BLOCK,
    in_place: bool = False,
    reverse: bool = False,
    quick: bool = False,
    spare: int = 0,
    progress: Callable[[float], None] | None = None,
    count: int | None = None,
) -> list[payload.PatchWriter]:
    """What searches() of these arguments find, for patch().

    Args:
        progress: called with the part that is done, 0 to 1.
        count: searches at a time; None: one for each processor.
    """
    return jobs.run(searches(old, new, block, in_place, reverse, quick, spare), progress, count)


def patch(
    old: bytes,
    new: bytes,
    meta: Meta,
    keys: Sequence[SigningKey],
    block: int = BLOCK,
    in_place: bool = False,
    reverse: Meta | None = None,
    quick: bool = False,
    spare: int = 0,
    found: Sequence[payload.PatchWriter] = (),
    **options,
) -> Built:
    """A package that turns old into new.

    Args:
        in_place: for devices with one slot.
        reverse: with in_place, append the package that leads back; its version and floor are those
            of old.
        quick, spare: see find.plan().
        found: what searches() of these arguments have found, searched here if it is empty.
        options: as package().

    Raises:
        ToolError: one sentence for people.
    """
    if not found:
        both = reverse is not None
        found = search(old, new, block, in_place, both, quick, spare, count=1)
    behind = b""
    if reverse is not None:
        back = patch(new, old, reverse, keys, block, True, found=found[1:], **options)
        behind = back.data
    return package(
        found[0], new, old, meta, keys, block=block, ordered=in_place, behind=behind, **options
    )


def package(
    writer: payload.PatchWriter | payload.FullWriter,
    new: bytes,
    old: bytes | None,
    meta: Meta,
    keys: Sequence[SigningKey],
    *,
    block: int = BLOCK,
    ordered: bool = False,
    behind: bytes = b"",
    wbits: Sequence[int] = WINDOWS,
    restart: int = RESTART,
    progress: Callable[[int, int], None] | None = None,
) -> Built:
    """Chunk, sign and check a payload.

    Args:
        writer: makes the blocks.
        new, old: the images, old None for a full one.
        keys: all sign.
        wbits: windows to try, from the smallest: a larger one takes RAM of every device, so it is
            kept only where it saves a hundredth of the payload, and 256 bytes.
        restart: bytes of payload between restart points.

    Raises:
        ToolError: the result does not decode to new.
    """
    best: tuple[list[bytes], int] | None = None
    for w in wbits:
        parts = _chunk(writer, block, w, restart, progress)
        size = sum(map(len, parts))
        least = sum(map(len, best[0])) if best else 0
        if best is None or (size < least * _WORTH and size + _WORTH_BYTES <= least):
            best = parts, w
    assert best is not None
    stored, w = best
    parts = _chain(stored)
    stored_all = b"".join(parts)
    fields = struct.pack(
        "<BBBBHHI16s",
        fmt.FULL if old is None else fmt.PATCH,
        w,
        block.bit_length() - 1,
        fmt.ORDERED if ordered else 0,
        max(32, *map(len, parts)),  # the least a header may say
        writer.meta_max,
        len(stored_all),
        hashlib.sha256(parts[0]).digest()[: fmt.CHAIN],
    )
    tables = []
    if writer.filter:
        tables.append((fmt.POINTERS, writer.filter.field()))
    if writer.stash:
        kept = struct.pack("<IH", stash.size(writer.stash), len(writer.stash))
        tables.append((fmt.STASH, kept))
    head = _header(meta, new, old, fields, behind, keys, tables)
    data = head + stored_all + behind
    length, signatures = fmt.lengths(head)
    built = Built(data, hashlib.sha256(head[:length]).digest(), len(new), len(stored_all), w)
    built.chunks = [(len(p), bool(p[2] & device_chunks.RESTART)) for p in parts]
    got = decode(data, old)
    if got != new:
        raise ToolError("the package does not decode to the image: please report this")
    return built


def _chunk(writer, block, wbits, restart, progress):
    """Chunks without their chain digest: header with 16 zero bytes, then the stored bytes."""
    if not writer.count:
        raise ToolError("there is nothing to put into the package")
    while True:
        try:
            return _try_chunk(writer, block, wbits, restart, progress)
        except _TooLong as e:
            # Dense corrections did not fit a chunk; the block's own bytes always do.
            p = writer.plans[e.number]
            whole = [Segment(p.start, p.length, None)]
            if p.segments == whole:
                raise ToolError("a block does not fit a chunk: please report this") from e
            plans = list(writer.plans)
            plans[e.number] = BlockPlan(p.index, p.start, p.length, whole)
            writer.plans = plans


class _TooLong(Exception):
    def __init__(self, number):
        super().__init__(number)
        self.number = number


def _try_chunk(writer, block, wbits, restart, progress):
    # With what the inflater carries over, 8 bytes, a device has a chunk in the memory of a block.
    limit = max(block, SMALL) - 8
    z = zlib.compressobj(9, zlib.DEFLATED, -wbits, 9)
    parts: list[bytes] = []
    since = 0  # bytes of payload since the last restart point
    near = False
    ahead = (1 + -(-BLOCK // block)) * limit  # until blocks and sectors end together again
    i = 0
    fresh = True
    while i < writer.count:
        if fresh:
            writer.restart()
        first, inflated, stored = i, 0, b""
        kept = None
        while i < writer.count and i - first < 255:
            data = writer.block(i)
            trial = z.copy() if kept is None else kept.copy()
            body = trial.compress(data)
            grown = stored + body
            most = limit
            if i == first:  # alone it must fit, with the tables in front of it
                most = max(limit, block + MORE) + (len(writer.front(i)) if fresh else 0)
            if len(grown + trial.copy().flush(zlib.Z_SYNC_FLUSH)) > most:
                break
            stored, kept = grown, trial
            inflated += len(data)
            i += 1
            near = since + len(stored) + ahead > restart
            if near and block < BLOCK and i * block % BLOCK == 0:
                break
        if kept is None:
            raise _TooLong(i)
        # Decoding that starts in the middle of a sector could not erase it.
        full_flush = near and i * block % BLOCK == 0
        tail = kept.flush(
            zlib.Z_FINISH if i == writer.count
            else zlib.Z_FULL_FLUSH if full_flush else zlib.Z_SYNC_FLUSH
        )  # fmt: skip
        z = kept
        stored += tail
        flags = device_chunks.RESTART if fresh else 0
        parts.append(
            struct.pack(
                "<HBBII16s", len(stored), flags, i - first, inflated, first, bytes(fmt.CHAIN)
            )
            + stored
        )
        since = 0 if full_flush else since + len(parts[-1])
        fresh = full_flush
        if progress:
            progress(i, writer.count)
    return parts


def _chain(parts):
    """Put into each chunk the digest of the next one, from the last to the first."""
    following = bytes(fmt.CHAIN)
    out = []
    for part in reversed(parts):
        part = part[:12] + following + part[device_chunks.CHUNK :]
        following = hashlib.sha256(part).digest()[: fmt.CHAIN]
        out.append(part)
    return out[::-1]


def _header(meta, new, old, payload_values, behind, keys, tables=()):
    """Prefix, fields and signatures."""
    values.version(meta.version)
    if meta.base_version:
        values.version(meta.base_version)
    for what, value in (("floor", meta.floor), ("sequence", meta.sequence)):
        if not 0 <= value <= values.U32:
            raise ToolError(f"{what} {value}: a whole number from 0 to {values.U32}")
    try:
        product, target = meta.product.encode("ascii"), meta.target.encode("ascii")
    except UnicodeError as e:
        raise ToolError(f"product {meta.product!r}, target {meta.target!r}: ASCII only") from e
    fields = [
        (fmt.PRODUCT, product),
        (fmt.TARGET, target),
        (fmt.VERSION, meta.version.encode()),
        (fmt.FLOOR, struct.pack("<I", meta.floor)),
        (fmt.IMAGE, _sized(new)),
        (fmt.PAYLOAD, payload_values),
    ]
    if old is not None:
        fields.append((fmt.BASE, _sized(old)))
    fields += tables
    if meta.mpy:
        fields.append((fmt.MPY, struct.pack("<H", meta.mpy)))
    if meta.base_version:
        fields.append((fmt.BASE_VERSION, meta.base_version.encode()))
    if meta.sequence:
        fields.append((fmt.SEQUENCE, struct.pack("<I", meta.sequence)))
    if behind:
        length, _ = fmt.lengths(behind)
        name = hashlib.sha256(behind[:length]).digest()
        fields.append((fmt.REVERSE, struct.pack("<I32s", len(behind), name)))
    body = b"".join(struct.pack("<HH", kind, len(v)) + v for kind, v in fields)
    signatures = sum(10 + k.signature_length for k in keys)
    if signatures > fmt.SIGNATURES_MAX:
        raise ToolError(
            f"the signatures take {signatures} bytes, the maximum is {fmt.SIGNATURES_MAX}: "
            "use fewer or smaller keys"
        )
    signed = (
        fmt.MAGIC
        + struct.pack("<BBHHH", fmt.FORMAT, 0, fmt.PREFIX + len(body), signatures, 0)
        + body
    )
    tail = b"".join(k.id + struct.pack("<H", k.signature_length) + k.sign(signed) for k in keys)
    try:
        fmt.parse(signed + tail)
    except OtaError as e:
        raise ToolError(f"a device would reject the header: {e.reason} {e.args[1:]}") from e
    return signed + tail


def _sized(image):
    return struct.pack("<I32s", len(image), hashlib.sha256(image).digest())
