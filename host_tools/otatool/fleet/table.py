"""The figures of a fleet as a table for people."""

from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_LATE_S = 1.0  # a second is what requests are counted in
_BYTES = (("manifests", "manifest"), ("packages", "package"), ("heads of answers", "heads"))
_REQUESTS = (
    ("manifest", "manifest"),
    ("manifest, 304", "unchanged"),
    ("package", "package"),
    ("further part", "part"),
    ("resumed", "resumed"),
    ("redirected", "redirect"),
)
_RARE = ("part", "redirect")


def show(out: Console, f: dict) -> None:
    """Print the figures of simulate(), and what is to be said about them."""
    release = f["release"]
    table = Table(
        title=f"{f['devices']} devices, {escape(_servers(f['urls']))}", show_header=False
    )
    table.add_column()
    table.add_column(justify="right")

    def rows(*pairs: tuple[str, str]) -> None:
        for name, value in pairs:
            table.add_row(name, escape(value))
        table.add_section()

    if release:
        kind = "patch" if release["delta"] else "full package"
        rows(("release", f"{release['version']}, {kind}, {release['package_size']:,} bytes"))
    rows(
        ("devices it is for", f"{f['wanted']:,}"),
        ("have it", f"{f['updated']:,}"),
        *((f"{share} % after", _time(s)) for share, s in f["until_s"].items()),
    )
    b, r = f["bytes"], f["requests"]
    several = f["servers"] if len(f["servers"]) > 1 else {}
    rows(
        ("bytes", f"{b['total']:,}"),
        *((f"  {name}", f"{b[key]:,}") for name, key in _BYTES),
        ("bytes per device", f"{b['per_device']:,}"),
    )
    rows(
        ("requests", f"{r['total']:,}"),
        *((f"  {name}", f"{r[key]:,}") for name, key in _REQUESTS if r[key] or key not in _RARE),
        *((f"  to {server}", f"{n:,}") for server, n in several.items()),
        ("requests in the busiest second", f"{f['peak_requests_per_s']:,}"),
        ("connections", f"{f['connections']:,}"),
        ("connections at a time, most", f"{f['peak_connections']:,}"),
    )
    rows(
        ("failures", f"{sum(f['failures'].values()):,}"),
        *((f"  {name}", f"{count:,}") for name, count in f["failures"].items()),
        ("left until the next poll", f"{f['given_up']:,}"),
    )
    m = f["machine"]
    rows(
        ("simulated, real time", f"{_time(f['seconds'])}, {_time(f['real_seconds'])}"),
        ("99 % of waits late by at most", f"{m['late_s_99']:.2f} s simulated"),
        (
            "50 %, 99 % of answers within",
            f"{m['answer_ms_50']:.1f}, {m['answer_ms_99']:.1f} ms real",
        ),
    )
    out.print(table, soft_wrap=False)
    if m["late_s_99"] > _LATE_S:
        out.print(
            "this machine was late: times and peaks are its own as much as the server's; give "
            "less --speed-up, more --spread or fewer devices",
            markup=False,
        )
    if not f["signature_checked"]:
        out.print("signatures were not checked: give --key", markup=False)
    if not release:
        out.print("no release was found for these devices", markup=False)


def _servers(urls: list[str]) -> str:
    return ", ".join(dict.fromkeys(urlsplit(url).netloc for url in urls))


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "not reached"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02} min"
