"""A page of SVG that grows downwards: shapes, text and paths, without scripts and fonts."""

from typing import Any
from xml.etree import ElementTree as ET

import numpy as np

from .report import printable

WIDTH = 1200  # pixels of the page
INK = "#1f2933"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', Arial, sans-serif"


class Canvas:
    """An SVG that grows downwards."""

    def __init__(self, title: str):
        self.root = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", role="img")
        ET.SubElement(self.root, "title").text = title
        self.page = self.put("rect", width=WIDTH, fill="#ffffff")
        self.body = ET.SubElement(self.root, "g", {"font-family": _FONT, "font-size": "12"})

    def put(
        self, tag: str, parent: ET.Element | None = None, hint: str = "", **attributes: Any
    ) -> ET.Element:
        """A new element; numbers are rounded, _ in a name is -.

        Args:
            hint: shown by a pointer.
        """
        given = {
            k.replace("_", "-"): v if isinstance(v, str) else number(v)
            for k, v in attributes.items()
        }
        e = ET.SubElement(self.root if parent is None else parent, tag, given)
        if hint:
            ET.SubElement(e, "title").text = hint
        return e

    def rect(self, x: float, y: float, width: float, height: float, fill: str, **more) -> None:
        """A rectangle."""
        self.put("rect", self.body, x=x, y=y, width=width, height=height, fill=fill, **more)

    def text(self, x: float, y: float, words: str, fill: str = INK, **more) -> None:
        """One line of text.

        Args:
            y: of its base line.
        """
        self.put("text", self.body, x=x, y=y, fill=fill, **more).text = printable(words)

    def path(self, d: str, **more) -> None:
        """A path, if there is one."""
        if d:
            self.put("path", self.body, d=d, **more)

    def finished(self, height: float) -> str:
        """The SVG, that high."""
        self.root.set("viewBox", f"0 0 {WIDTH} {number(height)}")
        self.root.set("width", str(WIDTH))
        self.root.set("height", number(height))
        self.page.set("height", number(height))
        return ET.tostring(self.root, encoding="unicode") + "\n"


def columns(x: np.ndarray, tops: np.ndarray, heights: np.ndarray) -> str:
    """Rectangles side by side as one path;

    Equal neighbours are drawn as one.

    Args:
        x: edges, one more than rectangles.
    """
    out = []
    begin = 0
    edges = np.round(x, 1).tolist()
    shapes = list(zip(np.round(tops, 1).tolist(), np.round(heights, 1).tolist(), strict=True))
    for i, (top, height) in enumerate(shapes):
        if shapes[i + 1 : i + 2] == [(top, height)]:
            continue
        if height > 0:
            wide = number(edges[i + 1] - edges[begin])
            at = f"M{number(edges[begin])} {number(top)}"
            out.append(f"{at}h{wide}v{number(height)}h-{wide}z")
        begin = i + 1
    return "".join(out)


def number(value: float) -> str:
    """A number in few letters."""
    return f"{round(value, 1) or 0:.1f}".removesuffix(".0")
