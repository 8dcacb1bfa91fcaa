"""Paths for CPython: the shared tests import their helpers as MicroPython does."""

import gc
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import folders  # noqa: E402

folders.add()


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="also the long tests (marker `long`)")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """One worker more than cores: many tests wait for a clock or a board."""
    return (os.cpu_count() or 1) + 1


def _named(config):
    return config.args_source is pytest.Config.ArgsSource.ARGS


def pytest_collection_modifyitems(config, items):
    """Leaves the long tests out, unless a file or a test was named."""
    if config.option.all or _named(config) or config.option.markexpr:
        return
    long = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.fixture(scope="session")
def board_files(tmp_path_factory):
    """A folder with lib/ and tests/ as MicroPython runs them fast, see compiled.py."""
    from compiled import tree

    return tree(tmp_path_factory.mktemp("compiled"))


def pytest_collection_finish():
    """What the run begins with is no garbage later: many tests collect."""
    gc.collect()
    gc.freeze()


_tests = 0


def pytest_runtest_setup():
    """Nor is what tests import and keep: with the clients of clouds in memory, the library's
    own collections would take most of the time of a test that makes many."""
    global _tests
    _tests += 1
    if _tests % 20 == 0:
        gc.collect()
        gc.freeze()


_passed_on_micropython = []


def pytest_runtest_logreport(report):
    """Notes that a file of tests/shared passed on MicroPython."""
    if report.when == "call" and report.passed and "::test_on_micropython[" in report.nodeid:
        _passed_on_micropython.append(report.nodeid)


def pytest_sessionfinish(session, exitstatus):
    """A run of everything that tried nothing on MicroPython is a failure."""
    config = session.config
    if hasattr(config, "workerinput") or _named(config) or config.option.collectonly:
        return
    if exitstatus == 0 and not _passed_on_micropython:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print("\nFAILED: no test ran on MicroPython", file=sys.stderr)
