"""The library's own imports, kept apart from the application's.

The slot stands in front of sys.path, and MicroPython looks for struct, time, select and most
other modules of the firmware there first: an application's file of such a name would become
the library's. So whatever the library imports once a slot may be mounted comes through here,
past the slot and past what the application imported. Nothing here needs a module that a file
could stand in for.
"""

import sys
from gc import collect

# All that the library imports of the firmware, and what frozen modules among it import. A text
# takes no heap.
_NAMES = (
    " array asyncio binascii collections cryptolib deflate errno esp32 gc hashlib io json machine"
    " micropython network ntptime os pyb random re rp2 select socket ssl struct time tls"
    " uctypes vfs zlib "
)
# Names of modules that are not the application's, None before a slot is mounted; ours of those
# that the application has, too; where the slot is mounted. In one list: names take heap.
_slot: list = [None, {}, ()]


def load(name: str):
    """The module ota.<name>, which only some boards or some calls need."""
    name = "ota." + name
    module = sys.modules.get(name)
    if module is None:
        # What an import leaves stays for long: below garbage it would cut the heap into pieces.
        collect()
        firmware(name)
        module = sys.modules[name]
    return module


def firmware(name: str):
    """Import name, never from the slot; returns what __import__ does. Raises ImportError."""
    path = sys.path[:]
    known, own, _ = _slot
    hidden = {n: sys.modules[n] for n in _shared()}
    for n in hidden:  # mostly none
        del sys.modules[n]
        if n in own:
            sys.modules[n] = own[n]
    try:
        if sys.implementation.name != "micropython":
            sys.path[:] = [p for p in path if not _inside(p)]
            return __import__(name)
        # Our own are found by the path of their package, what is built in without one.
        sys.path[:] = [p for p in path if p == ".frozen" or p[:4] == "/rom" and not _inside(p)]
        try:
            return __import__(name)
        except ImportError:
            # Neither built in nor frozen: from a file system then, but not from the slot.
            sys.path[:] = [p for p in path if p[:1] == "/" and not _inside(p)]
            return __import__(name)
    finally:
        sys.path[:] = path
        for n in _shared():
            if n in hidden:
                own[n] = sys.modules[n]
            else:
                known.append(n)
        sys.modules.update(hidden)


def mounted(roots, folders) -> None:
    """The slot is mounted at roots, and these folders of it come on sys.path, in front: what
    others import from now on is the application's."""
    if _slot[0] is None:
        _slot[0] = [n for n in sys.modules if n != "ota" and n[:4] != "ota."]
    _slot[2] = roots
    sys.path[:0] = folders


def leave() -> None:
    """Take the slot off sys.path and forget what was imported since it came on it, but ours."""
    # An application may stand in its folder, too, and have "" on the path.
    sys.path[:] = [p for p in sys.path if p[:1] in ("/", ".") and not _inside(p)]
    _slot[2] = ()
    for n in list(sys.modules):
        if _slot[0] is not None and n not in _slot[0] and n != "ota" and n[:4] != "ota.":
            del sys.modules[n]
    collect()


def _shared():
    # Modules that the application imported, and that have a name of ours.
    known = _slot[0]
    if known is None:
        return ()
    # The first look makes no garbage.
    return [
        n for n in sys.modules
        if n not in known and _NAMES.find(n) > 0 and " %s " % n in _NAMES
    ]  # fmt: skip


def _inside(path):
    for root in _slot[2]:
        if path == root or path[: len(root) + 1] == root + "/":
            return True
    return False
