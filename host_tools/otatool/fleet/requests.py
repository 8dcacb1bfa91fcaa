"""The requests of one device, counted by kind."""

import re

from ota.errors import TransportError

from .clock import Watch
from .link import Cut
from .tally import Tally

# Answers that lead elsewhere (ota.transport.http).
REDIRECTED = (301, 302, 303, 307, 308)
_START = re.compile(rb"\r\nRange: bytes=(\d+)-")


class Requests:
    """Requests and failures of one device."""

    def __init__(self, tally: Tally, watch: Watch):
        self._tally = tally
        self._watch = watch
        self._file = "manifest"
        self._kind = "manifest"
        self._whole = False  # the last answer came to its end
        self._counted: TransportError | None = None

    def begin(self, file: str) -> None:
        """What is asked from now on belongs to a file, "manifest" or "package"."""
        self._file, self._whole = file, False

    def asked(self, request: bytes, place: tuple) -> None:
        """A request went out to (host, port, ...)."""
        start = _START.search(request)
        self._kind = self._file
        if start and int(start[1]):
            self._kind = "part" if self._whole else "resumed"
        self._counted = None
        self._tally.asked(self._kind, self._watch.now(), f"{place[0]}:{place[1]}")

    def answered(self, status: bytes) -> None:
        """The head of an answer came."""
        self._whole = False
        code = int(status) if status.isdigit() else 0
        if code == 304:
            self._tally.was(self._kind, "unchanged")
        elif code in REDIRECTED:
            self._tally.was(self._kind, "redirect")

    def came(self, length: int, whole: bool) -> None:
        """So many bytes of a body came.

        Args:
            whole: up to its end.
        """
        self._tally.body[self._file] += length
        self._whole = whole

    def failed(self, error: TransportError) -> None:
        """Count a failure, each one once."""
        if error.reason == "retries":
            error = error.args[2]  # the last of those that were counted
        if error is not self._counted:
            self._counted = error
            self._tally.failures[_reason(error)] += 1

    def pausing(self) -> None:
        """The device waits before it asks again."""
        if self._counted is None:
            self.failed(TransportError("short"))  # an answer that ended in good order, too early


def _reason(e: TransportError) -> str:
    if isinstance(e, Cut):
        return "cut"
    return f"status {e.args[1]}" if e.reason == "status" else e.reason
