"""In which order the blocks of an image can replace those of the old one in place.

A block that is written takes away the old bytes of its place from every block that still
wants to read them; a block may read its own place, for it is composed in RAM first.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from .covers import Segment

_SWEEPS = 20

Blocks = Mapping[int, list[Segment]]
Order = Callable[[Blocks, int], list[int]]


def pieces(s: Segment, block: int) -> Iterator[tuple[int, int]]:
    """(position, length) of what a copy reads of each block of the old image."""
    assert s.old is not None
    at, end = s.old, s.old + s.length
    while at < end:
        n = min(end, (at // block + 1) * block) - at
        yield at, n
        at += n


def _readers(blocks: Blocks, block: int) -> dict[int, dict[int, int]]:
    """For each block the others that read its place, and how many bytes of it."""
    readers: dict[int, dict[int, int]] = {i: {} for i in blocks}
    for i, segments in blocks.items():
        for s in segments:
            for at, n in pieces(s, block) if s.old is not None else ():
                source = at // block
                if source != i and source in readers:
                    readers[source][i] = readers[source].get(i, 0) + n
    return readers


def greedy(blocks: Blocks, block: int) -> list[int]:
    """Always the nearest block that nobody else still reads.

    If there is none, the one whose readers lose the fewest bytes.
    """
    readers = _readers(blocks, block)
    wanted: dict[int, list[int]] = {i: [] for i in blocks}
    for source, by in readers.items():
        for i in by:
            wanted[i].append(source)
    left = set(blocks)
    free = {i for i in left if not readers[i]}
    order: list[int] = []
    at = 0
    while left:
        if free:
            i = min(free, key=lambda j: (abs(j - at), j))
        else:
            i = min(left, key=lambda j: (sum(readers[j].values()), abs(j - at), j))
        left.remove(i)
        free.discard(i)
        order.append(i)
        at = i + 1
        for reader in readers.pop(i):
            wanted[reader].remove(i)
        for source in wanted[i]:
            readers[source].pop(i)
            if not readers[source]:
                free.add(source)
    return order


def settled(start: Order) -> Order:
    """An order that begins as another and puts one block after the other where the fewest bytes
    are lost, until none has a better place."""
    return lambda blocks, block: _settled(start(blocks, block), blocks, block)


def _settled(order, blocks, block):
    readers = _readers(blocks, block)
    if not any(readers.values()):
        return order
    number = {i: n for n, i in enumerate(blocks)}
    # lost[a, b]: what b loses if a is written before it.
    lost = np.zeros((len(order), len(order)), np.int64)
    for source, by in readers.items():
        for reader, n in by.items():
            lost[number[source], number[reader]] = n
    turn = np.array([number[i] for i in order])
    for _ in range(_SWEEPS):
        moved = False
        for b in range(len(order)):
            at = int(np.flatnonzero(turn == b)[0])
            others = np.delete(turn, at)
            # Cost of b at each place: those before it take from it, it takes from those behind.
            before = np.append(0, np.cumsum(lost[others, b]))
            behind = np.append(np.cumsum(lost[b, others][::-1])[::-1], 0)
            cost = before + behind
            place = int(cost.argmin())
            if cost[place] < cost[at]:
                turn = np.insert(others, place, b)
                moved = True
        if not moved:
            break
    names = list(blocks)
    return [names[n] for n in turn.tolist()]


def ascending(blocks: Blocks, block: int) -> list[int]:
    """From the first block to the last."""
    return sorted(blocks)


def descending(blocks: Blocks, block: int) -> list[int]:
    """From the last block to the first: nothing is lost when everything moves up."""
    return sorted(blocks, reverse=True)


ORDERS = (
    greedy, ascending, descending, settled(greedy), settled(ascending), settled(descending)
)  # fmt: skip
