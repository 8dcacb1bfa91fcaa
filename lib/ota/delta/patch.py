"""Encoding 1, the patch: blocks made of a base image, literals and corrections.

The stream of a block (docs/format-delta.md): `<HHH` control_len, gaps_len, values_len; the
control, gaps and values bytes; the literals. Nothing crosses the edge of a block, so the
memory is one metadata buffer, and everything is checked before it is used.
"""

import struct

from ..errors import VerifyError

# ImportError: CPython, or the file is not installed. SyntaxError: no native emitter.
# ValueError: a .mpy for another architecture. NotImplementedError: an emitter without viper.
try:
    from .add_viper import add
except (ImportError, SyntaxError, ValueError, NotImplementedError):
    from .add import add

_HEAD = "<HHH"
_HEAD_SIZE = 6
META_LIMIT = 4096  # bytes, the longest metadata of a block that a package may ask for


class Patch:
    """Decoder of a patch against a base image.

    base: has read(offset, buf), at least base_size bytes of it. meta_max: bytes, the
    longest metadata of any block, allocated here; ordered: blocks come in an order of
    their own, for writing in place. done: bytearray with a bit per output block (bit
    i & 7 of byte i >> 3), set for the blocks that have replaced the base already and
    kept up by this object; a copy out of such a block is refused. pointers: pointers.Pointers
    that copies are rewritten by.
    Raises VerifyError "patch" if meta_max is out of range.
    """

    def __init__(
        self, base, base_size, image_size, block_size, meta_max, ordered, done=None, pointers=None
    ):  # fmt: skip
        if not 0 <= meta_max <= META_LIMIT:
            raise VerifyError("patch", meta_max)
        self._base = base
        self._base_size = base_size
        self._image_size = image_size
        self._block_size = block_size
        self._count = (image_size + block_size - 1) // block_size
        self._ordered = ordered
        if done is not None and len(done) * 8 < self._count:
            raise ValueError("done is shorter than the image")
        self._done = done
        self._pointers = pointers
        self._table = pointers is not None  # it comes before the next block
        self._head = bytearray(_HEAD_SIZE)
        self._meta = bytearray(meta_max)
        self._view = memoryview(self._meta)
        self._control_end = 0
        self._at = 0
        self._next = 0
        self._diagonal = 0

    def restart(self, step: int) -> None:
        """Reset at a restart chunk; the next block is number step in write order."""
        self._next = 0 if self._ordered else step
        self._table = self._pointers is not None
        self._diagonal = 0

    def block(self, inflater, out):
        """Produce the next output block in out; return (index, length).

        out: writable memoryview of block_size bytes.
        Raises VerifyError "patch" (malformed), "order" (a copy out of a block that is
        overwritten already, or a block that comes twice), "inflate"; FlashError of base.
        """
        index, length, gaps_end, values_end = self._begin(inflater)
        if self._is_done(index):
            raise VerifyError("order", index)
        self._compose(inflater, out, index, length)
        if gaps_end > self._control_end or values_end > gaps_end:
            if not add(out, length, self._meta, self._control_end, gaps_end, values_end):
                raise VerifyError("patch", index)
        self._mark(index)
        return index, length

    def skip(self, inflater):
        """Read past a block that is written already; return (index, length).

        The base is not touched; the block is marked in done. Raises VerifyError "patch",
        "inflate".
        """
        index, length, _, _ = self._begin(inflater)
        self._compose(inflater, None, index, length)
        self._mark(index)
        return index, length

    def _begin(self, inflater):
        if self._table:
            self._pointers.load(inflater, self._view)
            self._table = False
        inflater.readinto(self._head)
        control, gaps, values = struct.unpack(_HEAD, self._head)
        total = control + gaps + values
        if total > len(self._meta):
            raise VerifyError("patch", total)
        if total:
            inflater.readinto(self._view[:total])
        self._at = 0
        self._control_end = control
        index = self._next
        if self._ordered:
            step = self._varint()
            if step & 1:  # reserved for operations on a stash
                raise VerifyError("patch", index)
            index += _signed(step >> 1)
        if not 0 <= index < self._count:
            raise VerifyError("patch", index)
        self._next = index + 1
        length = min(self._block_size, self._image_size - index * self._block_size)
        return index, length, control + gaps, total

    def _compose(self, inflater, out, index, length):
        """Run the block's copies and literals; without out only follow them."""
        start = index * self._block_size
        place = 0
        literals = 0
        while place < length:
            op = self._varint()
            n = (op >> 1) or length - place
            if n > length - place:
                raise VerifyError("patch", index, place)
            if op & 1:
                source = start + place + self._move()
                if source < 0 or source + n > self._base_size:
                    raise VerifyError("patch", index, place)
                if out is not None:
                    # A copy is no longer than a block, so it lies in two of them at most.
                    first = source // self._block_size
                    last = (source + n - 1) // self._block_size
                    if self._is_done(first) or self._is_done(last):
                        raise VerifyError("order", index, source)
                    self._base.read(source, out[place : place + n])
                    if self._pointers:
                        self._pointers.apply(out, place, n, source, start + place)
            elif out is not None:
                inflater.readinto(out[place : place + n])
            else:
                literals += n
            place += n
        if self._at != self._control_end:
            raise VerifyError("patch", index, place)
        if literals:
            inflater.skip(literals)

    def _move(self):
        """Read a change of the diagonal (old position - new position); return the new one."""
        change = self._varint()
        if self._ordered:
            if change & 1:  # reserved for copies out of a stash
                raise VerifyError("patch", self._at)
            change >>= 1
        self._diagonal += _signed(change)
        return self._diagonal

    def _varint(self):
        at = self._at
        end = self._control_end
        if at >= end:
            raise VerifyError("patch", at)
        value = self._meta[at]
        at += 1
        if value > 127:
            value &= 127
            shift = 7
            while True:
                if at >= end or shift > 28:
                    raise VerifyError("patch", at)
                byte = self._meta[at]
                at += 1
                value |= (byte & 127) << shift
                if byte < 128:
                    break
                shift += 7
        self._at = at
        return value

    def _is_done(self, index):
        # The base may have more blocks than the image; those are never overwritten.
        done = self._done
        return done is not None and index < self._count and done[index >> 3] >> (index & 7) & 1

    def _mark(self, index):
        if self._done is not None:
            self._done[index >> 3] |= 1 << (index & 7)


def _signed(value):
    """Zigzag: 0, 1, 2, 3 ... are 0, -1, 1, -2 ..."""
    return (value >> 1) ^ -(value & 1)
