"""The boot stage: carries out the recorded state, chooses the slot and mounts it.

Frozen boot.py calls run(), which never counts a try (boot/trial.py does) and never loads the
network. Decisions depend on the state record and flash contents alone, not on the clock or the
reset cause. Here is what a settled board needs at every start; boot/apply.py does the work, and
boot/fallback.py takes over if an image cannot be mounted.
"""

import hashlib

from .. import device as _device
from .. import image, modules, state
from ..compat import collect
from ..errors import StateError
from ..modules import load

if False:  # for type checkers
    from ota_hints import Device, Record, Region, Watchdog

try:
    import vfs
except ImportError:
    vfs = None


def run(config: dict | str, watchdog: "Watchdog | None" = None) -> "Device":
    """Settle the state, mount the active slot and put it on sys.path; return the Device.

    If the image cannot be mounted, the previous image, the factory image or the rescue module
    runs instead (boot/fallback.py).

    Args:
        config: dict, or path of a JSON file (docs/config.md).
        watchdog: object with feed().
    Raises:
        FlashError: the partition table or the KV store is unusable. trial.start() raises it
            again, since some ports have no console yet.
    """
    collect()  # so that what stays is allocated together
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
    # Do not mount a half-written image, nor one below the floor: its modules would come before
    # those of the rescue module.
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


def settle(device: "Device") -> "Record":
    """Carry out READY, APPLY and BACK until the state rests; return the record.

    If power goes anywhere in here, the next boot resumes at the same place.
    """
    record = device.slots.load()
    if (
        record is not None
        and record.state in (state.IDLE, state.FETCH)
        and (device.streams or not device.repaired)
        and not _staged(device, record)
    ):
        return record
    try:
        return load("boot.apply").settle(device, record)
    except (AttributeError, TypeError, ValueError):
        load("config").check_start(device.config)
        raise  # it is not the configuration


def mount(device: "Device", region: "Region") -> None:
    """Mount the image in region at config "mount" and put it first on sys.path.

    ROMFS is mounted from memory-mapped flash, littlefs read-only through a block device. Other
    content (raw data) is left alone, as is everything on CPython.

    Raises:
        StateError: "mount" if this firmware or flash cannot mount such an image.
        OSError: from the file system.
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
    """True if the OTA partition holds a package that the boot stage must look at."""
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
