"""The public face stays what it is, whatever else is imported."""

import importlib
import inspect
import pkgutil
import types
from pathlib import Path

import ota

NAMES = (
    "configure check_and_update steps install_url install fetch confirm rollback restore status"
    " store partitions"
).split()


def test_no_module_hides_a_function_of_the_face():
    for module in pkgutil.walk_packages(ota.__path__, "ota."):
        if not module.name.endswith("_viper"):  # MicroPython's own decorator
            importlib.import_module(module.name)
    for name in NAMES:
        assert isinstance(getattr(ota, name), types.FunctionType), name


def test_the_face_is_just_this():
    public = [n for n, v in vars(ota).items() if isinstance(v, types.FunctionType) and n[0] != "_"]
    assert sorted(public) == sorted(NAMES)


def test_every_function_of_the_face_has_a_row_in_the_docs():
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    for name in NAMES:
        parameters = ", ".join(inspect.signature(getattr(ota, name)).parameters)
        assert f"| `ota.{name}({parameters})` |" in page, name
