"""Paths for CPython: the shared tests import their helpers as MicroPython does."""

import gc
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import folders  # noqa: E402

folders.add()


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="also the long tests (marker `long`)")


def pytest_collection_modifyitems(config, items):
    """Leaves the long tests out, unless a file or a test was named."""
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    if config.option.all or named or config.option.markexpr:
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
