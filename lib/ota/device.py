"""What an update works on, built from one configuration: regions, KV, keys, slots, buffers.

The thin layer of DESIGN: everything else is handed a Device and looks nothing up. The
configuration is a dict or a JSON file; docs/config.md lists every key.
"""

import json
import sys

from .compat import const
from .errors import FlashError
from .flash.region import Region
from .kvread import Store
from .partition.table import Partitions
from .slots import Slots

_BLOCK = const(4096)
_STRATEGIES = const("ab pingpong inplace")


class Device:
    """Everything an update needs of the board, from config (dict or path of a JSON file).

    Mounts the KV, which settles it. Raises FlashError "config" and what the table or the
    KV raise.
    """

    def __init__(self, config, watchdog=None):
        if isinstance(config, str):
            with open(config) as f:
                config = json.load(f)
        self.config = config
        self.product = config["product"]
        self.component = config.get("component", "app")
        self.strategy = config.get("strategy", "ab")
        if self.strategy not in _STRATEGIES.split():
            raise FlashError("config", "strategy")
        self.wbits = config.get("wbits", 12)
        self.tries = config.get("tries", 3)
        self.mpy = getattr(sys.implementation, "_mpy", 0)
        self.partitions = partitions(config)
        self._watchdog = watchdog
        self._keys = None
        self._inflater = None
        self._block = None
        self.kv = Store(self.partitions.get("kv"))
        self.kv.mount()
        self.slots = Slots(self.kv, self.component, self.strategy)

    def region(self, name: str):
        """The region of a partition. Raises FlashError "config"."""
        return self.partitions.get(name)

    def slot(self, number: int):
        """Region of a slot: 0 is "active", 1 "backup". Raises FlashError "config"."""
        names = self.config.get("slots", ("active", "backup"))
        if number >= len(names):
            raise FlashError("config", number)
        return self.partitions.get(names[number])

    @property
    def keys(self):
        """The trusted keys (crypto.keys.Keys). Raises ValueError if one is malformed."""
        if self._keys is None:
            self._keys = load("crypto.keys").Keys(self.config.get("keys", ()))
        return self._keys

    def unload_keys(self) -> None:
        """Nothing is to be verified for a while: free what keys and their algorithms take."""
        self._keys = None
        for name in ("keys", "rsa", "hmac"):
            unload("crypto." + name)

    def unload_kv(self) -> None:
        """Nothing is written to the KV for a while: free its code. Raises FlashError."""
        self.kv.release()
        for name in ("", "mount", "scan", "ring", "index", "log"):
            unload("kv" + name)

    def free(self) -> None:
        """Give the buffers back."""
        self._inflater = self._block = None

    def inflater(self, header):
        """A fresh inflater for a package: no larger than its header says it must be."""
        self._inflater = None  # the one before makes room
        self._inflater = load("codec").Inflater(header.chunk_max, header.wbits)
        return self._inflater

    def block(self):
        """The one output block, a memoryview of 4096 bytes."""
        if self._block is None:
            self._block = memoryview(bytearray(_BLOCK))
        return self._block

    def feed(self) -> None:
        """Feed the watchdog, if there is one."""
        if self._watchdog:
            self._watchdog.feed()


def load(name):
    """The module ota.<name>, which only some boards or some calls need."""
    name = "ota." + name
    __import__(name)
    return sys.modules[name]


def unload(name):
    """Forget a module that load() or an import brought: the next phase has its memory.

    Works as far as nothing of it is in use any more; load() brings it back.
    """
    name = "ota." + name
    if name in sys.modules:
        del sys.modules[name]
        package, _, leaf = name.rpartition(".")
        delattr(sys.modules[package], leaf)


def driver(entry):
    """A flash driver from {"driver": object or "module:Class", name: value, ...}.

    Every name but "driver" and "base" is an argument of the class.
    """
    args = dict(entry)
    args.pop("base", None)
    what = args.pop("driver")
    if not isinstance(what, str):
        return what
    module, _, name = what.partition(":")
    __import__(module)
    return getattr(sys.modules[module], name)(**args)


def partitions(config) -> Partitions:
    """The named regions of a configuration: from its table in flash, then its own list."""
    devices = {}
    for name, entry in config["flash"].items():
        devices[name] = (driver(entry), entry.get("base"))
    table = config.get("table")
    if table:
        where = Region(devices[table["flash"]][0], table["offset"], table.get("size", 40))
        found = load("partition.tobudos").read(where)
        named = Partitions.from_entries(devices, found.entries, found.version, found.mode)
        unload("partition.tobudos")
    else:
        named = Partitions(devices, config.get("version", ""))
    for name, p in config.get("partitions", {}).items():
        region = Region(devices[p["flash"]][0], p["offset"], p["size"], name)
        named.add(name, region)
    return named


current = None  # the Device of this board, set by the boot stage or ota.configure()


def get() -> Device:
    """The Device of this board. Raises FlashError "config" before there is one."""
    if current is None:
        raise FlashError("config")
    return current
