"""Whose header fields those of the configuration are."""

import unittest

import fakenet  # noqa: F401  (before the client: a build without sockets gets some)
from ota.source import settings
from rig import Rig


class TestHome(unittest.TestCase):
    def test_fields_of_the_configuration_have_a_home(self):
        for config, home in (
            ({"url": "http://a/m", "package_url": "http://b/p"}, "http://a/m"),
            ({"url": ["http://a/m", "http://b/m"]}, "http://a/m"),
            ({"package_url": "http://b/p"}, "http://b/p"),
            ({}, ""),
        ):
            with self.subTest(config):
                rig = Rig("ab")
                rig.config["http"] = {"headers": {"X-Id": "1"}, "part": 3072}
                rig.config.update(config)
                rig.boot()
                found = settings.options(rig.device)
                self.assertEqual((found["home"], found["part"]), (home, 3072))
                # What belongs to the device alone is as it was.
                self.assertEqual(sorted(rig.config["http"]), ["headers", "part"])
        rig.config["http"] = {"part": 3072}
        rig.boot()
        self.assertEqual(settings.options(rig.device), {"part": 3072})


if __name__ == "__main__":
    unittest.main()
