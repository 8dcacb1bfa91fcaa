"""The two terminals of a board: one for its process, one for the program that talks to it.

Each process of the board gets a terminal of its own, so that the next one can own it too
and a dead launcher hangs it up. The outer one stays while the board is reset, as a serial
port does.
"""

import os
import time

from .posix import termios, tty

_KEEP = 1 << 16  # bytes waiting for a slow reader
_STUCK_S = 0.5


class Terminal:
    """A pty as the board's process wants it: Ctrl-C is no signal, see keyboard.py, and nothing
    is changed on the way out (mpremote would stumble over \\r\\r\\n)."""

    def __init__(self):
        self.master, self.slave = os.openpty()
        mode = termios.tcgetattr(self.slave)
        mode[0] = 0
        mode[1] &= ~termios.OPOST
        mode[3] = termios.ISIG
        for key in (termios.VINTR, termios.VQUIT, termios.VSUSP):
            mode[6][key] = os.fpathconf(self.slave, "PC_VDISABLE").to_bytes(1, "little")
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self.slave, termios.TCSANOW, mode)
        os.set_blocking(self.master, False)

    @property
    def reading(self) -> bool:
        """True while the prompt reads: MicroPython then clears ISIG."""
        return not termios.tcgetattr(self.slave)[3] & termios.ISIG

    def close(self) -> None:
        """Hang up."""
        os.close(self.master)
        os.close(self.slave)


class Port:
    """The pty that mpremote opens, there from the first boot to the last."""

    def __init__(self):
        self.master, self._slave = os.openpty()
        self.path = os.ttyname(self._slave)
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        self._out = bytearray()
        self._moved = time.monotonic()

    def write(self, data: bytes) -> None:
        """Send data out; what nobody reads is lost, as on a serial line."""
        self._out += data
        self.flush()

    def flush(self) -> None:
        """Send what waits."""
        now = time.monotonic()
        if not self._out:
            self._moved = now
            return
        n = write(self.master, self._out)
        del self._out[:n]
        if n:
            self._moved = now
        elif now - self._moved > _STUCK_S or len(self._out) > _KEEP:
            self._out.clear()

    def close(self) -> None:
        """Remove the pty."""
        os.close(self.master)
        os.close(self._slave)


def read(fd: int) -> bytes:
    """What can be read now, b"" if nothing."""
    try:
        return os.read(fd, 1 << 16)
    except (BlockingIOError, OSError):
        return b""


def write(fd: int, data: bytes | memoryview) -> int:
    """Write what fits now; return how much."""
    try:
        return os.write(fd, data)
    except (BlockingIOError, OSError):
        return 0
