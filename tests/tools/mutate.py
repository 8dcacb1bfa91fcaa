"""Remove each protective step from the library, one at a time: a named test must fail then.

    python tests/tools/mutate.py               every step of mutations.txt, on one core
    python tests/tools/mutate.py --list        names and files
    python tests/tools/mutate.py --only NAME   one step, or all whose name contains NAME

The steps are edits of the source: whole lines (-) that occur exactly once, and what takes their
place (+). They are done in a copy of the tree. Each named test passes there without the edit and
fails with it, by what it checks: a crash of edited code (a missing name, a wrong type) does not
count. A step that survives makes the exit status 1.
"""

import compileall
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from py_compile import PycInvalidationMode

_ROOT = Path(__file__).resolve().parents[2]
_TABLE = "mutations.txt"
_TIMEOUT = 120  # seconds, and 10 more for each test; a step whose loss only hangs is not noticed
# What edited code that is broken raises: that proves nothing about the step.
_CRASH = re.compile(
    r"\b(NameError|UnboundLocalError|AttributeError|ImportError|ModuleNotFoundError|SyntaxError|"
    r"IndentationError|TypeError|RecursionError|NotImplementedError)\b"
)


class Step:
    """One protective step: name; path of its file under lib/ota; tests, by their unittest names
    or "prove CODE"; hunks, (lines, lines that take their place)."""

    def __init__(self, name, path):
        self.name, self.path = name, path
        self.tests = []
        self.hunks = []

    def removed(self, source):
        """The source without the step. Raises ValueError unless every hunk fits exactly once."""
        lines = source.split("\n")
        for old, new in self.hunks:
            places = [i for i in range(len(lines)) if _fits(lines, i, old)]
            if len(places) != 1:
                raise ValueError(f"{self.name}: {old[0]!r} is {len(places)} times in {self.path}")
            at = places[0]
            indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
            lines[at : at + len(old)] = [indent + line for line in new]
        edited = "\n".join(lines)
        compile(edited, self.path, "exec")
        return edited


def _fits(lines, at, old):
    first = lines[at]
    indent = first[: len(first) - len(first.lstrip())]
    return lines[at : at + len(old)] == [indent + line if line else "" for line in old]


def steps(text=None):
    """The steps of mutations.txt."""
    found = []
    if text is None:
        text = Path(__file__).with_name(_TABLE).read_text()
    sign = ""
    for number, line in enumerate(text.splitlines(), 1):
        before, sign = sign, line[:1]
        if sign == "[":
            name, _, path = line[1:].partition("] ")
            found.append(Step(name, path))
        elif sign == "-":
            if before != "-":
                found[-1].hunks.append(([], []))
            found[-1].hunks[-1][0].append(line[1:])
        elif sign == "+":
            found[-1].hunks[-1][1].append(line[1:])
        elif sign == " ":
            found[-1].tests.append(line.strip())
        elif sign not in ("", "#"):
            raise ValueError(f"{_TABLE}, line {number}")
    return found


class Tree:
    """A copy of the tree to edit and to run tests in."""

    def __init__(self, folder):
        self.root = Path(folder)
        ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
        for name in ("lib", "tests"):
            shutil.copytree(_ROOT / name, self.root / name, ignore=ignore)
        # An edit may leave size and time of a file as they were, but not its hash.
        mode = PycInvalidationMode.CHECKED_HASH
        compileall.compile_dir(self.root, quiet=2, invalidation_mode=mode)

    def run(self, tests):
        """How each test ends: "" passed, else what was raised."""
        # -S: no site-packages, so no other copy of the library. -B: no code of an edit is kept.
        command = [
            sys.executable,
            "-S",
            "-B",
            self.root / "tests/tools/mutate.py",
            "--run",
            *tests,
        ]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, env=environment,
                timeout=_TIMEOUT + 10 * len(tests),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return ["hangs"] * len(tests)
        results = [x[1:] for x in done.stdout.splitlines() if x[:1] == ">"]
        if done.returncode or len(results) != len(tests):
            raise RuntimeError(done.stdout + done.stderr)
        return results

    def without(self, step):
        """How each test of step ends while the step is removed."""
        path = self.root / "lib" / "ota" / step.path
        source = path.read_text()
        path.write_text(step.removed(source))
        try:
            return self.run(step.tests)
        finally:
            path.write_text(source)


def survives(result):
    """True if a test that ended like this did not notice the step's loss."""
    return not result or result == "hangs" or bool(_CRASH.search(result))


def check(chosen, write=print):
    """Remove each chosen step in a copy of the tree; returns how many survive."""
    begun = time.monotonic()
    lost = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Tree(folder)
        tests = sorted({test for step in chosen for test in step.tests})
        for test, result in zip(tests, tree.run(tests), strict=True):
            if result:
                raise ValueError(f"{test} fails anyway: {result}")
        for step in chosen:
            start = time.monotonic()
            results = tree.without(step)
            spent = time.monotonic() - start
            for test, result in zip(step.tests, results, strict=True):
                word = f"SURVIVES {result}" if survives(result) else result.split(":")[0]
                write(f"{step.name:44} {step.path:22} {spent:5.1f} s  {test}  {word}")
            lost += not results or any(survives(result) for result in results)
    spent = time.monotonic() - begun
    write(f"{len(chosen)} steps removed, {len(chosen) - lost} noticed, {lost} not, {spent:.0f} s")
    return lost


def attempt(name):
    """Run one test; returns "" or the last line of what went wrong."""
    if name.startswith("prove "):
        import prove

        try:
            prove.replay(name.split()[1])
        except BaseException as e:
            return f"{type(e).__name__}: {e}"
        return ""
    result = _Result()
    result.failfast = True
    unittest.defaultTestLoader.loadTestsFromName(name).run(result)
    bad = [text for _, text in result.errors + result.failures]
    if bad:
        return max(bad, key=lambda text: bool(_CRASH.search(text)))
    return "" if result.testsRun > len(result.skipped) else "ran nothing"


class _Result(unittest.TestResult):
    def _exc_info_to_string(self, err, test):
        return f"{err[0].__name__}: {err[1]}"


def _run(tests):
    sys.path.insert(0, str(_ROOT / "tests"))
    import folders

    folders.add()
    import ota

    if not Path(ota.__file__).is_relative_to(_ROOT):
        raise RuntimeError(ota.__file__)
    out = sys.stdout
    for test in tests:
        sys.stdout = sys.stderr  # a test may print
        result = attempt(test)
        sys.stdout = out
        print(">" + " ".join(result.split()), flush=True)


def main(args):
    """Run what the arguments ask for; returns the exit status."""
    if args[:1] == ["--run"]:
        _run(args[1:])
        return 0
    chosen = steps()
    if args[:1] == ["--only"]:
        chosen = [s for s in chosen if s.name == args[1]] or [
            s for s in chosen if args[1] in s.name
        ]
    if args[:1] == ["--list"]:
        for step in chosen:
            step.removed((_ROOT / "lib" / "ota" / step.path).read_text())
            print(f"{step.name:44} {step.path}")
        return 0
    return 1 if not chosen or check(chosen) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
