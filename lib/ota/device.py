"""The board as an update sees it: partitions, KV store, keys, slots and buffers.

Built from one configuration (docs/config.md). Everything else takes a Device as an argument and
looks nothing up.
"""

import json
import sys

from . import state
from .compat import collect, const
from .errors import FlashError
from .modules import firmware, load, phase, unload

if False:  # for type checkers
    from ota_hints import Any, Callable, Header, Inflater, Keys, Region, Strategy

_BLOCK = const(4096)
_SAVES = const(4)  # of the state, in one update or one boot


class Device:
    """Everything an update needs of the board; mounts the KV store, repairing it if needed.

    Args:
        config: dict, or path of a JSON file.
        watchdog: object with feed().
    Raises:
        FlashError: "config" for an invalid configuration, "io" or "corrupt" from table and KV.
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
        self.deadline = None  # function that restarts once the deadline of a trial has passed
        self.failed = 0  # error code if no image could be mounted at this start

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
        # Staged packages are written sector by sector.
        self.block_size = config.get("block", _BLOCK) if self.streams else _BLOCK
        self.tries = config.get("tries", 3)
        self.mpy = getattr(sys.implementation, "_mpy", 0)
        try:
            self.partitions = load("partition.layout").build(config)
        finally:
            phase("partition.layout", "partition.tobudos")
        # Only now: these stay, in the memory that the partition code has left.
        kv, record = load("kv"), load("state.record")
        self.manifests: dict = {}  # used by source.static, until the next start
        self.checked = None  # time.time() when the last manifest was verified and accepted
        self.refused = b""  # used by accepted.again(), until the next start
        self._keys = None
        self._inflater = None
        self._block = None
        self.kv = kv.Store(self.partitions.get("kv"))
        self.kv.mount()
        self.repaired = self.kv.loaded  # its last records may be lost, see boot/intake.py
        self.unload_kv()  # if it was needed, for repair
        self.slots = record.Slots(self.kv, self.component, self.strategy_name)

    def setting(self, name: str) -> "Any":
        """A required key of the configuration. Raises FlashError "config"."""
        value = self.config.get(name)
        if not value:
            raise FlashError("config", name)
        return value

    def region(self, name: str) -> "Region":
        """The region of a partition. Raises FlashError "config"."""
        return self.partitions.get(name)

    def slot(self, number: int) -> "Region":
        """Region of a slot: 0 is "active", 1 "backup". Raises FlashError "config"."""
        names = self.config.get("slots", ("active", "backup"))
        if number >= len(names):
            raise FlashError("config", number)
        return self.partitions.get(names[number])

    @property
    def strategy(self) -> "Strategy":
        """The module that config "strategy" names (strategy/__init__.py); loaded when it is asked
        for, which a settled board never does."""
        return load("strategy." + self.strategy_name)

    @property
    def channel(self) -> str:
        """Config "channel": manifests of other channels are rejected."""
        return self.config.get("channel") or "stable"

    @property
    def device_id(self) -> bytes:
        """Identity of this board: config "device_id", else the chip's unique id, else b""."""
        given = self.config.get("device_id")
        if given:
            return given.encode()
        try:
            return firmware("machine").unique_id()
        except (ImportError, AttributeError):
            return b""

    @property
    def keys(self) -> "Keys":
        """The trusted keys (crypto.Keys). Raises FlashError "config" if one is malformed."""
        if self._keys is None:
            try:
                self._keys = load("crypto").Keys(self.config.get("keys", ()))
            except ValueError as e:
                raise FlashError("config", "keys", e)
        return self._keys

    def verify(self, check: "Callable", data: bytes) -> "Any":
        """Return check(data, keys), where check looks at signatures.

        It needs memory for a moment: that of the block, which is empty then.
        """
        keys = self.keys  # before, so that they do not lie where the block was
        self.free()
        result = check(data, keys)
        del keys
        collect()
        self.block()  # there again
        self.unload_keys()
        return result

    def unload_keys(self) -> None:
        """Free the memory of keys and signature algorithms until they are needed again."""
        self._keys = None
        phase("crypto.rsa", "crypto.hmac", "crypto")

    def unload_kv(self) -> None:
        """Free the KV's code until it is needed again. Raises FlashError."""
        self.kv.release()
        for name in ("full", "append", "recover", "replay", "scan", "ring", "index", "log"):
            unload("kv." + name)

    def prepare_kv(self) -> None:
        """Make room in the KV store, so that an update or a boot saves its states without the
        KV's code. If power goes here, the store holds what it held. Raises FlashError."""
        self.slots.prepare(_SAVES)
        self.unload_kv()

    def free(self) -> None:
        """Free the buffers."""
        self._inflater = self._block = None

    def inflater(self, header: "Header") -> "Inflater":
        """A new inflater for a package, as large as its header asks; reuses one that has not
        been used yet."""
        last = self._inflater
        want = header.stored_max, header.wbits
        if last and not last.used and (last.size, last.wbits) == want:
            return last
        self._inflater = last = None
        collect()  # the one before makes room
        self._inflater = load("package.inflate").Inflater(*want)
        return self._inflater

    def block(self) -> memoryview:
        """The output block: a memoryview of `block_size` bytes."""
        if self._block is None:
            self._block = memoryview(bytearray(self.block_size))
        return self._block

    def feed(self) -> None:
        """Feed the watchdog, if any; restart if the deadline of a trial has passed."""
        if self._watchdog:
            self._watchdog.feed()
        if self.deadline:
            self.deadline()  # a timer may be lost to another user


current: "Device | None" = None  # set by the boot stage or ota.configure()
# (exception of the last boot: why there is no Device, or no mount; configuration)
error: "tuple | None" = None


def get() -> Device:
    """The Device of this board.

    Raises:
        FlashError: "config" before the boot stage has run.
        Exception: what the boot stage raised, if it failed.
    """
    if current is None:
        raise error[0] if error else FlashError("config")
    return current
