"""Encoding 1, the patch: blocks made of a base image, literals and corrections.

The stream of a block (docs/format-delta.md): three varints control_len, gaps_len, values_len;
the control, gaps and values bytes; the literals. Nothing crosses a block boundary, so one
metadata buffer is enough, and everything is checked before it is used.
"""

from ..compat import const
from ..errors import VerifyError
from .varints import signed, varint

if False:  # for type checkers
    from ota_hints import Inflater

# ImportError: CPython, or the file is not installed. SyntaxError: no native emitter.
# ValueError: a .mpy for another architecture. NotImplementedError: an emitter without viper.
try:
    from .add_viper import add
except (ImportError, SyntaxError, ValueError, NotImplementedError):
    from .add import add

META_LIMIT = 4096  # bytes, the longest metadata of a block that a package may ask for
_HEAD_MAX = const(9)  # bytes, three varints of lengths up to META_LIMIT, wordy ones too
_HOME = const(64)  # bytes, the shortest copy whose diagonal becomes home


class Patch:
    """Decoder of a patch against a base image.

    base: has read(offset, buf), at least base_size bytes of it. meta_max: bytes, the
    longest metadata of any block, allocated here (nine at least: the head is read there, too);
    ordered: blocks come in an order of their own, for writing in place. done: bytearray with
    a bit per output block (bit i & 7 of byte i >> 3), set for the blocks that have replaced
    the base already and updated by this object; a copy out of such a block comes from the
    stash, or is rejected.
    pointers: pointers.Pointers that copies are rewritten by. stash: stash.Stash.
    Raises VerifyError "patch" if meta_max is out of range.
    """

    def __init__(
        self, base, base_size, image_size, block_size, meta_max, ordered,
        done=None, pointers=None, stash=None,
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
        self.stash = stash
        self._meta = bytearray(max(meta_max, _HEAD_MAX))
        self._view = memoryview(self._meta)
        self.restart(0)

    def restart(self, step: int) -> None:
        """Reset at a restart chunk; the next block is number step in write order."""
        self._next = 0 if self._ordered else step
        # Tables come before the next block, that of the stash only before the very first.
        self._fresh = 1 if step else 2
        self._down = False
        self._diagonal = self._home = 0

    def block(self, inflater: "Inflater", out: memoryview) -> tuple:
        """Produce the next output block in out; return (index, length).

        out: writable memoryview of block_size bytes.
        Raises VerifyError "patch" (malformed), "order" (a copy out of a block that is
        overwritten already, or a block that comes twice), "inflate"; FlashError of base.
        """
        index, length, at, control, gaps, values = self._begin(inflater)
        if self._is_done(index):
            raise VerifyError("order", index)
        self._compose(inflater, out, index, length, at, control)
        if gaps > control or values > gaps:
            if not add(out, length, self._meta, control, gaps, values):
                raise VerifyError("patch", index)
        self._mark(index)
        return index, length

    def skip(self, inflater: "Inflater") -> tuple:
        """Skip a block that has been written; return (index, length).

        The base is not read; the block is marked in done. Raises VerifyError "patch", "inflate".
        """
        index, length, at, control, _, _ = self._begin(inflater)
        self._compose(inflater, None, index, length, at, control)
        self._mark(index)
        return index, length

    def _begin(self, inflater):
        """Read tables and metadata; return index and length of the block, where its operations
        begin, and where control, gaps and values end."""
        if self._fresh:
            if self._pointers:
                self._pointers.load(inflater, self._view)
            if self.stash and self._fresh == 2:
                self.stash.load(inflater, self._view)
            self._fresh = 0
        # Mostly three bytes; as many more are read as varints are not ended yet.
        head = self._meta
        got = 0
        left = 3
        while left:
            end = got + left
            if end > _HEAD_MAX:
                raise VerifyError("patch", got)
            inflater.readinto(self._view[got:end])
            while got < end:
                if head[got] < 128:
                    left -= 1
                got += 1
        at, control = varint(head, 0, got)
        at, gaps = varint(head, at, got)
        at, values = varint(head, at, got)
        told = 0
        if self._ordered:
            told = control & 1
            control >>= 1
        gaps += control
        values += gaps
        if values > len(self._meta):
            raise VerifyError("patch", values)
        if values:
            inflater.readinto(self._view[:values])
        index = self._next
        at = 0
        if told:
            at, step = varint(self._meta, 0, control)
            index += signed(step)
        elif self._down:
            index -= 2
        # Blocks in descending order are described from their end.
        self._down = index + 1 < self._next
        if not 0 <= index < self._count:
            raise VerifyError("patch", index)
        self._next = index + 1
        length = min(self._block_size, self._image_size - index * self._block_size)
        return index, length, at, control, gaps, values

    def _compose(self, inflater, out, index, length, at, end):
        """Run the operations in meta[at:end]; without out only follow them."""
        meta = self._meta
        start = index * self._block_size
        diagonal = self._diagonal
        home = self._home
        down = self._down
        pointers = self._pointers
        read = self._read if self._done else self._base.read
        literals = 0
        left = length
        while left:
            n = left
            kind = 1
            if at < end:
                op = meta[at]
                at += 1
                if op > 127:
                    at, op = varint(meta, at - 1, end)
                kind = op & 3
                op >>= 2
                if op > n:
                    raise VerifyError("patch", index, left)
                n = op or n
            left -= n
            place = left if down else length - left - n
            if not kind:
                if out is None:
                    literals += n
                else:
                    inflater.readinto(out[place : place + n])
                continue
            if kind > 1:
                at, change = varint(meta, at, end)
                diagonal = (diagonal if kind == 2 else home) + signed(change)
            if n >= _HOME:
                home = diagonal
            source = start + place + diagonal
            if source < 0 or source + n > self._base_size:
                raise VerifyError("patch", index, place)
            if out is not None:
                read(source, out[place : place + n])
                if pointers:
                    pointers.apply(out, place, n, source, start + place)
        if at != end:
            raise VerifyError("patch", index, at)
        self._diagonal = diagonal
        self._home = home
        if literals:
            inflater.skip(literals)

    def _read(self, offset, out):
        """Fill out with bytes of the base, from the stash where they are overwritten."""
        # A copy is no longer than a block, so it spans two blocks at most.
        size = self._block_size
        n = len(out)
        first = offset // size
        last = (offset + n - 1) // size
        if not self._is_done(first) and not self._is_done(last):
            self._base.read(offset, out)
            return
        edge = min(n, (first + 1) * size - offset)
        for index, part in ((first, out[:edge]), (last, out[edge:])):
            if part:
                if not self._is_done(index):
                    self._base.read(offset, part)
                elif self.stash:
                    self.stash.read(offset, part)
                else:
                    raise VerifyError("order", offset)
                offset += len(part)

    def _is_done(self, index):
        # The base may have more blocks than the image; those are never overwritten.
        done = self._done
        return done is not None and index < self._count and done[index >> 3] >> (index & 7) & 1

    def _mark(self, index):
        if self._done is not None:
            self._done[index >> 3] |= 1 << (index & 7)
