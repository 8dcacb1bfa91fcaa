"""Which refusals of the library were reached: the lines that raise, and how often."""

import ast
from collections import Counter
from pathlib import Path

from ota import errors

LIBRARY = Path(errors.__file__).parent
FILES = (
    "package/__init__.py", "package/chunks.py", "package/inflate.py", "delta/full.py",
    "delta/patch.py", "delta/pointers/__init__.py", "delta/stash.py", "delta/varints.py",
    "strategy/__init__.py", "strategy/ab.py", "strategy/inplace.py", "strategy/pingpong.py",
    "strategy/receive.py", "strategy/rewrite.py", "strategy/staging.py",
)  # fmt: skip


def refusals():
    """{(file, line): source of the statement} of every raise in FILES."""
    found = {}
    for name in FILES:
        source = (LIBRARY / name).read_text()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Raise):
                found[name, node.lineno] = ast.get_source_segment(source, node)
    return found


class Reached:
    """While in use, counts the lines of the library that raise OtaError."""

    def __init__(self):
        self.lines = Counter()

    def __enter__(self):
        reached = self
        self._class = errors.OtaError
        self._before = errors.OtaError.__init__

        def note(this, *args):
            import sys

            frame = sys._getframe(1)
            path = Path(frame.f_code.co_filename)
            if path.is_relative_to(LIBRARY):
                reached.lines[str(path.relative_to(LIBRARY)), frame.f_lineno] += 1

        errors.OtaError.__init__ = note
        return self

    def __exit__(self, *_):
        del self._class.__init__
