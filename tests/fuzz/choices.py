"""Where a grammar takes its choices from: one interface over bytes, a generator, hypothesis.

0 is always the plainest choice, so what runs out of bytes, or is shrunk, ends simple.
"""

import random

from packer import noise


class Choices:
    """A source of choices; below(n) gives a number from 0 to n - 1."""

    def below(self, n: int) -> int:
        """A number from 0 to n - 1."""
        raise NotImplementedError

    def pick(self, options):
        """One of options, the first of them for 0."""
        return options[self.below(len(options))]

    def rarely(self, n: int) -> bool:
        """True once in n times; False for 0."""
        return self.below(n) == n - 1

    def near(self, value: int, span: int = 2) -> int:
        """value, or a number up to span beside it."""
        k = self.below(2 * span + 1)
        return value + (-(k + 1) // 2 if k & 1 else k // 2)

    def bytes(self, n: int) -> bytes:
        """n bytes that cost one choice."""
        return noise(n, self.below(256))


class Seeded(Choices):
    """Choices of a pseudo-random generator."""

    def __init__(self, seed):
        self._random = random.Random(seed)

    def below(self, n):
        """As in Choices."""
        return self._random.randrange(n)


class Bytes(Choices):
    """Choices that lie in bytes, as a coverage-guided fuzzer wants to have them."""

    def __init__(self, data: bytes):
        self._data = data
        self._at = 0

    def below(self, n):
        """As in Choices."""
        width = 1 if n <= 256 else 2 if n <= 65536 else 4
        part = self._data[self._at : self._at + width]
        self._at += width
        return int.from_bytes(part, "little") % n


class Drawn(Choices):
    """Choices that hypothesis makes; draw: of st.data(), integers: st.integers."""

    def __init__(self, draw, integers):
        self._draw = draw
        self._integers = integers

    def below(self, n):
        """As in Choices."""
        return self._draw(self._integers(0, n - 1)) if n > 1 else 0
