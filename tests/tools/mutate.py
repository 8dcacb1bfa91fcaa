"""Remove each protective step from the library, one at a time: a named test must fail then.

    python tests/tools/mutate.py                     every step of mutations.txt, on one core
    python tests/tools/mutate.py --list              names and files
    python tests/tools/mutate.py --only NAME         one step, or all whose name contains NAME
    python tests/tools/mutate.py --changed REVISION  simple mutants of the functions touched since
    python tests/tools/mutate.py --file boot/trial.py ...   of all functions of files of lib/ota

The steps are edits of the source: whole lines (-) that occur exactly once, and what takes their
place (+). They are done in a copy of the tree. Each named test passes there without the edit and
fails with it, by what it checks: a crash of edited code (a missing name, a wrong type) does not
count. A step that survives makes the exit status 1.

The mutants of --changed and --file are made by mutants.py, and any failure of the subject's tests
counts. Some that survive change nothing that matters; read each, it may be a test that is missing.
The exit status is 1 if one survives.
"""

import argparse
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
sys.path.insert(0, str(_ROOT / "tests"))
import folders

folders.add()
import mutants

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

    def run(self, tests, first=False, timeout=0):
        """How each test ends: "" passed, else what was raised. first: up to the first that fails;
        timeout: seconds, instead of what the number of tests allows."""
        # -S: no site-packages, so no other copy of the library. -B: no code of an edit is kept.
        here = self.root / "tests" / "tools" / "mutate.py"
        word = "--run-first" if first else "--run"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        try:
            done = subprocess.run(
                [sys.executable, "-S", "-B", here, word, *tests],
                capture_output=True, text=True, env=environment,
                timeout=timeout or _TIMEOUT + 10 * len(tests),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return ["hangs"] * len(tests)
        results = [x[1:] for x in done.stdout.splitlines() if x[:1] == ">"]
        if first and (done.returncode or results[-1:] != [""]):
            return [*results, f"exit {done.returncode}"] if done.returncode else results
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


def check_mutants(chosen, write=print):
    """Run the tests of the subject on each mutant; returns how many of them survive. Here every
    failure counts, and so do a crash and a hang."""
    begun = time.monotonic()
    lost = 0
    plain: dict[str, tuple[list[str], float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        tree = Tree(folder)
        for mutant in chosen:
            if mutant.path not in plain:
                tests, start = (
                    mutants.subjects(_ROOT / "tests", mutant.path, steps()),
                    time.monotonic(),
                )
                if any(tree.run(tests)):
                    raise ValueError(f"{mutant.path}: tests fail anyway: {' '.join(tests)}")
                plain[mutant.path] = tests, 20 + 5 * (time.monotonic() - start)
            tests, timeout = plain[mutant.path]
            path = tree.root / "lib" / "ota" / mutant.path
            source = path.read_text()
            path.write_text(mutant.source)
            try:
                killed = any(tree.run(tests, True, timeout))
            finally:
                path.write_text(source)
            lost += not killed
            write(f"{'killed  ' if killed else 'SURVIVES'} {mutant}")
    spent = time.monotonic() - begun
    write(f"{len(chosen)} mutants, {len(chosen) - lost} killed, {lost} not, {spent:.0f} s")
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


def _run(tests, first=False):
    import ota

    if not Path(ota.__file__).is_relative_to(_ROOT):
        raise RuntimeError(ota.__file__)
    out = sys.stdout
    for test in tests:
        sys.stdout = sys.stderr  # a test may print
        result = attempt(test)
        sys.stdout = out
        print(">" + " ".join(result.split()), flush=True)
        if first and result:
            break


def _mutants(args):
    """The mutants that the arguments ask for."""
    library = _ROOT / "lib" / "ota"
    if args.file:
        chosen = dict.fromkeys(args.file)
    else:
        chosen = mutants.changed(_ROOT, args.changed)
    found = []
    for path, lines in sorted(chosen.items()):
        if not (library / path).is_file():
            raise ValueError(f"no such file: lib/ota/{path}")
        found += mutants.mutants(path, (library / path).read_text(), lines)
    return found


def options(args):
    """The arguments; leaves with a message and status 2 if they mean nothing."""
    head, _, text = __doc__.partition("\n")
    p = argparse.ArgumentParser(
        "mutate.py", description=head, epilog=text, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    one = p.add_mutually_exclusive_group()
    one.add_argument("--list", action="store_true", help="names and files of the steps")
    one.add_argument("--only", metavar="NAME", help="one step, or all whose name contains NAME")
    one.add_argument("--changed", metavar="REVISION", help="mutants of functions touched since")
    one.add_argument("--file", metavar="PATH", nargs="+", help="mutants of files under lib/ota")
    one.add_argument("--run", nargs="+", help=argparse.SUPPRESS)
    one.add_argument("--run-first", nargs="+", help=argparse.SUPPRESS)
    return p.parse_args(args)


def main(args):
    """Run what the arguments ask for; returns the exit status."""
    args = options(args)
    if args.run or args.run_first:
        _run(args.run or args.run_first, bool(args.run_first))
        return 0
    if args.changed or args.file:
        try:
            return 1 if check_mutants(_mutants(args)) else 0
        except ValueError as e:
            print(f"mutate.py: {e}", file=sys.stderr)
            return 2
    chosen = steps()
    if args.only:
        chosen = [s for s in chosen if s.name == args.only] or [
            s for s in chosen if args.only in s.name
        ]
    if args.list:
        for step in chosen:
            step.removed((_ROOT / "lib" / "ota" / step.path).read_text())
            print(f"{step.name:44} {step.path}")
        return 0
    return 1 if not chosen or check(chosen) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
