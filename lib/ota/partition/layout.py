"""The partitions of a board, from its configuration (docs/config.md) and the table it names.

The module of a table format (tobudos, ...) returns entries (name, device, offset, size): offset
counts from the start of the named device, or is an absolute address if device is "".
Needed once per start; it can be unloaded afterwards.
"""

import sys

from ..errors import FlashError
from ..flash import Region, sector_aligned
from . import Partitions, tobudos

if False:  # for type checkers
    from ota_hints import Driver


def build(config: dict) -> Partitions:
    """The named regions of a configuration: from its table in flash, then its own list.

    Raises FlashError of the table, "config", "bounds", "overlap", "align".
    """
    devices = {}
    for name, entry in config["flash"].items():
        try:
            devices[name] = (driver(entry), entry.get("base"))
        except (TypeError, ValueError) as e:  # arguments that the class does not have
            raise FlashError("config", "flash." + name, e)
    table = config.get("table")
    if table:
        where = Region(devices[table["flash"]][0], table["offset"], table.get("size", 40))
        found = tobudos.read(where)
        named = Partitions(devices, found.version, found.mode)
        entries = found.entries
    else:
        named = Partitions(devices, config.get("version", ""))
        entries = []
    for name, p in config.get("partitions", {}).items():
        entries.append((name, p["flash"], p["offset"], p["size"]))
    return fill(named, entries)


def fill(partitions: "Partitions", entries: list) -> Partitions:
    """Add all entries, each from its first whole sector to its last.

    Raises:
        FlashError: "config" for an unknown device or a duplicate name, "bounds" outside the
            device, "overlap", "align" if an entry has no whole sector.
    """
    taken: list = []
    for name, device, offset, size in entries:
        flash, offset = _locate(partitions.devices, device, offset, size)
        region = Region(flash, offset, size)
        for other, first, last in taken:
            if other is flash and offset < last and first < offset + size:
                raise FlashError("overlap", name, offset)
        taken.append((flash, offset, offset + size))
        partitions.add(name, sector_aligned(flash, region.offset, region.size))
    return partitions


def driver(entry: dict) -> "Driver":
    """Make a flash driver from {"driver": object or "module:Class", name: value, ...}.

    Every name except "driver" and "base" is an argument of the class.
    """
    args = dict(entry)
    args.pop("base", None)
    what = args.pop("driver")
    if not isinstance(what, str):
        return what
    module, _, name = what.partition(":")
    __import__(module)
    return getattr(sys.modules[module], name)(**args)


def _locate(devices, name, offset, size):
    """(driver, offset on it) of an entry."""
    if name:
        if name not in devices:
            raise FlashError("config", name)
        return devices[name][0], offset
    found = [
        (flash, offset - base)
        for flash, base in devices.values()
        if base is not None and base <= offset and offset + size <= base + flash.size
    ]
    if len(found) != 1:
        raise FlashError("config" if found else "bounds", offset, size)
    return found[0]
