"""docs/states.md says of each strategy what ota/state/__init__.py does."""

import re
from pathlib import Path

import pytest
from ota import state
from ota.errors import StateError

_TEXT = (Path(__file__).parents[2] / "docs" / "states.md").read_text()

_STATES = range(state.IDLE, state.RESCUE + 1)


def _rows(strategy):
    section = re.search(rf"^## {strategy}$(.*?)(?=^## |\Z)", _TEXT, re.M | re.S)
    assert section, f"docs/states.md has no section {strategy}"
    rows = [line.strip("| ").split(" | ") for line in section[1].splitlines() if "| " in line]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def _moves(strategy, old):
    """Names of the other states that ota/state/__init__.py lets follow."""
    names = set()
    for new in _STATES:
        try:
            state.check(strategy, old, new)
        except StateError:
            continue
        names.add(state.name(new))
    return names - {state.name(old)}


@pytest.mark.parametrize("strategy", ["ab", "pingpong", "inplace"])
def test_rows_name_every_state_and_every_move(strategy):
    rows = _rows(strategy)
    assert [row[0] for row in rows] == [state.name(n) for n in _STATES]
    for number, row in enumerate(rows):
        said = set(re.findall(r"\b[A-Z]{4,}\b", row[2] if len(row) > 2 else ""))
        assert said == _moves(strategy, number), f"{strategy} {row[0]}"
