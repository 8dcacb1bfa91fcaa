"""docs/states.md says of each strategy what ota/state.py does."""

import re
from pathlib import Path

import pytest
from ota import state

_TEXT = (Path(__file__).parents[2] / "docs" / "states.md").read_text()


def _rows(strategy):
    section = re.search(rf"^## {strategy}$(.*?)(?=^## |\Z)", _TEXT, re.M | re.S)
    assert section, f"docs/states.md has no section {strategy}"
    rows = [line.strip("| ").split(" | ") for line in section[1].splitlines() if "| " in line]
    return [[cell.strip() for cell in row] for row in rows[2:]]


@pytest.mark.parametrize("strategy", sorted(state._MOVES))
def test_rows_name_every_state_and_every_move(strategy):
    rows = _rows(strategy)
    assert [row[0] for row in rows] == list(state._NAMES)
    for number, row in enumerate(rows):
        said = set(re.findall(r"\b[A-Z]{4,}\b", row[2] if len(row) > 2 else ""))
        known = {state.name(int(d)) for d in state._MOVES[strategy][number]}
        assert said == known, f"{strategy} {row[0]}"
