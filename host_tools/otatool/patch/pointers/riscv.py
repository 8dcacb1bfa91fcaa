"""RISC-V code (32 bits): targets of jumps, addresses made by two instructions, and words.

The same rules as ota/delta/pointers/riscv.py, which runs on the device, but many places at a time.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from ..covers import Segment
from . import Filter
from . import riscv_isa as isa

_WALK = 8  # instructions between the upper and the lower part of an address, at most
# Where chips keep what is not in the image: RAM of RP2350, CH32V, GD32V; mapped data, RAM and
# ROM of ESP32-C3; ROM and RAM of ESP32-C5, C6, H2; RAM of ESP32-P4.
_OUTSIDE = (
    (0x20000000, 0x20100000), (0x3C000000, 0x40400000), (0x40000000, 0x40900000),
    (0x4FF00000, 0x4FFC0000),
)  # fmt: skip
_LINKS = (0, 1 << 7, 5 << 7)  # registers that a JAL sets: none, ra, t0


class _Found(NamedTuple):
    """Halfwords of a piece from byte `odd` on, and what was found in them.

    jumps: places of JAL, targets: where they lead. uppers, lowers: places of the two parts of
    an address, values: the address. words: places of words, held: their values.
    """

    halves: np.ndarray
    odd: int
    jumps: np.ndarray
    targets: np.ndarray
    uppers: np.ndarray
    lowers: np.ndarray
    values: np.ndarray
    words: np.ndarray
    held: np.ndarray


class RiscV(Filter):
    """Filter of RISC-V code."""

    kind = 2

    def __init__(self, base: int, size: int, outside: tuple[int, int] = _OUTSIDE[0]):
        super().__init__(base, *outside, size)

    def predict(self, piece: bytes, old: int, new: int) -> bytes:
        """As in Filter."""
        moved = new - old
        if moved & 1:
            return piece
        at = self.base + old
        found = self._scan(piece, at, not moved & 3, True)
        if not len(found.jumps) + len(found.uppers) + len(found.words):
            return piece
        out = found.halves.copy()
        look = self.table.look
        here = at + found.odd + 2 * found.jumps
        isa.put_jumps(out, found.jumps, found.targets + look(found.targets) - here - moved)
        values = found.values + look(found.values)
        relative = found.halves[found.uppers] & 0x7F == 0x17
        values[relative] -= at + found.odd + 2 * found.uppers[relative] + moved
        isa.put_pairs(out, found.uppers, found.lowers, values)
        isa.put(out, found.words, found.held + look(found.held))
        return _bytes(piece, found, out)

    def moves(
        self, old: bytes, new: bytes, segments: Iterable[Segment]
    ) -> tuple[np.ndarray, np.ndarray]:
        """As in Filter."""
        values, shifts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for s in segments:
            if s.old is None or s.length < 4 or (s.new - s.old) & 1:
                continue
            at = self.base + s.old
            found = self._scan(old[s.old : s.old + s.length], at, not (s.new - s.old) & 3, False)
            now = _halves(new[s.new + found.odd : s.new + s.length])
            at = self.base + s.new + found.odd
            for was, value, same in (
                _jumps_now(found, now, at),
                _pairs_now(found, now, at),
                _branches_now(found, now, at, at - s.new + s.old),
                (found.held, isa.words(now, found.words), True),
            ):
                same &= self.inside(value, len(new))
                values.append(was[same])
                shifts.append((value - was)[same])
        return np.concatenate(values), np.concatenate(shifts)

    def normalised(self, image: bytes, is_old: bool) -> bytes:
        """As in Filter."""
        found = self._scan(image, self.base, True, False)
        look = self.table.look if is_old else np.zeros_like
        out = found.halves.copy()
        isa.put_jumps(out, found.jumps, found.targets + look(found.targets) - self.base)
        values = found.values + look(found.values)
        isa.put_pairs(out, found.uppers, found.lowers, values)
        isa.put(out, found.words, found.held + look(found.held))
        return _bytes(image, found, out)

    def _scan(self, piece: bytes, at: int, words: bool, only_moved: bool) -> _Found:
        """Find the pointers of a piece at an address, from its first even one on.

        words: look for words, too; only_moved: only for those that the table moves, as the
        device does: any other is looked into for the beginning of something else.
        """
        odd = at & 1
        at += odd
        h = _halves(piece[odd:])
        none = np.zeros(0, np.int64)
        if len(h) < 2:
            return _Found(h, odd, none, none, none, none, none, none, none)
        w = h[:-1] | h[1:] << 16
        op = w & 0x7F
        jumps = np.nonzero(op == 0x6F)[0]
        jumps = jumps[np.isin(w[jumps] & 0xF80, _LINKS)]
        targets = at + 2 * jumps + isa.jump_distance(w[jumps])
        own = (targets >= self.base) & (targets < self.base + self.size)
        jumps, targets = jumps[own], targets[own]
        # The lowest upper parts are none: a sum might leave the numbers of 32 bits.
        uppers = np.nonzero((op & 0x5F == 0x17) & (w & 0xF80 != 0) & (w >> 24 != 0x80))[0]
        uppers = uppers[(op[uppers] == 0x17) | self._near(w[uppers] & 0xFFFFF000)]
        lowers = _lowers(w, uppers)
        uppers, lowers = uppers[lowers >= 0], lowers[lowers >= 0]
        places, held = none, none
        if words:
            places = np.arange(-at % 4 // 2, len(h) - 1, 2)
            held = w[places]
            own = self.inside(held)
            if only_moved:
                own &= self.table.look(held) != 0
            places, held = places[own], held[own]
        i, j, k = self._in_turn(h, at, jumps, uppers, lowers, places)
        uppers, lowers = uppers[j], lowers[j]
        values = _values(h, uppers, lowers, at)
        return _Found(h, odd, jumps[i], targets[i], uppers, lowers, values, places[k], held[k])

    def _near(self, uppers):
        """Which upper parts may become an address that counts, whatever follows."""
        near = (uppers + 0x7FF >= self.base) & (uppers - 0x800 < self.base + self.size)
        return near | (uppers + 0x7FF >= self.low) & (uppers - 0x800 < self.high)

    def _in_turn(self, h, at, jumps, uppers, lowers, words):
        """Which of jumps, pairs and words count, as masks; a pair may get another lower part.

        None begins inside another before it, and the lower part of a pair is nothing else."""
        own = self.inside(_values(h, uppers, lowers, at))
        places = np.concatenate([jumps, uppers, words])
        feet = np.sort(np.concatenate([places, lowers]))
        kept = np.ones(len(places), bool)
        first, last = len(jumps), len(jumps) + len(uppers)
        kept[first:last] = own
        if len(feet) < 2 or np.diff(feet).min() >= 2:
            return kept[:first], kept[first:last], kept[last:]
        kept[:] = False
        taken: set[int] = set()
        end = 0
        order = np.argsort(places, kind="stable")
        for i, place in zip(order.tolist(), places[order].tolist(), strict=True):
            if place < end or place in taken or place + 1 in taken:
                continue
            if first <= i < last:
                low = int(lowers[i - first])
                good = own[i - first]
                if low in taken or low + 1 in taken:
                    low = lowers[i - first] = _lower(h, place, taken)
                    k = slice(i - first, i - first + 1)
                    good = low >= 0 and self.inside(_values(h, uppers[k], lowers[k], at))[0]
                if not good:
                    continue
                taken.update((low, low + 1))
            kept[i] = True
            end = place + 2
        return kept[:first], kept[first:last], kept[last:]


def _jumps_now(found, now, at):
    """(targets, where they lead in the new image, if they are jumps there, too)."""
    k = found.jumps
    value = at + 2 * k + isa.jump_distance(isa.words(now, k))
    return found.targets, value, (found.halves[k] ^ now[k]) & 0xFFF == 0


def _pairs_now(found, now, at):
    """The same of pairs."""
    upper, lower = isa.words(now, found.uppers), isa.words(now, found.lowers)
    same = (upper ^ isa.words(found.halves, found.uppers)) & 0xFFF == 0
    same &= (lower ^ isa.words(found.halves, found.lowers)) & 0xFF07F == 0
    return found.values, _values(now, found.uppers, found.lowers, at), same


def _branches_now(found, now, at, old):
    """The same of conditional branches. The device leaves them alone, as few lead over what
    changed; but these show best where it was."""
    k = np.nonzero(found.halves[:-1] & 0x7F == 0x63)[0]
    target = old + 2 * k + isa.branch_distance(isa.words(found.halves, k))
    value = at + 2 * k + isa.branch_distance(isa.words(now, k))
    return target, value, (found.halves[k] ^ now[k]) & 0x707F == 0


def _lowers(w, uppers):
    """Where the register that each of uppers sets is an address first; -1 for nowhere."""
    out = np.full(len(uppers), -1, np.int64)
    left = np.arange(len(uppers))
    at = uppers + 2
    for _ in range(_WALK):
        inside = at < len(w)
        left, at = left[inside], at[inside]
        x = w[at]
        used = isa.uses(x, w[uppers[left]])
        out[left[used]] = at[used]
        left, at, x = left[~used], at[~used], x[~used]
        at = at + 1 + (x & 3 == 3)
    return out


def _lower(h, upper, taken):
    """The same for one of them, where some halfwords are taken."""
    at = upper + 2
    for _ in range(_WALK):
        if at + 1 >= len(h):
            break
        free = at not in taken and at + 1 not in taken
        if free and isa.uses(isa.words(h, at), h[upper]):
            return at
        at += 2 if h[at] & 3 == 3 else 1
    return -1


def _values(h, uppers, lowers, at):
    """The addresses that pairs make, in halfwords at an address."""
    values = isa.address(isa.words(h, uppers), isa.words(h, lowers))
    relative = h[uppers] & 0x7F == 0x17
    values[relative] += at + 2 * uppers[relative]
    return values


def _halves(data):
    return np.frombuffer(data[: len(data) // 2 * 2], "<u2").astype(np.int64)


def _bytes(piece, found, out):
    body = out.astype("<u2").tobytes()
    return piece[: found.odd] + body + piece[found.odd + len(body) :]


def bases(old: bytes) -> Iterator[RiscV]:
    """A filter at the address where the old image seems to lie, if it looks like RISC-V code."""
    h = _halves(old)
    if len(h) < 256:
        return
    w = h[:-1] | h[1:] << 16
    jumps = np.nonzero(w & 0xFFF == 0xEF)[0]  # JAL that sets ra: calls
    targets = 2 * jumps + isa.jump_distance(w[jumps])
    inside = (targets >= 0) & (targets < len(old))
    # By chance there is one in 4096 halfwords; compressed code has one in 20 to 40.
    if inside.sum() * 400 < len(h) or inside.sum() * 2 < len(jumps):
        return
    # A function is called, or makes room on the stack: C.ADDI, C.ADDI16SP, ADDI sp, sp, below 0.
    h, sp = h[:-1], w & 0x800FFFFF == 0x80010113
    enters = 2 * np.nonzero((h & 0xFF83 == 0x1101) | (h & 0xFF83 == 0x7101) | sp)[0]
    base = _base(old, w, np.union1d(targets[inside], enters))
    uppers, lowers, values = _pairs(w, 0x17)
    values += base + 2 * uppers
    values = np.concatenate([values, _pairs(w, 0x37)[2]])
    outside = max(_OUTSIDE, key=lambda r: ((values >= r[0]) & (values < r[1])).sum())
    yield RiscV(base, len(old), outside)


def _pairs(w, op):
    """(places of an upper part, its lower ones, their sums) of AUIPC 0x17 or LUI 0x37."""
    uppers = np.nonzero((w & 0x7F == op) & (w & 0xF80 != 0))[0]
    lowers = _lowers(w, uppers)
    uppers, lowers = uppers[lowers >= 0], lowers[lowers >= 0]
    return uppers, lowers, isa.address(w[uppers], w[lowers])


def _base(image, w, functions):
    """The multiple of 4096 that most addresses speak for.

    functions: positions where functions begin. Each word, and each sum of LUI and what follows
    it, has one vote for every base at which it would be the address of one.
    """
    words = np.frombuffer(image[: len(image) // 4 * 4], "<u4").astype(np.int64)
    # A number that happens to occur a lot has one vote, too.
    values = np.unique(np.concatenate([words, _pairs(w, 0x37)[2]]))
    values = values[(values > 0) & (values < 0x60000000)]
    functions = functions[np.argsort(functions & 0xFFF, kind="stable")]
    first, last = (
        np.searchsorted(functions & 0xFFF, values & 0xFFF, side) for side in ("left", "right")
    )
    count = last - first
    which = np.arange(count.sum()) - np.repeat(np.cumsum(count) - last, count)
    bases, votes = np.unique(np.repeat(values, count) - functions[which], return_counts=True)
    votes[bases < 0] = 0
    return int(bases[votes.argmax()]) if votes.any() else 0
