"""Plant a fault into the running library, and see how soon the judge notices.

python tests/fuzz/plant.py          each fault of faults.txt, with the number of cases it took
"""

import contextlib
import importlib
import inspect
import sys
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_TESTS))
import folders  # noqa: E402

folders.add()

import choices  # noqa: E402
import mutate  # noqa: E402
import oracle  # noqa: E402
import packages  # noqa: E402
import streams  # noqa: E402

CASES = 2000  # at the most


def faults():
    """The steps of faults.txt, as mutate.py has them; tests: the words of the line."""
    found = mutate.steps(Path(__file__).with_name("faults.txt").read_text())
    for fault in found:
        fault.tests = fault.tests[0].split()
    return found


@contextlib.contextmanager
def planted(fault):
    """The library with a fault: its functions get the code of the edited source."""
    name = "ota." + fault.path[:-3].replace("/", ".").replace(".__init__", "")
    module = importlib.import_module(name)
    source = fault.removed(Path(module.__file__).read_text())
    edited = dict(vars(module))
    exec(compile(source, module.__file__, "exec"), edited)
    before = []
    try:
        for old, new in _functions(vars(module), edited, name):
            before.append((old, old.__code__))
            old.__code__ = new.__code__
        yield
    finally:
        for function, code in before:
            function.__code__ = code


def _functions(old, new, module):
    for name, value in list(old.items()):
        if getattr(value, "__module__", "") != module or name not in new:
            continue
        if inspect.isfunction(value):
            yield value, new[name]
        elif inspect.isclass(value):
            yield from _functions(dict(vars(value)), dict(vars(new[name])), module)


def seeded(fault, most=CASES):
    """Generator over generated cases of the kind that a fault shows in."""
    make = streams.make if "streams" in fault.tests else packages.make
    for seed in range(most):
        yield make(choices.Seeded(seed))


def noticed(fault, cases):
    """(cases it took, Finding, case) until the judge notices; None, None if it does not."""
    count = 0
    with planted(fault):
        for case in cases:
            count += 1
            try:
                oracle.judge(case, "closely" in fault.tests)
            except oracle.Finding as e:
                return count, e, case
    return count, None, None


def main():
    """Try every fault; the exit status is 1 if one is not noticed."""
    missed = 0
    for fault in faults():
        count, finding, _ = noticed(fault, seeded(fault))
        missed += finding is None
        print(f"{fault.name:42} {count:5} {finding.args if finding else 'NOT NOTICED'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
