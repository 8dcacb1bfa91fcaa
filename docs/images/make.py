"""Draw the pictures of docs/architecture.md: python docs/images/make.py writes them here.

Plain SVG with its own background and colours for light and dark viewers; no scripts, no fonts.
"""

from pathlib import Path

_STYLE = """
  <style>
    .paper { fill: #ffffff; stroke: #d0d7de; }
    text { font: 13px sans-serif; fill: #1f2328; text-anchor: middle; }
    .name { font-weight: bold; }
    .small { font-size: 11px; fill: #59636e; }
    .left { text-anchor: start; }
    .box { stroke: #59636e; fill: #f6f8fa; }
    .yours { fill: #fff3c4; }
    .net { fill: #d8ecff; }
    .start { fill: #dff5e1; }
    .both { fill: #ece4fb; }
    .line { stroke: #59636e; fill: none; stroke-width: 1.5; marker-end: url(#tip); }
    #tip path { fill: #59636e; }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #0d1117; stroke: #3d444d; }
      text { fill: #f0f6fc; }
      .small { fill: #b1bac4; }
      .box { stroke: #9198a1; fill: #1c2128; }
      .yours { fill: #4d3b00; }
      .net { fill: #0c2d52; }
      .start { fill: #10381d; }
      .both { fill: #33254f; }
      .line { stroke: #9198a1; }
      #tip path { fill: #9198a1; }
    }
  </style>
  <defs>
    <marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"
            orient="auto"><path d="M0 0 8 4 0 8z"/></marker>
  </defs>
"""


def _text(x, y, words, kind=""):
    return f'  <text x="{x}" y="{y}"' + (f' class="{kind}"' if kind else "") + f">{words}</text>\n"


def _box(x, y, width, height, kind, name, *lines):
    """A box with a bold name and small lines under it."""
    size = f'width="{width}" height="{height}" rx="4"'
    out = f'  <rect class="box {kind}" x="{x}" y="{y}" {size}/>\n'
    top = y + (height - 16 * len(lines)) // 2 + 5
    out += _text(x + width // 2, top, name, "name")
    for i, line in enumerate(lines, 1):
        out += _text(x + width // 2, top + 16 * i, line, "small")
    return out


def _arrow(path):
    return f'  <path class="line" d="{path}"/>\n'


def _picture(width, height, title, body):
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">\n'
        f"  <title>{title}</title>{_STYLE}"
        f'  <rect class="paper" x="1" y="1" width="{width - 2}" height="{height - 2}" rx="8"/>\n'
        f"{body}</svg>\n"
    )


def layers() -> str:
    """The folders of lib/ota from the top down; imports point down."""
    b = _box(20, 18, 440, 44, "yours", "your application", "confirm(), check_and_update(), ...")
    b += _box(480, 18, 260, 44, "yours", "boot.py, main.py", "frozen; boards/common")
    b += _box(20, 76, 440, 44, "net", "ota, ota.aio", "public functions, imported when called")
    b += _box(20, 134, 440, 44, "net", "update", "ask, decide, install; mirrors and schedule")
    b += _box(
        480,
        76,
        260,
        102,
        "start",
        "boot",
        "settle the state, mount the slot,",
        "count tries, fall back, restore",
    )
    b += _box(20, 192, 720, 40, "both", "device", "one board, built from its configuration")
    b += _box(20, 246, 720, 44, "both", "strategy", "ab, pingpong, inplace: install, apply, back")
    b += _box(20, 304, 400, 44, "both", "state", "record, moves, journal")
    b += _box(440, 304, 300, 44, "both", "kv", "power-safe key-value store")
    b += _box(20, 362, 200, 60, "net", "source", "where manifests", "and packages come from")
    b += _box(240, 362, 180, 60, "net", "manifest", "what to install")
    b += _box(440, 362, 300, 60, "both", "package, delta, image", "header, chunks, inflate, patch")
    b += _box(20, 436, 200, 60, "net", "transport", "HTTP, TLS, resume")
    b += _box(240, 436, 180, 60, "both", "crypto", "signatures")
    b += _box(440, 436, 300, 60, "both", "flash, partition", "regions, drivers, tables")
    b += _box(
        20,
        510,
        720,
        40,
        "",
        "errors, config, clock, compat, modules",
        "the ground: imports nothing above",
    )
    y = 574
    for x, kind, words in (
        (40, "net", "only for an update"),
        (250, "start", "only at a start"),
        (440, "both", "both"),
        (560, "yours", "not part of the library"),
    ):
        b += f'  <rect class="box {kind}" x="{x}" y="{y - 10}" width="14" height="14"/>\n'
        b += _text(x + 22, y + 2, words, "small left")
    return _picture(760, 594, "Layers of the device library", b)


def slots() -> str:
    """Flash of the three strategies and what moves between its partitions."""
    b = ""

    def lane(y, name, words, parts):
        out = _text(20, y, name, "name left") + _text(100, y, words, "small left")
        x = 20
        for width, kind, title, *lines in parts:
            out += _box(x, y + 42, width, 62, kind, title, *lines)
            x += width
        return out

    b += lane(
        28,
        "ab",
        "the update streams into the other slot; one KV record switches",
        [
            (250, "start", "active", "slot 0: runs"),
            (250, "net", "backup", "slot 1: new image"),
            (110, "both", "kv", "state record"),
        ],
    )
    b += _text(395, 49, "download", "small") + _arrow("M395 53 V68")
    b += _arrow("M270 136 V148 H145 V136")
    b += _text(208, 162, "rollback: select the old slot", "small")
    b += lane(
        194,
        "pingpong",
        "staged, then applied at the next boot",
        [
            (210, "start", "active", "runs; then the new image"),
            (210, "both", "backup", "old image"),
            (210, "net", "ota", "package | journal"),
            (90, "both", "kv", "state"),
        ],
    )
    b += _text(545, 215, "download", "small") + _arrow("M545 219 V234")
    b += _arrow("M100 302 V316 H335 V302") + _text(218, 330, "1 back up", "small")
    b += _arrow("M500 302 V342 H60 V302")
    b += _text(360, 356, "2 decode from backup and package", "small")
    b += lane(
        388,
        "inplace",
        "staged; the next boot rewrites the slot block by block",
        [
            (190, "start", "active", "runs; then the new image"),
            (110, "net", "ota", "package"),
            (110, "net", "", "reverse", "package"),
            (80, "both", "", "stash"),
            (80, "both", "", "scratch"),
            (70, "both", "", "journal"),
            (80, "both", "kv", "state"),
        ],
    )
    b += _text(265, 409, "download", "small") + _arrow("M265 413 V428")
    b += _arrow("M265 496 V512 H550 V496") + _text(408, 526, "1 decode a block", "small")
    b += _arrow("M560 496 V538 H115 V496") + _text(230, 552, "2 copy it to the slot", "small")
    b += _text(
        20,
        586,
        "Also possible in each: factory, a partition with a package that is "
        "restored on request or when nothing else may run.",
        "small left",
    )
    return _picture(760, 604, "Slots and partitions", b)


PICTURES = {"layers.svg": layers, "slots.svg": slots}

if __name__ == "__main__":
    for name, draw in PICTURES.items():
        Path(__file__).with_name(name).write_text(draw())
