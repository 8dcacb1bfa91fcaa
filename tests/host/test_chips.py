"""tests/tools/chips.py finds what boards do not have, where it is written.

./run lint checks lib/ota against the stubs of esp32 and rp2, which it fetches; here the stub is
two lines of our own.
"""

from pathlib import Path

import chips
import mypy
import pytest

_ROOT = Path(__file__).parents[2]
_STUB = "class Pin:\n    IN: int\n    def __init__(self, id: int, mode: int = ...) -> None: ...\n"
_BUTTON = """\
from .modules import firmware


def pin(number):
    machine = firmware("machine")
    return machine.Pin(number, machine.Pin.IN)
"""


@pytest.fixture
def check(tmp_path):
    """check(text): what is found in a library whose module button has this text."""
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    for name in ("stdlib", "stubs"):
        (stubs / name).symlink_to(Path(mypy.__file__).parent / "typeshed" / name)
    (stubs / "machine.pyi").write_text(_STUB)
    library = tmp_path / "lib" / "ota"
    library.mkdir(parents=True)
    (library / "__init__.py").write_text("")
    (library.parent / "ota_hints.pyi").write_text("")
    (library / "cpython.py").write_text("import nothing_that_boards_have\n")
    (library / "errors.py").write_text("class OtaError(Exception):\n    pass\n")
    (library / "modules.py").write_text("def firmware(name):\n    return __import__(name)\n")

    def run(text, example=""):
        (library / "button.py").write_text(text)
        (tmp_path / "examples").mkdir()
        (tmp_path / "examples" / "main.py").write_text(example)
        return chips.check(stubs, tmp_path)

    return run


def test_what_a_board_has_passes(check):
    assert check(_BUTTON, "import ota\n\nERROR = ota.errors.OtaError\n") == ""


def test_a_module_of_the_firmware_is_looked_into(check):
    found = check(_BUTTON.replace("Pin.IN", "Pin.OUT"))
    assert found.startswith('ota/button.py:6: error: "type[Pin]" has no attribute "OUT"')


def test_a_module_that_is_used_in_place_is_looked_into(check):
    found = check('from .modules import firmware\n\nX = firmware("machine").Pan\n')
    assert found.startswith('ota/button.py:3: error: Module has no attribute "Pan"')


def test_arguments_are_compared(check):
    assert check(_BUTTON.replace("(number, ", '("5", ')).startswith("ota/button.py:6: error: Arg")


def test_examples_are_checked(check):
    found = check(_BUTTON, "import machine\n\nmachine.Pin(1).toggle()\n")
    assert found.startswith('examples_main.py:3: error: "Pin" has no attribute "toggle"')


def test_no_module_of_the_firmware_stays_hidden_and_lines_keep_their_numbers():
    for path in (_ROOT / "lib" / "ota").rglob("*.py"):
        text = path.read_text()
        seen = chips.visible(text)
        assert seen.count("\n") == text.count("\n")
        assert 'firmware("' not in seen
