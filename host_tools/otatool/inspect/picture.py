"""A report as one picture: SVG without scripts, fonts or anything else from outside.

The old image above, the new one below, drawn to one scale; ribbons lead from where bytes were
copied to where they went; under the new image stands what every stretch of it costs. The same
report gives the same bytes. docs/report.md explains how to read it.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from ..patch.covers import Segment
from . import report
from .report import Report, Span
from .svg import INK, WIDTH, Canvas, columns, number

# After Okabe and Ito ("Color Universal Design", 2008) and Tol (wine): apart in hue and in
# lightness, so they stay apart for colour-blind readers and in grey.
_KIND_COLOURS = ("#d3d8de", "#7fc0ea", "#009e73", "#e69f00", "#882255")
_KIND_NAMES = ("unchanged, in place", "moved", "pointers rewritten", "corrected", "literal")
_PURPOSE_COLOURS = ("#6b7480", "#2b7bba", "#e69f00", "#882255", "#009e73")
_FRAMING_COLOURS = ("#b9c0c8", "#dde1e6")
_FAINT, _LINE, _UNUSED = "#5f6b78", "#c3cad2", "#f7f8fa"

_MARGIN, _RIGHT = 56, 40  # pixels on the left and right
_PLOT = WIDTH - _MARGIN - _RIGHT  # of the longer image
_COLUMN = 2  # pixels of a column in the bars
_BIN = 4  # pixels of a bin of costs, and of the ends of ribbons that are drawn together
_BAR, _RIBBONS, _STRIP = 40, 190, 110  # heights
_HAIR = 1.5  # pixels that the smallest share of a column gets, so that it is seen
_LETTER = 6.4  # pixels of a letter of a label, about
_LABEL_STEP = 17  # pixels between slanting labels
_SLANT = math.radians(45)
_NAME_MAX = 30  # letters
_NOTHING = 1e-6  # of a column: what rounding makes of no share
_JOIN = 1.5  # pixels: pieces so near, and moved alike, make one ribbon
_RIBBONS_MAX = 2500
_MANY = 100  # thin ribbons; more are drawn paler


def draw(r: Report, title: str, old_name: str, new_name: str) -> str:
    """The picture of a report.

    Args:
        title: of the picture.
        names: of the images.
    """
    canvas = Canvas(report.printable(title))
    y = _head(canvas, r, title)
    y = _legend(canvas, r, y)
    y = _payload(canvas, r, y)
    scale = _PLOT / max(r.header.base_size, len(r.kinds))
    y = _old_bar(canvas, r, scale, old_name, y)
    _flows(canvas, r, scale, y)
    y = _new_bar(canvas, r, scale, y + _RIBBONS)
    y = _costs(canvas, r, scale, y)
    y = _new_labels(canvas, r, scale, new_name, y)
    return canvas.finished(y)


# -- the head ---------------------------------------------------------------------------


def _head(canvas, r, title):
    h = r.header
    canvas.text(_MARGIN, 44, _shortened(title, 90), font_size="20", font_weight="600")
    order = "in place, " if h.ordered else ""
    tables = f", {r.counts[report.TABLE]} entries in tables" if r.counts[report.TABLE] else ""
    canvas.text(
        _MARGIN, 66,
        f"patch {_bytes(h.size)}: header {_bytes(h.length)}, payload {_bytes(r.payload)} or "
        f"{100 * r.payload / len(r.kinds):.2f} % of the new image; {order}"
        f"{r.counts[report.HEADS]} blocks of {_bytes(h.block_size)}{tables}",
        _FAINT,
    )  # fmt: skip
    return 92


def _legend(canvas, r, y):
    """What becomes of the bytes of the new image."""
    canvas.text(_MARGIN, y + 10, "The new image", font_weight="600")
    counts = np.bincount(r.kinds, minlength=len(report.KINDS)).tolist()
    items = [
        (_KIND_NAMES[k], _KIND_COLOURS[k], counts[k])
        for k in report.KINDS
        if k != report.REWRITTEN or (r.header.pointers and r.complete)
    ]
    _items(canvas, items, len(r.kinds), y + 24)
    return y + 78


def _payload(canvas, r, y):
    """One bar: what the payload is made of."""
    canvas.text(_MARGIN, y + 10, "The payload", font_weight="600")
    colours = dict(zip(report.PURPOSE_NAMES, _PURPOSE_COLOURS, strict=True))
    colours.update(zip((report.CHUNKS, report.DEFLATE), _FRAMING_COLOURS, strict=True))
    items = [(p.name, colours[p.name], p.payload) for p in report.parts(r)]
    x: float = _MARGIN
    for name, colour, size in items:
        width = _PLOT * size / r.payload
        canvas.rect(x, y + 20, width, 18, colour, hint=f"{name}: {_bytes(size)}")
        x += width
    _items(canvas, items, r.payload, y + 50)
    return y + 112


def _items(canvas, items, total, y):
    """A row of swatches, names and sizes."""
    step = _PLOT / max(5, len(items))
    for i, (name, colour, size) in enumerate(items):
        x = _MARGIN + i * step
        canvas.rect(x, y, 12, 26, colour)
        canvas.text(x + 19, y + 10, name)
        canvas.text(x + 19, y + 25, f"{_bytes(size)}, {100 * size / total:.1f} %", _FAINT)


# -- the images -------------------------------------------------------------------------


def _old_bar(canvas, r, scale, name, y):
    """Labels of the old image and its bar; what is copied from it."""
    size = r.header.base_size
    labels = _Labels([(s, "", False) for s in r.old_files if s.is_file], scale)
    canvas.text(_MARGIN, y, name, font_weight="600")
    canvas.text(
        _MARGIN + _PLOT, y, f"old image, {_bytes(size)}; white: not copied", _FAINT,
        text_anchor="end",
    )  # fmt: skip
    y += 14 + labels.height
    labels.put(canvas, y, -1)
    y = y if r.old_files else _axis(canvas, size, scale, y, -1)
    use = np.zeros(size + 1, np.int32)
    kept = np.zeros(size + 1, np.int32)
    for s in r.segments:
        if s.old is not None:
            into = kept if s.old == s.new else use
            into[s.old] += 1
            into[s.old + s.length] -= 1
    kept, use = np.cumsum(kept[:-1]) > 0, np.cumsum(use[:-1]) > 0
    _bar(canvas, [kept, use & ~kept], _KIND_COLOURS[:2], size, scale, y)
    _borders(canvas, r.old_files, scale, y)
    return y + _BAR


def _new_bar(canvas, r, scale, y):
    _bar(canvas, [r.kinds == k for k in report.KINDS], _KIND_COLOURS, len(r.kinds), scale, y)
    _borders(canvas, r.new_files, scale, y)
    return y + _BAR


def _new_labels(canvas, r, scale, name, y):
    """What stands below the new image: positions, names of files with their costs."""
    y = y if r.new_files else _axis(canvas, len(r.kinds), scale, y, 1)
    spent = {row.name: row.payload for row in report.rows(r) if row.is_file}
    labels = _Labels(
        [
            (s, f"  {_bytes(spent[s.name])}", spent[s.name] * 20 >= r.payload)
            for s in r.new_files
            if s.is_file
        ],
        scale,
    )
    labels.put(canvas, y, 1)
    y += labels.height + 20
    canvas.text(_MARGIN, y, name, font_weight="600")
    canvas.text(
        _MARGIN + _PLOT, y,
        f"new image, {_bytes(len(r.kinds))}, a column is {_bytes(math.ceil(_COLUMN / scale))}; "
        f"below it the payload for each {_bytes(math.ceil(_BIN / scale))}, by purpose",
        _FAINT, text_anchor="end",
    )  # fmt: skip
    return y + 24


def _bar(canvas, masks, colours, size, scale, y):
    """An image as columns; in each, the shares of the masks, the last one lowest."""
    width = size * scale
    canvas.rect(_MARGIN, y, width, _BAR, _UNUSED, stroke=_LINE, stroke_width=1)
    count = max(1, math.ceil(width / _COLUMN))
    edges = np.minimum(np.arange(count + 1) * (_COLUMN / scale), size)
    shares = np.array([_between(mask, edges) for mask in masks]) / np.maximum(np.diff(edges), 1e-9)
    heights = np.where(shares > _NOTHING, np.maximum(shares * _BAR, _HAIR), 0)
    # What the hairs take is taken from the largest share.
    over = np.maximum(heights.sum(0) - _BAR, 0)
    largest = heights.argmax(0)
    heights[largest, np.arange(count)] -= over
    top = _BAR - heights.sum(0)
    for share, colour in zip(heights, colours, strict=True):
        canvas.path(
            columns(edges * scale + _MARGIN, y + top, share), fill=colour,
            shape_rendering="crispEdges",
        )  # fmt: skip
        top = top + share


def _between(mask, edges):
    """How many bytes of a mask, or bits of an array, are between each two edges."""
    sums = np.append(0, np.cumsum(mask, dtype=np.float64))
    return np.diff(np.interp(edges, np.arange(len(sums)), sums))


def _borders(canvas, spans, scale, y):
    """White lines between the files."""
    lines = [f"M{number(_MARGIN + s.start * scale)} {number(y)}v{_BAR}" for s in spans if s.start]
    canvas.path("".join(lines), stroke="#ffffff", stroke_width=1, opacity=0.8)


def _axis(canvas, size, scale, y, down):
    """Positions in KB beside a bar; down: 1 below it, -1 above."""
    step = 1024.0
    while step * scale < 64:
        step *= 2
    inner = y if down > 0 else y + 22
    for i in range(int(size // step) + 1):
        x = _MARGIN + i * step * scale
        canvas.path(f"M{number(x)} {number(inner)}v{5 * down}", stroke=_LINE, stroke_width=1)
        canvas.text(
            x, inner + (17 if down > 0 else -9), f"{i * step / 1024:.0f}{' KB' if i == 0 else ''}",
            _FAINT, text_anchor="start" if i == 0 else "middle", font_size="11",
        )  # fmt: skip
    return y + 24 if down > 0 else inner


class _Labels:
    """Slanting names of files, pushed apart where files are narrow; a line leads to each.

    labels: a file, what is said behind its name, whether loud. height: pixels that they take.
    Where there is no room for all, the largest files have one.
    """

    def __init__(self, labels: list[tuple[Span, str, bool]], scale: float):
        longest = _LETTER * max((len(_label(s, more)) for s, more, _ in labels), default=0)
        largest = sorted(labels, key=lambda x: (x[0].start - x[0].end, x[0].start))
        room = (WIDTH - 8 - longest * math.cos(_SLANT) - _MARGIN) / _LABEL_STEP
        self._labels = sorted(largest[: int(room)])
        self._words = [_label(s, more) for s, more, _ in self._labels]
        self._centres = [_MARGIN + (s.start + s.end) / 2 * scale for s, *_ in self._labels]
        limits = [WIDTH - 8 - _LETTER * len(words) * math.cos(_SLANT) for words in self._words]
        self._places = _apart(self._centres, limits)
        self.height = 26 + longest * math.sin(_SLANT) if labels else 0

    def put(self, canvas: Canvas, y: float, down: int) -> None:
        """Write them from y downwards (1) or upwards (-1)."""
        for (span, _, loud), words, centre, x in zip(
            self._labels, self._words, self._centres, self._places, strict=True
        ):
            canvas.path(
                f"M{number(centre)} {number(y)}L{number(x)} {number(y + 14 * down)}v{4 * down}",
                fill="none", stroke=_LINE, stroke_width=1,
            )  # fmt: skip
            at = y + (28 if down > 0 else -22)
            angle = round(math.degrees(_SLANT)) * down
            canvas.text(
                x - 2, at, words, INK if down < 0 or loud else _FAINT,
                transform=f"rotate({angle} {number(x - 2)} {number(at)})", font_size="11",
                font_weight="600" if loud else "400",
                hint=f"{span.name}: {_bytes(span.end - span.start)}",
            )  # fmt: skip


def _label(span, more):
    return _shortened(span.name, _NAME_MAX) + more


def _apart(wanted, limits):
    """Ascending places _LABEL_STEP apart, near the wanted ones and below their limits."""
    places: list[float] = []
    for x in wanted:
        places.append(max(x, places[-1] + _LABEL_STEP) if places else x)
    after = math.inf
    for i in reversed(range(len(places))):
        places[i] = after = min(places[i], limits[i], after - _LABEL_STEP)
    return places


# -- what moved -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Ribbon:
    """old[start : end] went to new[start : end]; bytes: of it, that were really copied."""

    old: int
    old_end: int
    new: int
    new_end: int
    bytes: int


def _flows(canvas, r, scale, y):
    """Ribbons from the old bar, whose lower edge is y, to the new one."""
    found = sorted(_ribbons(r.segments, scale), key=lambda b: (-b.bytes, b.new, b.old))
    group = canvas.put("g", canvas.body, stroke_width="0.6")
    thin = sum((b.new_end - b.new) * scale < _BIN for b in found)
    # Many thin ones would look like much.
    edge = round(0.45 * min(1, math.sqrt(_MANY / max(thin, 1))), 2)
    # The largest ones are drawn first.
    for b in found[:_RIBBONS_MAX]:
        still = b.old == b.new and b.old_end == b.new_end
        dense = b.bytes / max(b.new_end - b.new, 1)
        a, e = (_MARGIN + p * scale for p in (b.old, b.old_end))
        c, d = (_MARGIN + p * scale for p in (b.new, b.new_end))
        colour = _KIND_COLOURS[0] if still else _PURPOSE_COLOURS[report.COPIES]
        canvas.put(
            "path", group,
            f"{_bytes(b.bytes)} from {b.old:#x} to {b.new:#x}",
            d=_band(a, max(e, a + 0.8), c, max(d, c + 0.8), y + 1, y + _RIBBONS - 1),
            fill=colour, stroke=colour,
            fill_opacity=f"{0.55 if still else 0.12 + 0.2 * min(dense, 1):.2f}",
            stroke_opacity=f"{0.5 if still else edge:.2f}",
        )  # fmt: skip


def _band(a, b, c, d, top, bottom):
    """From a..b above to c..d below, curved."""
    middle = number((top + bottom) / 2)
    top, bottom = number(top), number(bottom)
    a, b, c, d = (number(x) for x in (a, b, c, d))
    return (
        f"M{a} {top}C{a} {middle} {c} {middle} {c} {bottom}H{d}"
        f"C{d} {middle} {b} {middle} {b} {top}z"
    )


def _ribbons(segments: list[Segment], scale: float) -> Iterable[_Ribbon]:
    """Copies as ribbons: neighbours that moved alike as one, small ones by their bins."""
    near = _JOIN / scale
    open_: list[_Ribbon] = []
    done: list[_Ribbon] = []
    for s in segments:
        if s.old is None:
            continue
        end, old_end = s.new + s.length, s.old + s.length
        done += [b for b in open_ if s.new - b.new_end > near]
        open_ = [b for b in open_ if s.new - b.new_end <= near]
        for i, b in enumerate(open_):
            still = b.old == b.new and b.old_end == b.new_end
            drift = (s.old - s.new) - (b.old_end - b.new_end)
            if abs(drift) <= near / 2 and still == (s.old == s.new) and old_end > b.old:
                open_[i] = replace(
                    b, old_end=max(old_end, b.old_end), new_end=end, bytes=b.bytes + s.length
                )
                break
        else:
            open_.append(_Ribbon(s.old, old_end, s.new, end, s.length))
    small: dict[tuple[int, int], list[_Ribbon]] = defaultdict(list)
    for b in [*done, *open_]:
        if (b.new_end - b.new) * scale >= _BIN or (b.old == b.new and b.old_end == b.new_end):
            yield b
        else:
            small[int(b.new * scale / _BIN), int(b.old * scale / _BIN)].append(b)
    for some in small.values():
        size = sum(b.bytes for b in some)
        old, new = min(b.old for b in some), min(b.new for b in some)
        yield _Ribbon(old, old + size, new, new + size, size)


# -- what it costs ----------------------------------------------------------------------


def _costs(canvas, r, scale, y):
    """Payload of each bin of the new image, by purpose, growing downwards from the bar."""
    y += 8
    size = len(r.kinds)
    bins = max(1, math.ceil(size * scale / _BIN))
    edges = np.minimum(np.arange(bins + 1) * (_BIN / scale), size)
    order = [report.LITERALS, report.CORRECTIONS, report.COPIES, report.HEADS]
    spent = np.array([_binned(r, p, edges) for p in order]) / 8
    most = _ceiling(spent.sum(0).max())
    heights = spent * (_STRIP / most)
    for part in (0.5, 1.0):
        line = y + _STRIP * part
        dash = {"stroke": _LINE, "stroke_width": 1, "stroke_dasharray": "2 3"}
        canvas.path(f"M{_MARGIN} {number(line)}h{_PLOT}", **dash)
        canvas.text(
            _MARGIN - 4, line + 4, f"{most * part:g} B", _FAINT, text_anchor="end", font_size="11"
        )
    borders = [f"M{number(_MARGIN + s.start * scale)} {number(y)}v{_STRIP}" for s in r.new_files]
    canvas.path("".join(borders), stroke=_UNUSED, stroke_width=1)
    top = np.full(bins, float(y))
    x = edges * scale + _MARGIN
    for purpose, high in zip(order, heights, strict=True):
        canvas.path(
            columns(x, top, high), fill=_PURPOSE_COLOURS[purpose], shape_rendering="crispEdges"
        )
        top = top + high
    hints = canvas.put("g", canvas.body, fill_opacity="0")
    for i in np.flatnonzero(spent.sum(0) > 0).tolist():
        each = ", ".join(
            f"{report.PURPOSE_NAMES[p]} {part:.1f}"
            for p, part in zip(order, spent[:, i].tolist(), strict=True)
            if part
        )
        canvas.put(
            "rect", hints, f"{int(edges[i]):#x}: {spent[:, i].sum():.1f} B ({each})",
            x=x[i], y=y, width=x[i + 1] - x[i], height=_STRIP,
        )  # fmt: skip
    return y + _STRIP + 8


def _binned(r, purpose, edges):
    """Bits that a purpose takes in each bin; a byte's are shared by the bins it falls into."""
    chosen = r.purpose == purpose
    each = np.bincount(r.where[chosen], r.bits[chosen], len(r.kinds))
    return _between(each, edges)


def _ceiling(value):
    """The next round number."""
    scale = 10 ** math.floor(math.log10(max(value, 1)))
    return next(x * scale for x in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if x * scale >= value)


# -- words ------------------------------------------------------------------------------


def _bytes(n):
    return f"{n:,} B"


def _shortened(text, most):
    text = report.printable(text)
    return text if len(text) <= most else text[: most // 2 - 1] + "\u2026" + text[-(most // 2) :]
