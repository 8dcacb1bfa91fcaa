"""A board's REPL over its serial port: mpremote's transport, in this file and no other."""

import contextlib
import os
import random
import time
from collections.abc import Callable

import serial
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from ..errors import ToolError

REMOTE = "/remote"  # where share() mounts a folder on the board
WAITS = (
    "the application keeps Ctrl-C to itself: press the board's reset button now, "
    "Ctrl-C comes before it starts again"
)
_HELD = (
    "the application does not stop: it catches Ctrl-C or has switched it off, and nobody pressed "
    "the board's reset button in time; push again and press it when asked, or let the application "
    "end by itself"
)

_SETTLE_S = 0.5
_BANNER = b"raw REPL; CTRL-B to exit\r\n"
_PROMPT = b">>> "
_FIRST_S = 4.0  # for a board that answers to one Ctrl-C; a virtual one needs three seconds
_AGAIN_S = 5.0  # for one that takes many
_BUTTON_S = 15.0  # for somebody to press a button
_RESET_S = 10.0  # for boot.py after a soft reset
_QUIET_S = 0.3  # without output, nothing prints beside us
_GAP_S = 0.005  # between two Ctrl-C, at the most: the shorter, the more come while one is handled
_POLL_S = 0.005
_TAIL = 256  # bytes
_ASK_S = 0.5  # from one question for the raw REPL to the next


class Repl:
    """The raw REPL of a board; a context manager. A running program is interrupted.

    Args:
        port: device name, such as /dev/ttyACM0 or the pty of a virtual board.
        fresh: reset the interpreter, which runs boot.py and not the application; it is done in any
            case where something (a timer, a thread) prints beside us.
        line: gets a line for people that says what to do, if the application does not let go.

    Raises:
        ToolError: there is no board, or none that answers.
    """

    def __init__(self, port: str, fresh: bool = False, line: Callable[[str], None] | None = None):
        self._port = port
        self._fresh = fresh
        self._line = line
        try:
            self._transport = SerialTransport(port, timeout=10)
        except (TransportError, OSError) as e:
            raise ToolError(f"{port}: no board there, or another program uses it") from e

    def __enter__(self) -> "Repl":
        try:
            with _words(f"{self._port}: the board does not answer; press its reset button"):
                self._enter()
        except BaseException:
            self._transport.close()
            raise
        return self

    def _enter(self):
        """Into the raw REPL, whatever runs."""
        if not (self._ask(_FIRST_S) or self._insist(_AGAIN_S)):
            if self._line:
                self._line(WAITS)
            if not self._insist(_BUTTON_S):
                raise ToolError(f"{self._port}: {_HELD}")
            # Whatever was interrupted then, boot.py runs again from its beginning.
            self._fresh = True
        # Otherwise no reset: what the boot stage has set up is what we work with.
        if self._fresh or not self._quiet():
            self._transport.serial.write(b"\x04")
            if not (self._answers(_BANNER, _RESET_S) or self._ask(_FIRST_S)):
                raise ToolError(f"{self._port}: the board does not return from a soft reset")
        self._transport.in_raw_repl = True

    def _ask(self, seconds):
        """Interrupt once and ask for the raw REPL; True if it comes."""
        self._transport.serial.write(b"\r\x03")
        self._take()
        self._transport.serial.write(b"\r\x01")
        return self._answers(_BANNER, seconds)

    def _insist(self, seconds):
        """Interrupt again and again: one that comes while another is handled ends most programs
        that catch it. True when the raw REPL answers."""
        end = time.monotonic() + seconds
        asked = time.monotonic()
        seen = b""
        while time.monotonic() < end:
            self._transport.serial.write(b"\x03")
            time.sleep(random.uniform(0, _GAP_S))
            seen = (seen + self._take())[-64:]
            if seen.endswith(_PROMPT) or time.monotonic() > asked + _ASK_S:
                # The prompt, or a raw REPL, which has no word for Ctrl-C.
                self._transport.serial.write(b"\r\x01")
                if self._answers(_BANNER, _ASK_S):
                    return True
                asked, seen = time.monotonic(), b""
        return False

    def _answers(self, text, seconds):
        """True when text came within so many seconds; what is behind it stays to be read."""
        end = time.monotonic() + seconds
        seen = b""
        while time.monotonic() < end:
            waiting = self._transport.serial.in_waiting
            if not waiting:
                time.sleep(_POLL_S)
                continue
            # A program that prints all the time has printed a lot: only its end byte by byte.
            seen += self._transport.serial.read(max(1, waiting - _TAIL))
            if seen.endswith(text):
                return True
            if text in seen:
                # Something was printed behind it: asked again, the prompt comes again.
                self._transport.serial.write(b"\r\x01")
                seen = b""
            seen = seen[-len(text) :]
        return False

    def _quiet(self):
        """True if the board says nothing but the prompt of the raw REPL."""
        time.sleep(_QUIET_S)
        return self._transport.serial.in_waiting <= 1

    def _take(self):
        """Bytes that have come."""
        n = self._transport.serial.in_waiting
        return self._transport.serial.read(n) if n else b""

    def __exit__(self, kind, *_) -> None:
        with contextlib.suppress(TransportError, OSError, ToolError):
            if kind is not None:
                # Whatever the board still does for us, nobody waits for it any more.
                self._transport.serial.write(b"\r\x03\x03")
            elif self._transport.in_raw_repl:
                self._transport.umount_local()
                self._transport.exit_raw_repl()
        self._transport.close()

    def share(self, folder: str | os.PathLike) -> None:
        """Let the board read a folder of this computer at REMOTE."""
        with _words("the board could not mount a folder of this computer"):
            try:
                self._transport.mount_local(str(folder))
            except TransportError:
                # A program that was interrupted late still printed into the first exchange.
                time.sleep(_SETTLE_S)
                self._ask(_FIRST_S)
                self._transport.mount_local(str(folder))

    def run(self, code: str, line: Callable[[str], None], timeout: float = 60) -> None:
        """Run code on the board; line() gets each line it prints.

        Args:
            timeout: seconds without any output.

        Raises:
            ToolError: with the last line of a traceback, or when the board falls silent.
        """
        text = bytearray()

        def take(data: bytes) -> None:
            text.extend(data)
            while b"\n" in text:
                one, _, rest = bytes(text).partition(b"\n")
                text[:] = rest
                line(one.decode(errors="replace").rstrip("\r"))

        with _words("the connection to the board broke"):
            _, error = self._transport.exec_raw(code, timeout, take)
        if error:
            last = error.decode(errors="replace").strip().splitlines()[-1]
            raise ToolError(f"the board raised {last}")

    def reset(self) -> None:
        """Restart the board. The connection is of no use afterwards."""
        with _words("the board could not be reset"):
            self._transport.umount_local()
            self._transport.exec_raw_no_follow("import machine\nmachine.reset()")
        self._transport.in_raw_repl = False


@contextlib.contextmanager
def _words(text: str):
    try:
        yield
    except (TransportError, serial.SerialException, OSError) as e:
        raise ToolError(f"{text} ({e})") from e
