"""What is typed at a board, given to its process at a moment when the process takes it.

A serial port keeps what comes while the program is busy; a terminal loses it in two ways: the
prompt empties its terminal before it reads, and the next process starts with a terminal of
its own. So input waits here until the prompt reads, or until so much time has passed that
there will be no prompt.
"""

import os
import threading
import time

from . import ptys
from .board import _control as c

_HOLD_S = 0.3  # from the start of a program that may read the terminal itself
_PROMPT_S = 3.0  # from Ctrl-C, or from the start of a process that only has one, to the prompt
_NEVER_S = 3600.0


class Keyboard:
    """Input of one board, from its first process to its last. Its users are two threads:
    put() may be called from any, everything else from the board's."""

    def __init__(self):
        self._lock = threading.Lock()
        self._input = bytearray()

    def put(self, data: bytes) -> None:
        """Type data."""
        with self._lock:
            self._input += data

    def begin(self, terminal: ptys.Terminal, raw: bool, words: memoryview, bell: int) -> None:
        """A process starts, with a terminal of its own.

        Args:
            raw: it runs no program but the raw REPL.
            words: of the control page.
            bell: what makes the process look at them.
        """
        self._terminal, self._words, self._bell = terminal, words, bell
        words[c.W_INTERRUPT] = c.TAKEN
        self._refused = 0.0
        self.raw = raw
        self._first_hold_s = _PROMPT_S if raw else _HOLD_S
        self._hold_until = time.monotonic() + _NEVER_S

    def end(self) -> None:
        """The process ended. Ctrl-C that it did not take is for the next one."""
        if self._words[c.W_INTERRUPT] != c.TAKEN:
            with self._lock:
                self._input[:0] = b"\x03"

    def type(self) -> None:
        """Give the started process what it can take now.

        raw is False from the moment on that the process was sent to its raw REPL.
        """
        if self._words[c.W_INTERRUPT] == c.ASKED:
            return  # it answers at once, see child.py
        now, reading = time.monotonic(), self._terminal.reading
        if self._words[c.W_INTERRUPT] == c.REFUSED:
            # The program is over, and the prompt does not read yet; or it is a character to it.
            self._words[c.W_INTERRUPT] = c.TAKEN
            self._refused = self._refused or now
            with self._lock:
                self._input[:0] = b"\x03"
        if reading and self.raw:
            # A soft reset in the raw REPL ends in the raw REPL.
            self.raw = False
            ptys.write(self._terminal.master, b"\x01")
            self._hold_until = now + _HOLD_S
        with self._lock:
            interrupt = self._input.find(b"\x03")
            plain = reading or (self._refused and now > self._refused + _HOLD_S)
            if interrupt >= 0 and not plain:
                # What was typed before it is lost, as in a terminal.
                del self._input[: interrupt + 1]
                self._words[c.W_INTERRUPT] = c.ASKED
                os.write(self._bell, b"\0")
                self._hold_until = now + _PROMPT_S
            elif self._hold_until > now + _PROMPT_S:
                self._hold_until = now + self._first_hold_s
            if self._input and not self.raw and (plain or now > self._hold_until):
                self._refused = 0.0
                n = ptys.write(self._terminal.master, self._input[:1024])
                del self._input[:n]
