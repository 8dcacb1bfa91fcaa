"""The cheapest way through a new image: copying along a diagonal, or literal, byte by byte.

A diagonal is old position minus new position; a copy goes along one. `Lattice.cheapest` is a
Viterbi search. Its states are, for each of a few lanes (a lane holds one diagonal at a time):
copying along it, and literal with that diagonal still in force (so that going on with it is
cheap, as in the stream); and literal after any other diagonal.

For the sake of numpy the image is cut into windows that are searched side by side, one byte
at a time. They overlap: the search in a window begins a little before its part with any
state and ends a little behind, where all good ways have met. Whatever that misses costs
bits, never correctness: any choice of a diagonal per byte is a valid patch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from .covers import Stretches

LITERAL = -(1 << 40)  # in place of a diagonal
LANES = 32
FAR_GAP = 64  # gaps between corrections are distinguished up to here
_CORE, _OVER = 1024, 96  # bytes of a window that are its own; that it looks beyond them
_WINDOW = _CORE + 2 * _OVER
_SPAN = 384 * _CORE  # bytes that are searched at once
_REACH = 48  # bytes around a stretch that may still belong to it
# Codes of bytes: the first of a run of corrections by gap (as in Costs) and value, others.
_MORE = 2 * FAR_GAP + 2
_EQUAL = _MORE + 1 << 8
_INACTIVE, _OUTSIDE = _EQUAL + 1, _EQUAL + 2
_NEVER = np.float32(1e9)
_SAME = 4  # in place of a change's size: none
_OPENED = 2  # note of a copy that was opened, plus the state before; 1: resumed, 0: continues


@dataclass
class Costs:
    """Estimated bits after deflate of what a patch is made of.

    Attributes:
        first: by value, the first corrected byte of a run.
        more: each further one.
        gap: by 2 * bytes since the last correction (FAR_GAP: or more) + (1 if the run is longer
            than 1).
        open: a copy along another diagonal, by the size of the change (`change_size`).
        resume: along the same.
        stop: ending a copy with literals.
        equal: a byte copied as it is.
        literal: by value.
        at: bits of single literal bytes where known better, by place (or NaN).
    """

    first: np.ndarray
    more: np.ndarray
    gap: np.ndarray
    open: np.ndarray
    literal: np.ndarray
    resume: float = 20.0
    stop: float = 10.0
    equal: float = 0.02
    at: np.ndarray | None = None

    @classmethod
    def typical(cls, literal: float) -> "Costs":
        """Of firmware.

        Args:
            literal: of a literal byte.
        """
        gap = np.append(np.tile([7.0, 9.0], FAR_GAP), [10.0, 13.0])
        return cls(
            np.full(256, 7.0),
            np.full(256, 8.0),
            gap,
            np.array([20.0, 27.0, 34.0, 40.0]),
            np.full(256, literal),
        )

    def table(self) -> np.ndarray:
        """Bits of a byte as a copy, by code."""
        runs = (self.gap[:, None] + self.first).ravel()
        return np.concatenate((runs, self.more, [self.equal, _NEVER, 0.0])).astype(np.float32)


def change_size(change: np.ndarray) -> np.ndarray:
    """0 to 3: bytes of a change of diagonal in the stream, less one."""
    size = np.abs(change)
    return (size >= 64).astype(np.int8) + (size >= 8192) + (size >= 1 << 20)


class _Events:
    """(window, lane, diagonal) of what happens at each byte of the windows."""

    def __init__(self, places, lanes, diagonals, windows):
        # A place may be in several windows.
        first = np.searchsorted(windows, places - _WINDOW, "right")
        last = np.searchsorted(windows, places, "right")
        count = last - first
        each = np.repeat(np.arange(len(places)), count)
        window = np.arange(len(each)) - np.repeat(np.cumsum(count) - count, count)
        window += first[each]
        at = places[each] - windows[window]
        lane = lanes[each]
        order = np.lexsort((lane, window, at))
        self.window, self.lane = window[order], lane[order]
        self.diagonal = diagonals[each][order].astype(np.int32)
        self.bounds = np.searchsorted(at[order], np.arange(_WINDOW + 1)).tolist()

    def at(self, t: int) -> slice:
        return slice(self.bounds[t], self.bounds[t + 1])


@dataclass
class Lattice:
    """What may be copied from where, ready to be searched at different costs.

    Attributes:
        stretches: diagonals worth trying. Where `given` names a diagonal, that is taken without a
            search.
    """

    old: bytes
    new: bytes
    stretches: Stretches
    given: np.ndarray
    count: int = LANES
    _parts: list["_Part"] = field(default_factory=list)

    def __post_init__(self) -> None:
        size = len(self.new)
        searched = np.append(np.zeros(1, np.int64), np.cumsum(self.given == LITERAL))
        starts = np.arange(0, size, _CORE)
        ends = np.minimum(starts + _CORE, size)
        windows = starts[searched[ends] > searched[starts]]
        lanes = _in_lanes(self.stretches, len(self.old), size, windows, self.count)
        for spot in range(0, size, _SPAN):
            here = windows[(windows >= spot) & (windows < spot + _SPAN)]
            if len(here):
                self._parts.append(_Part(self.old, self.new, lanes, here, self.count))

    def cheapest(self, costs: Costs) -> np.ndarray:
        """For each byte of new the diagonal to copy it along, or LITERAL."""
        chosen = self.given.copy()
        for part in self._parts:
            for start, labels in part.cheapest(costs):
                chosen[start : start + len(labels)] = labels
        return chosen


def _in_lanes(stretches, old_size, new_size, windows, count):
    """Lane, start, end and diagonal of the stretches, extended, where windows need them.

    When all lanes are taken, the stretch with the fewest equal bytes gives way.
    """
    starts = np.maximum(np.maximum(stretches.start - _REACH, 0), -stretches.diagonal)
    ends = np.minimum(np.minimum(stretches.end + _REACH, new_size), old_size - stretches.diagonal)
    nearest = np.searchsorted(windows, starts - _CORE - _OVER)
    near = np.append(windows, 1 << 60)[nearest] - _OVER < ends
    order = np.flatnonzero(near)[np.argsort(starts[near], kind="stable")]
    busy, weight, last = [0] * count, [0] * count, [-1] * count
    lane_of, end_of, kept = [], [], []
    columns = (starts[order], ends[order], stretches.weight[order])
    for i, (start, end, w) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
        lane = busy.index(min(busy))
        if busy[lane] > start:
            lane = weight.index(min(weight))
            if weight[lane] >= w:
                continue
        if last[lane] >= 0 and end_of[last[lane]] > start:
            end_of[last[lane]] = start
        busy[lane], weight[lane], last[lane] = end, w, len(kept)
        lane_of.append(lane)
        end_of.append(end)
        kept.append(i)
    kept = order[np.array(kept, np.int64)]
    return np.array(
        [np.array(lane_of, np.int64), starts[kept], end_of, stretches.diagonal[kept]], np.int64
    ).reshape(4, -1)


class _Part:
    """Some windows, close enough to fit one array each."""

    def __init__(self, old, new, lanes, windows, count):
        low = max(0, int(windows[0]) - _OVER)
        high = min(len(new), int(windows[-1]) + _CORE + _OVER)
        _, start, end, _ = lanes
        lanes = lanes[:, (end > low) & (start < high) & (end > start)]
        self._new = np.frombuffer(new, np.uint8)
        self._first = windows  # of the windows' own bytes
        self._windows = windows - _OVER
        self._count = count
        old_bytes = np.frombuffer(old, np.uint8)
        # What each byte of a window costs as a copy, by lane: a place in a table of costs.
        self._codes = np.empty((_WINDOW, len(windows), count), np.uint16)
        # In an array of the whole part, place p of new is at p - low + _OVER.
        shift = _OVER - low
        pick = np.arange(_WINDOW)[:, None] + (self._windows + shift)[None, :]
        room = high - low + 2 * _OVER + _CORE
        outside = np.arange(room) - shift
        outside = (outside < 0) | (outside >= len(new))
        found = [np.zeros((3, 0), np.int64)]
        self._lanes = []
        for k in range(count):
            _, start, end, diagonal = lanes[:, lanes[0] == k]
            self._lanes.append((start, diagonal))
            codes, opens = self._lane(old_bytes, start, end, diagonal, shift, room)
            codes[outside] = _OUTSIDE
            self._codes[:, :, k] = codes[pick]
            which = np.searchsorted(start, opens, "right") - 1
            found.append(np.array([opens, np.full(len(opens), k), diagonal[which]]))
        self._opens = _Events(*np.concatenate(found, 1), self._windows)
        lane, start, _, diagonal = lanes[:, lanes[1] >= self._windows[0]]
        self._starts = _Events(start, lane, diagonal, self._windows)
        self._changes = list(self._sizes_of_changes())

    def _lane(self, old, start, end, diagonal, shift, room):
        """Codes of the bytes in a lane, and the places where copies in it may be opened."""
        value = np.zeros(room, np.uint8)
        active = np.zeros(room, bool)
        begins = np.zeros(room, bool)
        low = np.maximum(start + shift, 0)
        high = np.minimum(end + shift, room)
        count = np.maximum(high - low, 0)
        at = np.repeat(low - np.cumsum(count) + count, count) + np.arange(count.sum())
        place = at - shift
        value[at] = self._new[place] - old[place + np.repeat(diagonal, count)]
        active[at] = True
        begins[low[count > 0]] = True
        codes = np.where(active, np.uint16(_EQUAL), np.uint16(_INACTIVE))
        spots = np.flatnonzero(value)
        between = np.minimum(np.diff(spots, prepend=-FAR_GAP) - 1, FAR_GAP)
        follows = between == 0
        longer = np.append(follows[1:], np.zeros(min(1, len(spots)), bool))
        row = np.where(follows, _MORE, 2 * between + longer)
        codes[spots] = (row << 8) + value[spots]
        opening = active & (value == 0)
        opening[1:] &= ~opening[:-1] | begins[1:]
        return codes, np.flatnonzero(opening) - shift

    def cheapest(self, costs: Costs) -> Iterator[tuple[int, np.ndarray]]:
        """(start, the chosen diagonals of the bytes from there) for each window."""
        size = len(self._new)
        place = self._windows[None, :] + np.arange(_WINDOW)[:, None]
        inside = (place >= 0) & (place < size)
        place = np.clip(place, 0, size - 1)
        literal = costs.literal[self._new[place]]
        if costs.at is not None:
            known = costs.at[place]
            literal = np.where(np.isnan(known), literal, known)
        literal = np.where(inside, literal, 0).astype(np.float32)
        states = self._search(costs, literal)
        own = states[_OVER : _OVER + _CORE].T
        for start, labels in zip(self._first.tolist(), own, strict=True):
            labels = labels[: size - start]
            out = np.full(len(labels), LITERAL, np.int64)
            for k in np.unique(labels):
                if k >= 0:
                    mine = np.flatnonzero(labels == k)
                    starts, diagonals = self._lanes[k]
                    out[mine] = diagonals[np.searchsorted(starts, mine + start, "right") - 1]
            yield start, out

    def _sizes_of_changes(self):
        """For each byte, the sizes of the changes from every lane's diagonal to those opened."""
        force = np.zeros((len(self._windows), self._count), np.int32)
        for k, (starts, diagonals) in enumerate(self._lanes):
            if len(starts):
                at = np.searchsorted(starts, self._windows, "right") - 1
                force[:, k] = np.where(at < 0, 0, diagonals[at])
        for t in range(_WINDOW):
            here, begin = self._opens.at(t), self._starts.at(t)
            change = force[self._opens.window[here]] - self._opens.diagonal[here, None]
            yield np.where(change, change_size(change), np.int8(_SAME))
            force[self._starts.window[begin], self._starts.lane[begin]] = self._starts.diagonal[
                begin
            ]

    def _search(self, costs, literal):
        """The cheapest states, by byte of the window and window: a lane, or -1 for literal.

        A state is numbered: lane k copying k, literal after lane k count + k, else 2 * count.
        """
        table = costs.table()
        resume, stop = np.float32(costs.resume), np.float32(costs.stop)
        prices = np.append(costs.open, costs.resume).astype(np.float32)
        count, windows = self._count, len(self._windows)
        copy = np.zeros((windows, count), np.float32)
        rest = np.zeros((windows, count), np.float32)
        other = np.zeros(windows, np.float32)
        trail = np.zeros((_WINDOW, windows, count), np.uint8)
        stopped = np.zeros((_WINDOW, windows, count), bool)
        other_from = np.full((_WINDOW, windows), count, np.uint8)
        spare = np.empty_like(copy)
        for t in range(_WINDOW):
            here = self._opens.at(t)
            opens = here.stop > here.start  # of short images, few bytes have any
            if opens:
                w, k, opening, source = self._openings(t, prices, copy, rest, other)
            np.add(copy, stop, out=spare)
            np.less(spare, rest, out=stopped[t])
            np.minimum(rest, spare, out=rest)
            cost = rest.min(1)
            better = np.flatnonzero(cost < other)
            other_from[t, better] = rest[better].argmin(1)
            np.minimum(other, cost, out=other)
            other += literal[t]
            np.add(rest, resume, out=spare)
            np.less(spare, copy, out=trail[t].view(bool))
            np.minimum(copy, spare, out=copy)
            begin = self._starts.at(t)
            if begin.stop > begin.start:
                w2, k2 = self._starts.window[begin], self._starts.lane[begin]
                copy[w2, k2] = rest[w2, k2] = _NEVER
            if opens:
                wins = opening < copy[w, k]
                w, k = w[wins], k[wins]
                copy[w, k] = opening[wins]
                trail[t, w, k] = source[wins]
            np.take(table, self._codes[t], out=spare, mode="clip")
            copy += spare
            rest += literal[t][:, None]
        state = np.concatenate((copy, rest, other[:, None]), 1).argmin(1)
        return self._back(state, trail, stopped, other_from)

    def _openings(self, t, prices, copy, rest, other):
        """(windows, lanes, costs, notes for the trail) of copies that may be opened at byte t."""
        here = self._opens.at(t)
        w, k = self._opens.window[here], self._opens.lane[here]
        each = np.arange(len(w))
        copying, resting = copy[w], rest[w]
        price = np.minimum(copying, resting)
        price += np.take(prices, self._changes[t], mode="clip")
        lane = price.argmin(1)
        cost = price[each, lane]
        stays = copying[each, lane] <= resting[each, lane]
        source = np.where(stays, lane, self._count + lane)
        general = other[w] + prices[2]
        source[general < cost] = 2 * self._count
        return w, k, np.minimum(general, cost), source + _OPENED

    def _back(self, state, trail, stopped, other_from):
        """The ways to these last states, from the notes of the search."""
        count = self._count
        rows = np.arange(len(state))
        out = np.empty((_WINDOW, len(state)), np.int16)
        for t in range(_WINDOW - 1, -1, -1):
            copies = state < count
            out[t] = np.where(copies, state, -1)
            lane = np.where(state == 2 * count, other_from[t], state % count)
            stays = lane == count
            lane[stays] = 0
            ended = stopped[t, rows, lane]
            way = trail[t, rows, lane]
            rests = np.where(copies, way == 1, ~ended)
            state = np.where(rests, count + lane, lane)
            opened = copies & (way >= _OPENED)
            state[opened] = way[opened] - _OPENED
            state[stays] = 2 * count
        return out
