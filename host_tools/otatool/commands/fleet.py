"""otatool fleet: many simulated devices update from a server; how does the rollout go?"""

import argparse
import hashlib
import json
from dataclasses import replace

from ota.crypto import Keys
from ota.state import record as slots

from .. import files
from ..fleet import table
from ..fleet.link import PROFILES
from ..fleet.simulate import Settings, simulate
from ..release import verify
from ..terminal.console import console, searching

_ABOUT = """Many simulated devices update from a real server: how long does a rollout take,
how many requests and bytes does it need, and how many at once? Nothing is
installed anywhere. Use it on your own servers only: it is a load test. Example:

  otatool serve www/
  otatool fleet http://127.0.0.1:8000/manifest.ota --devices 100 --profile lte

That simulates an hour of the fleet in a minute (--speed-up).
"""


def add(p: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    p.description = _ABOUT
    p.epilog = "Values in brackets are the defaults. docs/fleet.md describes the simulation."
    p.formatter_class = argparse.RawDescriptionHelpFormatter
    p.add_argument(
        "url",
        nargs="+",
        help='of the manifest; several are mirrors, tried like those of config "url"',
    )
    p.add_argument("--json", metavar="FILE", help="write all figures to this file")
    _devices(p.add_argument_group("the devices"))
    _times(p.add_argument_group("when they ask"))
    _link(p.add_argument_group("the link of each device", "options override the profile"))
    _run(p.add_argument_group("the run"))
    p.set_defaults(run=run)


def _devices(p) -> None:
    p.add_argument("--devices", type=int, default=1000, metavar="N", help="how many (1000)")
    p.add_argument(
        "--percent",
        type=float,
        default=100,
        metavar="P",
        help="percentage of them that take the release (100)",
    )
    p.add_argument(
        "--key",
        action="append",
        metavar="PUB.json",
        help="trusted key; may be repeated; without any, every signature is trusted",
    )
    running = p.add_mutually_exclusive_group()
    running.add_argument(
        "--running",
        metavar="IMAGE",
        help="image that they run (the base of the newest release's first patch)",
    )
    running.add_argument(
        "--full",
        action="store_true",
        help="they run an image that no patch fits, and need full packages",
    )
    p.add_argument("--target", default="app", help="component that they update (app)")
    p.add_argument(
        "--strategy",
        choices=("ab", "pingpong", "inplace"),
        default="ab",
        help="how they install: which patch they take, where a download resumes (ab)",
    )
    p.add_argument(
        "--spread-mirrors",
        action="store_true",
        help="each starts with a different mirror (all with the first)",
    )
    p.add_argument(
        "--part",
        type=int,
        default=0,
        metavar="BYTES",
        help="request this many bytes at a time, like config http.part (all at once)",
    )
    p.add_argument(
        "--unconditional",
        action="store_true",
        help="polls fetch the manifest even if it did not change",
    )


def _times(p) -> None:
    p.add_argument(
        "--poll",
        type=float,
        default=3600,
        metavar="SECONDS",
        help="from one poll to the next, plus or minus 10 %% (3600)",
    )
    p.add_argument(
        "--spread",
        type=float,
        metavar="SECONDS",
        help="first polls are spread at random over this time (that of --poll); 0: all at once",
    )
    p.add_argument(
        "--retry",
        type=float,
        default=300,
        metavar="SECONDS",
        help="from a failed poll to the next, doubled each time, up to --poll (300)",
    )
    p.add_argument(
        "--start",
        type=float,
        default=600,
        metavar="SECONDS",
        help="an update restarts the device; its next poll is within this time (600)",
    )


def _link(p) -> None:
    p.add_argument(
        "--profile",
        choices=PROFILES,
        default="perfect",
        help="preset for the values below (perfect)",
    )
    p.add_argument("--latency", type=float, metavar="MS", help="milliseconds, one way")
    p.add_argument("--bandwidth", type=float, metavar="KBIT", help="kbit/s down; 0: no limit")
    p.add_argument("--loss", type=float, metavar="PERCENT", help="percentage of TCP segments lost")
    p.add_argument(
        "--cuts-per-mb", type=float, metavar="N", help="breaks of the connection per 10^6 bytes"
    )
    p.add_argument(
        "--cuts-per-hour",
        type=float,
        metavar="N",
        help="breaks of the connection per hour connected",
    )


def _run(p) -> None:
    p.add_argument(
        "--speed-up",
        type=float,
        default=60,
        metavar="X",
        help="all waits take 1/X of their time; bytes and requests are real (60)",
    )
    p.add_argument(
        "--limit",
        type=float,
        metavar="SECONDS",
        help="end after this much simulated time in any case (spread + 10 polls)",
    )
    p.add_argument("--seed", type=int, default=0, help="same seed, same devices (0)")


def run(args: argparse.Namespace) -> int:
    """Run the fleet; status 1 if not every device that should has the update."""
    settings = Settings(
        devices=args.devices,
        profile=_profile(args),
        poll_s=args.poll,
        retry_s=args.retry,
        spread_s=args.spread,
        start_s=args.start,
        limit_s=args.limit,
        percent=args.percent,
        seed=args.seed,
        speed_up=args.speed_up,
        target=args.target,
        strategy=args.strategy,
        spread_mirrors=args.spread_mirrors,
        conditional=not args.unconditional,
        part=args.part,
        running=_running(args),
        keys=_keys(args.key),
    )
    with searching(f"{args.devices} devices") as progress:
        figures = simulate(args.url if len(args.url) > 1 else args.url[0], settings, progress)
    if args.json:
        files.write(args.json, json.dumps(figures, indent=1) + "\n")
    table.show(console(), figures)
    return 0 if figures["release"] and figures["updated"] == figures["wanted"] else 1


def _profile(args: argparse.Namespace):
    own = {
        "latency_ms": args.latency,
        "rate": None if args.bandwidth is None else args.bandwidth * 125,
        "loss": None if args.loss is None else args.loss / 100,
        "cuts_per_mb": args.cuts_per_mb,
        "cuts_per_hour": args.cuts_per_hour,
    }
    return replace(PROFILES[args.profile], **{k: v for k, v in own.items() if v is not None})


def _running(args: argparse.Namespace) -> slots.Image | None:
    if args.full:
        return slots.Image()
    if args.running:
        image = files.read(args.running)
        return slots.Image("", 0, len(image), hashlib.sha256(image).digest())
    return None


def _keys(names: list[str] | None) -> Keys | None:
    return verify.trusted(names) if names else None
