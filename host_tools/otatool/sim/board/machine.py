"""The virtual board's machine module: the interpreter's own, with resets, WDT, Timer and Pin.

Reset and watchdog are carried out by the launcher, which ends the process and starts it
again; so nothing in RAM survives them, as on a chip. Timers are no threads: this interpreter's
run without a lock, and a signal while one waits for another to collect garbage ends it.
"""

import sys
import time

import _control as _c
from umachine import *  # noqa: F403

PWRON_RESET = _c.CAUSE_PWRON
HARD_RESET = _c.CAUSE_HARD
WDT_RESET = _c.CAUSE_WDT
DEEPSLEEP_RESET = 4
SOFT_RESET = _c.CAUSE_SOFT

_bell = None
_timers: list = []


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
        if options:
            self.init(**options)

    def init(self, mode: int = PERIODIC, period: int = 1000, callback=None) -> None:
        """Call callback(timer) after period ms, once or again and again."""
        self.deinit()
        self._callback = callback
        self._period = None if mode == self.ONE_SHOT else period
        self._due = time.ticks_add(time.ticks_ms(), period)
        _start()
        _timers.append(self)
        _alarm(0)

    def deinit(self) -> None:
        """Stop; the callback is not called any more."""
        try:
            _timers.remove(self)
        except ValueError:
            pass

    def _call(self, now):
        if self._period is None:
            _timers.remove(self)
        else:
            self._due = time.ticks_add(now, self._period)
        try:
            if self._callback:
                self._callback(self)
        except Exception as e:
            sys.print_exception(e)


def _start():
    global _bell
    if _bell is None:
        _bell = open(_c.bell, "wb")
        _c.tick = _tick  # to live as long as the flash driver, whatever becomes of this module
        _c.words[_c.W_TICK] = id(_tick)


def _alarm(delay_ms):
    # The board's process schedules a tick then (-1: never), see child.py. Only a tick says when
    # the next one is due, and none interrupts another; who starts a timer asks for one now.
    _c.words[_c.W_ALARM_MS] = delay_ms + 1
    _c.words[_c.W_ALARMS] += 1
    _bell.write(b"\0")


def _tick(_):
    # Ctrl-C is looked for at branches, the end of a try block among them, but not at a return:
    # what arrives here is caught or is for the program.
    _c.words[_c.W_TICKING] = _c.RUNS
    try:
        _call_back()
        _c.words[_c.W_TICKING] = _c.IDLE
        return
    except KeyboardInterrupt:
        # Raised out of here it would be no more than a message.
        _alarm(0)
        _c.words[_c.W_AGAIN] = 1
        _c.words[_c.W_TICKING] = _c.IDLE
        return
    except BaseException:
        _c.words[_c.W_TICKING] = _c.IDLE
        raise


def _call_back():
    now = time.ticks_ms()
    for timer in list(_timers):
        # A callback may have stopped it.
        if timer in _timers and time.ticks_diff(timer._due, now) <= 0:
            timer._call(now)
    left = [time.ticks_diff(timer._due, time.ticks_ms()) for timer in _timers]
    _alarm(max(min(left), 0) if left else -1)
