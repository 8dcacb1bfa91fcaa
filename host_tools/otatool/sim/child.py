"""The board's process: maps the flash, then is MicroPython until it is killed.

Started by launcher.py with a pty as its terminal: python -I -S child.py ARGUMENTS. It imports
nothing of otatool, so that a boot of the board takes a few hundredths of a second.
"""

import ctypes
import fcntl
import json
import mmap
import os
import signal
import sys
import termios

_PR_SET_PDEATHSIG = 1
_PROT_READ = 1

# One expression per statement and no name of its own: the prompt's namespace stays empty.
# The root of the host's filesystem is unmounted before anything is imported.
_START = """\
__import__("vfs").mount(__import__("vfs").VfsRom(\
memoryview(__import__("uctypes").bytearray_at(%d, %d))), "/rom")
__import__("vfs").umount("/")
__import__("sys").path[:] = ["/rom"]
__import__("_boot").start(%r, globals())
"""


def main(options) -> int:
    """options: parent, extension, flash, control (descriptors), size, rom (offset, size), heap."""
    libc = ctypes.CDLL(None)
    if sys.platform == "linux":
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != options["parent"]:
        return 1  # the launcher died before the line above
    # Elsewhere the end of the launcher hangs the terminal up, and SIGHUP ends us.
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGUSR2, lambda *_: None)  # only interrupts a blocking call
    os.environ.clear()  # os.getenv() shows nothing of the host; no history file in HOME

    control = mmap.mmap(options["control"], 0)
    programmed = mmap.mmap(options["flash"], options["size"])
    mapped = mmap.mmap(options["flash"], options["size"])
    libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    if libc.mprotect(_address(mapped), options["size"], _PROT_READ):
        return 1
    offset, size = options["rom"]
    addresses = (_address(control), _address(mapped), _address(programmed))
    start = _START % (addresses[1] + offset, size, addresses)

    sys.path.insert(0, options["extension"])
    import micropython_run

    # The handler of SIGINT jumps out of whatever runs, also out of what holds a lock: then the
    # interpreter hangs or dies. This one has the interpreter raise when it can, as ports do.
    pend = ctypes.CDLL(micropython_run.__file__).mp_sched_keyboard_interrupt
    libc.signal(signal.SIGUSR1, pend)
    libc.siginterrupt(signal.SIGUSR1, 1)  # a call that blocks ends

    return micropython_run.run_main(
        ["micropython", "-X", "heapsize=" + options["heap"], "-i", "-c", start]
    )


def _address(memory) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


if __name__ == "__main__":
    os._exit(main(json.loads(sys.argv[1])))
