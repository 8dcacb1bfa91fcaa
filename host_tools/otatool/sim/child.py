"""The board's process: maps the flash, then is MicroPython until it is killed.

Started by launcher.py with a pty as its terminal: python -I -S child.py ARGUMENTS. It imports
nothing of otatool, so that a boot of the board takes a few hundredths of a second.
"""

import _thread
import ctypes
import fcntl
import json
import mmap
import os
import select
import signal
import sys
import termios
import time
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_PROT_READ = 1
_AGAIN_S = 0.003
_CALLBACK_S = 0.1  # a callback that lasts longer is interrupted itself
_FULL_S = 0.001  # until there may be room in the interpreter's queue
_ZERO = 1  # the object 0
_MARK = 0x5A17

# As in board/_control.py.
_WORDS = 64
_W_REQUEST = 40
_W_TICKING = 46
_W_INTERRUPT = 47
_W_ALARM_MS = 48
_W_ALARMS = 49
_W_TICK = 50
_W_AGAIN = 51
_TAKEN, _ASKED, _REFUSED = 0, 1, 2
_IDLE, _WAITS, _RUNS = 0, 1, 2

# One expression per statement and no name of its own: the prompt's namespace stays empty.
# The root of the host's filesystem is unmounted before anything is imported.
_START = """\
__import__("vfs").mount(__import__("vfs").VfsRom(\
memoryview(__import__("uctypes").bytearray_at(%d, %d))), "/rom")
__import__("vfs").umount("/")
__import__("sys").path[:] = ["/rom"]
__import__("_boot").start(%r, globals())
"""


def main(options: dict) -> int:
    """options: parent, extension, flash, control, ear, bell (descriptors), size, rom
    (offset, size), heap."""
    libc = ctypes.CDLL(None)
    if sys.platform == "linux":
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != options["parent"]:
        return 1  # the launcher died before the line above
    # Elsewhere the end of the launcher hangs the terminal up, and SIGHUP ends us.
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    # The interpreter's handler jumps out of whatever runs, also out of what holds a lock.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    os.environ.clear()  # os.getenv() shows nothing of the host; no history file in HOME

    control = mmap.mmap(options["control"], 0)
    programmed = mmap.mmap(options["flash"], options["size"])
    mapped = mmap.mmap(options["flash"], options["size"])
    libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    if libc.mprotect(_address(mapped), options["size"], _PROT_READ):
        return 1
    offset, size = options["rom"]
    addresses = (_address(control), _address(mapped), _address(programmed), options["bell"])
    start = _START % (addresses[1] + offset, size, addresses)

    # Called like this, and not as the Python module that it is too, the interpreter runs
    # without CPython's lock, and so beside the thread.
    interpreter = ctypes.CDLL(options["extension"])
    words = memoryview(control)[: 8 * _WORDS].cast("Q")
    interrupts = Interrupts(libc, interpreter, words, options["ear"])
    _thread.start_new_thread(interrupts.run, ())
    arguments = ["micropython", "-X", "heapsize=" + options["heap"], "-i", "-c", start]
    argv = (ctypes.c_char_p * (len(arguments) + 1))(*(a.encode() for a in arguments), None)
    return interpreter.micropython_unix_main(len(arguments), argv)


class Interrupts:
    """What interrupts a port: Ctrl-C and the timer, asked for by words of the control page.

    The interpreter raises and calls back when it can, as on ports: between bytecodes and in
    calls that block. A signal only ends those calls, and comes again until it did.
    """

    def __init__(self, libc, interpreter, words, ear):
        self._libc, self._interpreter, self._words, self._ear = libc, interpreter, words, ear
        self._main = _thread.get_ident()
        self._action = (ctypes.c_size_t * 64)()  # room for a struct sigaction
        # Any function will do that may be called at any moment.
        libc.signal(signal.SIGUSR2, libc.getpid)
        libc.siginterrupt(signal.SIGUSR2, 1)
        interpreter.mp_sched_exception.argtypes = (ctypes.c_void_p,)
        interpreter.mp_sched_schedule.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
        interpreter.mp_sched_schedule.restype = ctypes.c_bool
        self._pending = self._find()

    def run(self) -> NoReturn:
        """Serve until the process ends."""
        words, alarms, due, asked = self._words, 0, None, None
        while True:
            timeout = None if due is None else max(due - time.monotonic(), 0)
            # Nothing wakes us when a callback ends, for which Ctrl-C waits. As it ends it may
            # pass one on: the last look is for that.
            callback = words[_W_TICKING] or self._pending.value
            if callback or words[_W_INTERRUPT] == _ASKED or words[_W_AGAIN]:
                timeout = _AGAIN_S if timeout is None else min(timeout, _AGAIN_S)
            if select.select([self._ear], [], [], timeout)[0]:
                os.read(self._ear, 4096)
            if words[_W_REQUEST]:
                continue  # the board is about to go down
            now = time.monotonic()
            if words[_W_ALARMS] != alarms:
                alarms = words[_W_ALARMS]
                delay_ms = words[_W_ALARM_MS] - 1
                due = None if delay_ms < 0 else now + delay_ms / 1000
            if due is not None and now >= due and words[_W_TICKING] == _IDLE:
                due = None if self._schedule() else now + _FULL_S
            if words[_W_INTERRUPT] == _ASKED or words[_W_AGAIN]:
                asked = asked or now
                if words[_W_TICKING] != _RUNS or now > asked + _CALLBACK_S:
                    asked, words[_W_AGAIN] = None, 0
                    words[_W_INTERRUPT] = _TAKEN if self._interrupt() else _REFUSED
            if words[_W_TICKING] == _WAITS or self._pending.value:
                signal.pthread_kill(self._main, signal.SIGUSR2)

    def _schedule(self):
        self._words[_W_TICKING] = _WAITS
        if self._interpreter.mp_sched_schedule(self._words[_W_TICK], _ZERO):
            return True
        self._words[_W_TICKING] = _IDLE
        return False

    def _interrupt(self):
        if not self._interruptible():
            return False
        self._interpreter.mp_sched_keyboard_interrupt()
        # A program that ends switches Ctrl-C off, and then drops what is pending. If it came
        # to that before the line above, nobody would take this one.
        if not self._interruptible():
            self._interpreter.mp_sched_exception(None)
            return False
        return True

    def _interruptible(self):
        # With micropython.kbd_intr(-1) and at the prompt SIGINT has no handler.
        self._libc.sigaction(signal.SIGINT, None, self._action)
        return self._action[0] != 0

    def _find(self):
        # Where the interpreter keeps the exception that it is to raise.
        state = ctypes.addressof(ctypes.c_char.in_dll(self._interpreter, "mp_state_ctx"))
        self._interpreter.mp_sched_exception(_MARK)
        places = (ctypes.c_size_t * 64).from_address(state)
        place = state + ctypes.sizeof(ctypes.c_size_t) * list(places).index(_MARK)
        self._interpreter.mp_sched_exception(None)
        return ctypes.c_size_t.from_address(place)


def _address(memory) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


if __name__ == "__main__":
    os._exit(main(json.loads(sys.argv[1])))
