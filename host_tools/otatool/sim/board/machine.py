"""The virtual board's machine module: the interpreter's own, with resets, WDT, Timer and Pin.

Reset and watchdog are carried out by the launcher, which ends the process and starts it
again; so nothing in RAM survives them, as on a chip.
"""

import _thread
import time

import _control as _c
import micropython
from umachine import *  # noqa: F403

PWRON_RESET = _c.CAUSE_PWRON
HARD_RESET = _c.CAUSE_HARD
WDT_RESET = _c.CAUSE_WDT
DEEPSLEEP_RESET = 4
SOFT_RESET = _c.CAUSE_SOFT


def reset() -> None:
    """Reset the board: a new process, flash as it is. Never returns."""
    _c.stop(_c.RESET)


def soft_reset() -> None:
    """Start the interpreter again; the watchdog keeps running. Never returns."""
    _c.stop(_c.SOFT_RESET)


def reset_cause() -> int:
    """Why the board started: one of the _RESET constants."""
    return _c.words[_c.W_CAUSE]


def unique_id() -> bytes:
    """Eight bytes, given to the board when it was made."""
    return _c.words[_c.W_ID].to_bytes(8, "little")


class WDT:
    """Watchdog: resets the board unless fed within timeout ms. It cannot be stopped."""

    def __init__(self, id: int = 0, timeout: int = 5000):
        if timeout <= 0:
            raise ValueError("timeout")
        _c.words[_c.W_WDT_MS] = timeout
        self.feed()

    def feed(self) -> None:
        """Start the timeout again."""
        _c.words[_c.W_WDT_FEEDS] += 1


class Pin:
    """An input, 0 to 62: at the level of its pull unless somebody holds it (`--pin`)."""

    IN, OUT = 0, 1
    PULL_UP, PULL_DOWN = 1, 2

    def __init__(self, id: int, mode: int = IN, pull: int = PULL_UP):
        if mode != self.IN or not 0 <= id < 63:
            raise ValueError("pin")
        self._mask = 1 << id
        self._pull = pull == self.PULL_UP

    def value(self) -> int:
        """The level, 0 or 1."""
        return int(bool(_c.words[_c.W_PINS] & self._mask) != self._pull)


class Timer:
    """A software timer. The callback runs between bytecodes, as a scheduled one on a port."""

    ONE_SHOT = 0
    PERIODIC = 1

    def __init__(self, id: int = -1, **options):
        self._runs = 0
        self._scheduled = self._call
        if options:
            self.init(**options)

    def init(self, mode: int = PERIODIC, period: int = 1000, callback=None) -> None:
        """Call callback(timer) after period ms, once or again and again."""
        self.deinit()
        self._callback = callback
        self._mode = mode
        _thread.start_new_thread(self._wait, (self._runs, period))

    def deinit(self) -> None:
        """Stop; the callback is not called any more."""
        self._runs += 1  # the waiting thread sees that its run is over

    def _wait(self, run, period):
        while True:
            time.sleep_ms(period)
            if run != self._runs:
                return
            try:
                micropython.schedule(self._scheduled, run)
            except RuntimeError:
                period = 1  # the queue is full: come back soon
                continue
            # The launcher now interrupts a blocking call, so that the callback can run.
            _c.words[_c.W_WAKE] = 1
            if self._mode == self.ONE_SHOT:
                return

    def _call(self, run):
        _c.words[_c.W_WAKE] = 0
        if run != self._runs:
            return
        if self._mode == self.ONE_SHOT:
            self._runs += 1
        if self._callback:
            self._callback(self)
