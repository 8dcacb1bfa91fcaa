"""The bytes of a package, whatever their transport, and whether it may be installed."""

from .. import package
from ..errors import PolicyError, VerifyError


class PackageReader:
    """Reader of a package that is reopened only to stand at another offset."""

    def __init__(self, open_at):
        self._open_at = open_at
        self._reader = None
        self._at = 0

    def open(self, offset):
        """Generator: itself as the reader that stands at offset."""
        if self._reader is None or self._at != offset:
            self.close()
            self._reader = yield from self._open_at(offset)
            self._at = offset
        return self

    def readinto(self, buf):
        n = self._reader.readinto(buf)
        if n:
            self._at += n
        return n

    def close(self):
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def match(header, choice) -> None:
    """Mix-and-match: the package must be the very one the manifest names."""
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


def newer(header, record, downgrade) -> None:
    """Raise PolicyError "older" unless a package that comes by itself may be taken.

    A reverse package is signed, too, and leads down from just what runs: no patch does that
    but on the way back, so none may, whoever asks.
    """
    running = record.image.version
    if running and package.version(header.version) <= package.version(running):
        if not downgrade or header.encoding == package.PATCH:
            raise PolicyError("older", header.version, running)
