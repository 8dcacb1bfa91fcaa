"""A board's REPL over its serial port: mpremote's transport, in this file and no other."""

import contextlib
import os
import time
from collections.abc import Callable

import serial
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from .errors import ToolError

_SETTLE_S = 0.5
REMOTE = "/remote"  # where share() mounts a folder on the board


class Repl:
    """The raw REPL of a board; a context manager. A running program is interrupted.

    port: device name, such as /dev/ttyACM0 or the pty of a virtual board.
    Raises ToolError when there is no board, or none that answers.
    """

    def __init__(self, port: str):
        self._port = port
        try:
            self._transport = SerialTransport(port, timeout=10)
        except (TransportError, OSError) as e:
            raise ToolError(f"{port}: no board there, or another program uses it") from e

    def __enter__(self) -> "Repl":
        try:
            with _words(f"{self._port}: the board does not answer; press its reset button"):
                # No soft reset: what the boot stage set up is what we work with.
                self._transport.enter_raw_repl(soft_reset=False)
        except BaseException:
            self._transport.close()
            raise
        return self

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
                self._transport.enter_raw_repl(soft_reset=False)
                self._transport.mount_local(str(folder))

    def run(self, code: str, line: Callable[[str], None], timeout: float = 60) -> None:
        """Run code on the board; line() gets each line it prints.

        timeout: seconds without any output. Raises ToolError with the last line of a
        traceback, or when the board falls silent.
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
