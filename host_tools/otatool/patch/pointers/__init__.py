"""Pointers that moved: the host's side of ota/delta/pointers/__init__.py.

Code refers to code and data by distance and by address. Where code moved, many bytes differ
although nothing but positions changed. A patch carries a short table "addresses from here on
moved by this much"; the device rewrites what it copies accordingly, and corrections mend what
the table does not know. So a wrong guess costs bytes, never the image.

`moves` finds where pointers went, `fit` makes the table of it, `Filter.normalised` gives both
images with targets in place of distances, for a matcher; docs/format-delta.md section 7 has
what the device does, after section 4.4 of the study it was drawn up from.
"""

import copy
import struct
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from ..covers import Segment
from ..varints import varint, zigzag

TABLE_MAX = 368  # entries, 8 bytes of RAM each on the device: with them it needs 15 KB at most
# Bits, by the sizes of patches of firmware pairs. An entry takes some 30, but helps copies that
# are only found with the table; where there are few the higher figure gives smaller patches.
ENTRY, DEAR_ENTRY = 16.0, 34.0
_MISS = 12.0


@dataclass
class Table:
    """Sorted starts (addresses) and by how much everything from there on has moved."""

    starts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    shifts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def look(self, values: np.ndarray) -> np.ndarray:
        """The shift of each address."""
        if not len(self.starts):
            return np.zeros(len(values), np.int64)
        i = np.searchsorted(self.starts, values, side="right") - 1
        return np.where(i >= 0, self.shifts[np.maximum(i, 0)], 0)

    def pack(self) -> bytes:
        """As it stands in the payload: count, length, starts as differences, zigzag shifts as
        differences."""
        starts = np.diff(self.starts, prepend=0).tolist()
        shifts = np.diff(self.shifts, prepend=0).tolist()
        body = b"".join(map(varint, starts)) + b"".join(varint(zigzag(s)) for s in shifts)
        return struct.pack("<HH", len(starts), len(body)) + body


def fit(values: np.ndarray, shifts: np.ndarray, entry: float = ENTRY) -> Table:
    """The table that costs least: entry bits for each entry, 12 for each pointer it misses.

    Args:
        values, shifts: addresses before, and how far each moved. The cheapest way through the
            sorted addresses with "the shift now" as state (Viterbi); every state but those of the
            pointers at hand falls behind by the same, so only these are touched.
    """
    order = np.argsort(values, kind="stable")
    at = values[order].tolist()
    went = shifts[order].tolist()
    # Costs without what all states share. Paths are linked lists: (start, shift, before).
    best: float = 0.0
    best_path: tuple | None = None
    cost: dict[int, float] = {0: 0.0}
    path: dict[int, tuple | None] = {0: None}
    i = 0
    while i < len(at):
        j = i
        while j < len(at) and at[j] == at[i]:
            j += 1
        group = Counter(went[i:j])
        for shift, count in group.items():
            if cost.get(shift, float("inf")) > best + entry:
                cost[shift] = best + entry
                path[shift] = (at[i], shift, best_path)
            cost[shift] -= _MISS * count
        for shift in group:
            if cost[shift] < best:
                best, best_path = cost[shift], path[shift]
        i = j
    entries: list[tuple[int, int]] = []
    while best_path is not None:
        start, shift, best_path = best_path
        entries.append((start, shift))
    entries.reverse()
    kept = [e for k, e in enumerate(entries) if not k or entries[k - 1][1] != e[1]]
    if len(kept) > TABLE_MAX:
        return fit(values, shifts, entry * 1.15)
    return Table(
        np.array([s for s, _ in kept], np.int64), np.array([s for _, s in kept], np.int64)
    )


class Filter(ABC):
    """A kind of pointers, and where the image lies; table: filled by fit().

    Attributes:
        kind: number in the package.
        base: address of the first byte.
        low, high: a second range of addresses that words may hold, of data in RAM for example.
        size: bytes of the old image.
    """

    kind: int

    def __init__(self, base: int, low: int, high: int, size: int):
        self.base, self.low, self.high, self.size = base, low, high, size
        self.table = Table()

    def fitted(self, values: np.ndarray, shifts: np.ndarray, entry: float = ENTRY) -> "Filter":
        """A filter like this one with a table for such moves; see fit()."""
        out = copy.copy(self)
        out.table = fit(values, shifts, entry)
        return out

    @abstractmethod
    def predict(self, piece: bytes, old: int, new: int) -> bytes:
        """What a copy of piece from position old to position new becomes on the device."""

    @abstractmethod
    def moves(
        self, old: bytes, new: bytes, segments: Iterable[Segment]
    ) -> tuple[np.ndarray, np.ndarray]:
        """(address, how far it moved) of every pointer that the copies bring along."""

    @abstractmethod
    def normalised(self, image: bytes, is_old: bool) -> bytes:
        """The image with targets instead of distances; in the old one as the table says."""

    def inside(self, values: np.ndarray, size: int | None = None) -> np.ndarray:
        """Which of values are addresses a word may hold."""
        end = self.base + (self.size if size is None else size)
        own = (values >= self.base) & (values < end)
        return own | ((values >= self.low) & (values < self.high))

    def field(self) -> bytes:
        """The header's field POINTERS."""
        return struct.pack(
            "<BBHIII", self.kind, 0, len(self.table.starts), self.base, self.low, self.high
        )
