"""Where the shared tests find tests/vectors, on both interpreters."""

import json

_FOLDER = (__file__.rpartition("/")[0] or ".") + "/../../vectors/"


def load(name: str) -> bytes:
    """Bytes of tests/vectors/<name>."""
    with open(_FOLDER + name, "rb") as f:
        return f.read()


def load_json(name: str):
    """The JSON of tests/vectors/<name>."""
    with open(_FOLDER + name) as f:
        return json.load(f)
