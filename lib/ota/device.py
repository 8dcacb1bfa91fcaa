"""What an update works on, built from one configuration: regions, KV, keys, slots, buffers.

The thin layer of DESIGN: everything else is handed a Device and looks nothing up. The
configuration is a dict or a JSON file; docs/config.md lists every key.
"""

import json
import sys

from . import modules, state
from .compat import collect, const
from .errors import FlashError
from .modules import firmware, unload

_BLOCK = const(4096)
_SAVES = const(4)  # of the state, in one update or one boot


class Device:
    """Everything an update needs of the board, from config (dict or path of a JSON file).

    Mounts the KV, which settles it. Raises FlashError "config" and what the table or the
    KV raise.
    """

    def __init__(self, config, watchdog=None):
        if isinstance(config, str):
            try:
                with open(config) as f:
                    config = json.load(f)
            except (OSError, ValueError) as e:
                raise FlashError("config", config, e)
        self.config = config
        try:
            self._build(config)
        except (AttributeError, ImportError, KeyError, TypeError, ValueError):
            load("config").check_start(config)
            raise  # it is not the configuration
        self._watchdog = watchdog
        self.deadline = None  # what looks whether it has passed, while one is set
        self.failed = 0  # code of why no image could be mounted at this start

    def _build(self, config):
        self.product = config["product"]
        self.component = config.get("component", "app")
        self.strategy_name = config.get("strategy", "ab")
        try:
            how, self.slot_order = state.facts(self.strategy_name)[:2]
        except (AttributeError, ImportError, ValueError):
            raise FlashError("config", "strategy")
        self.streams, self.in_place = how == "streams", how == "in-place"
        self.wbits = config.get("wbits", 12)
        # What is staged is written by whole sectors.
        self.block_size = config.get("block", _BLOCK) if self.streams else _BLOCK
        self.tries = config.get("tries", 3)
        self.mpy = getattr(sys.implementation, "_mpy", 0)
        try:
            self.partitions = load("partition.layout").build(config)
        finally:
            for name in ("layout", "tobudos"):
                unload("partition." + name)
        collect()
        # Only now: these stay, and lie where the code of the partitions was.
        kv, record = load("kv"), load("state.record")
        self.manifests: dict = {}  # of source.static, until the next start
        self.checked = None  # time.time() when the last manifest was verified and accepted
        self.refused = b""  # of accepted.again(), until the next start
        self._keys = None
        self._inflater = None
        self._block = None
        self.kv = kv.Store(self.partitions.get("kv"))
        self.kv.mount()
        self.repaired = self.kv.loaded  # its last records may be lost, see boot/intake.py
        self.unload_kv()  # if it was needed, for repair
        self.slots = record.Slots(self.kv, self.component, self.strategy_name)

    def setting(self, name: str):
        """A key of the configuration that must be there. Raises FlashError "config"."""
        value = self.config.get(name)
        if not value:
            raise FlashError("config", name)
        return value

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
    def strategy(self):
        """The module that config "strategy" names (strategy/__init__.py); loaded when it is asked
        for, which a settled board never does."""
        return load("strategy." + self.strategy_name)

    @property
    def channel(self) -> str:
        """Config "channel": manifests of another one are refused."""
        return self.config.get("channel") or "stable"

    @property
    def device_id(self) -> bytes:
        """What tells this board from all others: config "device_id", or the chip's own; b"" if
        it has neither."""
        given = self.config.get("device_id")
        if given:
            return given.encode()
        try:
            return firmware("machine").unique_id()
        except (ImportError, AttributeError):
            return b""

    @property
    def keys(self):
        """The trusted keys (crypto.Keys). Raises FlashError "config" if one is malformed."""
        if self._keys is None:
            try:
                self._keys = load("crypto").Keys(self.config.get("keys", ()))
            except ValueError as e:
                raise FlashError("config", "keys", e)
        return self._keys

    def unload_keys(self) -> None:
        """Nothing is to be verified for a while: free what keys and their algorithms take."""
        self._keys = None
        for name in (".rsa", ".hmac", ""):
            unload("crypto" + name)

    def unload_kv(self) -> None:
        """Free the KV's code until it is needed again. Raises FlashError."""
        self.kv.release()
        for name in ("full", "append", "recover", "replay", "scan", "ring", "index", "log"):
            unload("kv." + name)

    def prepare_kv(self) -> None:
        """See to it that an update or a boot can save its states without the KV's code.

        If power goes here, the store holds what it held. Raises FlashError.
        """
        self.slots.prepare(_SAVES)
        self.unload_kv()

    def free(self) -> None:
        """Give the buffers back."""
        self._inflater = self._block = None

    def inflater(self, header):
        """An inflater for a package, no larger than its header says it must be; a fresh one
        unless the last was not used yet."""
        last = self._inflater
        want = header.stored_max, header.wbits
        if last and not last.used and (last.size, last.wbits) == want:
            return last
        self._inflater = last = None
        collect()  # the one before makes room
        self._inflater = load("package.inflate").Inflater(*want)
        return self._inflater

    def block(self):
        """The one output block, a memoryview of config "block" bytes, 4096 by default."""
        if self._block is None:
            self._block = memoryview(bytearray(self.block_size))
        return self._block

    def feed(self) -> None:
        """Feed the watchdog, if there is one; restart if the deadline of a trial has passed."""
        if self._watchdog:
            self._watchdog.feed()
        if self.deadline:
            self.deadline()  # a timer may be lost to another user


def load(name):
    """The module ota.<name>, with garbage collected before: the next phase begins here."""
    collect()
    return modules.load(name)


current = None  # the Device of this board, set by the boot stage or ota.configure()
error: "tuple | None" = (
    None  # (what the last boot met: why there is no Device, or no mount; configuration)
)


def get() -> Device:
    """The Device of this board. Raises what the boot stage raised if it made none, FlashError
    "config" before it ran."""
    if current is None:
        raise error[0] if error else FlashError("config")
    return current
