"""Receiving a package: what random cuts seldom reach, each with one protective step."""

import ota
from nor import PowerCut
from ota import package as fmt
from ota.errors import TransportError, VerifyError
from packer import Package, noise
from scenes import ONE, SIZE, STRATEGIES, TWO, Case, Server, fetch, fresh
from slow import SLOW, some
from watched import at_erase, place


class TestReceiving(Case):
    def test_resumed_in_the_midst_of_a_sector(self):
        new = noise(SIZE)
        data = Package(new, None, block=2048, restart=1).data()
        for limit in some(range(3000, len(data), 1500)):
            with self.subTest(limit=limit):
                rig = fresh("ab")
                self.refused(TransportError, "short", fetch, rig, Server(data, limit))
                fetch(rig, Server(data))
                rig.boot()
                self.rests(rig, "TRIAL", new, "0.2")

    def test_wrong_image_is_fetched_from_the_beginning(self):
        new = noise(SIZE)
        data = Package(new, None, restart=1).data()
        rig = fresh("ab")
        self.refused(TransportError, "short", fetch, rig, Server(data, 20000))
        rig.nor.data[place(rig, "backup", 99)] ^= 1
        self.refused(VerifyError, "digest", fetch, rig, Server(data))
        fetch(rig, Server(data))
        rig.boot()
        self.rests(rig, "TRIAL", new, "0.2")

    def test_other_package_with_the_same_payload(self):
        new = noise(SIZE)
        one, two = Package(new, None).data(), Package(new, None, floor=1).data()
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                self.refused(TransportError, "short", fetch, rig, Server(one, 20000))
                fetch(rig, Server(two))
                self.assertEqual(rig.boot().image.floor, 1)
                self.rests(rig, "TRIAL", new, "0.2")

    def test_what_decays_while_the_rest_comes_is_not_armed(self):
        new = noise(SIZE)
        data = Package(new, None).data()
        for strategy in ("pingpong", "inplace"):
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                start = place(rig, "ota")

                def decay():
                    rig.nor.data[start + 9999] ^= 1

                self.refused(
                    VerifyError, "truncated", at_erase, rig, start + 4 * 4096, decay,
                    fetch, rig, Server(data),
                )  # fmt: skip
                fetch(rig, Server(data))
                rig.boot()
                self.rests(rig, "TRIAL", new, "0.2")

    def test_sector_written_last_may_be_weak(self):
        # Power goes behind it; one of its bits reads either way from then on.
        data = Package(noise(SIZE), None).data()
        for strategy in ("pingpong", "inplace"):
            for sector in (2, (len(data) - 1) // 4096):
                for seed in range(4 if SLOW else 12):
                    with self.subTest(strategy=strategy, sector=sector, seed=seed):
                        rig = fresh(strategy)
                        start = place(rig, "ota", sector * 4096)

                        def cut():
                            rig.nor.cut_at(2, "after")  # the program behind

                        self.assertRaises(
                            PowerCut, at_erase, rig, start, cut, fetch, rig, Server(data)
                        )
                        rig.nor.dice.state = seed
                        rig.nor.weaken(start + 99, 1, 4)
                        rig.nor.power_on()
                        rig.boot()
                        fetch(rig, Server(data))
                        rig.boot()
                        self.assertEqual(ota.status()["state"], "TRIAL")

    def test_a_cut_costs_one_sector_and_one_chunk(self):
        data = Package(noise(SIZE), None).data()
        header = fmt.parse(data[: sum(fmt.lengths(data))])
        for strategy in ("pingpong", "inplace"):
            whole = fresh(strategy)
            before = whole.nor.ops
            fetch(whole, Server(data))
            for cut in range(1, whole.nor.ops - before, 3):
                with self.subTest(strategy=strategy, cut=cut):
                    rig = fresh(strategy)
                    first, second = Server(data), Server(data)
                    rig.nor.cut_at(cut, "after")
                    self.assertRaises(PowerCut, fetch, rig, first)
                    rig.nor.power_on()
                    rig.boot()
                    fetch(rig, second)
                    # The head is always read again, to know what there is.
                    again = first.given + second.given - len(data) - header.length
                    self.assertTrue(again <= 4096 + header.chunk_max + 200, again)

    def test_reverse_package_is_the_one_that_was_promised(self):
        back = Package(ONE, TWO, "0.1", ordered=True).data()
        other = Package(ONE, TWO, "0.0", ordered=True).data()
        self.assertEqual(len(back), len(other))
        good = Package(TWO, ONE, "0.2", ordered=True, behind=back).data()
        rig = fresh("inplace")
        bad = good[: len(good) - len(back)] + other
        self.refused(VerifyError, "chain", rig.install, bad)
        self.assertEqual(ota.status()["state"], "IDLE")
