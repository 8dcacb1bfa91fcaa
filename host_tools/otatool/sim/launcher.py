"""Run a virtual board: start its process, carry out its resets, connect its terminal.

A thread does all of it, so that a caller can wait for text, run mpremote against the pty or
do nothing. The board asks for a reset by a word in the control page and waits; power cuts
and watchdogs end the same way: the process is killed and the next one finds the flash as
it is.
"""

import json
import os
import pathlib
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ToolError
from . import posix, ptys
from .board import _control as c
from .chip import Chip
from .keyboard import Keyboard

EFFECTS = {"before": c.BEFORE, "middle": c.MIDDLE, "after": c.AFTER}

_POLL_S = 0.005
_RAW = b"raw REPL; CTRL-B to exit\r\n"
_FRIENDLY = b'Type "help()" for more information.\r\n'
_BARE_NEWLINE = re.compile(rb"(?<!\r)\n")
_CHILD = pathlib.Path(__file__).with_name("child.py")


class Board:
    """A virtual board that runs from start() to kill().

    Args:
        path: FLASH, as chip.create() made it.
        heap: size of the Python heap, as for micropython -X heapsize: "192K", "2M".
        cut: power goes at this flash operation, counted from start(); or several such
            counts, each from the cut before it.
        cut_effect: what of that operation happens: "before" nothing, "middle" half, "after" all.
        once: stay off after the last cut, or after the first reset if there is no cut.
        restart: False leaves the board off at the first reset, cut or end of any kind.
        timing: let flash operations last as long as on a typical SPI NOR.
        measure: collect garbage before the heap is measured, see counters().
        pins: numbers of the pins that somebody holds, see machine.Pin of the board.
        link: path of a symbolic link to the pty, for a name that stays the same.
        output: called with the bytes the board prints, from the board's thread; without what
            mpremote and the board say to each other in the raw REPL.

    Attributes:
        pty: path of the board's serial port, for mpremote.
        console: everything printed so far.
        flash: the flash's bytes, live.

    Raises:
        ToolError: path is no board, it runs already, or it holds no firmware.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        heap: str = "192K",
        cut: int | Sequence[int] | None = None,
        cut_effect: str = "middle",
        once: bool = False,
        restart: bool = True,
        timing: bool = False,
        measure: bool = False,
        pins: Sequence[int] = (),
        link: str | os.PathLike | None = None,
        output: Callable[[bytes], None] | None = None,
    ):
        if not re.fullmatch(r"\d+w?[kKmM]?", heap):
            raise ToolError(f'heap "{heap}": give a size such as 192K or 2M')
        self._cuts = [cut] if isinstance(cut, int) else list(cut or ())
        if any(n < 1 for n in self._cuts):
            raise ToolError("flash operations are counted from 1")
        self._heap, self._effect, self._timing = heap, EFFECTS[cut_effect], timing
        self._measure, self._pins = measure, sum({1 << n for n in pins})
        self._once, self._restart = once, restart
        self._link = pathlib.Path(link) if link else None
        self._output = output
        self._path = path
        self._thread: threading.Thread | None = None
        self._off = threading.Event()
        self._chip: Chip | None = None
        self._counters: dict = {}
        self._left = ""
        self.console = bytearray()
        self._changed = threading.Condition()
        self._seen = 0
        self.pty = ""

    # -- what a caller does ----------------------------------------------------------------

    def start(self) -> "Board":
        """Switch on; returns at once, wait() says how far the board is."""
        self._extension = posix.require()
        link = self._link
        if link and not link.is_symlink() and link.exists():
            raise ToolError(f"{link} exists and is not a link: choose another name for --link")
        self._chip = chip = Chip(self._path)
        try:
            offset = chip.rom[0]
            if chip.flash[offset : offset + 3] != b"\xd2\xcd\x31":
                raise ToolError(f"{self._path} holds no firmware; create the board again")
            self._port = ptys.Port()
        except BaseException:
            chip.close()
            raise
        self.pty = self._port.path
        if link:
            try:
                # A link of an earlier board is removed and no other file: what somebody puts
                # there in between makes symlink() fail.
                if link.is_symlink():
                    link.unlink()
                link.symlink_to(self.pty)
            except OSError as e:
                self._port.close()
                chip.close()
                self._chip = None
                raise ToolError(f"{link}: {e.strerror}; choose another name for --link") from e
        words = chip.words
        words[c.W_TIMING] = self._timing
        words[c.W_CUT_EFFECT], words[c.W_PINS] = self._effect, self._pins
        words[c.W_PEAK], words[c.W_COLLECT] = 0, self._measure
        self._next_cut()
        self._commands, self._wake = os.pipe()
        self._keyboard = Keyboard()
        self._todo: list[str] = []
        self._off.clear()
        self._thread = threading.Thread(target=self._run, name="board", daemon=True)
        self._thread.start()
        return self

    @property
    def running(self) -> bool:
        """False before start() and when the board stays off."""
        return self._thread is not None and not self._off.is_set()

    def wait(self, what: str | bytes | Callable[[], object], timeout: float = 10) -> None:
        """Wait until the console shows a text that no wait() has seen yet, or until a
        function returns something true.

        Raises:
            TimeoutError: not within timeout seconds, or the board is off; with the console's end.
        """
        text = what.encode() if isinstance(what, str) else what
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                off = not self.running
                if isinstance(text, bytes):
                    at = self.console.find(text, self._seen)
                    if at >= 0:
                        self._seen = at + len(text)
                        return
                elif text():
                    return
                if off or time.monotonic() > deadline:
                    end = bytes(self.console[-800:]).decode(errors="replace")
                    state = f"board is off: {self._left}" if off else f"after {timeout} s"
                    raise TimeoutError(f"{what!r} not seen, {state}; the console ends:\n{end}")
                self._changed.wait(0.02)

    def wait_line(self, text: str, timeout: float = 10) -> None:
        """Like wait(), until the line that holds text is whole: a board prints a line in
        pieces, and one that is switched off between two never prints the rest."""
        deadline = time.monotonic() + timeout
        self.wait(text, timeout)
        self.wait("\n", max(deadline - time.monotonic(), 0))

    def wait_off(self, timeout: float = 10) -> None:
        """Wait until the board stays off. Raises TimeoutError."""
        if not self.wait_off_for(timeout):
            raise TimeoutError(f"the board still runs after {timeout} s")

    def wait_off_for(self, timeout: float) -> bool:
        """Wait at most timeout seconds; True if the board is off then."""
        # Not join(): interrupted by Ctrl-C, it takes the thread for finished (until 3.13).
        return self._thread is None or self._off.wait(timeout)

    def send(self, data: str | bytes) -> None:
        """Type data at the board's console, behind what came over its serial port before."""
        with self._changed:
            if self.running:
                self._keyboard.put(ptys.read(self._port.master))
                self._keyboard.put(data.encode() if isinstance(data, str) else data)
        self._nudge()

    def power_cycle(self) -> None:
        """Cut the power now, whatever the board is doing, and switch on again."""
        self._command("power")

    def kill(self) -> None:
        """Cut the power and leave the board off."""
        if self.running:
            self._command("kill")
        self.wait_off()

    def counters(self) -> dict:
        """Of the flash and the board, since it was made: programs, programmed_bytes, erases,
        wear (a list, erases per sector), boots, resets, soft_resets, wdt_resets, power_cuts,
        crashes. Of this run: operations since its start or the last planned cut, and
        peak_heap, the most bytes of heap in use at a flash operation, garbage included
        unless the board was made to measure."""
        with self._changed:
            return self._chip.counters() if self._chip else dict(self._counters)

    @property
    def flash(self) -> Any:
        """The bytes of the flash while the board runs."""
        return self._chip.flash  # type: ignore[union-attr]

    @property
    def left(self) -> str:
        """Why the board is off."""
        return self._left

    def __enter__(self) -> "Board":
        return self.start()

    def __exit__(self, *_) -> None:
        self.kill()

    # -- the board's thread ----------------------------------------------------------------

    def _run(self):
        try:
            cause, to_raw = c.CAUSE_PWRON, False
            while cause:
                cause, to_raw = self._boot(cause, to_raw)
        finally:
            with self._changed:
                chip, self._chip = self._chip, None
                self._counters = chip.counters()
                chip.close()
            self._port.close()
            if self._link and self._link.is_symlink() and os.readlink(self._link) == self.pty:
                self._link.unlink()
            with self._changed:
                os.close(self._commands)
                os.close(self._wake)
                self._off.set()
                self._changed.notify_all()

    def _boot(self, cause, to_raw):
        """One life of the board's process; the next one's cause (0: stay off), and whether it
        leaves out main.py and goes to the raw REPL."""
        words = self._chip.words
        words[c.W_BOOTS] += 1
        words[c.W_CAUSE], words[c.W_SKIP_MAIN] = cause, to_raw
        words[c.W_REQUEST] = words[c.W_STARTED] = words[c.W_TICKING] = 0
        words[c.W_ALARM_MS] = words[c.W_ALARMS] = words[c.W_AGAIN] = 0
        if cause != c.CAUSE_SOFT:
            words[c.W_WDT_MS] = 0  # only a soft reset leaves the watchdog running
        self._fed = (words[c.W_WDT_FEEDS], time.monotonic())
        self._terminal = ptys.Terminal()
        ear, self._bell = os.pipe()
        self._keyboard.begin(self._terminal, to_raw, words, self._bell)
        self._raw = False
        self._tail, self._binary = b"", False
        try:
            process = self._spawn(ear)
        except BaseException:
            os.close(self._bell)
            raise
        finally:
            os.close(ear)
        try:
            ended = None
            while not ended:
                self._pump(process)
                ended = self._ended(process)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            self._drain()
            self._keyboard.end()
            self._terminal.close()
            os.close(self._bell)
        return self._after(ended, process.returncode)

    def _spawn(self, ear):
        flash, control = self._chip.descriptors
        options = {
            "parent": os.getpid(),
            "extension": str(self._extension),
            "flash": flash,
            "control": control,
            "ear": ear,
            "bell": self._bell,
            "size": self._chip.words[c.W_SIZE],
            "rom": self._chip.rom,
            "heap": self._heap,
        }
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(_CHILD), json.dumps(options)],
            stdin=self._terminal.slave,
            stdout=self._terminal.slave,
            stderr=self._terminal.slave,
            start_new_session=True,
            pass_fds=(flash, control, ear, self._bell),
        )

    def _ended(self, process):
        """Why this life of the board is over, "" while it runs."""
        words = self._chip.words
        if self._todo:
            return self._todo.pop(0)
        if words[c.W_REQUEST]:
            return {c.RESET: "reset", c.SOFT_RESET: "soft"}.get(words[c.W_REQUEST], "cut")
        now = time.monotonic()
        if words[c.W_WDT_MS]:
            if words[c.W_WDT_FEEDS] != self._fed[0]:
                self._fed = (words[c.W_WDT_FEEDS], now)
            elif now - self._fed[1] > words[c.W_WDT_MS] / 1000:
                return "wdt"
        return "exit" if process.poll() is not None else ""

    def _after(self, ended, status):
        """Count the end, say it, and choose the next life: cause (0: stay off), if to the
        raw REPL."""
        words = self._chip.words
        to_raw = False
        if ended == "exit":
            # Ctrl-D at the prompt, or a crash.
            ended = "soft" if status >= 0 else "crash"
            to_raw = ended == "soft" and (self._raw or self._keyboard.raw)
        counter, cause = {
            "soft": (c.W_SOFT_RESETS, c.CAUSE_SOFT),
            "reset": (c.W_RESETS, c.CAUSE_HARD),
            "wdt": (c.W_WDT_RESETS, c.CAUSE_WDT),
            "cut": (c.W_POWER_CUTS, c.CAUSE_PWRON),
            "power": (c.W_POWER_CUTS, c.CAUSE_PWRON),
            "crash": (c.W_CRASHES, c.CAUSE_HARD),
            "kill": (c.W_POWER_CUTS, 0),
        }[ended]
        self._left = {
            "soft": "soft reset",
            "wdt": "watchdog reset",
            "cut": f"power cut at flash operation {words[c.W_OPERATIONS]}",
            "power": "power cycled",
            "crash": f"crashed with signal {-status}",
            "kill": "switched off",
        }.get(ended, ended)
        if ended != "kill":
            words[counter] += 1
        if not words[c.W_STARTED] and ended == "exit":
            self._left = "the board's process could not start"
            return 0, False
        if ended == "soft":
            self._emit(b"\r\nMPY: soft reboot\r\n")
        elif ended == "crash":
            self._emit(f"\r\nsim: {self._left}\r\n".encode())
        planned = words[c.W_CUT_AT] and ended != "cut"
        if ended == "cut":
            self._next_cut()
            planned = words[c.W_CUT_AT]
        stay_off = self._once and not planned and ended != "power"
        if stay_off or not self._restart:
            return 0, False
        return cause, to_raw

    def _next_cut(self):
        words = self._chip.words
        words[c.W_OPERATIONS] = 0
        words[c.W_CUT_AT] = self._cuts.pop(0) if self._cuts else 0

    # -- bytes between the terminals -------------------------------------------------------

    def _pump(self, process):
        sources = [self._terminal.master, self._port.master, self._commands]
        ready = select.select(sources, [], [], _POLL_S)[0]
        self._port.flush()
        if self._terminal.master in ready:
            self._emit(ptys.read(self._terminal.master))
        if self._port.master in ready:
            with self._changed:
                self._keyboard.put(ptys.read(self._port.master))
        if self._commands in ready:
            os.read(self._commands, 64)
        words = self._chip.words
        # What comes while the board goes down is for its next life.
        if words[c.W_STARTED] and not words[c.W_REQUEST]:
            self._keyboard.type()

    def _drain(self):
        while True:
            data = ptys.read(self._terminal.master)
            if not data:
                return
            self._emit(data)

    def _emit(self, data):
        if not data:
            return
        tail = self._tail + data
        raw, friendly = tail.rfind(_RAW), tail.rfind(_FRIENDLY)
        if raw != friendly:
            self._raw = raw > friendly
        self._tail = tail[-64:]
        self._port.write(data if self._raw else self._cooked(data))
        if self._output and not self._raw:
            self._output(data)
        with self._changed:
            self.console += data
            self._changed.notify_all()

    def _cooked(self, data):
        # Ports print \r\n where this interpreter prints \n; a terminal needs it. But not the
        # replies to mpremote mount, which are binary and begin with CAN.
        self._binary = self._binary or b"\x18" in data
        return data if self._binary else _BARE_NEWLINE.sub(b"\r\n", data)

    def _command(self, name):
        self._todo.append(name)
        self._nudge()

    def _nudge(self):
        with self._changed:
            if self.running:
                os.write(self._wake, b"\0")
