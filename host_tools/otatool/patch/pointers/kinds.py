"""Which kinds of pointers an image may have; the bytes say so."""

from collections.abc import Iterator

from . import Filter, riscv, thumb, xtensa


def candidates(old: bytes) -> Iterator[Filter]:
    """Filters that may make a patch of the old image smaller, their tables still empty."""
    yield from thumb.bases(old)
    yield from riscv.bases(old)
    yield from xtensa.bases(old)
