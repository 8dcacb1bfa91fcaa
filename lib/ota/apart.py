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
_MP = sys.implementation.name == "micropython"
_known: "list[str] | None" = None  # modules that are not the application's; None: no slot yet
_own: dict = {}  # ours of those that the application has, too, by name
_roots: "tuple[str, ...]" = ()  # where the slot is mounted


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
    hidden = _hide()
    try:
        if not _MP:
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
        _show(hidden)


def mounted(roots, folders) -> None:
    """The slot is mounted at roots, and these folders of it come on sys.path, in front: what
    others import from now on is the application's."""
    global _known, _roots
    if _known is None:
        _known = [name for name in sys.modules if name != "ota" and name[:4] != "ota."]
    _roots = roots
    sys.path[:0] = folders


def leave() -> "tuple[str, ...]":
    """Take the slot off sys.path and forget what was imported since it came on it, but ours.

    Returns where it is mounted.
    """
    global _roots
    roots = _roots
    # An application may stand in its folder, too, and have "" on the path.
    sys.path[:] = [p for p in sys.path if p[:1] in ("/", ".") and not _inside(p)]
    _roots = ()
    for name in list(sys.modules):
        if _known is not None and name not in _known and name != "ota" and name[:4] != "ota.":
            del sys.modules[name]
    collect()
    return roots


def _inside(path):
    for root in _roots:
        if path == root or path[: len(root) + 1] == root + "/":
            return True
    return False


def _hide():
    # The application's modules that have a name of ours go out of the way; mostly none.
    if _known is None:
        return None
    hidden = {}
    for name in sys.modules:
        if name not in _known and _ours(name):
            hidden[name] = sys.modules[name]
    for name in hidden:
        del sys.modules[name]
        if name in _own:
            sys.modules[name] = _own[name]
    return hidden


def _show(hidden):
    if hidden is None:
        return
    for name in sys.modules:
        if name not in _known and _ours(name):
            if name in hidden:
                _own[name] = sys.modules[name]
            else:
                _known.append(name)
    sys.modules.update(hidden)


def _ours(name):
    # A word of the text; the first look makes no garbage.
    return _NAMES.find(name) > 0 and " %s " % name in _NAMES
