"""The documents agree with the code."""

import re
import runpy
from pathlib import Path

from ota import errors

ROOT = Path(__file__).parents[2]


def test_every_error_word_and_code_is_explained():
    listed = {
        word: int(number)
        for number, word in re.findall(
            r"^\| (\d+) \| (\w+) \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE
        )
    }
    known = {w: int(n) for w, n in (e.split(":") for e in errors._CODES.split())}
    assert listed == known


def test_links_between_documents_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page}: {link}"


def test_pages_name_functions_that_exist():
    """`name()` or `Name` in [path](link): the file has a function or class of that name."""
    said = []
    for page in ROOT.glob("docs/**/*.md"):
        for name, link in re.findall(
            r"`(\w+)(?:\(\))?`\s+in\s+[^\[\n]*\[[^\]]+\]\(([^)]+\.py)\)", page.read_text()
        ):
            code = (page.parent / link).read_text()
            assert re.search(rf"^\s*(?:(?:def|class) )?{name}\b", code, re.M), (page, name)
            said.append((page.name, name))
    architecture = {name for page, name in said if page == "architecture.md"}
    assert {"install", "put", "mark", "rewrite", "_copy", "BlockDevFlash", "check"} <= architecture


def test_prose_of_pages_ends_at_100_characters():
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), ROOT / "SECURITY.md"]:
        fenced = False
        for number, line in enumerate(page.read_text().splitlines(), 1):
            fenced ^= line.startswith("```")
            text = not fenced and not line.startswith(("|", "    ", "```"))
            assert not text or len(line) <= 100, f"{page}:{number}: {len(line)} characters"


def test_pictures_are_those_of_their_script():
    script = runpy.run_path(str(ROOT / "docs/images/make.py"))
    for name, draw in script["PICTURES"].items():
        assert (ROOT / "docs/images" / name).read_text() == draw(), name


def test_reference_is_that_of_the_docstrings():
    """If it fails: python docs/make_api.py writes the page anew."""
    script = runpy.run_path(str(ROOT / "docs/make_api.py"))
    text = (ROOT / "docs/api.md").read_text()
    assert text == script["page"]()
    for name in ("ota.steps", "ota.aio.watch", "ota.flash.Region", "ota.strategy.put"):
        assert f"{name}(" in text.split(script["MARK"])[1], name


def test_sections_of_a_docstring_become_lists():
    script = runpy.run_path(str(ROOT / "docs/make_api.py"))
    said = script["_described"](
        """Install the package at `url`.

        Once.

        Args:
            url: package address;
                default: config "package_url".
            *more: others.
        Returns:
            dict with "result";
            sizes in bytes.
        Raises:
            PolicyError: "older".
            OSError
        """
    )
    assert said == (
        "Install the package at `url`.\n\nOnce.\n\n"
        '**Args**\n\n- `url`: package address; default: config "package_url".\n'
        "- `*more`: others.\n\n"
        '**Returns**\n\ndict with "result"; sizes in bytes.\n\n'
        '**Raises**\n\n- `PolicyError`: "older".\n- OSError\n\n'
    )


def test_version_stands_in_one_place_and_the_changelog():
    from ota.version import VERSION

    assert f"## {VERSION}" in (ROOT / "CHANGELOG.md").read_text()
