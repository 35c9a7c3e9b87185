"""The S3 store against a real server: Ceph's gateway, two of them, plain and by TLS (tests/radosgw.sh). Where
moto is installed, an emulator with other quirks, against that too."""
import concurrent.futures
import os
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

from fixture_s3 import KEY, S3, SECRET, Radosgw, free_ports
from store_driver import StoreTool


def setUpModule():
    global server, cache
    server = Radosgw(buckets=["locks"])
    unittest.addModuleCleanup(server.stop)
    cache = tempfile.TemporaryDirectory()
    unittest.addModuleCleanup(cache.cleanup)


class Case(unittest.TestCase):
    def tool(self, *options, gateway=0, tls=False, url=None, **environment):
        env = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_ENDPOINT_URL_S3": server.url(gateway, tls),
               "AWS_CA_BUNDLE": os.path.join(server.folder, "tls.crt") if tls else "", **environment}
        tool = StoreTool(env, *options, cache=cache.name)
        self.addCleanup(tool.close)
        if url:
            self.assertEqual(tool.ask("open", "s", url), {"outcome": "open"})
        return tool

    def key(self):
        return f"s3://locks/{self.id()}.lock"


class Requests(Case):
    def life(self, tool):
        self.assertEqual(tool.ask("get", "s")["outcome"], "absent")
        first = tool.ask("absent", "s", '{"a":1}')
        self.assertEqual(first["outcome"], "ok", first)
        self.assertEqual(tool.ask("absent", "s", '{"a":2}')["outcome"], "mismatch")
        second = tool.ask("match", "s", first["etag"], '{"a":3}')
        self.assertEqual(second["outcome"], "ok")
        self.assertEqual(tool.ask("match", "s", first["etag"], '{"a":4}')["outcome"], "mismatch")
        seen = tool.ask("get", "s")
        self.assertEqual((seen["body"], seen["etag"]), ('{"a":3}', second["etag"]))
        self.assertLess(seen["age_ms"], 60000)
        self.assertGreaterEqual(seen["age_ms"], 0)

    def test_plain(self):
        self.life(self.tool(url=self.key()))

    def test_tls(self):
        self.life(self.tool(url=self.key(), tls=True))

    def test_virtual_host(self):
        port = server.port
        self.life(self.tool(url=self.key(), AWS_ENDPOINT_URL_S3=f"http://localhost:{port}", LOCKSTEP_S3_ADDRESSING="virtual"))

    def test_keys(self):
        for key in ("a b+c", "/x//y", "grüß ~.lock", "100%?#&=*'()!@:,;$", "x/./y/../z"):
            with self.subTest(key):
                self.life(self.tool(url=f"s3://locks/{self.id()}{key}"))

    def test_two_gateways_are_one_store(self):
        one, two = (self.tool(url=self.key(), gateway=i) for i in (0, 1))
        etag = one.ask("absent", "s", '{"a":1}')["etag"]
        self.assertEqual(two.ask("absent", "s", '{"a":2}')["outcome"], "mismatch")
        newer = two.ask("match", "s", etag, '{"a":3}')
        self.assertEqual(newer["outcome"], "ok")
        self.assertEqual(one.ask("match", "s", etag, '{"a":4}')["outcome"], "mismatch")
        self.assertEqual(one.ask("get", "s")["etag"], newer["etag"])


class Refusals(Case):
    def check(self, words, *options, **arguments):
        result = self.tool(*options, **{"url": self.key(), **arguments}).ask("get", "s")
        self.assertEqual(result["outcome"], "refused", result)
        self.assertIn(words, result["error"])

    def test_wrong_secret(self):
        self.check("AWS_SECRET_ACCESS_KEY", AWS_SECRET_ACCESS_KEY="wrong")

    def test_unknown_key(self):
        self.check("AWS_ACCESS_KEY_ID", AWS_ACCESS_KEY_ID="NOBODY")

    def test_no_bucket(self):
        self.check("no such bucket", url="s3://nowhere-at-all/k")

    def test_untrusted(self):
        self.check("AWS_CA_BUNDLE", tls=True, AWS_CA_BUNDLE="")

    def test_skewed_clock(self):
        for offset in ("-7200", "86400"):
            tool = self.tool("--clock-offset", offset, url=self.key())
            self.assertEqual(tool.ask("get", "s")["outcome"], "absent")


