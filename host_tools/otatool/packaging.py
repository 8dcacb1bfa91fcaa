"""package.json (mip) from the tree: python -m otatool.packaging writes it anew."""

import json
from pathlib import Path

from ota.version import VERSION

from . import files

ROOT = Path(__file__).parents[2]


def device_files(root: Path = ROOT) -> list[str]:
    """Files of the device package, relative to lib/, sorted."""
    lib = root / "lib"
    return sorted(path.relative_to(lib).as_posix() for path in (lib / "ota").rglob("*.py"))


def package_json(root: Path = ROOT) -> str:
    """The text of package.json: every device file, its source relative to package.json."""
    urls = ",\n".join("  " + json.dumps([name, "lib/" + name]) for name in device_files(root))
    return f'{{\n "version": {json.dumps(VERSION)},\n "urls": [\n{urls}\n ],\n "deps": []\n}}\n'


if __name__ == "__main__":
    files.write(ROOT / "package.json", package_json())
