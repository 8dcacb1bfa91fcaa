"""The documents agree with the code."""

import re
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
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), ROOT / "CONTRIBUTING.md"]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page}: {link}"


def test_version_stands_in_one_place_and_the_changelog():
    from ota.version import VERSION

    assert f"## {VERSION}" in (ROOT / "CHANGELOG.md").read_text()
