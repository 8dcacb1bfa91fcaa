"""What a port does between power-on and the prompt, on the virtual board.

/rom is mounted already, nothing else is. Mounts the littlefs of the root directory (formats
it once), sets the import path and runs boot.py and main.py as a port does: the firmware's
own first, else those of the filesystem; an exception ends in the prompt, SystemExit in a
soft reset.
"""

import gc
import os
import sys

import _control as _c
import vfs
import virtual


def start(addresses, main) -> None:
    """addresses: see _control.attach; main: __main__'s dict."""
    global _mount, _blank
    _c.attach(*addresses)
    _mount()
    # What a port does in C takes no heap there.
    del _c.attach, _mount, _blank
    os.chdir("/")
    sys.path[:] = ["", ".frozen", "/rom", "/rom/lib", "/lib"]
    gc.collect()
    # As some ports do; it keeps the long-lived objects of an import together. The table of
    # names, which frozen modules do not need, asks for one large block when it grows.
    gc.threshold((gc.mem_free() + gc.mem_alloc()) // 8)
    _c.words[_c.W_STARTED] = 1
    if _run("boot.py", main) and not _c.words[_c.W_SKIP_MAIN]:
        _run("main.py", main)


def _mount():
    nor = virtual.Nor()
    blocks = virtual.Blocks(nor, _c.words[_c.W_FS_OFFSET], _c.words[_c.W_FS_SIZE])
    unit = max(32, nor.program_size)
    try:
        filesystem = vfs.VfsLfs2(blocks, progsize=unit, mtime=False)
    except OSError as e:
        if _c.words[_c.W_FORMATTED] and not _blank(nor):
            print("root filesystem:", e)  # nobody's data is erased unasked
            return
        vfs.VfsLfs2.mkfs(blocks, progsize=unit)
        filesystem = vfs.VfsLfs2(blocks, progsize=unit, mtime=False)
    _c.words[_c.W_FORMATTED] = 1
    vfs.mount(filesystem, "/")


def _blank(nor):
    # littlefs keeps its superblock in the first two blocks.
    start = _c.words[_c.W_FS_OFFSET]
    for offset in range(start, start + 2 * nor.sector_size, nor.sector_size):
        if nor.buffer(offset, nor.sector_size) != _c.ones[: nor.sector_size]:
            return False
    return True


def _run(name, main):
    # True unless an exception ended it: then a port does not go on to main.py.
    for folder in ("/rom/", "/"):
        try:
            os.stat(folder + name)
        except OSError:
            continue
        try:
            execfile(folder + name, main)  # noqa: F821
        except SystemExit:
            _c.stop(_c.SOFT_RESET)
        except BaseException as e:
            sys.print_exception(e)
            return False
        return True
    return True
