"""What bench/throughput.py runs on MicroPython: LIB TESTS REQUESTS URL SIZE IMAGE FLASH.

Prints "WAY nanoseconds" for each download: bare, reader, staged, requests.
"""

import sys
import time

lib, tests, requests_path, url, size, image_size, kind = sys.argv[1:]
size = int(size)
sys.path.insert(0, tests)
import folders  # noqa: E402

folders.add()
sys.path.insert(0, lib)

from ota import device, update  # noqa: E402
from ota.transport.resume import Resuming  # noqa: E402

_SECTOR = 4096
_BLANK = b"\xff" * _SECTOR
_ROUNDS = 9


class Flash:
    """NOR as fast as memory: what is measured is what lies around it."""

    sector_size = _SECTOR
    program_size = 1

    def __init__(self, size):
        self.size = size
        self.data = bytearray(_BLANK * (size // _SECTOR))
        self.view = memoryview(self.data)

    def read(self, offset, buf):
        """Fill buf."""
        buf[:] = self.view[offset : offset + len(buf)]

    def erase(self, offset, length):
        """Erase sectors."""
        for at in range(offset, offset + length, _SECTOR):
            self.view[at : at + _SECTOR] = _BLANK

    def program(self, offset, data):
        """Program data."""
        self.view[offset : offset + len(data)] = data

    def sync(self):
        """Nothing waits."""


def made(size):
    """Flash of that kind: "memory", or "mock", the NOR of the tests, which checks every rule."""
    if kind == "memory":
        return Flash(size)
    from nor import Nor

    return Nor(size, _SECTOR, 1)


def write(readinto, flash):
    """Sectors of what readinto gives, erased and programmed; readinto may give less, or None."""
    buf = memoryview(bytearray(_SECTOR))
    at = got = 0
    while at + got < size:
        n = readinto(buf[got:])
        if n:
            got += n
        elif n == 0:
            raise OSError("short")
        if got == _SECTOR or at + got == size:
            flash.erase(at, _SECTOR)
            flash.program(at, buf[:got])
            at += got
            got = 0


def bare(flash):
    """The loop that nobody can do without."""
    import socket

    host, _, path = url[7:].partition("/")
    host, _, port = host.partition(":")
    s = socket.socket()
    s.connect(socket.getaddrinfo(host, int(port))[0][-1])
    s.write(b"GET /%s HTTP/1.0\r\nHost: %s\r\n\r\n" % (path.encode(), host.encode()))
    while s.readline() != b"\r\n":
        pass
    write(s.readinto, flash)
    s.close()


def reader(flash):
    """The library's downloader, the same loop behind it."""
    opening = Resuming(url).open()
    while True:
        try:
            next(opening)
        except StopIteration as e:
            r = e.value
            break
    write(r.readinto, flash)
    r.close()


def requests(flash):
    """micropython-lib's requests, streaming."""
    sys.path.insert(0, requests_path)
    import requests

    with requests.get(url) as r:
        write(r.raw.readinto, flash)


def staged(flash):
    """A whole install: head, signature, hash chain, staging, reading back, arming."""
    import images

    spans = {}
    at = 0
    whole = 32 + (size + int(image_size) // 32) // _SECTOR
    for name, n in (("active", whole), ("backup", whole), ("kv", 4), ("ota", whole)):
        spans[name] = {"flash": "f", "offset": at, "size": n * _SECTOR}
        at += n * _SECTOR
    board = made(at)
    board.program(0, images.image(1, 4096))
    config = {
        "product": images.PRODUCT, "strategy": "pingpong", "version": "0.1", "mount": "",
        "flash": {"f": {"driver": board}}, "partitions": spans, "keys": [images.KEY],
        "image_size": 4096,
    }  # fmt: skip
    from ota import boot

    d = device.Device(config)
    boot.settle(d)
    start = time.time_ns()
    done = update.drive(update.install(d, Resuming(url).open))
    spent = time.time_ns() - start
    assert done["result"] == "ready", done
    return spent


def main():
    """Print a line for each way, again and again, so that none has a better hour."""
    flash = made((size // _SECTOR + 1) * _SECTOR)
    ways = [bare, reader, staged] + [requests] * (requests_path != "-")
    for _ in range(_ROUNDS):
        for way in ways:
            start = time.time_ns()
            spent = way(flash)
            print(way.__name__, spent or time.time_ns() - start)


main()
