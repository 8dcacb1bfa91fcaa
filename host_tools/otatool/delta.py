"""Decide what a patch is made of: the smallest known one (docs/format-delta.md).

`plan` decides what each output block is made of and in which order the blocks are written;
payload.py serialises them.
"""

from . import matcher, stash
from .covers import Costs, Segment, bsdiff_covers, different_runs, merge, refine, whole
from .ordering import ORDERS
from .payload import PatchWriter, deflated_size
from .pointers import Filter
from .pointers.kinds import candidates
from .stream import BlockPlan, Source, State, cut, serialise

_ROUNDS = 3  # of a pointer filter: each finds more pointers by the copies of the one before
META_BOUND = 3072  # bytes of metadata in a block: what a device keeps for it

# No single setting wins; None takes the covers as they are, which keeps regular
# corrections together and so is best for images that hardly differ.
_TRIALS = (
    None,
    Costs(),
    Costs(literal=6.5, copy=42.0),
    Costs(literal=4.5),
    Costs(literal=2.5, copy=42.0),
    Costs(literal=8.0, run=12.0, more=6.0),
)


def best(
    old: bytes,
    new: bytes,
    block: int = 4096,
    in_place: bool = False,
    sector: int | None = None,
    thorough: bool = False,
    spare: int = 0,
) -> PatchWriter:
    """The smallest known patch from old to new, with or without a pointer filter.

    Arguments and errors are those of plan().
    """
    plans = plan(old, new, block, in_place, sector, None, thorough, spare)
    writer = PatchWriter(plans, old, new, block, in_place)
    size = deflated_size(writer)
    for candidate in candidates(old) if plans else ():
        segments = [s for p in plans for s in p.segments]
        for _ in range(_ROUNDS):
            found = candidate.moves(old, new, segments)
            candidate = candidate.fitted(*found)
            if not len(candidate.table.starts):
                break
            made = plan(old, new, block, in_place, sector, candidate, thorough, spare)
            again = PatchWriter(made, old, new, block, in_place, candidate)
            small = deflated_size(again)
            segments = [s for p in made for s in p.segments]
            if small < size:
                writer, size = again, small
    return writer


def plan(
    old: bytes,
    new: bytes,
    block: int = 4096,
    in_place: bool = False,
    sector: int | None = None,
    filter: Filter | None = None,
    thorough: bool = False,
    spare: int = 0,
) -> list[BlockPlan]:
    """The smallest known patch from old to new, as block plans in write order.

    Args:
        old, new: the images. block: bytes in an output block.
        in_place: the new image overwrites the old one block by block; unchanged blocks are
            left out and the others ordered so that nothing is read after it was overwritten.
            At least one block comes, if the images differ.
        sector: erase unit of the place that is written, in bytes.
        filter: of the pointers that copies bring along, with its table.
        thorough: search all places of the old image by cost (matcher.py): some percent
            smaller, and seconds per 100 KB.
        spare: bytes of flash beside the image, where old bytes may wait for a later block
            when it is written in place.
    Raises ValueError if a block cannot be written in place on such sectors.
    """
    if in_place and sector is not None and block % sector:
        raise ValueError("in place, a block must be made of whole sectors")
    if in_place and old[: len(new)] == new:
        # The end alone is cut off: a package needs a block to say so.
        return cut([Segment(0, len(new), 0)], len(new), block)[-1:] if old != new else []
    source = Source(old, filter)
    was, now = old, new
    if filter:
        was, now = filter.normalised(old, True), filter.normalised(new, False)
    best: list[BlockPlan] = []
    best_size = -1
    seen: list[list[Segment]] = []
    for segments in matcher.segments(was, now) if thorough else _quick(was, now):
        if segments in seen:
            continue
        seen.append(segments)
        plain = cut(segments, len(new), block)
        for candidate in _in_orders(old, new, plain, block, spare) if in_place else (plain,):
            candidate = [_bounded(p, source, new, in_place) for p in candidate]
            size = deflated_size(PatchWriter(candidate, old, new, block, in_place, filter))
            if best_size < 0 or size < best_size:
                best, best_size = candidate, size
    return best


def _quick(old, new):
    """Ways to make new from old by the covers of bsdiff."""
    covers = bsdiff_covers(old, new)
    for costs in _TRIALS:
        yield refine(old, new, covers, costs) if costs else whole(new, covers)


def _in_orders(old, new, plans, block, spare):
    """The plans in each order worth trying, for writing in place."""
    changed = [
        p for p in plans if old[p.start : p.start + p.length] != new[p.start : p.start + p.length]
    ]
    seen = []
    for order in ORDERS:
        blocks = order({p.index: p.segments for p in changed}, block)
        if blocks in seen:
            continue
        seen.append(blocks)
        yield stash.kept([plans[i] for i in blocks], block, spare)


def _bounded(p, source, new, ordered):
    """The plan with its metadata inside META_BOUND: the worst copies become literals."""
    segments = p.segments
    while True:
        p = BlockPlan(p.index, p.start, p.length, segments)
        # What a state can add is less than the room kept here: changes are written from where
        # they are shortest.
        parts, _ = serialise(p, source, new, ordered, State())
        if parts.meta_size + 32 <= META_BOUND:
            return p
        copies = [s for s in segments if s.old is not None]
        worst = max(copies, key=lambda s: _copy_meta(s, source, new) / s.length)
        segments = merge(Segment(s.new, s.length, None) if s is worst else s for s in segments)


def _copy_meta(s, source, new):
    """Roughly the bytes of metadata that a copy costs."""
    runs = different_runs(source.copy(s), new[s.new : s.new + s.length])
    return 3 + sum(1 + end - start for start, end in runs)
