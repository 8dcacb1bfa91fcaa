"""The bytes of a package, whatever their transport, and whether it may be installed."""

from .. import package
from ..errors import PolicyError, VerifyError

if False:  # for type checkers
    from ota_hints import Choice, Header, Record, Steps, Writable


class PackageReader:
    """Reader of a package that is reopened only to stand at another offset."""

    def __init__(self, open_at):
        self._open_at = open_at
        self._reader = None
        self._at = 0

    def open(self, offset: int) -> "Steps":
        """Generator: move to offset; returns itself."""
        if self._reader is None or self._at != offset:
            self.close()
            self._reader = yield from self._open_at(offset)
            self._at = offset
        return self

    def readinto(self, buf: "Writable") -> int | None:
        """As the reader that open_at() returned."""
        n = self._reader.readinto(buf)
        if n:
            self._at += n
        return n

    def close(self) -> None:
        """Close the reader that is open, if any."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def match(header: "Header", choice: "Choice") -> None:
    """Raise VerifyError or PolicyError unless the package is the one the manifest names."""
    if header.digest != choice.digest or header.size + header.reverse_size != choice.size:
        raise VerifyError("digest", header.size)
    if (
        header.version != choice.version
        or header.floor != choice.floor
        or header.image_digest != choice.image_digest
    ):
        raise PolicyError("version")
    # One copy of each is enough.
    header.digest, header.image_digest = choice.digest, choice.image_digest
    header.version = choice.version


def newer(header: "Header", record: "Record", downgrade: bool) -> None:
    """Raise PolicyError "older" unless a package without a manifest may be installed.

    A reverse package is also signed and applies to the running image, so no patch may downgrade,
    not even on request: only a rollback uses one.
    """
    running = record.image.version
    if running and package.version(header.version) <= package.version(running):
        if not downgrade or header.encoding == package.PATCH:
            raise PolicyError("older", header.version, running)
