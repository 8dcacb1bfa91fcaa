"""What lies between power-on and the application, of each port, for boards in RAM.

Timers as the ports have them (a Timer of nrf is another class altogether), file systems that
refuse what the real ones refuse, frozen boot.py and main.py, and applications that do what the
image says. Both interpreters: real file systems play in test_boot_board.py.
"""

import struct
import sys

from ota import boot, device, modules
from ota.boot import attempt, trial
from rig import KB, Rig

SIZE = 12 * KB


class Restart(BaseException):
    """The board restarts here."""


def image(kind, app, version, size=SIZE):
    """An image of a format ("romfs", "lfs2", "raw") whose main module does `app`."""
    text = b"app %s %s;" % (app.encode(), version.encode())
    if kind == "romfs":
        n = size - 6  # length in three groups of seven bits
        head = b"\xd2\xcd\x31" + bytes([n >> 14 | 0x80, n >> 7 & 0x7F | 0x80, n & 0x7F])
    elif kind == "lfs2":
        # Blocks need not be as long as sectors.
        head = bytes(8) + b"littlefs" + bytes(8) + struct.pack("<II", 512, size // 512) + bytes(8)
    else:
        head = b"#raw#"
    body = head + text
    return body + b"." * (size - len(body))


# -- timers ---------------------------------------------------------------------------------


class Timers:
    """The timers of a board that are set: number -> (callback, timer)."""

    def __init__(self):
        self.set = {}
        self.fresh = 0

    def fire(self):
        """Time passes: each one calls back."""
        for callback, timer in list(self.set.values()):
            callback(timer)


def soft(timers, shared=()):
    """Timer of rp2, stm32, samd, mimxrt, newer esp32: -1 is one of its own; no numbers but
    `shared`, each of which is the same timer for all."""

    class Timer:
        ONE_SHOT, PERIODIC = 0, 1

        def __init__(self, id=-1, **options):
            if id != -1 and id not in shared:
                raise ValueError("Timer doesn't exist")
            if id == -1:
                timers.fresh -= 1
                id = timers.fresh
            self.id = id
            if options:
                self.init(**options)

        def init(self, mode=1, period=-1, callback=None):
            timers.set[self.id] = callback, self

        def deinit(self):
            timers.set.pop(self.id, None)

    return Timer


def esp32(timers, numbers=4, last=False):
    """Timer of esp32: each number is one timer. last: of 1.24, where -1 is the last of them."""
    Soft = soft(timers, range(numbers))

    class Timer(Soft):
        def __init__(self, id=-1, **options):
            if id == -1 and not last:
                raise ValueError("invalid Timer number")
            super().__init__(id % numbers if id < 0 else id, **options)

    return Timer


def nrf(timers):
    """Timer of nrf: microseconds, start and stop; two are taken."""

    class Timer:
        ONESHOT, PERIODIC = 0, 1

        def __init__(self, id, *, period=1000000, mode=1, callback=None):
            if not 2 <= id < 5:
                raise ValueError("Timer(%d) does not exist" % id)
            if period >= 1 << 24:
                raise ValueError("period")
            self.id = id
            self.callback = callback

        def start(self):
            timers.set[self.id] = self.callback, self

        def stop(self):
            timers.set.pop(self.id, None)

    return Timer


def broken(timers):
    """Every number raises what is left when an ESP-IDF call fails."""

    class Timer:
        ONE_SHOT = 0

        def __init__(self, id, **options):
            raise OSError(12)

    return Timer


PORTS = {
    "rp2": soft,
    "stm32": soft,
    "esp32 1.24": lambda timers: esp32(timers, 4, True),
    "esp32 1.25": esp32,
    "esp32-c3 1.28": lambda timers: esp32(timers, 2),
    "esp32-c2 1.28": lambda timers: esp32(timers, 1),
    "esp32 1.29": lambda timers: soft(timers, range(4)),
    "nrf": nrf,
    "out of timers": broken,
    "none": None,
}


# -- file systems ---------------------------------------------------------------------------


class Vfs:
    """Module vfs of a firmware that has these file systems. fault: raised by one of a name."""

    def __init__(self, has=("VfsRom", "VfsLfs2"), fault=None):
        self.mounts = {}
        self.fault = fault
        if "VfsRom" in has:
            self.VfsRom = self._rom
        if "VfsLfs2" in has:
            self.VfsLfs2 = self._lfs2

    def _rom(self, view):
        return self._checked(bytes(view))

    def _lfs2(self, dev):
        head = bytearray(32)
        dev.readblocks(0, head, 0)
        block, count = struct.unpack_from("<II", head, 24)
        if (block, count) != (dev.ioctl(5, 0), dev.ioctl(4, 0)):
            raise OSError(22)
        data = bytearray(block * count)
        dev.readblocks(0, data, 0)
        try:
            dev.readblocks(count - 1, head, block)
        except OSError:
            return self._checked(bytes(data))
        raise AssertionError("a block device longer than the image")

    def _checked(self, data):
        if b";damaged" in data or b"app damaged" in data:
            raise OSError(84)
        if self.fault:
            self.fault(app_of(data))
        return data

    def mount(self, filesystem, where, readonly=False):
        if where in self.mounts:
            raise OSError(1)
        self.mounts[where] = filesystem

    def umount(self, where):
        if where not in self.mounts:
            raise OSError(22)
        del self.mounts[where]


def app_of(data):
    """(what the image's main module does, its version)."""
    at = data.find(b"app ")
    return tuple(data[at + 4 : data.find(b";", at)].decode().split())


# -- a board ----------------------------------------------------------------------------------


class Board:
    """A rig with frozen boot.py and main.py on a port. apps: name -> what it does, beside
    those below; vfs: its module."""

    def __init__(self, rig, port="rp2", vfs=None, apps=None, mapped=True):
        self.rig = rig
        self.port = port
        self.vfs = vfs
        self.apps = apps or {}
        self.ran = []  # (application, version) of each start
        self.starts = 0
        self.told = []
        if not mapped:
            rig.nor.buffer = lambda at, n: None
        self.kept = boot.vfs, trial.machine, list(sys.path), attempt.report
        attempt.report = self.told.append  # hundreds of tracebacks
        trial.__import__ = attempt.__import__ = self.imported
        rig.config["mount"] = "/app"

    def off(self):
        """Nothing in RAM survives."""
        sys.path[:] = self.kept[2]
        modules.slot[:] = None, {}, ()
        device.current = device.error = None
        trial.starts.clear()
        self.timers = Timers()
        kind = PORTS[self.port]

        class Machine:
            @staticmethod
            def reset():
                raise Restart

        if kind:
            Machine.Timer = kind(self.timers)
        trial.machine = self.machine = Machine
        boot.vfs = self.vfs or Vfs()
        boot.vfs.mounts = {}

    def close(self):
        """The modules are as before."""
        self.off()
        boot.vfs, trial.machine, _, attempt.report = self.kept
        del trial.__import__, attempt.__import__

    def on(self, most=9):
        """Power on, as often as it restarts; returns what ran last. What ends at the prompt with
        an exception is raised."""
        for _ in range(most):
            self.starts += 1
            self.off()
            try:
                try:
                    boot.run(self.rig.config)
                except Exception:
                    pass  # as boards/common/boot.py
                self.rig.device = device.current
                trial.start()
                return self.ran[-1] if self.ran else None
            except Restart:
                pass
        raise AssertionError("it restarts for ever: %s" % self.ran)

    def imported(self, name):
        """The application's main module, or the firmware's where the slot has none."""
        where = [p for p in sys.path if p in boot.vfs.mounts]
        if name == "rescue":
            if where:
                raise AssertionError("the slot is on the path of the rescue module")
            self.ran.append(("rescue", ""))
            return
        if where:
            app, version = app_of(boot.vfs.mounts[where[0]])
            if app != "nothing":
                self.ran.append((app, version))
                if app in self.apps:
                    self.apps[app](self)
                return
        if name != "main":
            raise ImportError("no module named '%s'" % name)
        trial.start()  # frozen main.py


def rig(strategy, data, factory=b""):
    """A board in RAM with this image as 0.1."""
    device.current = None
    one = Rig(strategy, len(data), factory=factory)
    one.write("active", data)
    return one
