"""The user's terminal as the board's console."""

import contextlib
import os
import select
import signal
import sys

from .launcher import Board
from .posix import termios, tty

LEAVE = b"\x1d"  # Ctrl-]
_POLL_S = 0.1


def run(board: Board, keyboard: bool) -> None:
    """Run board until it stays off, or until Ctrl-] or a signal ends it.

    Args:
        board: not started yet; it should print to stdout.
        keyboard: what is typed goes to the board, Ctrl-C included.
    """
    signal.signal(signal.SIGTERM, _leave)
    with contextlib.ExitStack() as stack:
        keys = sys.stdin.fileno() if keyboard else -1
        board.start()
        stack.callback(board.kill)
        leave = "Ctrl-] leaves" if keyboard else "Ctrl-C leaves"
        print(f"sim: the board is on {board.pty}; {leave}", file=sys.stderr, flush=True)
        if keyboard and os.isatty(keys):
            stack.enter_context(_raw(keys))
        while board.running:
            if keys < 0:
                board.wait_off_for(_POLL_S)
            elif select.select([keys], [], [], _POLL_S)[0]:
                data = os.read(keys, 1024)
                if LEAVE in data:
                    return
                board.send(data)
                if not data:
                    keys = -1  # the end of a pipe: nothing more is typed


@contextlib.contextmanager
def _raw(fd: int):
    before = termios.tcgetattr(fd)
    tty.setraw(fd)
    mode = termios.tcgetattr(fd)
    mode[1] = before[1]  # the board's \n still begins a line
    termios.tcsetattr(fd, termios.TCSANOW, mode)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
        print()


def _leave(*_):
    raise KeyboardInterrupt
