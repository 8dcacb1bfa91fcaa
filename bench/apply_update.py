"""A whole update by patch beside one by full image: the library's own code over a counted flash.

Flash: 45 ms to erase 4 KB, 0.7 ms to program up to 256 bytes, typical figures of W25Q data
sheets; reading is not counted. Link: a round trip takes 50 ms, a request two of them (one to
connect), then so many bytes a second; the manifest, which both need, is not counted. Nothing
overlaps. Decoding: what bench/apply.py measured of the same kind of package, 20 times as slow,
which is a guess and no measurement; in place it comes twice, since the boot stage decodes a
package before it writes. Hashes and signatures are not counted.
"""

from typing import NamedTuple

from delta_pairs import Pair
from ota import boot, device, update
from ota.transport.stream import Memory
from otatool.release import keys
from otatool.release import package as build

STRATEGIES = ("ab", "inplace")
RATES = (20_000, 200_000)  # bytes a second
ROUND_TRIP = 0.05  # seconds
REQUEST = 2  # round trips
ERASE, PAGE = 0.045, 0.0007  # seconds
SLOWER = 20  # a microcontroller than the machine that measured: a guess
_SECTOR = 4096
_PAGE = 256
_SPARE = 16 * _SECTOR  # of the OTA partition, behind the package
_PRODUCT = "bench"


class Chip:
    """A flash driver that counts sectors erased and pages programmed."""

    sector_size = _SECTOR
    program_size = 1

    def __init__(self, size: int):
        self.size = size
        self.data = bytearray(b"\xff" * size)
        self.erases = self.pages = 0

    def read(self, offset: int, buf) -> None:
        """Fill buf from offset."""
        buf[:] = self.data[offset : offset + len(buf)]

    def program(self, offset: int, data) -> None:
        """Program data at offset."""
        end = offset + len(data)
        self.pages += (end - 1) // _PAGE - offset // _PAGE + 1
        self.data[offset:end] = data

    def erase(self, offset: int, length: int) -> None:
        """Erase sectors."""
        self.erases += length // _SECTOR
        self.data[offset : offset + length] = b"\xff" * length

    def sync(self) -> None:
        """Nothing is held back."""

    @property
    def seconds(self) -> float:
        """What all of it took."""
        return self.erases * ERASE + self.pages * PAGE


def written(strategy: str, pair: Pair, package: bytes, key) -> Chip:
    """The flash of a board that was updated by a package, from its arrival to the new image.

    Raises SystemExit if the new image is not there.
    """
    slot = _sectors(max(len(pair.old), len(pair.new)))
    # The OTA partition has room for scratch and journal, too.
    ota = _sectors(len(package)) + _SPARE + 16 * _SECTOR
    places = {"active": slot, "backup": slot, "ota": ota, "kv": 4 * _SECTOR}
    parts = {}
    at = 0
    for name, size in places.items():
        parts[name] = {"flash": "chip", "offset": at, "size": size}
        at += size
    if strategy == "inplace":
        del parts["backup"]
    chip = Chip(at)
    chip.program(0, pair.old)
    board = device.Device(
        {
            "product": _PRODUCT,
            "strategy": strategy,
            "version": "1",
            "flash": {"chip": {"driver": chip}},
            "partitions": parts,
            "keys": [key.public],
            "image_size": len(pair.old),
            "mount": "",
        }
    )
    boot.settle(board)
    chip.erases = chip.pages = 0
    update.drive(update.install(board, lambda offset: _opened(package, offset)))
    record = boot.settle(board)
    at = parts["backup" if record.active else "active"]["offset"]
    if chip.data[at : at + len(pair.new)] != pair.new:
        raise SystemExit(f"{pair.name} was not updated")
    return chip


class Side(NamedTuple):
    """An update by one package: bytes; sectors erased; seconds of the flash, of decoding."""

    size: int
    erases: int
    flash: float
    decode: float

    def link(self, rate: int) -> float:
        """Seconds of the download."""
        return REQUEST * ROUND_TRIP + self.size / rate

    def all(self, rate: int) -> float:
        """Seconds of the update."""
        return self.link(rate) + self.flash + self.decode


def sides(pair: Pair, strategy: str, delta: float, full: float) -> tuple[Side, Side]:
    """An update by patch and by full image. delta, full: seconds that decoding them takes here."""
    key = keys.generate("hmac")
    meta = build.Meta(_PRODUCT, "2")
    in_place = strategy == "inplace"
    options = {"in_place": True, "spare": _SPARE} if in_place else {}
    patch = build.patch(pair.old, pair.new, meta, [key], **options)
    found = []
    for built, here in ((patch, delta), (build.full(pair.new, meta, [key]), full)):
        chip = written(strategy, pair, built.data, key)
        decode = here * SLOWER * (2 if in_place else 1)
        found.append(Side(len(built.data), chip.erases, chip.seconds, decode))
    return found[0], found[1]


def print_table(pairs: list[Pair], decoding: dict[tuple[str, str], float]) -> None:
    """A line per pair, strategy and rate. decoding: seconds here, by pair's title and kind."""
    half = f"{'bytes':>7} {'link':>6} {'erases':>6} {'flash':>6} {'decode':>6} {'all':>6}"
    print(f"{'update, seconds':28} {'':7} KB/s | {half} by delta | {half} in full | delta / full")
    for pair in pairs:
        title = f"{pair.family} {pair.name}"
        kind = "filter" if (title, "filter") in decoding else "patch"
        for strategy in STRATEGIES:
            both = sides(pair, strategy, decoding[title, kind], decoding[title, "full"])
            for rate in RATES:
                cells = [
                    f"{side.size:7} {side.link(rate):6.2f} {side.erases:6} {side.flash:6.2f}"
                    f" {side.decode:6.2f} {side.all(rate):6.2f}          |"
                    for side in both
                ]
                share = both[0].all(rate) / both[1].all(rate)
                name = f"{title:28} {strategy:7} {rate // 1000:4}"
                print(f"{name} | {' '.join(cells)} {share:12.2f}", flush=True)


def _opened(package, offset):
    """Generator that gives a reader, as a source does."""
    yield None
    return Memory(package, offset)


def _sectors(size):
    """Bytes of whole sectors that hold size bytes."""
    return -(-size // _SECTOR) * _SECTOR
