"""Every row of the network's faults has tests that exist, and the document says the same."""

import ast
from pathlib import Path

import network_faults
import network_rows
import pytest
from network_rows import ONLY, PLACES, ROWS
from ota import errors

_FAULTS = list(network_faults.faults())
_TESTS = Path(__file__).parents[1]
_DOCUMENT = _TESTS.parent / "docs" / "network-faults.md"


def _exists(name):
    """Whether MODULE.function or MODULE.Class.method is a test of tests/shared or tests/host."""
    module, *path = name.partition("[")[0].split(".")
    for folder in ("shared", "host"):
        file = _TESTS / folder / f"{module}.py"
        if file.exists():
            found = ast.parse(file.read_text()).body
            for part in path:
                found = [n for n in found if getattr(n, "name", "") == part]
                node = found[0] if found else None
                found = getattr(node, "body", [])
            return isinstance(node, ast.FunctionDef) and node.name.startswith("test")
    return False


def test_all_rows_are_there():
    assert list(ROWS) == list(range(1, 86))


@pytest.mark.parametrize("row", ROWS)
def test_row_has_tests_that_exist(row):
    tests = network_rows.tests(row)
    assert tests and len(set(tests)) == len(tests)
    for name in tests:
        assert _exists(name), name


@pytest.mark.parametrize("row", ROWS)
def test_row_names_the_errors_of_its_cases(row):
    words = ROWS[row].words.split()
    assert all(errors.code(word) for word in words)
    cases = [f for f in _FAULTS if f.row == row]
    for number, kind in network_faults.TLS:
        if number == row:
            cases += network_faults.tls_faults(row, kind)
    for fault in cases:
        first = fault.words[:1] or ((),)
        for word in first[0] if isinstance(first[0], tuple) else first:
            assert word in words, f"{fault.name}: {word}"


def test_what_runs_on_one_interpreter_only_has_a_reason():
    for name, why in ONLY.items():
        assert _exists(name) and why
        assert any(name in row.tests for row in ROWS.values())


def test_every_file_of_tests_has_its_place():
    for row in ROWS:
        for name in network_rows.tests(row):
            module = name.partition(".")[0]
            assert module in PLACES or (_TESTS / "shared" / f"{module}.py").exists(), name


def test_a_test_that_is_not_there_is_found_out():
    assert _exists("test_head.TestHead.test_content_range")
    for name in ("test_head.TestHead.test_nothing", "test_none.test_x", "test_head.TestHead", "x"):
        assert not _exists(name)


def test_the_document_has_the_same_tables():
    text = _DOCUMENT.read_text()
    for lines in (network_rows.table(), network_rows.places()):
        assert "\n".join(lines) in text, "python tests/tools/network_rows.py prints them"
