"""Simple mutants of functions, and the tests of their subject: what mutate.py --changed runs.

A mutant is one edit of one function: a call that is a statement of its own removed, a raise
removed, a condition negated, the border of a comparison moved. The functions are those that git
says were touched since a revision, or all of a file. The tests of a file are those that
mutations.txt names for it and the files of tests/shared that import it.
"""

import ast
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

_BORDERS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
_COMPARED = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}


class Mutant(NamedTuple):
    """One edit of path (under lib/ota): what was done in which function, and the source then."""

    path: str
    line: int
    function: str
    what: str
    source: str

    def __str__(self):
        return f"{self.path}:{self.line} {self.function}: {self.what}"


def touched(diff: str) -> dict[str, set[int]]:
    """{file: lines} that `git diff -U0` says are new or have something removed before them."""
    found: dict[str, set[int]] = {}
    lines: set[int] = set()
    for line in diff.splitlines():
        if line.startswith("+++ "):
            lines = found.setdefault(line[6:], set()) if line.startswith("+++ b/") else set()
        elif hunk := re.match(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@", line):
            first, count = int(hunk[1]), int(hunk[2] or 1)
            lines.update(range(first, first + max(count, 1)))
    return found


def changed(root: Path, revision: str) -> dict[str, set[int]]:
    """{file under lib/ota: lines} touched since revision, what is not committed included."""
    done = subprocess.run(
        ["git", "diff", "-U0", "--no-color", "--no-ext-diff", "--src-prefix=a/", "--dst-prefix=b/",
         "--relative=lib/ota", revision, "--", "*.py"],
        cwd=root, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise ValueError(done.stderr.strip())
    return touched(done.stdout)


def mutants(path: str, source: str, lines: set[int] | None = None) -> list[Mutant]:
    """Mutants of the functions that have one of lines; of all functions without it."""
    found: list[Mutant] = []
    taken: set[tuple[int, int, str]] = set()
    functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)]
    for function in sorted(functions, key=lambda f: -f.lineno):  # the innermost first
        first = min([function.lineno, *(d.lineno for d in function.decorator_list)])
        if lines is None or lines & set(range(first, (function.end_lineno or first) + 1)):
            for node, what, text in _edits(function, source):
                place = node.lineno, node.col_offset, what
                if place not in taken:  # a function within this one had it
                    taken.add(place)
                    edited = _replaced(source, node, text)
                    found.append(Mutant(path, node.lineno, function.name, what, edited))
    return sorted(found, key=lambda m: m.line)


def _edits(function, source):
    for node in ast.walk(function):
        said = " ".join((ast.get_source_segment(source, node) or "").split())
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield node, f"without {said}", "pass"
        elif isinstance(node, ast.Raise):
            yield node, f"without {said}", "pass"
        elif isinstance(node, ast.If | ast.While | ast.IfExp):
            test = node.test
            if not isinstance(test, ast.Constant):
                text = ast.get_source_segment(source, test)
                yield test, f"not {' '.join(text.split())}", f"(not ({text}))"
        elif isinstance(node, ast.Compare) and len(node.ops) == 1:
            sign = _COMPARED.get(type(node.ops[0]))
            if sign:
                left = ast.get_source_segment(source, node.left)
                right = ast.get_source_segment(source, node.comparators[0])
                text = f"({left} {_BORDERS[sign]} {right})"
                yield node, f"{said} with {_BORDERS[sign]}", text


def _replaced(source, node, text):
    lines = source.encode().splitlines(keepends=True)
    start = sum(map(len, lines[: node.lineno - 1])) + node.col_offset
    end = sum(map(len, lines[: node.end_lineno - 1])) + node.end_col_offset
    data = source.encode()
    return (data[:start] + text.encode() + data[end:]).decode()


def subjects(tests: Path, path: str, steps) -> list[str]:
    """Names of the test files of a file under lib/ota, for unittest: of its steps, and those of
    tests/shared that import it. All of tests/shared if there is none."""
    found = {
        test.split(".")[0]
        for step in steps
        if step.path == path
        for test in step.tests
        if not test.startswith("prove ")
    }
    module = "ota." + path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    module = "ota" if module == "ota.__init__" else module
    files = sorted((tests / "shared").glob("test_*.py"))
    found |= {f.stem for f in files if module in imported(f.read_text())}
    return sorted(found) or [f.stem for f in files]


def imported(source: str) -> set[str]:
    """Modules that a source may import, by their whole names."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module)} | {f"{node.module}.{name.name}" for name in node.names}
    return found
