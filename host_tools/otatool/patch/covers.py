"""Which parts of a new image come from where in the old one.

`bsdiff_covers` finds stretches that resemble each other; `refine` decides by cost which
bytes of them are worth copying with corrections and which are cheaper as literals.
`stretches` finds all that patch/matcher.py chooses from. Cutting into blocks and writing the
stream is delta.py's.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import bsdiff4.core
import numpy as np

from . import runs

_LEAST = 4  # equal bytes that make a diagonal worth trying
_COMPARED = 64  # bytes of a match that are compared: a longer one is found again further on
_JOIN, _JOIN_FACTOR = 2000, 32  # bytes between matches that belong together; times their length
_NEAR = 8192  # changes of diagonal below this are cheap to write
_DIFFERENT = re.compile(rb"[^\0]+")


class Cover(NamedTuple):
    """new[new : new + length] resembles old[old : old + length]."""

    new: int
    old: int
    length: int


class Segment(NamedTuple):
    """A piece of the new image: a copy from old, or literals where old is None."""

    new: int
    length: int
    old: int | None


@dataclass
class Stretches:
    """Diagonals (old minus new position) worth trying, in new[start : end] each.

    Attributes:
        weight: bytes of the stretch that are equal, about.
    """

    start: np.ndarray
    end: np.ndarray
    diagonal: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class Costs:
    """Estimated bits after deflate of what a patch is made of; measured on firmware and text.

    Attributes:
        literal: a literal byte.
        copy: a copy from a new diagonal.
        resume: a copy that continues on the diagonal before the literals.
        run: the first corrected byte of a run, more: each further one.
        stop: ending a copy with literals.
        equal: a byte that is copied unchanged.
    """

    literal: float = 5.5
    copy: float = 36.0
    resume: float = 18.0
    run: float = 14.0
    more: float = 8.0
    stop: float = 10.0
    equal: float = 0.02


def different_runs(a: bytes, b: bytes) -> list[tuple[int, int]]:
    """(start, end) of every run of places where a and b, of equal length, differ."""
    if a == b:
        return []
    n = len(a)
    x = int.from_bytes(a, "little") ^ int.from_bytes(b, "little")
    return [m.span() for m in _DIFFERENT.finditer(x.to_bytes(n, "little"))]


def bsdiff_covers(old: bytes, new: bytes) -> list[Cover]:
    """The covers that bsdiff finds, ascending in new and without overlap."""
    if not old or not new:
        return []
    trim = runs.trimmed(old, new)
    if trim:
        found = trim.split(_bsdiff(trim.old.data, trim.new.data))
        found += [(new, old, n) for new, old, n in trim.filled if old is not None]
        return [Cover(*c) for c in sorted(found)]
    return _bsdiff(old, new)


def _bsdiff(old, new):
    control, _, _ = bsdiff4.core.diff(old, new)
    covers = []
    at_new = at_old = 0
    # Triples of sign-magnitude 64-bit numbers: bytes to add, bytes to insert, old seek.
    for i in range(0, len(control), 24):
        add, insert, seek = (
            bsdiff4.core.decode_int64(control[j : j + 8]) for j in (i, i + 8, i + 16)
        )
        # bsdiff lets a stretch run over either end of the old image.
        low, high = max(0, -at_old), min(add, len(old) - at_old)
        if high > low:
            covers.append(Cover(at_new + low, at_old + low, high - low))
        at_new += add + insert
        at_old += add + seek
    return covers


def stretches(
    old: bytes, new: bytes, covers: list[Cover], places: np.ndarray | None = None
) -> Stretches:
    """Diagonals worth trying: the covers', those of the longest matches and of near ones.

    The longest matches of a byte of new are with the two neighbours of its suffix among the
    suffixes of old, in order. A near one is what equals _LEAST bytes and is next to the
    diagonal that the covers follow there.

    Args:
        covers: from bsdiff_covers(). places: bytes of new to look for; None is all.
    """
    at, source, length = np.array(covers, np.int64).reshape(-1, 3).T
    found = [(at, source - at, length)]
    trim = runs.trimmed(old, new)
    if trim:
        if places is None:
            places = np.arange(len(new))
        places, there = trim.new.to_short(places)
        places = places[there]
        covers = [Cover(*c) for c in trim.shortened(covers)]
        at, source, length = np.array(trim.around(), np.int64).reshape(-1, 3).T
        found.append((at, source - at, length))
        old, new = trim.old.data, trim.new.data
    if len(old) >= _LEAST and len(new) >= _LEAST:
        if places is None:
            places = np.arange(len(new))
        pairs = (*_longest(old, new, places), *_nearest(old, new, covers, places))
        words_old, words_new = _words(old), _words(new)
        for at, source in pairs:
            room = np.minimum(len(new) - at, len(old) - source)
            length = np.minimum(_equal(words_new, at, words_old, source), room)
            long = length >= _LEAST
            at, source, length = at[long], source[long], length[long]
            if trim:
                at, source = trim.new.to_whole(at), trim.old.to_whole(source)
            found.append((at, source - at, length))
    return _joined(*(np.concatenate(x) for x in zip(*found, strict=True)))


def _longest(old, new, places):
    """(places of new, places of old) where the longest matches are."""
    order = np.array(bsdiff4.core.suffix_array(old + new), np.int64)
    is_old = order < len(old)
    of_old = order[is_old]
    wanted = np.zeros(len(old) + len(new) + 1, bool)  # the empty suffix is in the order too
    wanted[places + len(old)] = True
    wanted = wanted[order]
    behind = np.cumsum(is_old)[wanted]
    at = order[wanted] - len(old)
    for k in (behind - 1, behind):
        ok = (k >= 0) & (k < len(of_old))
        yield at[ok], of_old[k[ok]]


def _nearest(old, new, covers, places):
    """(places of new, places of old) of equal words of _LEAST bytes on near diagonals."""
    edges = np.array([0, *(c.new for c in covers), len(new)])
    follow = np.repeat([0, *(c.old - c.new for c in covers)], np.diff(edges))
    mask = np.uint64((1 << 8 * _LEAST) - 1)
    words, rank = np.unique(_words(old)[: len(old) - _LEAST + 1] & mask, return_inverse=True)
    # By word, then by place in old.
    keys = np.sort((rank.astype(np.int64) << 32) + np.arange(len(rank)))
    at = places[places <= len(new) - _LEAST]
    wanted = _words(new)[at] & mask
    rank = np.minimum(np.searchsorted(words, wanted), len(words) - 1)
    known = words[rank] == wanted
    at, rank = at[known], rank[known]
    here = at + follow[at]
    behind = np.searchsorted(keys, (rank << 32) + np.clip(here, 0, len(old) - 1))
    for k in (behind - 1, behind):
        key = keys[np.clip(k, 0, len(keys) - 1)]
        source = key & 0xFFFFFFFF
        near = (key >> 32 == rank) & (np.abs(source - here) < _NEAR)
        yield at[near], source[near]


def _words(data):
    """Eight bytes from every place of data as a number; zeros behind the end."""
    size = len(data) + _COMPARED
    return np.ndarray((size,), "<u8", data + bytes(_COMPARED + 8), 0, (1,))


def _equal(a, i, b, j):
    """How many bytes from a[i] and b[j] on are equal, up to _COMPARED; a, b: from _words()."""
    length = np.full(len(i), _COMPARED, np.int64)
    left = np.arange(len(i))
    for k in range(0, _COMPARED, 8):
        differ = a[i[left] + k] ^ b[j[left] + k]
        found = differ != 0
        lowest = (differ & (~differ + np.uint64(1)))[found].astype(np.float64)
        length[left[found]] = k + (np.log2(lowest).astype(np.int64) >> 3)
        left = left[~found]
    return length


def _joined(start, diagonal, length):
    """The stretches that these matches make."""
    if not len(start):
        return Stretches(start, start, diagonal, length)
    order = np.lexsort((start, diagonal))
    start, diagonal, length = start[order], diagonal[order], length[order]
    other = np.append(True, diagonal[1:] != diagonal[:-1])
    # The furthest end so far on the same diagonal.
    group = np.cumsum(other) << 40
    end = np.maximum.accumulate(start + length + group) - group
    first = other.copy()
    apart = np.minimum(_JOIN, _JOIN_FACTOR * np.maximum(length[1:], length[:-1]))
    first[1:] |= start[1:] > end[:-1] + apart
    fresh = np.append(0, np.diff(end))
    fresh[first] = length[first]
    begins = np.flatnonzero(first)
    last = np.append(begins[1:], len(start)) - 1
    return Stretches(start[begins], end[last], diagonal[begins], np.add.reduceat(fresh, begins))


def refine(old: bytes, new: bytes, covers: list[Cover], costs: Costs) -> list[Segment]:
    """Cut new into copies and literals at the least estimated cost.

    The cheapest way through a chain of pieces with two states, copying or literal: the
    pieces are the equal and the differing runs of the covers and what is between covers.
    """
    pieces = list(_pieces(old, new, covers))
    # For both states: the cost so far and the diagonal used last.
    literal_cost, literal_diagonal = 0.0, 0
    copy_cost, copy_diagonal = float("inf"), 0
    trail = []
    for _, length, diagonal, differs in pieces:
        stop = copy_cost + costs.stop
        from_copy_l = stop < literal_cost
        new_literal = (stop if from_copy_l else literal_cost) + costs.literal * length
        new_literal_diagonal = copy_diagonal if from_copy_l else literal_diagonal
        from_copy_c = False
        new_copy = float("inf")
        if diagonal is not None:
            go_on = copy_cost + (0 if diagonal == copy_diagonal else costs.copy)
            start = literal_cost + (costs.resume if diagonal == literal_diagonal else costs.copy)
            from_copy_c = go_on <= start
            new_copy = min(go_on, start)
            if differs:
                new_copy += costs.run + costs.more * (length - 1)
            else:
                new_copy += costs.equal * length
            copy_diagonal = diagonal
        literal_cost, literal_diagonal = new_literal, new_literal_diagonal
        copy_cost = new_copy
        trail.append((from_copy_l, from_copy_c))
    copying = copy_cost < literal_cost
    chosen = []
    for (start, length, diagonal, _), (from_copy_l, from_copy_c) in zip(
        reversed(pieces), reversed(trail), strict=True
    ):
        chosen.append(Segment(start, length, start + (diagonal or 0) if copying else None))
        copying = from_copy_c if copying else from_copy_l
    return merge(reversed(chosen))


def whole(new: bytes, covers: list[Cover]) -> list[Segment]:
    """The covers as they are, and literals between them."""
    out = []
    at = 0
    for c in covers:
        if c.new > at:
            out.append(Segment(at, c.new - at, None))
        out.append(Segment(c.new, c.length, c.old))
        at = c.new + c.length
    if at < len(new):
        out.append(Segment(at, len(new) - at, None))
    return merge(out)


def merge(segments: Iterable[Segment]) -> list[Segment]:
    """Join neighbours that continue each other."""
    out: list[Segment] = []
    for s in segments:
        if out:
            last = out[-1]
            goes_on = last.old is not None and last.old + last.length == s.old
            if goes_on or (last.old is None and s.old is None):
                out[-1] = Segment(last.new, last.length + s.length, last.old)
                continue
        out.append(s)
    return out


def _pieces(old, new, covers):
    """(new position, length, diagonal or None, differs) of everything in turn."""
    at = 0
    for c in covers:
        if c.new > at:
            yield at, c.new - at, None, True
        diagonal = c.old - c.new
        at = c.new
        for start, end in different_runs(
            old[c.old : c.old + c.length], new[c.new : c.new + c.length]
        ):
            if c.new + start > at:
                yield at, c.new + start - at, diagonal, False
            yield c.new + start, end - start, diagonal, True
            at = c.new + end
        if at < c.new + c.length:
            yield at, c.new + c.length - at, diagonal, False
            at = c.new + c.length
    if at < len(new):
        yield at, len(new) - at, None, True
