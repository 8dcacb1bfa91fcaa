"""Partitions: named regions on named flash devices, from whichever table format.

layout.py makes them from a configuration. `devices` is a dict: name -> (driver, base), base
the device's absolute address or None.
"""

from collections import OrderedDict

from ..errors import FlashError

if False:  # for type checkers
    from ota_hints import Region


class Partitions:
    """Named regions; layout.py makes sure that they do not overlap.

    Args:
        devices: name -> (driver, base), used only to print addresses.
        version: of the first image according to the table, or "".
        mode: "ip", "pp" or "".
    """

    def __init__(self, devices=None, version: str = "", mode: str = ""):
        self.devices = devices or {}
        self.version = version
        self.mode = mode
        self._regions: dict = OrderedDict()

    def add(self, name: str, region: "Region") -> None:
        """Add a partition. Raises FlashError "config" if the name is taken."""
        if name in self._regions:
            raise FlashError("config", name)
        self._regions[name] = region

    def get(self, name: str) -> "Region":
        """The region of partition `name`. Raises FlashError "config" if there is none."""
        if name not in self._regions:
            raise FlashError("config", name)
        return self._regions[name]

    def __contains__(self, name) -> bool:
        return name in self._regions

    def names(self) -> list:
        """Names in the order of the table."""
        return list(self._regions)

    def items(self) -> list:
        """(name, region) in the order of the table."""
        return list(self._regions.items())
