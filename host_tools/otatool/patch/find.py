"""Decide what a patch is made of: the smallest known one (docs/format-delta.md).

`find` searches copies and pointer filters, blocks.py makes blocks of what is found, payload.py
serialises them.
"""

from collections.abc import Callable
from typing import NamedTuple

from . import blocks as placing
from . import covers, matcher
from .covers import Segment, bsdiff_covers, refine, whole
from .lattice import Costs
from .payload import PatchWriter, deflated_size
from .pointers import DEAR_ENTRY, ENTRY, Filter
from .pointers.kinds import candidates
from .stream import BlockPlan

Progress = Callable[[float], None]  # called with the part that is done, 0 to 1

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


class Found(NamedTuple):
    """What a patch is made of.

    Attributes:
        segments: fill the new image from end to end.
    """

    segments: list[Segment]
    filter: Filter | None


class _Made(NamedTuple):
    """A patch. size: bytes of its payload. costs: what the search learnt, None of a quick one."""

    found: Found
    size: int
    costs: Costs | None


def find(
    old: bytes,
    new: bytes,
    block: int = 4096,
    quick: bool = False,
    progress: Progress | None = None,
) -> Found:
    """What makes the smallest known patch from old to new, with or without a pointer filter.

    The table of a filter comes from where copies went, and better copies are found with the
    table. Quick searches settle which filter and roughly the table; the thorough one begins
    with that.

    Args:
        old, new: the images. block: bytes in an output block.
        quick: only choose from what bsdiff finds, instead of searching all places of the old
            image by cost (patch/matcher.py): some percent larger, several times as fast.
        progress: called while it is searched.
    """
    pair = _Pair(old, new, block, _TRIALS if quick else _TRIALS[:2])
    say = progress or (lambda part: None)
    plain = chosen = pair.made(None, True)
    for candidate in candidates(old):
        now = plain
        for _ in range(_ROUNDS):
            candidate = candidate.fitted(*candidate.moves(old, new, now.found.segments))
            if not len(candidate.table.starts):
                break
            now = pair.made(candidate, True)
            chosen = min(chosen, now, key=lambda m: m.size)
    say(1.0 if quick else _SETTLED)
    if quick:
        return chosen.found
    made = [chosen]
    filter = chosen.found.filter
    if chosen.size > _DECIDES * plain.size:
        made.append(pair.made(None, False, None, _part(say, _SETTLED, 0.5 if filter else 1.0)))
    if filter:
        made.append(_refined(pair, filter, _part(say, 0.5, 1.0)))
    say(1.0)
    return min(made, key=lambda m: m.size).found


def write(
    found: Found,
    old: bytes,
    new: bytes,
    block: int = 4096,
    in_place: bool = False,
    sector: int | None = None,
    spare: int = 0,
) -> PatchWriter:
    """The patch of what find() has found for the same images; see placing.in_place() for
    in_place, sector and spare."""
    if in_place:
        return placing.in_place(old, new, *found, block, sector, spare)
    return placing.in_turn(old, new, *found, block)


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
    """The smallest known patch: find() and write()."""
    found = find(old, new, block, quick, progress)
    return write(found, old, new, block, in_place, sector, spare)


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
    """The same with that filter, or with none: as block plans in write order."""
    found = _Pair(old, new, block).made(filter, quick).found
    return list(write(found, old, new, block, in_place, sector, spare).plans)


def _refined(pair, filter, progress):
    """The smallest of searches with a table each, made by where the one before has led."""
    now = smallest = pair.made(filter, False, None, _part(progress, 0.0, 0.5))
    futile, done = 0, 0.5
    for i in range(1, max(2, _EFFORT // len(pair.new))):
        moves = filter.moves(pair.old, pair.new, now.found.segments)
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


class _Pair:
    """Two images, searched again and again."""

    def __init__(self, old, new, block, trials=_TRIALS):
        self.old, self.new, self._block, self._trials = old, new, block, trials

    def made(
        self,
        filter: Filter | None,
        quick: bool,
        costs: Costs | None = None,
        progress: Progress = lambda part: None,
    ) -> _Made:
        """The smallest patch with that filter.

        Args:
            costs: to begin a thorough search with.
        """
        old, new = self.old, self.new
        was, now = old, new
        if filter:
            was, now = filter.normalised(old, True), filter.normalised(new, False)
        if quick:
            ways, learnt = _quick(was, now, self._trials), None
        else:
            rounds = _AGAIN if costs else matcher.ROUNDS
            ways, learnt = matcher.search(was, now, costs, rounds, progress)
        made = []
        for segments in ways:
            size = deflated_size(placing.in_turn(old, new, segments, filter, self._block))
            made.append(_Made(Found(segments, filter), size, learnt))
        return min(made, key=lambda m: m.size)


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
