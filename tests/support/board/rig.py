"""A board in RAM for the tests: NOR mock, layout, device; updates without a network."""

from images import KEY, PRODUCT, image
from nor import Nor
from ota import boot, device, update
from ota.transport.stream import Memory

KB = 1024


class Rig:
    """One board: strategy, sector and program size, image size; slot 0 holds version 1.

    factory: package in a partition of its own.
    """

    def __init__(self, strategy, size=24 * KB, sector=4096, program=8, spare=16, factory=b""):
        self.strategy = strategy
        self.size = size
        slot = (size + 8 * KB) // sector * sector + sector
        ota = (slot // 2) // sector * sector + spare * sector
        # 256-byte programs leave room for few records in a sector
        kv = (8 if program > 32 or sector < 4096 else 4) * sector
        at = 0
        parts = {}
        spare = -(-len(factory) // sector) * sector
        for name, n in (
            ("active", slot), ("backup", slot), ("ota", ota), ("kv", kv), ("factory", spare),
        ):  # fmt: skip
            if not n or (name == "backup" and strategy == "inplace"):
                continue
            parts[name] = {"flash": "nor", "offset": at, "size": n}
            at += n
        self.nor = Nor(at, sector, program)
        self.config = {
            "product": PRODUCT,
            "strategy": strategy,
            "version": "0.1",
            "flash": {"nor": {"driver": self.nor}},
            "partitions": parts,
            "keys": [KEY],
            "image_size": size,
            "mount": "",
        }
        self.write("active", image(1, size))
        if factory:
            self.write("factory", factory)

    def write(self, name, data):
        """Program data at the start of a partition, as a programmer on the desk would."""
        p = self.config["partitions"][name]
        n = -(-len(data) // self.nor.sector_size) * self.nor.sector_size
        self.nor.erase(p["offset"], n)
        unit = self.nor.program_size
        data = data + b"\xff" * (-len(data) % unit)
        self.nor.program(p["offset"], data)

    def read(self, name, n):
        """The first n bytes of a partition."""
        at = self.config["partitions"][name]["offset"]
        return bytes(self.nor.data[at : at + n])

    def boot(self):
        """Power on: build the device from flash and settle; returns the record."""
        self.device = device.Device(self.config)
        device.current = self.device
        return boot.settle(self.device)

    def install(self, data):
        """Install package bytes, as if they came over a network."""
        return update.drive(update.install(self.device, opener(data)))

    def running(self):
        """The bytes of the active slot, as long as the record says."""
        r = self.device.slots.load()
        return self.read("backup" if r.active else "active", r.image.size)

    def runs(self, data):
        """True if the active slot holds exactly data; without a copy of it."""
        r = self.device.slots.load()
        at = self.config["partitions"]["backup" if r.active else "active"]["offset"]
        n = r.image.size
        return n == len(data) and memoryview(self.nor.data)[at : at + n] == memoryview(data)


def opener(data, log=None):
    """open_at over bytes; log collects the offsets asked for."""

    def open_at(offset):
        if log is not None:
            log.append(offset)
        yield None
        return Memory(data, offset)

    return open_at
