"""Public functions tell what they take and return, to people and to type checkers.

What the hints say is checked by mypy, in ./run lint.
"""

import ast
from pathlib import Path

import pytest
from trees import hints

_ROOT = Path(__file__).parents[2]
# What runs on MicroPython in machine code, whose hints are the compiler's, or is an example.
_OTHERS = ("_viper.py", "demo/app/main.py", "sim/board/_boot.py", "sim/board/machine.py")
_OTHERS += ("sim/board/virtual.py",)
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def _functions(body, owner=""):
    """(name, function, whether its first argument is self) of what is public."""
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name[0] != "_":
            yield from _functions(node.body, node.name + ".")
        elif isinstance(node, _FUNCTION) and node.name[0] != "_":
            static = any(getattr(d, "id", "") == "staticmethod" for d in node.decorator_list)
            yield owner + node.name, node, bool(owner) and not static


def _lacks(function, bound):
    a = function.args
    args = (a.posonlyargs + a.args)[bound:] + a.kwonlyargs
    yield from (arg.arg for arg in args if arg.annotation is None)
    if function.returns is None:
        yield "the result"
    if not ast.get_docstring(function):
        yield "a docstring"


@pytest.mark.parametrize(("package", "least"), [("lib/ota", 390), ("host_tools/otatool", 380)])
def test_public_functions_have_hints_and_a_docstring(package, least):
    lacking, seen = [], 0
    for path in sorted((_ROOT / package).rglob("*.py")):
        if path.as_posix().endswith(_OTHERS):
            continue
        for name, function, bound in _functions(ast.parse(path.read_text()).body):
            seen += 1
            found = ", ".join(_lacks(function, bound))
            if found and not (found == "the result" and _is_generator(function, package)):
                lacking.append(f"{path.relative_to(_ROOT)} {name}: {found}")
    assert seen > least
    assert not lacking


def _is_generator(function, package):
    # What a generator of the tool yields is in its docstring.
    yields = any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in ast.walk(function))
    return yields and package != "lib/ota"


def test_hints_leave_nothing_in_the_code_of_a_device():
    """The names in hints are imported under `if False:`, which MicroPython's compiler drops."""
    for path in sorted((_ROOT / "lib/ota").rglob("*.py")):
        tree = ast.parse(path.read_text())
        hidden = [n for n in tree.body if hints(n)]
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "ota_hints":
                assert any(node in n.body for n in hidden), path
