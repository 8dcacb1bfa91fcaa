"""Run shared tests on MicroPython: micropython tests/tools/run.py [--sample] [test_name ...]

Without names, all of tests/shared; they need `-X heapsize=4M` then. --sample: fewer of the many
cases, see slow.py. Closes with "N passed,
N failed, N skipped"; a run that executed no test fails. On CPython pytest runs the same files.
"""

import gc
import os
import sys

_TESTS = (__file__.rpartition("/")[0] or ".") + "/.."


def main(names):
    """Import and run each module, forgetting it before the next; return the exit status."""
    sys.path.insert(0, _TESTS)
    import folders

    folders.add()
    import unittest

    import garbage
    import slow

    garbage.wait()
    if names[:1] == ["--sample"]:
        names = names[1:]
        slow.SLOW = slow.SAMPLE = True
    names = names or sorted(
        n[:-3] for n in os.listdir(_TESTS + "/shared") if n.startswith("test_")
    )
    passed = failed = skipped = 0
    for name in names:
        before = set(sys.modules)
        run, bad, left = unittest.run_module(__import__(name))
        print("%s: %d run, %d failed, %d skipped" % (name, run, bad, left))
        if not run and not left:
            print("FAILED %s ran no test" % name)
            bad = 1
        passed += run - bad
        failed += bad
        skipped += left
        for new in set(sys.modules) - before:
            del sys.modules[new]
        gc.collect()
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
