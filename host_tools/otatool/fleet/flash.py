"""What a device has stored of a package, and where its download resumes.

Nothing is stored but that place: flash itself is not simulated. The bytes are checked by
the device's own code as they come.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from ota import package
from ota.errors import VerifyError
from ota.manifest import Choice
from ota.package import chunks
from ota.package.reader import PackageReader

_SECTOR = 4096


@dataclass
class _Place:
    """Between two chunks: offset in the package, digest of the chunk there, digest of all
    bytes before."""

    offset: int
    expected: bytes
    digest: "hashlib._Hash"


@dataclass
class _Kept:
    """Of a package: places, rising; got: bytes that came, from its beginning."""

    places: list[_Place] = field(default_factory=list)
    got: int = 0


class Flash:
    """strategy: of the device: ab resumes at a restart point, the others, which store the package
    itself, at the chunk whose sectors are whole."""

    def __init__(self, strategy: str):
        self._streams = strategy == "ab"
        self.forget()

    def forget(self) -> None:
        """Nothing of any package is there any more."""
        self._header = b""  # digest of the package's
        self._first, self._reverse = _Kept(), _Kept()

    def receive(self, open_at: Callable, choice: Choice):
        """Generator: the chosen package, down to its last byte, as ota.update.install asks for it;
        returns its SHA-256 as hex.

        Raises:
            VerifyError: "digest", "chunk", "chain"; ManifestError; TransportError.
        """
        reader = PackageReader(open_at)
        try:
            yield from reader.open(0)
            head = yield from chunks.head(reader)
            h = package.parse(head)
            # The signed digest is the header's; header and chain fix every byte behind it.
            if h.digest != choice.digest or h.size + h.reverse_size != choice.size:
                raise VerifyError("digest", h.size)
            if self._header != h.digest:
                self.forget()
                self._header = h.digest
            digest = hashlib.sha256(head)
            digest = yield from self._payload(reader, h, 0, self._first, digest)
            if h.reverse_size:
                digest = yield from self._back(reader, h, digest)
            return digest.hexdigest()
        finally:
            reader.close()

    def _back(self, reader, h, digest):
        # The reverse package behind the one with header h.
        kept = self._reverse
        if kept.places and kept.places[-1].offset == kept.got == h.reverse_size:
            return kept.places[-1].digest
        yield from reader.open(h.size)
        head = yield from chunks.head(reader)
        back = package.parse(head)
        if back.digest != h.reverse_digest or back.size != h.reverse_size:
            raise VerifyError("chain", h.size)
        digest.update(head)
        return (yield from self._payload(reader, back, h.size, kept, digest))

    def _payload(self, reader, h, base, kept, digest):
        # The chunks of a package that begins at base, from the place where it resumes.
        place = self._place(kept, h.size)
        kept.places = [place] if place else []
        if place:
            digest = place.digest.copy()
        walk = chunks.Chunks(h, place.offset if place else 0, place.expected if place else b"")
        kept.got = walk.offset
        if not walk.done:
            yield from reader.open(base + walk.offset)
        stored = bytearray()

        def store(piece) -> None:
            stored.extend(piece)
            kept.got = walk.offset + len(walk.head) + len(stored)

        while not walk.done:
            stored.clear()
            before = digest.copy()
            yield from walk.load(reader, store)
            digest.update(walk.head)
            digest.update(stored)
            if not self._streams:
                kept.places.append(_Place(walk.offset, walk.expected, digest.copy()))
            elif walk.restart and walk.first:
                kept.places = [_Place(walk.start, walk.digest, before)]
        return digest

    def _place(self, kept: _Kept, size: int) -> _Place | None:
        # Only whole sectors are in flash, unless nothing more is to come.
        whole = kept.got if kept.got == size else kept.got // _SECTOR * _SECTOR
        for place in reversed(kept.places):
            if self._streams or place.offset <= whole:
                return place
        return None
