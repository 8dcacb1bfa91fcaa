"""Write what was found: which bytes of a block are copied, and in which order blocks are written.

The blocks of a new image that has a place of its own come in turn. Those of one that
overwrites the old image come in the order that loses least of it (patch/ordering.py), and what is
lost waits in a stash as far as there is room (stash.py), or comes as literals.
"""

from collections.abc import Sequence

from . import stash
from .covers import Segment, different_runs, merge
from .ordering import ORDERS
from .payload import PatchWriter, deflated_size
from .pointers import Filter
from .stream import BlockPlan, Source, State, cut, serialise

META_BOUND = 2816  # bytes of metadata in a block, which a device keeps: 12 KB for a patch in all
_SECTOR = 4  # bytes of payload that a block of stash must save: it is erased and programmed


def in_turn(
    old: bytes, new: bytes, segments: Sequence[Segment], filter: Filter | None, block: int
) -> PatchWriter:
    """The patch with these segments, which fill new, for an image with a place of its own."""
    source = Source(old, filter)
    plans = [_bounded(p, source, new, False) for p in cut(segments, len(new), block)]
    return PatchWriter(plans, old, new, block, False, filter)


def in_place(
    old: bytes,
    new: bytes,
    segments: Sequence[Segment],
    filter: Filter | None,
    block: int,
    sector: int | None = None,
    spare: int = 0,
) -> PatchWriter:
    """The smallest patch with these segments for an image that overwrites the old one.

    Unchanged blocks are left out. At least one block comes, if the images differ.

    Args:
        sector: erase unit of the place that is written, in bytes. spare: bytes of flash beside
            the image, where old bytes may wait for a later block.
    Raises ValueError if a block cannot be written in place on such sectors.
    """
    if sector is not None and block % sector:
        raise ValueError("in place, a block must be made of whole sectors")
    plans = cut(segments, len(new), block)
    changed = {
        p.index: p.segments
        for p in plans
        if not old.startswith(new[p.start : p.start + p.length], p.start)
    }
    if not changed:
        # The end alone is cut off: a package needs a block to say so.
        only = cut([Segment(0, len(new), 0)], len(new), block)[-1:] if old != new else []
        return PatchWriter(only, old, new, block, True)
    source = Source(old, filter)
    tried: list[list[int]] = []
    best, size = None, 0
    for order in ORDERS:
        blocks = order(changed, block, spare)
        if blocks in tried:
            continue
        tried.append(blocks)
        kept = stash.kept([plans[i] for i in blocks], block, spare)
        bounded = [_bounded(p, source, new, True) for p in kept]
        writer = PatchWriter(bounded, old, new, block, True, filter, spare)
        now = deflated_size(writer) + _SECTOR * -(-stash.size(writer.stash) // block)
        if best is None or now < size:
            best, size = writer, now
    assert best is not None
    return best


def _bounded(p, source, new, ordered):
    """The plan with its metadata inside META_BOUND: the worst copies become literals."""
    while True:
        # What a state can add is less than the room kept here: changes are written from where
        # they are shortest. Described from its end on, a block may take another amount.
        ways = (State(), State(p.index + 2)) if ordered else (State(),)
        size = max(serialise(p, source, new, ordered, s)[0].meta_size for s in ways)
        if size + 32 <= META_BOUND:
            return p
        copies = [s for s in p.segments if s.old is not None]
        worst = max(copies, key=lambda s: _copy_meta(s, source, new) / s.length)
        now = merge(Segment(s.new, s.length, None) if s is worst else s for s in p.segments)
        p = BlockPlan(p.index, p.start, p.length, now)


def _copy_meta(s, source, new):
    """Roughly the bytes of metadata that a copy costs."""
    runs = different_runs(source.copy(s), new[s.new : s.new + s.length])
    return 3 + sum(1 + end - start for start, end in runs)
