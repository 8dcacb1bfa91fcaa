"""package.json (mip) from the tree: python -m otatool.sim.packaging writes it anew."""

import json
from pathlib import Path

from ota.version import VERSION

ROOT = Path(__file__).parents[3]
NOT_ON_DEVICES = ("ota/cpython.py",)


def device_files(lib: Path = ROOT / "lib") -> list[str]:
    """Files of the device package that a device carries, relative to lib, sorted."""
    found = {path.relative_to(lib).as_posix() for path in (lib / "ota").rglob("*.py")}
    return sorted(found.difference(NOT_ON_DEVICES))


def package_json() -> str:
    """The text of package.json: every device file, its source relative to package.json."""
    urls = ",\n".join("  " + json.dumps([name, "lib/" + name]) for name in device_files())
    return f'{{\n "version": {json.dumps(VERSION)},\n "urls": [\n{urls}\n ],\n "deps": []\n}}\n'


if __name__ == "__main__":
    (ROOT / "package.json").write_text(package_json(), newline="\n")
