# What to freeze. A board's manifest picks groups; what they need comes with them:
#
#     include("../../manifest.py", pingpong=False, inplace=False)
#
# docs/packaging.md says what each group is for. tests/host/test_packaging.py keeps this
# list and package.json equal to lib/ota.

metadata(
    version="0.2.0",
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
    thumb=False,
    riscv=False,
    xtensa=False,
    viper=False,
    simulation=False,
)

# group: (groups it needs, files in lib/ota). "core" is always in.
GROUPS = {
    "core": (
        (),
        (
            "__init__.py",
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
            "kv/__init__.py",
            "kv/append.py",
            "kv/full.py",
            "kv/index.py",
            "kv/layout.py",
            "kv/log.py",
            "kv/recover.py",
            "kv/replay.py",
            "kv/ring.py",
            "kv/scan.py",
            "modules.py",
            "package/__init__.py",
            "package/chunks.py",
            "package/inflate.py",
            "partition/__init__.py",
            "partition/layout.py",
            "partition/text.py",
            "partition/tobudos.py",
            "source/__init__.py",
            "state/__init__.py",
            "state/accepted.py",
            "state/old.py",
            "state/record.py",
            "strategy/__init__.py",
            "transport/__init__.py",
            "version.py",
        ),
    ),
    "boot": (
        ("core",),
        (
            "boot/__init__.py",
            "boot/apply.py",
            "boot/attempt.py",
            "boot/deadline.py",
            "boot/fallback.py",
            "boot/intake.py",
            "boot/outcome.py",
            "boot/trial.py",
            "flash/mount.py",
            "state/detail.py",
        ),
    ),
    "update": (
        ("boot",),
        (
            "aio.py",
            "clock.py",
            "manifest.py",
            "package/reader.py",
            "source/schedule.py",
            "source/settings.py",
            "state/failure.py",
            "transport/stream.py",
            "update.py",
        ),
    ),
    "delta": (
        ("core",),
        (
            "delta/__init__.py",
            "delta/add.py",
            "delta/full.py",
            "delta/patch.py",
            "delta/stash.py",
            "delta/varints.py",
        ),
    ),
    # Machine code: only for ports whose build tells mpy-cross its architecture (-march).
    "viper": (("delta",), ("delta/add_viper.py",)),
    # One pointer filter for each architecture whose firmware is updated by patches.
    "pointers": (("delta",), ("delta/pointers/__init__.py",)),
    "thumb": (("pointers",), ("delta/pointers/thumb.py",)),
    "riscv": (("pointers",), ("delta/pointers/riscv.py",)),
    "xtensa": (("pointers",), ("delta/pointers/xtensa.py",)),
    "thumb viper": (("thumb", "viper"), ("delta/pointers/thumb_viper.py",)),
    "riscv viper": (("riscv", "viper"), ("delta/pointers/riscv_viper.py",)),
    "xtensa viper": (("xtensa", "viper"), ("delta/pointers/xtensa_viper.py",)),
    "ab": (("delta", "staging"), ("strategy/ab.py",)),
    "staging": (
        ("core",),
        (
            "state/journal.py",
            "strategy/receive.py",
            "strategy/staging.py",
        ),
    ),
    # A factory image to go back to: needs a partition "factory".
    "factory": (("boot", "delta", "staging"), ("boot/factory.py",)),
    "pingpong": (("delta", "staging"), ("strategy/pingpong.py",)),
    "inplace": (("delta", "staging"), ("strategy/inplace.py", "strategy/rewrite.py")),
    "http": (
        ("update",),
        (
            "source/mirrors.py",
            "source/static.py",
            "transport/body.py",
            "transport/download.py",
            "transport/head.py",
            "transport/http.py",
            "transport/pins.py",
            "transport/resume.py",
            "transport/retry.py",
            "transport/sockets.py",
            "transport/tls.py",
            "transport/url.py",
            "transport/wire.py",
        ),
    ),
    "simulation": (
        ("core",),
        (
            "flash/file.py",
            "flash/ram.py",
        ),
    ),
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
    # A filter as machine code comes with both options that its name has.
    if group == "core" or all(getattr(options, option) for option in group.split()):
        freeze_group(group, frozen)
