"""Bytes in memory as a transport reader."""


class Memory:
    """Reader over data (bytes-like), from offset on."""

    def __init__(self, data, offset: int = 0):
        self._data = memoryview(data)
        self._at = offset

    def readinto(self, buf) -> int:
        """Fill buf as far as there are bytes; 0 at the end."""
        n = min(len(buf), len(self._data) - self._at)
        buf[:n] = self._data[self._at : self._at + n]
        self._at += n
        return n

    def close(self) -> None:
        """Nothing to give back."""
