"""What bench/apply.py runs on MicroPython: apply payloads, and say how long that took.

    main("times", FOLDER, REPEATS, NAME)
    main("detools", FOLDER, REPEATS, NAME)
    main("modules", FOLDER, NAME, WAY)
    main("import", FOLDER, NAME, WAY, MODULE...)
    main("peak", FOLDER, NAME, WAY, MODULE...)

FOLDER has NAME.ota, a package, and NAME.raw, its payload as one deflate stream; "old", the base
image, and "new", which is written. The flash is a mock over two files: reading is seek and
readinto, erasing a sector writes it full of 0xFF, programming writes the data.

times prints a line per repetition: floor, decode, whole, in nanoseconds. floor: each sector of
the image is read, erased and programmed, nothing else; decode: the .raw, in RAM, through
Inflater and decoder; whole: the .ota, in RAM, with its chunks and their digests. detools: floor
and its own apply_patch(), without erasing; NAME.raw is its patch then.

modules prints what an apply imports; import does just that; peak then applies NAME from a file,
by the WAY "decode", "whole" or "detools". In "decode" DeflateIO reads the file itself.
"""

import gc
import hashlib
import sys
import time

_SECTOR = 4096
_BLANK = b"\xff" * _SECTOR  # of the mock, so it is there before anything is measured
_FLOORS = 5  # runs of the floor before and after a repetition; the middle one counts


class Flash:
    """The mock: the base image in one file, the place of the new one in another."""

    def __init__(self, folder):
        self.old = open(folder + "/old", "rb")
        self.new = open(folder + "/new", "r+b")

    def read(self, offset, buf):
        """Fill buf from the base image."""
        self.old.seek(offset)
        self.old.readinto(buf)

    def erase(self, offset):
        """Erase a sector of the new image."""
        self.new.seek(offset)
        self.new.write(_BLANK)

    def program(self, offset, data):
        """Program data."""
        self.new.seek(offset)
        self.new.write(data)

    def digest(self, size):
        """SHA-256 of the new image."""
        self.new.seek(0)
        found = hashlib.sha256()
        while size:
            piece = self.new.read(min(size, _SECTOR))
            found.update(piece)
            size -= len(piece)
        return found.digest()


class Direct:
    """As Inflater, but straight from a file: there is no room for a chunk."""

    def __init__(self, file, wbits):
        from deflate import RAW, DeflateIO

        self._io = DeflateIO(file, RAW, wbits)

    def readinto(self, buf):
        """Fill buf."""
        if self._io.readinto(buf) != len(buf):
            raise OSError


def in_ram(header, raw):
    """An inflater that has all of raw."""
    from ota.package.inflate import Inflater

    inflater = Inflater(len(raw), header.wbits)
    inflater.begin()
    inflater.write(raw)
    inflater.ready(0x3FFFFFFF)
    return inflater


def floor(flash, size, out):
    """Copy as many sectors as an image of that size has, from a base that is long enough."""
    for at in range(0, size, _SECTOR):
        flash.read(at, out)
        flash.erase(at)
        flash.program(at, out)


def decode(flash, header, inflater, out):
    """Apply the payload as one deflate stream."""
    from ota.delta import decoder

    decode = decoder(header, flash)
    size = header.block_size
    for _ in range(0, header.image_size, size):
        index, length = decode.block(inflater, out)
        flash.erase(index * size)
        flash.program(index * size, out[:length])


def whole(flash, header, reader, out):
    """Apply the chunks that reader gives, as a device does."""
    from ota.delta import decoder
    from ota.package import chunks
    from ota.package.inflate import Inflater

    inflater = Inflater(header.chunk_max, header.wbits)
    size = header.block_size
    for _, index, length in chunks.blocks(
        chunks.Chunks(header), reader, inflater, decoder(header, flash), out
    ):
        flash.erase(index * size)
        flash.program(index * size, out[:length])


def foreign(flash, patch):
    """Apply a patch of detools, a file or BytesIO."""
    from detools import apply

    flash.old.seek(0)
    flash.new.seek(0)
    return apply.apply_patch(flash.old, patch, flash.new)


def took(call):
    """Nanoseconds of a call."""
    gc.collect()
    start = time.ticks_us()
    call()
    return time.ticks_diff(time.ticks_us(), start) * 1000


def measure(flash, size, digest, calls):
    """Print the floor, and how long each of the calls took in the middle of it."""
    out = memoryview(bytearray(_SECTOR))
    floors = [took(lambda: floor(flash, size, out)) for _ in range(_FLOORS)]
    found = []
    for call in calls:
        found.append(took(call))
        if flash.digest(size) != digest:
            raise SystemExit("the image is wrong")
    floors += [took(lambda: floor(flash, size, out)) for _ in range(_FLOORS)]
    print(sorted(floors)[_FLOORS], *found)


def times(folder, repeats, name):
    """Print how long each repetition of a package took."""
    from ota import package
    from ota.transport.stream import Memory

    flash = Flash(folder)
    out = memoryview(bytearray(_SECTOR))
    data = read(folder, name + ".ota")
    raw = read(folder, name + ".raw")
    header = package.parse(data[: sum(package.lengths(data))])
    payload = memoryview(data)[header.length : header.size]
    calls = (
        lambda: decode(flash, header, in_ram(header, raw), out),
        lambda: whole(flash, header, Memory(payload), out),
    )
    for _ in range(repeats):
        measure(flash, header.image_size, header.image_digest, calls)


def detools(folder, repeats, name):
    """Print how long each repetition of a patch of detools took."""
    import io

    flash = Flash(folder)
    raw = read(folder, name + ".raw")
    size = foreign(flash, io.BytesIO(raw))
    digest = flash.digest(size)
    calls = (lambda: foreign(flash, io.BytesIO(raw)),)
    for _ in range(repeats):
        measure(flash, size, digest, calls)


def read(folder, name):
    """A file's bytes."""
    with open(folder + "/" + name, "rb") as f:
        return f.read()


def peak(folder, name, way):
    """Apply a package once, from a file."""
    flash = Flash(folder)
    if way == "detools":
        with open(folder + "/" + name + ".raw", "rb") as f:
            foreign(flash, f)
        return
    out = memoryview(bytearray(_SECTOR))  # long pieces first, as a device takes them
    from ota import package

    with open(folder + "/" + name + ".ota", "rb") as f:
        prefix = f.read(package.PREFIX)
        head = prefix + f.read(sum(package.lengths(prefix)) - len(prefix))
        gc.collect()
        header = package.parse(head)
        gc.collect()
        if way == "whole":
            whole(flash, header, f, out)
        else:
            with open(folder + "/" + name + ".raw", "rb") as raw:
                decode(flash, header, Direct(raw, header.wbits), out)


def load(names):
    """Import modules as a device does, so that little lies scattered."""
    for name in names:
        gc.collect()
        __import__(name)
    gc.collect()


def main(mode, folder, *rest):
    """See the head of this file; the last line is "done"."""
    if mode == "times":
        times(folder, int(rest[0]), rest[1])
    elif mode == "detools":
        detools(folder, int(rest[0]), rest[1])
    elif mode == "modules":
        before = set(sys.modules)
        peak(folder, *rest)
        print(*(set(sys.modules) - before))
    else:
        load(rest[2:])
        if mode == "peak":
            peak(folder, *rest[:2])
    print("done")
