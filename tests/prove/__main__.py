"""python tests/prove, or micropython tests/prove/__main__.py: see prove.py."""

import sys

sys.path.insert(0, (__file__.rpartition("/")[0] or ".") + "/..")
import folders

folders.add()

if sys.implementation.name == "micropython":
    import garbage

    garbage.wait()

import prove  # noqa: E402

if __name__ == "__main__":
    sys.exit(prove.main(sys.argv[1:]))
