"""Partitions: named regions on named flash devices, from whichever table format.

A format's module (tobudos, ...) gives entries (name, device, offset, size): offset counts
from the start of the named device, or is an absolute address where device is "".
`devices` is a dict: name -> (driver, base), base the device's absolute address or None.
"""

from ..errors import FlashError
from ..flash.region import Region, sector_aligned


class Partitions:
    """Named regions that share no byte.

    devices: see the head, only used to print addresses. version: of the first image, as the
    table gives it, or "". mode: "ip", "pp" or "".
    """

    def __init__(self, devices=None, version: str = "", mode: str = ""):
        self.devices = devices or {}
        self.version = version
        self.mode = mode
        self._names: list = []
        self._regions: dict = {}
        self._taken: list = []

    @classmethod
    def from_entries(cls, devices, entries, version: str = "", mode: str = "") -> "Partitions":
        """All entries of a table as regions.

        Raises FlashError "config" for an unknown device, "bounds" outside it, and what
        add() raises.
        """
        partitions = cls(devices, version, mode)
        for name, device, offset, size in entries:
            driver, offset = _locate(devices, device, offset, size)
            partitions.add(name, Region(driver, offset, size, name))
        return partitions

    def add(self, name: str, region) -> None:
        """Take region as partition `name`, from its first whole sector to its last.

        Raises FlashError "config" if the name is taken, "overlap" if bytes of it are,
        "align" if no whole sector lies inside.
        """
        if name in self._regions:
            raise FlashError("config", name)
        start, end = region.offset, region.offset + region.size
        for other, first, last in self._taken:
            if other is region.driver and start < last and first < end:
                raise FlashError("overlap", name, start)
        self._regions[name] = sector_aligned(region.driver, start, region.size, name)
        self._names.append(name)
        self._taken.append((region.driver, start, end))

    def get(self, name: str):
        """The region of partition `name`. Raises FlashError "config" if there is none."""
        if name not in self._regions:
            raise FlashError("config", name)
        return self._regions[name]

    def __contains__(self, name) -> bool:
        return name in self._regions

    def names(self) -> list:
        """Names in the order of the table."""
        return list(self._names)

    def items(self) -> list:
        """(name, region) in the order of the table."""
        return [(name, self._regions[name]) for name in self._names]

    def place(self, name: str) -> tuple:
        """(device name or "", address) of a partition; the address is absolute where the
        device has a base. Raises FlashError "config" if there is no such partition."""
        region = self.get(name)
        for device, (driver, base) in self.devices.items():
            if driver is region.driver:
                return device, (base or 0) + region.offset
        return "", region.offset


def _locate(devices, name, offset, size):
    """(driver, offset on it) of an entry."""
    if name:
        if name not in devices:
            raise FlashError("config", name)
        return devices[name][0], offset
    found = [
        (driver, offset - base)
        for driver, base in devices.values()
        if base is not None and base <= offset and offset + size <= base + driver.size
    ]
    if len(found) != 1:
        raise FlashError("config" if found else "bounds", offset, size)
    return found[0]
