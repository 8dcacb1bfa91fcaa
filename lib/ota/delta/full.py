"""Encoding 0, the full image: each output block is its own bytes (docs/format-delta.md)."""

from ..errors import VerifyError

if False:  # for type checkers
    from ota_hints import Inflater


class Full:
    """Decoder of a full image; it needs no base and no memory of its own.

    image_size, block_size: bytes.
    """

    def __init__(self, image_size: int, block_size: int):
        self._image_size = image_size
        self._block_size = block_size
        self._count = (image_size + block_size - 1) // block_size
        self._next = 0

    def restart(self, step: int) -> None:
        """Reset at a restart chunk; the next block is number step in write order."""
        self._next = step

    def block(self, inflater: "Inflater", out: memoryview) -> tuple:
        """Produce the next output block in out; return (index, length).

        out: writable memoryview of block_size bytes. Raises VerifyError "patch", "inflate".
        """
        index, length = self._head()
        inflater.readinto(out[:length])
        return index, length

    def skip(self, inflater: "Inflater") -> tuple:
        """Skip the next block; return (index, length). Raises as block() does."""
        index, length = self._head()
        inflater.skip(length)
        return index, length

    def _head(self):
        index = self._next
        if not 0 <= index < self._count:
            raise VerifyError("patch", index)
        self._next = index + 1
        return index, min(self._block_size, self._image_size - index * self._block_size)
