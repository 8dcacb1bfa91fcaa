"""Coverage-guided fuzzing of patches and packages with atheris (libFuzzer).

    pip install atheris            # a venv of its own will do, with this project in it
    python tests/fuzz/atheris_run.py FOLDER [libFuzzer options, as -max_total_time=3600]

FOLDER/inputs holds the choices that reached something new, FOLDER/findings what broke a rule,
in the form of tests/vectors/fuzz. Only the library is instrumented. docs/fuzzing.md.
"""

import hashlib
import pkgutil
import sys
import time
from pathlib import Path

import atheris

_TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_TESTS))
import folders  # noqa: E402

folders.add()

_WANTED = ("package", "delta", "codec", "strategy", "update", "settle", "verdict", "errors")
_SEEDS = 200
_MAX = 3000  # bytes of choices

with atheris.instrument_imports(include=["ota"]):
    import ota

    for found in pkgutil.walk_packages(ota.__path__, "ota."):
        if found.name.split(".")[1] in _WANTED and not found.name.endswith("_viper"):
            __import__(found.name)

import choices  # noqa: E402
import fuzz_run  # noqa: E402
import oracle  # noqa: E402
import packages  # noqa: E402
import streams  # noqa: E402


class Runner:
    """Runs inputs and keeps what broke a rule."""

    def __init__(self, folder):
        self.folder = folder / "findings"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.seen = set()
        self.count = 0

    def one(self, data):
        """One input of libFuzzer's."""
        self.count += 1
        source = choices.Bytes(data)
        case = packages.make(source) if source.below(3) else streams.make(source)
        try:
            oracle.judge(case)
        except oracle.Finding as e:
            text = repr(e.args)
            if text[:60] not in self.seen:
                self.seen.add(text[:60])
                name = hashlib.sha256(data).hexdigest()[:16]
                (self.folder / name).write_bytes(fuzz_run.pack(case, text))
                print("FINDING", name, text, flush=True)


def main():
    """Run until libFuzzer ends."""
    folder = Path(sys.argv[1])
    inputs = folder / "inputs"
    inputs.mkdir(parents=True, exist_ok=True)
    if not any(inputs.iterdir()):
        for seed in range(_SEEDS):
            data = choices.Seeded(seed)
            size = 100 + data.below(_MAX - 100)
            text = bytes([data.below(256) for _ in range(size)])
            (inputs / f"seed-{seed}").write_bytes(text)
    runner = Runner(folder)
    options = [f"-max_len={_MAX}", "-timeout=120", "-print_final_stats=1", *sys.argv[2:]]
    print(time.strftime("%Y-%m-%d %H:%M:%S"), flush=True)
    atheris.Setup([sys.argv[0], *options, str(inputs)], runner.one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
