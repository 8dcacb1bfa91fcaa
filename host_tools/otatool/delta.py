"""Decide what a patch is made of: the smallest known one (docs/format-delta.md).

`plan` decides what each output block is made of and in which order the blocks are written,
`best` tries pointer filters too; payload.py serialises them.
"""

from collections.abc import Callable
from typing import NamedTuple

from . import covers, matcher, stash
from .covers import Segment, bsdiff_covers, different_runs, merge, refine, whole
from .lattice import Costs
from .ordering import ORDERS
from .payload import PatchWriter, deflated_size
from .pointers import DEAR_ENTRY, ENTRY, Filter
from .pointers.kinds import candidates
from .stream import BlockPlan, Source, State, cut, serialise

Progress = Callable[[float], None]  # called with the part that is done, 0 to 1

META_BOUND = 3072  # bytes of metadata in a block: what a device keeps for it
_ROUNDS = 3  # of a pointer filter: each finds more pointers by the copies of the one before
_AGAIN = 2  # rounds of learning where there are costs to begin with
_DECIDES = 0.9  # a filter that makes this of a patch: without it nothing is searched any more
_PAYS = 0.998  # of a patch: a search that finds no smaller one was futile
_FUTILE = 3  # searches in turn that end it
_EFFORT = 4 << 20  # bytes of image to search in, again and again
_SETTLED = 0.1  # part of the time until the filter is chosen

# Of the quick search. No single setting wins; None takes the covers as they are, which keeps
# regular corrections together and so is best for images that hardly differ.
_TRIALS = (
    None,
    covers.Costs(),
    covers.Costs(literal=6.5, copy=42.0),
    covers.Costs(literal=4.5),
    covers.Costs(literal=2.5, copy=42.0),
    covers.Costs(literal=8.0, run=12.0, more=6.0),
)


class _Made(NamedTuple):
    """size: bytes of the payload. costs: what the search learnt, None of a quick one."""

    writer: PatchWriter
    size: int
    costs: Costs | None

    @property
    def segments(self) -> list[Segment]:
        return [s for p in self.writer.plans for s in p.segments]


def best(
    old: bytes,
    new: bytes,
    block: int = 4096,
    in_place: bool = False,
    sector: int | None = None,
    quick: bool = False,
    spare: int = 0,
    progress: Progress | None = None,
) -> PatchWriter:
    """The smallest known patch from old to new, with or without a pointer filter.

    Arguments and errors are those of plan(); progress: called while it is searched.

    The table of a filter comes from where copies went, and better copies are found with the
    table. Quick searches settle which filter and roughly the table; the thorough one begins
    with that.
    """
    pair = _Pair(old, new, block, in_place, sector, spare, _TRIALS if quick else _TRIALS[:2])
    say = progress or (lambda part: None)
    plain = chosen = pair.made(None, True)
    if not plain.writer.plans:
        say(1.0)
        return plain.writer
    for candidate in candidates(old):
        now = plain
        for _ in range(_ROUNDS):
            candidate = candidate.fitted(*candidate.moves(old, new, now.segments))
            if not len(candidate.table.starts):
                break
            now = pair.made(candidate, True)
            chosen = min(chosen, now, key=lambda m: m.size)
    say(1.0 if quick else _SETTLED)
    if quick:
        return chosen.writer
    found = [chosen]
    filter = chosen.writer.filter
    if chosen.size > _DECIDES * plain.size:
        found.append(pair.made(None, False, None, _part(say, _SETTLED, 0.5 if filter else 1.0)))
    if filter:
        found.append(_refined(pair, filter, _part(say, 0.5, 1.0)))
    say(1.0)
    return min(found, key=lambda m: m.size).writer


