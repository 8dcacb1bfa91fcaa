"""The boot stage: carries out what is recorded, chooses the slot, mounts it.

Frozen boot.py calls run(); it never counts a try (boot/trial.py does) and never loads the network.
Decisions read the state record and flash contents, nothing else: no clock, no reset cause.
What a settled board needs at every start is here; the work is in boot/apply.py, and what is done
where an image cannot be mounted in boot/fallback.py.
"""

import hashlib

from .. import device as _device
from .. import image, modules, state
from ..compat import collect
from ..errors import StateError
from ..modules import load

try:
    import vfs
except ImportError:
    vfs = None


def run(config, watchdog=None):
    """Settle the state, mount the slot that runs and put it on sys.path; returns the Device.

    config: dict or path of a JSON file (docs/config.md). An image that cannot be mounted ends
    in the image before it, the factory image or the rescue module (boot/fallback.py). Raises only
    what makes the board unusable, FlashError of its table or its KV: trial.start() tells it
    again where a port had no console yet.
    """
    collect()  # what stays then lies together, whatever the imports left
    _device.current = _device.error = None
    try:
        device = _device.Device(config, watchdog)
        _device.current = device
        if "restore_pin" in device.config:
            load("boot.factory").pressed(device)
        try:
            record = settle(device)
        except Exception as e:
            record = load("boot.fallback").settling(device, e)
    except Exception as e:
        _device.error = e, config
        raise
    collect()
    # Not half of an image, and none below the floor, whose modules would stand before those of
    # the rescue module.
    if (
        not device.failed
        and record.state not in (state.APPLY, state.BACK, state.RESCUE)
        and record.image.floor >= record.floor
    ):
        try:
            mount(device, device.slot(record.active))
        except Exception as e:
            load("boot.fallback").mounting(device, record, e, mount)
    return device


def settle(device):
    """Carry out READY, APPLY and BACK until the state rests; returns the record.

    If power goes anywhere in here, the next boot goes on at the same place.
    """
    record = device.slots.load()
    if (
        record is not None
        and record.state in (state.IDLE, state.FETCH)
        and not _staged(device, record)
    ):
        return record
    try:
        return load("boot.apply").settle(device, record)
    except (AttributeError, TypeError, ValueError):
        load("config").check_start(device.config)
        raise  # it is not the configuration


def mount(device, region) -> None:
    """Mount the image in region at config "mount" and put it on sys.path, in front.

    ROMFS from memory-mapped flash, littlefs read-only through a block device. What is neither
    (raw data), and all on CPython, is left alone. Raises StateError "mount" for what this
    firmware or this flash cannot mount, OSError from the file system.
    """
    where = device.config.get("mount", "/app")
    if vfs is None or not where:
        return
    kind, source = image.kind(region), None
    name = "VfsRom" if kind == "romfs" else "VfsLfs2"
    if not kind:
        return
    if not hasattr(vfs, name):
        raise StateError("mount", "no vfs." + name)
    size = image.size(region)
    if kind == "romfs":
        source = region.buffer(size)
        if source is None:
            raise StateError("mount", "flash is not mapped")
    else:
        source = load("flash.mount").RegionBlockDev(region, size)
    source = getattr(vfs, name)(source)
    vfs.mount(source, where, readonly=True)
    # mip installs into the first folder "lib" of sys.path, but not into "/rom...".
    again = "/rom" + where.replace("/", "_")
    vfs.mount(source, again, readonly=True)
    modules.mounted((where, again))


def _staged(device, record) -> bool:
    """True if something lies in the OTA partition that is to be looked at, or taken."""
    if "ota" not in device.partitions:
        return False
    ota = device.region("ota")
    head = bytearray(12)
    ota.peek(0, head)
    if head[:4] != b"OTAP":
        return False
    # The package's name is the digest of its signed head (package/__init__.py).
    length = min(head[6] | head[7] << 8, ota.size)
    if not 12 < length <= 1024:
        return record.state == state.IDLE
    head = bytearray(length)
    ota.peek(0, head)
    name = hashlib.sha256(head).digest()[:8]
    if record.state == state.FETCH:
        # A package put here by hand is streamed from here; power may have gone meanwhile.
        return name == record.package and device.streams
    return name not in (record.package, record.refused)
