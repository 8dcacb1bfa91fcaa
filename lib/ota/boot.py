"""The boot stage: carries out what is recorded, chooses the slot, mounts it.

Frozen boot.py calls run(); it never counts a try (trial.py does) and never loads the network.
Decisions read the state record and flash contents, nothing else: no clock, no reset cause.
What a settled board needs at every start is here; the work is in settle.py.
"""

import hashlib
import sys

from . import device as _device
from . import image, state
from .compat import collect
from .device import load, unload
from .errors import FlashError

try:
    import vfs
except ImportError:
    vfs = None


def run(config, watchdog=None):
    """Settle the state, mount the slot that runs and put it on sys.path; returns the Device.

    config: dict or path of a JSON file (docs/config.md). Raises only what makes the board
    unusable: FlashError of its table or its KV.
    """
    collect()  # what stays then lies together, whatever the imports left
    device = _device.Device(config, watchdog)
    _device.current = device
    if "restore_pin" in device.config:
        load("factory").pressed(device)
        unload("factory")
    record = settle(device)
    collect()
    if record.state != state.RESCUE:
        mount(device, device.slot(record.active))
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
        return load("settle").settle(device, record)
    except (AttributeError, TypeError, ValueError):
        load("config").check_start(device.config)
        raise  # it is not the configuration


def mount(device, region) -> None:
    """Mount the image in region at config "mount" and put it on sys.path, in front.

    ROMFS from memory-mapped flash, littlefs read-only through a block device. What cannot be
    mounted (raw data, CPython) is left alone. Raises OSError from the file system.
    """
    where = device.config.get("mount", "/app")
    if vfs is None or not where:
        return
    kind = image.kind(region)
    if kind == "romfs":
        view = region.buffer(image.size(region))
        if view is None:
            raise FlashError("config", "romfs")
        vfs.mount(vfs.VfsRom(view), where)
    elif kind == "lfs2":
        blocks = load("flash.mount").RegionBlockDev(region)
        vfs.mount(vfs.VfsLfs2(blocks), where, readonly=True)
    else:
        return
    sys.path[:0] = [where, where + "/lib"]


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
        # ab streams from here what was put here by hand; power may have gone meanwhile.
        return device.strategy == "ab" and name == record.package
    return name not in (record.package, record.refused)
