"""A mistake in a configuration ends in FlashError "config" with the name of the key, not in what
it breaks later."""

import unittest

import fakenet  # noqa: F401  first: not every interpreter has sockets
import ota
from images import KEY
from ota import config, device
from ota.errors import FlashError
from rig import Rig

_NO = object()  # no such key
_RAM = {"driver": "ota.flash.ram:RamFlash", "size": 4096}


def _changed(found, path, value):
    """A copy of a configuration with another value at "a.b.c"."""
    found = dict(found)
    name, _, rest = path.partition(".")
    if rest:
        found[name] = _changed(found.get(name, {}), rest, value)
    elif value is _NO:
        del found[name]
    else:
        found[name] = value
    return found


class TestConfig(unittest.TestCase):
    def setUp(self):
        self.before = device.current
        self.rig = Rig("ab")
        self.config = self.rig.config

    def tearDown(self):
        device.current = self.before

    def refused(self, f, *args):
        """The second argument of the FlashError that f raises."""
        try:
            f(*args)
        except FlashError as e:
            self.assertEqual((e.reason, e.code), ("config", 92))
            return e.args[1]
        self.fail("was taken")

    def test_start(self):
        for path, value, want in (
            ("product", _NO, None), ("flash", _NO, None), ("flash", 5, None),
            ("flash.nor", 5, None), ("flash.nor.driver", _NO, None), ("flash.nor.driver", 5, None),
            ("flash.nor.driver", "no_such_module:Flash", None),
            ("flash.nor.driver", "ota.flash.ram:NoSuchFlash", None),
            ("flash.more", dict(_RAM, siz=1), None), ("flash.more", dict(_RAM, size=1), None),
            ("partitions", 5, None), ("partitions.kv", 5, None),
            ("partitions.kv.offset", "0x1000", None), ("partitions.kv.size", _NO, None),
            ("partitions.kv.flash", _NO, None), ("partitions.kv.flash", "nand", "nand"),
            ("table", 5, None), ("table", {"flash": "nor"}, "table.offset"),
            ("table", {"flash": "nand", "offset": 0}, "table.flash"),
            ("component", 5, None), ("slots", 5, None), ("strategy", "abc", None),
            ("version", 5, None), ("version", "v1", None), ("image_size", "8k", None),
        ):  # fmt: skip
            with self.subTest(path=path, value=value):
                found = self.refused(ota.configure, _changed(self.config, path, value))
                self.assertEqual(found, want or path)

    def test_no_dict_and_no_file(self):
        for wrong in (None, [], 5):
            self.assertRaises(FlashError, ota.configure, wrong)
        self.assertEqual(
            self.refused(ota.configure, "/no/such/layout.json"), "/no/such/layout.json"
        )

    def test_update(self):
        self.config["url"] = "http://127.0.0.1:1/manifest.ota"
        self.rig.boot()
        for path, value, want in (
            ("product", 5, None),
            ("url", _NO, None), ("url", "", None), ("url", [], None), ("url", 5, None),
            ("url", ["http://h/m", 5], None), ("device_id", 5, None), ("keys", KEY, None),
            ("spread_mirrors", "yes", None), ("poll", 5, None), ("tries", "3", None),
            ("http", None, None), ("http", [], None), ("http.idle", 5, None),
            ("http.idle_ms", "5", None), ("http.idle_ms", -1, None), ("http.part", 1.5, None),
            ("http.retries", None, None), ("http.rate", True, None), ("http.get", len, None),
            ("http.headers", "a: b", None), ("http.headers", {"A": 5}, "http.headers"),
            ("http.headers", {"A": {"B": "c"}}, "http.headers"),
            ("http.headers", {"http://h": "c"}, "http.headers"),
            ("http.headers", {"http://h": {"A": 5}}, "http.headers"),
            ("http.wait_ms", "1", None), ("http.total_ms", -1, None),
            ("http.tls", "ca.pem", None), ("http.tls.cafile", "x", None),
            ("http.tls.ca", 5, None), ("http.tls.pins", "ab", None), ("http.tls.built", "x", None),
            ("http.tls.verify", 0, None), ("http.tls.verify", "no", None),
        ):  # fmt: skip
            with self.subTest(path=path, value=value):
                self.rig.device.config = _changed(self.config, path, value)
                self.assertEqual(self.refused(ota.steps), want or path)
        self.rig.device.config = _changed(self.config, "package_url", 5)
        self.assertEqual(self.refused(ota.install_url), "package_url")
        self.rig.device.config = self.config
        self.assertEqual(self.refused(ota.install_url), "package_url")

    def test_what_is_allowed(self):
        for path, value in (
            ("url", ["http://a/m", "http://b/m"]), ("device_id", None), ("poll.every_s", 5),
            ("http.tls", None), ("http.tls", object()), ("http.headers", None), ("mine", object()),
            ("http.tls.ca", b"DER"), ("http.tls.verify", False), ("http.part", 3072),
            ("http.wait_ms", 5000), ("http.total_ms", 0),
            ("http.headers", {"A": "b", "http://h": {"A": "c"}}),
            ("http.headers.Authorization", "Bearer abc"), ("keys", ()), ("spread_mirrors", 1),
        ):  # fmt: skip
            with self.subTest(path=path, value=value):
                changed = _changed(self.config, path, value)
                config.check_start(changed)
                config.check_update(changed)

    def test_keys(self):
        for keys in ([5], [{"type": "dsa"}], [dict(KEY, id="00")], ["lamp.pub.json"]):
            with self.subTest(keys=keys):
                board = device.Device(_changed(self.config, "keys", keys))
                self.assertEqual(self.refused(lambda board=board: board.keys), "keys")

    def test_poll(self):
        for path in ("every", "every_ms", "windows"):
            self.assertEqual(self.refused(config.check_poll, {path: 5}), "poll." + path)
        for poll in ({"every_s": 1.5}, {"jitter": "10"}, {"retry_s": -1}, {"window": "01:00"}):
            self.assertEqual(self.refused(config.check_poll, poll), "poll." + list(poll)[0])
        config.check_poll({"utc_offset_s": -3600, "window": ["01:00", "02:00"], "spread_s": 0})

    def test_what_is_no_mistake_of_the_configuration_stays(self):
        class Broken:
            size, sector_size, program_size = 1 << 20, 4096, 1

            def read(self, offset, buf):
                raise TypeError("of the driver")

        with self.assertRaises(TypeError):
            ota.configure(_changed(self.config, "flash.nor.driver", Broken()))

    def test_limits_are_those_that_may_be_set(self):
        from ota.transport.wire import Limits

        for name in dir(Limits):
            if not name.startswith("_"):
                config.check_update({"http": {name: getattr(Limits, name)}})

    def test_status_tells_the_month(self):
        self.rig.boot()
        self.assertEqual(ota.status()["month"], 0)
        record = self.rig.device.slots.load()
        record.month = 22
        self.rig.device.slots.save(record)
        self.assertEqual(ota.status()["month"], 22)


if __name__ == "__main__":
    unittest.main()
