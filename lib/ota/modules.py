"""The library's own imports, kept apart from the application's, and the memory of modules.

The slot comes first on sys.path, and MicroPython looks for struct, time, select and most other
firmware modules there first: a file of that name in the application would be imported instead.
So whatever the library imports once a slot may be mounted is imported here, without the slot and
without what the application imported. Nothing here needs a module that a file could replace.
"""

import sys

if sys.implementation.name == "micropython":
    from gc import collect
else:
    from .cpython import collect  # type: ignore[assignment]

if False:  # for type checkers
    from ota_hints import Any

# All firmware modules that the library imports, and those that frozen ones among them import.
# A text takes no heap.
_NAMES = (
    " array asyncio binascii collections cryptolib deflate errno esp32 gc hashlib io json machine"
    " micropython network ntptime os pyb random re rp2 select socket ssl struct time tls"
    " uctypes vfs zlib "
)
# Names of modules that are not the application's, None before a slot is mounted; our copies of
# modules that the application has, too; where the slot is mounted. One list: names take heap.
slot: list = [None, {}, ()]


def load(name: str) -> "Any":
    """Import ota.<name>, which only some boards or some calls need; return the module."""
    name = "ota." + name
    module = sys.modules.get(name)
    if module is None:
        # A module stays for long: placed between garbage it would fragment the heap.
        collect()
        firmware(name)
        module = sys.modules[name]
    return module


def phase(*names: str) -> None:
    """Begin the next phase of an update or a start: forget modules that only the one before
    needed, and collect garbage."""
    for name in names:
        unload(name)
    collect()


def unload(name: str) -> None:
    """Forget the module ota.<name>; load() brings it back.

    Works as far as nothing of it is in use any more. CPython has memory enough and keeps it.
    """
    if sys.implementation.name == "micropython":
        name = "ota." + name
        # If memory ran out in an import, MicroPython may know the name but no module of it.
        sys.modules.pop(name, None)
        parent, _, leaf = name.rpartition(".")
        # Gone itself, or made anew without it, for the same reason.
        package = sys.modules.get(parent)
        if hasattr(package, leaf):
            delattr(package, leaf)


def firmware(name: str) -> "Any":
    """Import a module, but never from the slot; return it as __import__ does.

    Raises:
        ImportError: the firmware has no such module.
    """
    path = sys.path[:]
    known, own, _ = slot
    hidden = {n: sys.modules[n] for n in _shared()}
    for n in hidden:  # mostly none
        del sys.modules[n]
        if n in own:
            sys.modules[n] = own[n]
    try:
        # Our own modules are found by the path of their package, built-in ones without a path.
        # All others are frozen or in a file system, but never in the slot.
        board = sys.implementation.name == "micropython"
        for strict in (True, False) if board else (False,):
            sys.path[:] = [
                p for p in path
                if (p == ".frozen" or p[:4] == "/rom" if strict else p[:1] == "/" or not board)
                and not inside(p)
            ]  # fmt: skip
            try:
                return __import__(name)
            except ImportError:
                if not strict:
                    raise
    finally:
        sys.path[:] = path
        for n in _shared():
            if n in hidden:
                own[n] = sys.modules[n]
            else:
                known.append(n)
        sys.modules.update(hidden)


def mounted(where: tuple | list) -> None:
    """Put a mounted slot first on sys.path: others import the application from now on.

    Args:
        where: the two mount points; the second one serves its folder "lib".
    """
    if slot[0] is None:
        slot[0] = [n for n in sys.modules if n != "ota" and n[:4] != "ota."]
    slot[2] = where
    sys.path[:0] = [where[0], where[1] + "/lib"]


def _shared():
    # Modules that the application imported under one of our names. Modules in C have no file;
    # those in a ROMFS of the firmware have a path there.
    found: list = []
    if slot[0] is None:
        return found
    for n in sys.modules:
        # The first test makes no garbage.
        if n not in slot[0] and _NAMES.find(n) > 0 and " %s " % n in _NAMES:
            file = getattr(sys.modules[n], "__file__", None)
            if file and (file[:4] != "/rom" or inside(file)):
                found.append(n)
    return found


def inside(path: str) -> bool:
    """True if a path is in the slot."""
    for root in slot[2]:
        if path == root or path[: len(root) + 1] == root + "/":
            return True
    return False
