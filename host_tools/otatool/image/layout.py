"""Where the files of a ROMFS lie, so that a patch from the image before has little to write.

A file that grew moves all that follows it, and each block that changes is erased and written,
on a device with one slot at least. So the new image keeps the order of the previous one, and its
places as far as they will do:

- What became shorter or went away leaves padding; what follows stays.
- Where things move anyway, room is left, so that the next change moves less.
- A file that grew may leave its place: its entry becomes a pointer, its data goes into a gap or
  behind everything else, as a record that readers of folders skip.

Which files leave is found by trying. What counts is the cost of a real in-place patch: its bytes
and the blocks that it writes. Room costs a little now and saves later; where it costs too much,
the plain image is taken. The files, the previous image and the block decide alone, so the same
ones give the same bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..errors import ToolError
from ..patch import find
from ..patch.payload import deflated_size
from . import romfs
from .romfs import FILE, FOLDER, VERBATIM, Record

Files = dict[str, bytes | None]  # path in the image -> content, None for a folder; in order

WASTE = 3  # percent of the plain image that padding may take, and one block
_ROOM, _ROOM_LEAST = 50, 16  # a byte of room for so many bytes of files; bytes
_BLOCK_COST = 100  # bytes of payload that are worth one block
_INVEST = 1.1  # how much dearer than the plain image one with room may be
_POINTER = 12  # bytes that a file takes more if its data is elsewhere
_TRIES = 24  # files that may leave their places at once: the largest are tried
_WIDTH = 2  # bytes of a new folder's length
_PATCH_BLOCK = 4096  # bytes, the most that a patch takes


def build(files: Files, plain: bytes, previous: bytes, block: int, size: int = 0) -> bytes:
    """The image of files to follow previous; plain if that is as good.

    Args:
        files: each folder before its contents.
        plain: their image without regard to previous.
        previous: the ROMFS of the release before, nothing behind it.
        block: bytes that are erased at a time.
        size: bytes that an image may have, 0 for any.

    Raises:
        ToolError: previous is damaged.
    """
    old = Old.of(previous)
    limit = _limit(plain, block, size)
    if previous == plain or limit < 0:
        return plain

    def cost(image: bytes) -> int:
        writer = find.best(previous, image, min(block, _PATCH_BLOCK), True, quick=True)
        return deflated_size(writer) + _BLOCK_COST * changed(previous, image, block)

    best, least = plain, _INVEST * cost(plain)
    kept = frozenset(n for n in old.apart if files.get(n) is not None)
    for apart in (kept, frozenset[str]()) if kept else (kept,):
        for image in _more_apart(files, old, apart, limit, block):
            now = cost(image)
            if now >= least or len(image) > len(plain) + limit:
                break
            best, least = image, now
    return _checked(best, files)


def roomy(files: Files, plain: bytes, block: int, size: int = 0) -> bytes:
    """The first image of files, with room for the release after it.

    Arguments are those of build().
    """
    limit = _limit(plain, block, size)
    if limit < 0:
        return plain
    image = _Layout(files, Old(plain), frozenset(), limit, block).build()
    return _checked(image, files) if len(image) <= len(plain) + limit else plain


def _checked(image: bytes, files: Files) -> bytes:
    if Old.of(image).contents != {n: data for n, data in files.items() if data is not None}:
        raise ToolError("the image does not hold its files: please report this")
    return image


def _limit(plain: bytes, block: int, size: int) -> int:
    """Bytes that an image may take more than the plain one."""
    waste = len(plain) * WASTE // 100 + block
    return min(waste, size - len(plain)) if size else waste


def changed(old: bytes, new: bytes, block: int) -> int:
    """How many blocks of new are not the old bytes at their place."""
    return sum(not old.startswith(new[i : i + block], i) for i in range(0, len(new), block))


def _more_apart(
    files: Files, old: "Old", apart: frozenset[str], limit: int, block: int
) -> Iterator[bytes]:
    """The image with these files apart; then, while blocks are saved, with one file more."""

    def made(apart: frozenset[str]) -> tuple[tuple[int, int], bytes]:
        image = _Layout(files, old, apart, limit, block).build()
        # Half blocks show which of two images leaves more of its blocks alone.
        halves = changed(old.data, image, block // 2)
        return (2 * changed(old.data, image, block) + halves, len(image)), image

    fresh = [n for n, data in files.items() if data is not None and data != old.contents.get(n)]
    fresh = sorted(fresh, key=lambda n: -len(files[n] or b""))[:_TRIES]
    score, image = made(apart)
    while True:
        yield image
        tried = [(*made(apart | {n}), n) for n in fresh if n not in apart]
        if not tried or min(tried)[0] >= score:
            return
        score, image, name = min(tried)
        apart |= {name}


@dataclass
class Old:
    """The previous image, taken apart.

    Attributes:
        folders: records by their folder, in order; data carries the path of its file as
            its name.
        contents: of the files, by path.
        apart: paths of files whose data is elsewhere.
    """

    data: bytes
    folders: dict[str, list[Record]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    apart: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, data: bytes) -> "Old":
        """Take an image apart.

        Raises:
            ToolError: it is damaged.
        """
        old = cls(data)
        found = list(romfs.records(data))
        data_at = {r.offset: r for r in found if r.kind == VERBATIM}
        kept, seen = [], set()
        for r in found:
            path = r.folder + r.name
            if r.kind != VERBATIM:
                if path in seen:  # readers take the first of a name
                    continue
                seen.add(path)
            kept.append(r)
            if r.kind == FILE:
                old.contents[path] = data[r.offset : r.offset + r.size]
                if r.offset in data_at:
                    data_at.pop(r.offset).name = path
                    old.apart.add(path)
        for r in kept:
            if r.name:
                old.folders.setdefault(r.folder, []).append(r)
        return old


@dataclass
class _State:
    """How far a layout is.

    waste: bytes of padding and pointers so far; since: bytes of files since the last padding;
    waiting: files apart that have no place yet; places: where the data of the others lies;
    entries: (place of the pointer, file), bytes.
    """

    waste: int
    waiting: list[str]
    since: int = 0
    places: dict[str, int] = field(default_factory=dict)
    entries: list[tuple[int, str]] = field(default_factory=list)

    def copy(self) -> "_State":
        return _State(self.waste, self.waiting[:], self.since, dict(self.places), self.entries[:])


class _Layout:
    """One image. apart: files whose data is elsewhere; limit: bytes of waste.

    Records are made from first to last, as each has to know where it begins.
    """

    def __init__(self, files: Files, old: Old, apart: frozenset[str], limit: int, block: int):
        self._files, self._old, self._apart = files, old, apart
        self._limit, self._block = limit, block
        self._inside: dict[str, list[str]] = {}
        for path in files:
            folder, _, name = path.rpartition("/")
            self._inside.setdefault(folder and folder + "/", []).append(name)
        self._state = self._fresh()

    def build(self) -> bytes:
        """The image."""
        first = romfs.base(self._old.data)
        while True:
            self._state = self._fresh()
            out = bytearray(self._folder("", first, len(self._old.data)))
            if (first + len(out)) % 2:
                out += romfs.padding(3)
            if len(out) >> 7 * (first - len(romfs.MAGIC)) == 0:
                break
            first += 1  # the length of the image needs a byte more
        for at, path in self._state.entries:
            pointer = romfs.pointer(len(self._content(path)), self._state.places[path] - first)
            out[at - first : at - first + len(pointer)] = pointer
        return romfs.image(bytes(out), first)

    def _fresh(self) -> _State:
        records = (r for rs in self._old.folders.values() for r in rs)
        kept = {r.name for r in records if r.kind == VERBATIM and self._stays(r)}
        waiting = [n for n in sorted(self._apart) if n not in kept]
        waiting.sort(key=lambda n: -len(self._content(n)))
        return _State(_POINTER * len(self._apart), waiting)

    def _content(self, path: str) -> bytes:
        data = self._files[path]
        assert data is not None
        return data

    def _stays(self, r: Record) -> bool:
        """Whether the new image has what this old record stands for, in the same folder."""
        if r.kind == VERBATIM:
            home = not r.folder or self._files.get(r.folder[:-1], b"") is None
            return home and r.name in self._apart
        path = r.folder + r.name
        return path in self._files and (self._files[path] is None) == (r.kind == FOLDER)

    def _folder(self, folder: str, at: int, end: int) -> bytes:
        """The records of a folder, from byte at on; end: of the folder in the old image."""
        records = [r for r in self._old.folders.get(folder, ()) if self._stays(r)]
        known = {r.name for r in records if r.kind != VERBATIM}
        for name in self._inside.get(folder, ()):
            if name not in known:
                kind = FOLDER if self._files[folder + name] is None else FILE
                records.append(Record(kind, folder, name, -1, -1, width=_WIDTH))
        out = bytearray()
        for r in records:
            out += self._gap(at + len(out), r.start, 1)
            out += self._record(r, at + len(out))
        if not folder:
            while self._state.waiting:
                out += self._gap(at + len(out), -1, 1)
                path = self._state.waiting.pop(0)
                out += self._data(path, at + len(out))
        return bytes(out + self._gap(at + len(out), end, 2))

    def _gap(self, at: int, to: int, least: int) -> bytes:
        """What is between byte at and the old place `to` of what follows.

        If that is behind, or so far ahead that it costs too much: room, if it is time for it.
        least: bytes of padding that are possible here.
        """
        state, left = self._state, to - at
        if 0 <= left < least:
            return b""
        fill = []
        for path in state.waiting:
            size = len(romfs.record(VERBATIM, self._content(path)))
            if size == left or size <= left - least:
                fill.append(path)
                left -= size
        if left < 0 or state.waste + left > self._limit:
            room = state.since // _ROOM + _ROOM_LEAST
            if state.since < self._block or state.waste + room > self._limit:
                return b""
            return self._padding(room)
        out = b""
        for path in fill:
            state.waiting.remove(path)
            out += self._data(path, at + len(out))
        return out + self._padding(left)

    def _padding(self, size: int) -> bytes:
        self._state.waste += size
        self._state.since = 0
        return romfs.padding(size) if size else b""

    def _record(self, r: Record, at: int) -> bytes:
        if r.kind == VERBATIM:
            return self._data(r.name, at)
        head, path = romfs.named(r.name), r.folder + r.name
        if r.kind == FOLDER:
            return self._subfolder(r, head, at)
        if path in self._apart:
            pointer = romfs.pointer(0, 0)
            out = romfs.record(FILE, head + pointer)
            self._state.entries.append((at + len(out) - len(pointer), path))
            return out
        self._state.since += len(self._content(path))
        return romfs.record(FILE, head + romfs.record(VERBATIM, self._content(path)))

    def _subfolder(self, r: Record, head: bytes, at: int) -> bytes:
        width, before = r.width, self._state.copy()
        while True:
            inside = self._folder(r.folder + r.name + "/", at + 1 + width + len(head), r.end)
            if len(head + inside) >> 7 * width == 0:
                return romfs.record(FOLDER, head + inside, width)
            width += 1  # everything inside moves a byte further
            self._state = before.copy()

    def _data(self, path: str, at: int) -> bytes:
        out = romfs.record(VERBATIM, self._content(path))
        self._state.places[path] = at + len(out) - len(self._content(path))
        self._state.since += len(self._content(path))
        return out
