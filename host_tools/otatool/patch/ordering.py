"""In which order the blocks of an image can replace those of the old one in place.

A block that is written takes away the old bytes of its place from every block that still
wants to read them; a block may read its own place, for it is composed in RAM first.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from .covers import Segment

_RUNS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)  # blocks that move together
_BREAK = 8  # bytes that it costs where a block is no neighbour of the one before
_NONE = -(1 << 30)  # no block's neighbour

Blocks = Mapping[int, list[Segment]]
Order = Callable[[Blocks, int, int], list[int]]  # blocks, bytes of a block, spare bytes


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


def greedy(blocks: Blocks, block: int, spare: int) -> list[int]:
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
    """An order that begins as another; runs of blocks move to where fewer bytes are lost than the
    breaks in the order cost, until none has a better place."""
    return lambda blocks, block, spare: _moved(start(blocks, block, spare), blocks, block, 0)


def eased(start: Order) -> Order:
    """The same, only until spare bytes hold what is lost."""
    return lambda blocks, block, spare: _moved(start(blocks, block, spare), blocks, block, spare)


def _moved(order, blocks, block, enough):
    number = {i: n for n, i in enumerate(order)}
    # lost[a, b]: what b loses if a is written before it.
    lost = np.zeros((len(order), len(order)), np.int64)
    for source, by in _readers(blocks, block).items():
        for reader, n in by.items():
            lost[number[source], number[reader]] = n
    turn, index = np.arange(len(order)), np.array(order)
    left = int(np.triu(lost).sum())
    while left > enough:
        gain, saved, start, end, to = max(_moves(lost[np.ix_(turn, turn)], index[turn]))
        if gain <= 0:
            break
        left -= saved
        run, others = turn[start:end], np.delete(turn, np.s_[start:end])
        turn = np.insert(others, to if to < start else to - len(run), run)
    return index[turn].tolist()


def _moves(lost, order):
    """(gain, bytes that are saved, start, end, to) of the best move of runs of each length: blocks
    start .. end - 1 go in front of the one that is at `to` now."""
    count = len(lost)
    # What is saved by having a column's block in front of a row's; sums from the corner on make
    # every move a difference of four.
    sums = np.zeros((count + 1, count + 1), np.int64)
    sums[1:, 1:] = (lost - lost.T).cumsum(0).cumsum(1)
    # What is in front of, and behind, each gap of the order.
    front, behind = np.append(_NONE, order), np.append(order, -_NONE)
    to = np.arange(count + 1)
    for length in _RUNS:
        start = np.arange(count - length + 1)
        if not len(start):
            break
        end = start + length
        first, last = behind[start][:, None], front[end][:, None]
        saved = sums[end] - sums[start] + sums[start, end][:, None]
        gain = saved - _broken(front, first) - _broken(last, behind) + _broken(front, behind)
        gain -= _broken(front[start], behind[end])[:, None]
        gain += _broken(front[start][:, None], first) + _broken(last, behind[end][:, None])
        gain[(to >= start[:, None]) & (to <= end[:, None]) | (saved <= 0)] = 0
        i, p = divmod(int(gain.argmax()), count + 1)
        yield int(gain[i, p]), int(saved[i, p]), i, i + length, p


def _broken(a, b):
    """What it costs to have block b behind block a, in bytes."""
    return _BREAK * (abs(b - a) != 1)


def ascending(blocks: Blocks, block: int, spare: int) -> list[int]:
    """From the first block to the last."""
    return sorted(blocks)


def descending(blocks: Blocks, block: int, spare: int) -> list[int]:
    """From the last block to the first: nothing is lost when everything moves up."""
    return sorted(blocks, reverse=True)


_PLAIN = greedy, ascending, descending
ORDERS = (*_PLAIN, *map(eased, _PLAIN), *map(settled, _PLAIN))
