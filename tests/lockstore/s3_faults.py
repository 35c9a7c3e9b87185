"""The S3 store against a stand-in that loses answers, lies, stalls and sends garbage."""
import email.utils
import os
import subprocess
import tempfile
import time
import unittest

from s3_stand_in import Fault, StandIn
from store_driver import SECRET, TOKEN, StoreTool

KEY = "AKIDEXAMPLE"


class Case(unittest.TestCase):
    def stand_in(self, **arguments):
        store = StandIn(secret=SECRET, **arguments)
        self.addCleanup(store.close)
        return store

    def tool(self, store, *options, cache=None, url="s3://locks/org.db.lock", **environment):
        env = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN,
               "AWS_ENDPOINT_URL_S3": store.url, **environment}
        tool = StoreTool(env, *options, cache=cache)
        self.addCleanup(tool.close)
        self.assertEqual(tool.ask("open", "s", url), {"outcome": "open"})
        return tool

    def cache(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return folder.name


class Operations(Case):
    def test_a_records_life(self):
        store = self.stand_in()
        tool = self.tool(store)
        self.assertEqual(tool.ask("get", "s")["outcome"], "absent")
        first = tool.ask("absent", "s", '{"a":1}')
        self.assertEqual(first["outcome"], "ok")
        self.assertEqual(tool.ask("absent", "s", '{"a":2}')["outcome"], "mismatch")
        second = tool.ask("match", "s", first["etag"], '{"a":3}')
        self.assertEqual(second["outcome"], "ok")
        self.assertEqual(tool.ask("match", "s", first["etag"], '{"a":4}')["outcome"], "mismatch")
        seen = tool.ask("get", "s")
        self.assertEqual((seen["outcome"], seen["body"], seen["etag"]), ("ok", '{"a":3}', second["etag"]))
        self.assertIn(seen["age_ms"], (0, 1000))
        self.assertEqual(tool.ask("remove", "s")["outcome"], "ok")
        self.assertEqual(tool.ask("match", "s", second["etag"], '{"a":5}')["outcome"], "absent")
        self.assertEqual(len({peer for peer in store.peers}), 1, "the connection was not kept")

    def test_age_is_by_the_stores_clock(self):
        store = self.stand_in()
        tool = self.tool(store)
        store.faults = [Fault(200, headers={"ETag": '"e"', "Date": "Sat, 21 Nov 2026 20:04:06 GMT",
                                            "Last-Modified": "Sat, 21 Nov 2026 20:02:06 GMT"}, body="{}"),
                        Fault(200, headers={"ETag": '"e"', "Last-Modified": "yesterday"}, body="{}")]
        self.assertEqual(tool.ask("get", "s")["age_ms"], 120000)
        self.assertEqual(tool.ask("get", "s")["age_ms"], -1)

    def test_keys_as_they_are(self):
        store = self.stand_in()
        for key, path in [("a b+c", "/locks/a%20b%2Bc"), ("/x/./../y", "/locks//x/./../y"),
                          ("grüß.lock", "/locks/gr%C3%BC%C3%9F.lock"), ("100%?#", "/locks/100%25%3F%23")]:
            tool = self.tool(store, url="s3://locks/" + key)
            self.assertEqual(tool.ask("absent", "s", "{}")["outcome"], "ok")
            self.assertEqual(store.requests[-3][1], path)
            self.assertIn(path, store.objects)

    def test_an_abandoned_operation(self):
        store = self.stand_in()
        tool = self.tool(store)
        store.faults = [Fault(delay=1, apply=True)]
        tool.tell("begin", "get", "s")
        self.assertEqual(tool.ask("close", "s"), {"outcome": "closed"})


class Faults(Case):
    def check(self, fault, outcome, words, operation=("absent", "s", '{"a":1}'), options=()):
        store = self.stand_in()
        tool = self.tool(store, *options)
        store.faults = [fault]
        result = tool.ask(*operation)
        self.assertEqual(result["outcome"], outcome, result)
        self.assertIn(words, result["error"])
        self.assertEqual(len(store.requests), 1)
        return store, tool, result

    def test_lost_answer(self):
        store, tool, _ = self.check(Fault(cut="reset", apply=True), "unknown", "gave no answer")
        self.assertEqual(store.objects["/locks/org.db.lock"][0], b'{"a":1}')
        self.assertEqual(tool.ask("absent", "s", '{"a":1}')["outcome"], "mismatch")

    def test_lost_request(self):
        store, tool, _ = self.check(Fault(cut="reset"), "unknown", "gave no answer")
        self.assertEqual(store.objects, {})
        self.assertEqual(tool.ask("absent", "s", '{"a":1}')["outcome"], "ok")

    def test_no_write_is_sent_twice(self):
        """On a kept-alive connection libcurl would send it again by itself, and the answer would be 412."""
        for cut in ("reset", "close"):
            store = self.stand_in()
            tool = self.tool(store)
            self.assertEqual(tool.ask("get", "s")["outcome"], "absent")
            store.faults = [Fault(cut=cut, apply=True)]
            result = tool.ask("absent", "s", '{"a":1}')
            self.assertEqual(result["outcome"], "unknown", result)
            self.assertIn("broke before an answer" if cut == "close" else "", result["error"])
            self.assertEqual(len(store.requests), 2)

    def test_nobody_there(self):
        store = self.stand_in()
        tool = self.tool(store, AWS_ENDPOINT_URL_S3="http://127.0.0.1:1")
        result = tool.ask("absent", "s", "{}")
        self.assertEqual(result["outcome"], "unknown")
        self.assertIn("127.0.0.1", result["error"])

    def test_half_an_answer(self):
        self.check(Fault(cut="half"), "unknown", "gave no answer", ("get", "s"))

    def test_slow(self):
        self.check(Fault(delay=2, apply=True), "unknown", "timed out", options=("--request-timeout", "300"))

    def test_operation_deadline(self):
        self.check(Fault(delay=2, apply=True), "unknown", "not through", options=("--operation-timeout", "300"))

    def test_garbage(self):
        for garbage in [b"\x16\x03\x01 what?\r\n\r\n", b"HTTP/1.1 banana\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\n" + b"a" * 999999]:
            self.check(Fault(raw=garbage), "unknown", "gave no answer")

    def test_server_errors(self):
        for status, code in [(500, "InternalError"), (502, ""), (503, "SlowDown"), (504, ""), (429, "TooManyRequests")]:
            self.check(Fault(status, code), "unknown", f"answered {status}")

    def test_retry_after(self):
        soon = email.utils.formatdate(1795291446 + 7, usegmt=True)
        for text, expected in [("3", 3000), ("0", 0), ("-5", 0), ("99999999999999999999", 120000), ("soon", 0),
                               (soon, 7000)]:
            _, _, result = self.check(
                Fault(503, "SlowDown", {"Date": "Sat, 21 Nov 2026 20:04:06 GMT", "Retry-After": text}), "unknown", "SlowDown")
            self.assertEqual(result["retry_after_ms"], expected, text)

    def test_huge_bodies(self):
        page = b"x" * 500000
        self.check(Fault(200, headers={"ETag": '"e"'}, body=page), "refused", "not a lock record", ("get", "s"))
        self.check(Fault(200, headers={"ETag": '"e"'}, body=page[:20000]), "refused", "not a lock record", ("get", "s"))
        self.check(Fault(503, body=page), "unknown", "503")
        self.check(Fault(200, headers={"ETag": '"e"'}, body=page), "unknown", "long page")

    def test_not_a_store(self):
        self.check(Fault(200, body="<html>please log in</html>"), "unknown", "something else", ("get", "s"))
        self.check(Fault(404, body="<html>nginx</html>"), "unknown", "something else", ("get", "s"))
        self.check(Fault(302, headers={"Location": "http://127.0.0.1:1/"}), "refused", "302", ("get", "s"))

    def test_refusals(self):
        self.check(Fault(501, "NotImplemented"), "refused", "conditional writes")
        self.check(Fault(404, "NoSuchBucket"), "refused", "check its name", ("get", "s"))
        self.check(Fault(403, "AccessDenied"), "refused", "s3:ListBucket", ("get", "s"))
        self.check(Fault(409, "ConditionalRequestConflict"), "conflict", "")

    def test_hostile_texts(self):
        page = "<Error><Code>Bad\033[2J</Code><Message>&lt;\033]0;title\007line\nline " + "y" * 5000 + "</Message></Error>"
        _, _, result = self.check(Fault(400, body=page), "refused", "400")
        self.assertNotIn("\033", result["error"])
        self.assertNotIn("\n", result["error"])
        self.check(Fault(403, body="<Error><Code>" + "A" * 60000), "refused", "403")


class Remedies(Case):
    def test_skewed_clock(self):
        for offset in (-7200, 86400):
            store = self.stand_in()
            tool = self.tool(store, "--clock-offset", str(offset))
            self.assertEqual(tool.ask("absent", "s", "{}")["outcome"], "ok")
            skewed = len(store.requests)
            self.assertEqual(tool.ask("get", "s")["outcome"], "ok")
            self.assertEqual(len(store.requests), skewed + 1, "the correction was not kept")

    def test_clock_that_cannot_be_corrected(self):
        store = self.stand_in()
        tool = self.tool(store)
        store.faults = [Fault(403, "RequestTimeTooSkewed") for _ in range(5)]
        result = tool.ask("get", "s")
        self.assertEqual(result["outcome"], "refused")
        self.assertIn("clock", result["error"])
        self.assertEqual(len(store.requests), 2)

    def test_region(self):
        store = self.stand_in()
        store.region = "eu-west-1"
        cache = self.cache()
        self.assertEqual(self.tool(store, cache=cache).ask("get", "s")["outcome"], "absent")
        self.assertEqual([self.region_of(request) for request in store.requests], ["auto", "eu-west-1"])
        self.assertEqual(self.tool(store, cache=cache).ask("get", "s")["outcome"], "absent")
        self.assertEqual(len(store.requests), 3, "the region was not remembered")

    def test_region_that_leads_nowhere(self):
        store = self.stand_in()
        tool = self.tool(store)
        body = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>x-{}</Region></Error>"
        store.faults = [Fault(400, body=body.format(i)) for i in range(5)]
        self.assertEqual(tool.ask("get", "s")["outcome"], "refused")
        self.assertEqual(len(store.requests), 2)

    def test_expired_session(self):
        store = self.stand_in()
        tool = self.tool(store)
        store.faults = [Fault(400, "ExpiredToken") for _ in range(5)]
        self.assertEqual(tool.ask("get", "s")["outcome"], "refused")
        self.assertEqual(len(store.requests), 2)

    @staticmethod
    def region_of(request):
        return request[2]["authorization"].split("/")[2]


class Forms(Case):
    def writes(self, store):
        return [request for request in store.requests if request[0] == "PUT"]

    def test_each_form_is_learned_and_remembered(self):
        for forms in [("quoted",), ("bare",), ("quoted", "bare")]:
            with self.subTest(forms):
                store = self.stand_in(forms=forms)
                cache = self.cache()
                tool = self.tool(store, cache=cache)
                etag = tool.ask("absent", "s", '{"a":1}')["etag"]
                tool = self.tool(store, cache=cache)
                for i in range(2, 5):
                    before = len(store.requests)
                    result = tool.ask("match", "s", etag, f'{{"a":{i}}}')
                    etag = result["etag"]
                    self.assertEqual(result["outcome"], "ok")
                    self.assertEqual(len(store.requests), before + 1, "a renewal is one request")

    def test_form_learned_on_another_holders_record(self):
        store = self.stand_in(forms=("bare",))
        store.objects["/locks/org.db.lock"] = (b"old", time.time())
        tool = self.tool(store)
        etag = tool.ask("get", "s")["etag"]
        self.assertEqual(tool.ask("match", "s", etag, '{"a":1}')["outcome"], "ok")
        self.assertEqual(store.objects["/locks/org.db.lock"][0], b'{"a":1}')

    def test_a_true_mismatch_stays_one(self):
        store = self.stand_in(forms=("bare",))
        store.objects["/locks/org.db.lock"] = (b"theirs", time.time())
        tool = self.tool(store)
        self.assertEqual(tool.ask("match", "s", '"5d41402abc4b2a76b9719d911017c592"', "{}")["outcome"], "mismatch")
        self.assertEqual([request[0] for request in store.requests], ["PUT", "GET"])
        self.assertEqual(store.objects["/locks/org.db.lock"][0], b"theirs")

    def test_no_loss_when_the_look_fails(self):
        store = self.stand_in(forms=("bare",))
        store.objects["/locks/org.db.lock"] = (b"old", time.time())
        tool = self.tool(store)
        etag = tool.ask("get", "s")["etag"]
        store.faults = [Fault(412, "PreconditionFailed"), Fault(503, "SlowDown")]
        self.assertEqual(tool.ask("match", "s", etag, "{}")["outcome"], "unknown")

    def test_a_change_between_look_and_retry(self):
        store = self.stand_in(forms=("bare",))
        store.objects["/locks/org.db.lock"] = (b"old", time.time())
        tool = self.tool(store)
        etag = tool.ask("get", "s")["etag"]
        store.faults = [Fault(412, "PreconditionFailed"),
                        Fault(200, headers={"ETag": etag}, body="old"), Fault(412, "PreconditionFailed")]
        self.assertEqual(tool.ask("match", "s", etag, "{}")["outcome"], "mismatch")
        self.assertEqual(store.objects["/locks/org.db.lock"][0], b"old")


class Liars(Case):
    def test_conditions_ignored(self):
        for header in ("If-Match", "If-None-Match"):
            with self.subTest(header):
                store = self.stand_in(ignores=(header,))
                tool = self.tool(store)
                result = tool.ask("absent", "s", '{"a":1}')
                self.assertEqual(result["outcome"], "refused")
                self.assertIn(f"ignores {header}", result["error"])
                self.assertIn("127.0.0.1", result["error"])
                self.assertEqual(store.objects["/locks/org.db.lock"][0], b'{"a":1}', "the proof left another record")

    def test_proof_once_per_store(self):
        store = self.stand_in()
        cache = self.cache()
        tool = self.tool(store, cache=cache)
        tool.ask("absent", "s", "{}")
        self.assertEqual(len(store.requests), 4)
        tool.ask("remove", "s")
        self.tool(store, cache=cache).ask("absent", "s", "{}")
        self.assertEqual(len(store.requests), 6)

    def test_proof_that_the_network_cuts_short(self):
        for i in range(3):
            store = self.stand_in(ignores=("If-None-Match",))
            tool = self.tool(store)
            store.faults = [Fault(apply=True, delay=0.01) for _ in range(i + 1)] + [Fault(cut="reset")]
            self.assertEqual(tool.ask("absent", "s", "{}")["outcome"], "ok")

    def test_doctor(self):
        for arguments, bad in [({}, None), ({"forms": ("bare",)}, None), ({"forms": ("quoted",)}, None),
                               ({"forms": ()}, "replace (If-Match), either form"),
                               ({"ignores": ("If-Match",)}, "replace (If-Match, a wrong ETag)"),
                               ({"ignores": ("If-None-Match",)}, "create what exists (If-None-Match: *)"),
                               ({"racy": True}, "race to create"), ({"stale": True}, "write, then read")]:
            with self.subTest(arguments):
                store = self.stand_in(**arguments)
                report = self.tool(store).ask("doctor", "s3://locks/org.db.lock", 4, 2)
                self.assertEqual(report["usable"], bad is None, report)
                self.assertEqual(report["failed"], "STORE_UNUSABLE" if bad else "")
                self.assertEqual(next((row[0] for row in report["rows"] if row[3] in ("BAD", "unclear")), None), bad)
                self.assertIn(bad or "", report["error"])
                self.assertEqual(store.objects, {}, "the probe left objects behind")
                self.assertEqual(report["rows"][-1][2], "done")

    def test_doctor_of_files(self):
        folder = self.cache()
        tool = StoreTool({})
        self.addCleanup(tool.close)
        report = tool.ask("doctor", f"file://{folder}/org.db.lock", 8, 2)
        self.assertTrue(report["usable"], report)
        self.assertEqual({row[3] for row in report["rows"]}, {"good"})
        self.assertEqual(os.listdir(folder), [])
        self.assertFalse(tool.ask("doctor", f"file://{folder}/nowhere/org.db.lock", 8, 2)["usable"])

    def test_doctor_saves_requests(self):
        store = self.stand_in(forms=("bare",))
        cache = self.cache()
        self.assertTrue(self.tool(store, cache=cache).ask("doctor", "s3://locks/org.db.lock", 2, 1)["usable"])
        tool = self.tool(store, cache=cache)
        before = len(store.requests)
        etag = tool.ask("absent", "s", '{"a":1}')["etag"]
        self.assertEqual(tool.ask("match", "s", etag, '{"a":2}')["outcome"], "ok")
        self.assertEqual(len(store.requests), before + 2)

    def test_doctor_refused(self):
        store = self.stand_in()
        report = self.tool(store, AWS_SECRET_ACCESS_KEY="wrong").ask("doctor", "s3://locks/org.db.lock", 2, 1)
        self.assertFalse(report["usable"])
        self.assertIn("SignatureDoesNotMatch", report["error"])
        self.assertEqual(len(store.requests), 1, "nothing was written, so there is nothing to delete")

    def test_doctor_without_a_store(self):
        store = self.stand_in()
        tool = self.tool(store, AWS_ENDPOINT_URL_S3="http://127.0.0.1:1")
        report = tool.ask("doctor", "s3://locks/org.db.lock", 4, 2)
        self.assertEqual(report["failed"], "STORE_UNUSABLE")
        self.assertIn("unclear", [row[3] for row in report["rows"]])


class Transport(Case):
    def certificate(self, name):
        folder = self.cache()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "2", "-subj", "/CN=test", "-addext", f"subjectAltName={name}",
                        "-keyout", f"{folder}/key", "-out", f"{folder}/crt"], check=True, capture_output=True)
        return f"{folder}/crt", f"{folder}/key"

    def test_tls(self):
        good, other = self.certificate("IP:127.0.0.1"), self.certificate("DNS:elsewhere")
        for server, bundle, outcome, words in [(good, good[0], "absent", ""), (good, other[0], "refused", "AWS_CA_BUNDLE"),
                                               (good, None, "refused", "AWS_CA_BUNDLE"),
                                               (good, "/nowhere", "refused", "AWS_CA_BUNDLE"),
                                               (other, other[0], "refused", "prove who it is")]:
            store = self.stand_in(tls=server)
            tool = self.tool(store, **({"AWS_CA_BUNDLE": bundle} if bundle else {}))
            result = tool.ask("get", "s")
            self.assertEqual(result["outcome"], outcome, result)
            self.assertIn(words, result["error"])
            self.assertEqual(len(store.requests), 1 if outcome == "absent" else 0)

    def test_proxy_and_tigris(self):
        """A Tigris endpoint by way of the stand-in as an HTTP proxy: it then sees the whole URL."""
        store = self.stand_in()
        store.secret = None
        tool = self.tool(store, AWS_ENDPOINT_URL_S3="http://fly.storage.tigris.dev", http_proxy=store.url)
        self.assertEqual(tool.ask("absent", "s", "{}")["outcome"], "ok")
        self.assertEqual(len(store.requests), 1, "Tigris need not prove itself")
        method, path, headers, _ = store.requests[0]
        self.assertEqual(path, "http://locks.fly.storage.tigris.dev/org.db.lock")
        self.assertEqual(headers["x-tigris-consistent"], "true")
        self.assertIn("x-tigris-consistent", headers["authorization"])
        tool = self.tool(store, http_proxy="http://127.0.0.1:1", no_proxy="127.0.0.1")
        self.assertEqual(tool.ask("get", "s")["outcome"], "absent")

    def test_usage(self):
        for url, environment, words in [("s3://locks", {}, "s3://bucket/key"), ("s3:///k", {}, "BUCKET_NAME"),
                                        ("s3://l/k", {"AWS_ENDPOINT_URL_S3": "ftp://x"}, "https://host"),
                                        ("s3://l/k", {"AWS_ENDPOINT_URL": "http://u:PASSWORD@h"}, "user name"),
                                        ("s3://l/k", {"AWS_REGION": "a/b"}, "AWS_REGION"),
                                        ("s3://l/k", {"LOCKSTEP_S3_ADDRESSING": "x"}, "path, virtual, auto")]:
            tool = StoreTool(environment)
            self.addCleanup(tool.close)
            result = tool.ask("open", "s", url)
            self.assertEqual(result["failed"], "USAGE")
            self.assertIn(words, result["error"])
            self.assertNotIn("PASSWORD", result["error"])


if __name__ == "__main__":
    unittest.main()