def _refined(pair, filter, progress):
    """The smallest of searches with a table each, made by where the one before has led."""
    now = smallest = pair.made(filter, False, None, _part(progress, 0.0, 0.5))
    futile, done = 0, 0.5
    for i in range(1, max(2, _EFFORT // len(pair.new))):
        moves = filter.moves(pair.old, pair.new, now.segments)
        filter = filter.fitted(*moves, DEAR_ENTRY if i & 1 else ENTRY)
        if not len(filter.table.starts):
            break
        now = pair.made(filter, False, now.costs, _part(progress, done, 0.5 + done / 2))
        futile = 0 if now.size < _PAYS * smallest.size else futile + 1
        smallest = min(smallest, now, key=lambda m: m.size)
        if futile == _FUTILE:
            break
        done = 0.5 + done / 2
    return smallest


def plan(
    old: bytes,
    new: bytes,
    block: int = 4096,
    in_place: bool = False,
    sector: int | None = None,
    filter: Filter | None = None,
    quick: bool = False,
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
        quick: only choose from what bsdiff finds, instead of searching all places of the old
            image by cost (matcher.py): some percent larger, several times as fast.
        spare: bytes of flash beside the image, where old bytes may wait for a later block
            when it is written in place.
    Raises ValueError if a block cannot be written in place on such sectors.
    """
    return list(_Pair(old, new, block, in_place, sector, spare).made(filter, quick).writer.plans)


class _Pair:
    """Two images and how the new one is written; see plan()."""

    def __init__(self, old, new, block, in_place, sector, spare, trials=_TRIALS):
        if in_place and sector is not None and block % sector:
            raise ValueError("in place, a block must be made of whole sectors")
        self.old, self.new, self._block = old, new, block
        self._in_place, self._spare, self._trials = in_place, spare, trials

    def made(
        self,
        filter: Filter | None,
        quick: bool,
        costs: Costs | None = None,
        progress: Progress = lambda part: None,
    ) -> _Made:
        """The smallest patch with that filter; costs: to begin a thorough search with."""
        old, new = self.old, self.new
        if self._in_place and old[: len(new)] == new:
            # The end alone is cut off: a package needs a block to say so.
            end = [Segment(0, len(new), 0)]
            return self._measured(cut(end, len(new), self._block)[-1:] if old != new else [], None)
        was, now = old, new
        if filter:
            was, now = filter.normalised(old, True), filter.normalised(new, False)
        if quick:
            ways, learnt = _quick(was, now, self._trials), None
        else:
            rounds = _AGAIN if costs else matcher.ROUNDS
            ways, learnt = matcher.search(was, now, costs, rounds, progress)
        source = Source(old, filter)
        least = None
        for segments in ways:
            for blocks in self._in_orders(cut(segments, len(new), self._block)):
                bounded = [_bounded(p, source, new, self._in_place) for p in blocks]
                made = self._measured(bounded, filter)
                if least is None or made.size < least.size:
                    least = made
        assert least is not None
        return least._replace(costs=learnt)

    def _measured(self, plans, filter):
        writer = PatchWriter(plans, self.old, self.new, self._block, self._in_place, filter)
        return _Made(writer, deflated_size(writer), None)

    def _in_orders(self, plans):
        """The plans in each order worth trying."""
        if not self._in_place:
            yield plans
            return
        changed = {
            p.index: p.segments
            for p in plans
            if not self.old.startswith(self.new[p.start : p.start + p.length], p.start)
        }
        seen = []
        for order in ORDERS:
            blocks = order(changed, self._block)
            if blocks not in seen:
                seen.append(blocks)
                yield stash.kept([plans[i] for i in blocks], self._block, self._spare)


def _part(progress, start, end):
    """progress() for what is done between these parts of the whole."""
    return lambda part: progress(start + (end - start) * part)


def _quick(old, new, trials):
    """Ways to make new from old by the covers of bsdiff."""
    found = bsdiff_covers(old, new)
    ways: list[list[Segment]] = []
    for costs in trials:
        way = refine(old, new, found, costs) if costs else whole(new, found)
        if way not in ways:
            ways.append(way)
    return ways


def _bounded(p, source, new, ordered):
    """The plan with its metadata inside META_BOUND: the worst copies become literals."""
    while True:
        # What a state can add is less than the room kept here: changes are written from where
        # they are shortest.
        parts, _ = serialise(p, source, new, ordered, State())
        if parts.meta_size + 32 <= META_BOUND:
            return p
        copies = [s for s in p.segments if s.old is not None]
        worst = max(copies, key=lambda s: _copy_meta(s, source, new) / s.length)
        now = merge(Segment(s.new, s.length, None) if s is worst else s for s in p.segments)
        p = BlockPlan(p.index, p.start, p.length, now)


def _copy_meta(s, source, new):
    """Roughly the bytes of metadata that a copy costs."""
    runs = different_runs(source.copy(s), new[s.new : s.new + s.length])
    return 3 + sum(1 + end - start for start, end in runs)
