# What to freeze. A board's manifest picks groups; what they need comes with them:
#
#     include("../../manifest.py", pingpong=False, inplace=False)
#
# docs/packaging.md says what each group is for. tests/host/test_packaging.py keeps this
# list and package.json equal to lib/ota.

metadata(
    version="0.1.0",
    description="Power-safe OTA updates: A/B, ping-pong and in place, with rollback",
    license="MIT",
)

options.defaults(
    boot=True,
    update=True,
    ab=True,
    pingpong=True,
    inplace=True,
    factory=True,
    http=True,
    viper=False,
    simulation=False,
)

# group: (groups it needs, files in lib/ota). "core" is always in.
GROUPS = {
    "core": (
        (),
        (
            "__init__.py",
            "accepted.py",
            "apart.py",
            "codec.py",
            "compat.py",
            "config.py",
            "crypto/__init__.py",
            "crypto/hmac.py",
            "crypto/rsa.py",
            "device.py",
            "errors.py",
            "flash/__init__.py",
            "flash/blockdev.py",
            "image.py",
            "kv.py",
            "kvappend.py",
            "kvindex.py",
            "kvlog.py",
            "kvmount.py",
            "kvring.py",
            "kvscan.py",
            "kvstore.py",
            "oldrecord.py",
            "package/__init__.py",
            "package/chunks.py",
            "partition/__init__.py",
            "partition/layout.py",
            "partition/text.py",
            "partition/tobudos.py",
            "slots.py",
            "source/__init__.py",
            "state.py",
            "strategy/__init__.py",
            "transport/__init__.py",
            "version.py",
        ),
    ),
    "boot": (
        ("core",),
        (
            "adopt.py",
            "attempt.py",
            "boot.py",
            "deadline.py",
            "failed.py",
            "flash/mount.py",
            "settle.py",
            "trial.py",
            "verdict.py",
            "why.py",
        ),
    ),
    "update": (
        ("boot",),
        (
            "aio.py",
            "clock.py",
            "manifest.py",
            "outcome.py",
            "schedule.py",
            "transport/stream.py",
            "update.py",
            "way.py",
        ),
    ),
    "delta": (
        ("core",),
        (
            "delta/__init__.py",
            "delta/add.py",
            "delta/full.py",
            "delta/patch.py",
            "delta/pointers.py",
            "delta/riscv.py",
            "delta/stash.py",
            "delta/thumb.py",
            "delta/varints.py",
            "delta/xtensa.py",
        ),
    ),
    # Machine code: only for ports whose build tells mpy-cross its architecture (-march).
    "viper": (
        ("delta",),
        (
            "delta/add_viper.py",
            "delta/riscv_viper.py",
            "delta/thumb_viper.py",
            "delta/xtensa_viper.py",
        ),
    ),
    "ab": (("delta", "staging"), ("strategy/ab.py",)),
    "staging": (("core",), ("journal.py", "strategy/receive.py", "strategy/staging.py")),
    # A factory image to go back to: needs a partition "factory".
    "factory": (("boot", "delta", "staging"), ("factory.py",)),
    "pingpong": (("delta", "staging"), ("strategy/pingpong.py",)),
    "inplace": (("delta", "staging"), ("strategy/inplace.py", "strategy/rewrite.py")),
    "http": (
        ("update",),
        (
            "mirrors.py",
            "source/static.py",
            "transport/body.py",
            "transport/date.py",
            "transport/download.py",
            "transport/head.py",
            "transport/http.py",
            "transport/kept.py",
            "transport/patience.py",
            "transport/pins.py",
            "transport/resume.py",
            "transport/sockets.py",
            "transport/tls.py",
            "transport/url.py",
            "transport/wire.py",
        ),
    ),
    "simulation": (("core",), ("flash/file.py", "flash/ram.py", "transport/memory.py")),
}


def freeze_group(name, done):
    """Freeze a group after the groups it needs, each once."""
    if name in done:
        return
    done.append(name)
    needs, files = GROUPS[name]
    for need in needs:
        freeze_group(need, done)
    package("ota", files=files, base_path="lib")


frozen = []
for group in GROUPS:
    if group == "core" or getattr(options, group):
        freeze_group(group, frozen)
