"""The list of protective steps (mutations.txt) fits the source, and steps are missed.

What runs here is a fixed sample: every twenty-fourth step of the list, and with --all the first
step of each file and every eighth.
"""

import unittest

import mutate
import pytest
from mutate import _ROOT, Step, check, main, steps, survives

ALL = steps()


def test_every_step_is_in_the_source_once():
    for step in ALL:
        step.removed((_ROOT / "lib" / "ota" / step.path).read_text())
        assert step.tests and step.hunks
    names = [step.name for step in ALL]
    assert len(set(names)) == len(names) >= 180


def test_every_test_is_there():
    found = unittest.TestLoader()
    for name in {test for step in ALL for test in step.tests}:
        if not name.startswith("prove "):
            found.loadTestsFromName(name)
    assert not found.errors


def _missed(chosen):
    lines = []
    assert check(chosen, lines.append) == 0, "\n".join(lines)
    assert len(lines) == sum(len(step.tests) for step in chosen) + 1


def test_a_few_of_the_steps_are_missed():
    chosen = ALL[::24]
    assert len(chosen) >= 7
    _missed(chosen)


@pytest.mark.long
def test_a_sample_of_the_steps_is_missed():
    files = {step.path: step for step in reversed(ALL)}
    chosen = [s for i, s in enumerate(ALL) if i % 8 == 0 or s is files[s.path]]
    assert len(chosen) >= 40
    _missed(chosen)


def _step(edit):
    test = "test_state.TestMoves.test_names_and_numbers_are_those_of_the_record"
    return steps(f"[step] state/__init__.py\n {test}\n{edit}")[0]


def test_a_step_that_nobody_misses_is_said_so(monkeypatch, capsys):
    step = _step("-if old != new and not may(strategy, old, new):\n+if False:")
    monkeypatch.setattr(mutate, "steps", lambda: [step])
    assert main([]) == 1
    assert "SURVIVES" in capsys.readouterr().out


def test_a_crash_is_not_a_test_that_fails():
    step = _step("-return _NAMES.split()[state]\n+return _NAMES.splits()[state]")
    lines = []
    assert check([step], lines.append) == 1
    assert "SURVIVES AttributeError" in lines[0]
    assert survives("") and survives("hangs") and not survives("AssertionError: 1 != 2")


def test_what_does_not_fit_is_refused():
    source = "def f():\n    if a:\n        b()\n    if a:\n        c()\n"
    for text, times in (("-if a:", 2), ("-if b:", 0), ("-if a:\n-    b()\n-if b:", 0)):
        with pytest.raises(ValueError, match=f"is {times} times"):
            steps(f"[x] kv/full.py\n test\n{text}\n+pass")[0].removed(source)
    step = steps("[x] kv/full.py\n test\n-if a:\n-    b()\n+d()")[0]
    assert isinstance(step, Step)
    assert step.removed(source) == "def f():\n    d()\n    if a:\n        c()\n"
    with pytest.raises(SyntaxError):
        steps("[x] kv/full.py\n test\n-if a:\n-    b()\n+d(")[0].removed(source)
    with pytest.raises(ValueError, match="line 2"):
        steps("[x] kv/full.py\nwhat is this")