class Races(Case):
    def test_doctor(self):
        for tls in (False, True):
            report = self.tool(tls=tls).ask("doctor", self.key(), 32, 3)
            self.assertTrue(report["usable"], report)
            races = [row for row in report["rows"] if row[0].startswith("race")]
            self.assertEqual(len(races), 2)
            for row in races:
                self.assertIn("32 clients, 3 rounds: 3 with one winner, 0 with more, 0 overwritten", row[2])

    def test_no_update_is_lost(self):
        """32 clients over two gateways, each adds itself to one object by compare-and-swap until it is in."""
        clients = 32
        tools = [self.tool(gateway=i % 2) for i in range(4)]
        for i in range(clients):
            self.assertEqual(tools[i % 4].ask("open", i, self.key()), {"outcome": "open"})
        self.assertEqual(tools[0].ask("absent", 0, ",")["outcome"], "ok")

        def join(tool, name):
            seen = tool.ask("get", name)
            while f",{name}," not in seen["body"]:
                result = tool.ask("match", name, seen["etag"], f"{seen['body']}{name},")
                self.assertIn(result["outcome"], ("ok", "mismatch", "conflict", "unknown"))
                seen = tool.ask("get", name)
            return name

        def all_of(k):
            return [join(tools[k], name) for name in range(k, clients, 4)]

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(all_of, range(4)))
        members = tools[0].ask("get", 0)["body"].strip(",").split(",")
        self.assertEqual(sorted(members, key=int), [str(i) for i in range(clients)])


class Failures(Case):
    def test_frozen_osd(self):
        """The answer to a PUT does not come in time, yet it is applied."""
        tool = self.tool("--request-timeout", "700", url=self.key())
        first = tool.ask("absent", "s", '{"a":1}')
        self.assertEqual(first["outcome"], "ok")
        server.tell("freeze-osd")
        try:
            result = tool.ask("match", "s", first["etag"], '{"a":2}')
        finally:
            server.tell("thaw-osd")
        self.assertEqual(result["outcome"], "unknown", result)
        again = tool.ask("match", "s", first["etag"], '{"a":2}')
        self.assertIn(again["outcome"], ("ok", "mismatch", "unknown"))
        for _ in range(20):
            seen = tool.ask("get", "s")
            if seen["body"] == '{"a":2}':
                break
            tool.ask("match", "s", first["etag"], '{"a":2}')
        self.assertEqual(seen["body"], '{"a":2}')
        self.assertEqual(tool.ask("match", "s", first["etag"], '{"a":3}')["outcome"], "mismatch")

    def test_killed_gateway(self):
        tool = self.tool(url=self.key(), gateway=1)
        first = tool.ask("absent", "s", '{"a":1}')
        self.assertEqual(first["outcome"], "ok")
        server.tell("kill-gateway 1")
        self.assertEqual(tool.ask("match", "s", first["etag"], '{"a":2}')["outcome"], "unknown")
        other = self.tool(url=self.key(), gateway=0)
        self.assertEqual(other.ask("get", "s")["body"], '{"a":1}')
        server.tell("start-gateway 1")
        self.assertEqual(tool.ask("match", "s", first["etag"], '{"a":2}')["outcome"], "ok")


class Moto(Case):
    """It answers 404 where Ceph answers 412, checks no signature and no clock, and is one process."""

    @classmethod
    def setUpClass(cls):
        if not shutil.which("moto_server"):
            raise unittest.SkipTest("moto is not installed")
        cls.port = free_ports()
        process = subprocess.Popen(["moto_server", "-H", "127.0.0.1", "-p", str(cls.port)], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        cls.addClassCleanup(process.wait)
        cls.addClassCleanup(process.kill)
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", cls.port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        S3("127.0.0.1", cls.port).make_bucket("locks")

    def test_a_records_life(self):
        tool = self.tool(url=self.key(), AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{self.port}")
        self.assertEqual(tool.ask("get", "s")["outcome"], "absent")
        self.assertEqual(tool.ask("match", "s", '"abc"', "{}")["outcome"], "absent")
        first = tool.ask("absent", "s", '{"a":1}')
        self.assertEqual(tool.ask("absent", "s", '{"a":2}')["outcome"], "mismatch")
        self.assertEqual(tool.ask("match", "s", first["etag"], '{"a":3}')["outcome"], "ok")
        self.assertEqual(tool.ask("match", "s", first["etag"], '{"a":4}')["outcome"], "mismatch")

    def test_doctor(self):
        report = self.tool(AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{self.port}").ask("doctor", self.key(), 8, 2)
        self.assertTrue(report["usable"], report)


if __name__ == "__main__":
    unittest.main()
