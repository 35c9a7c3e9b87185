"""Credentials in the order of the AWS tools, each source against a stand-in of its own."""
import json
import os
import pty
import re
import stat
import tempfile
import textwrap
import time
import unittest
import urllib.parse

import processes
from s3_stand_in import Fault, Handler, StandIn
from store_driver import SECRET, TOKEN, StoreTool


def utc(seconds_from_now):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds_from_now))


class Source(Handler):
    """STS, a container's endpoint and IMDSv2 in one; each hands out a key whose name says where it came from."""

    def serve(self):
        store = self.server.store
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        headers = {name.lower(): text for name, text in self.headers.items()}
        store.requests.append((self.command, self.path, headers, body))
        fault = store.faults.pop(0) if store.faults else None
        if fault:
            time.sleep(fault.delay)
            self.answer(fault.status, fault.code, fault.headers, fault.body)
        else:
            self.answer(*self.give(store, headers, body))

    def give(self, store, headers, body):
        expires = utc(store.lifetime)
        if self.path == "/latest/api/token":
            return (200, "", {}, "machine-token") if headers.get("x-aws-ec2-metadata-token-ttl-seconds") else (400,)
        if self.path.startswith("/latest/"):
            if headers.get("x-aws-ec2-metadata-token") != "machine-token":
                return (401,)
            if self.path == "/latest/meta-data/iam/security-credentials/":
                return (200, "", {}, "the-role\n")
            if self.path == "/latest/meta-data/iam/security-credentials/the-role":
                return (200, "", {}, json.dumps({"Code": "Success", "AccessKeyId": "FROMMACHINE",
                                                 "SecretAccessKey": SECRET, "Token": TOKEN, "Expiration": expires}))
            return (404,)
        if self.path == "/container":
            if headers.get("authorization") != store.container_token:
                return (401,)
            return (200, "", {}, json.dumps({"AccessKeyId": "FROMCONTAINER", "SecretAccessKey": SECRET, "Token": TOKEN,
                                             "Expiration": expires}))
        form = dict(urllib.parse.parse_qsl(body, strict_parsing=True))
        if self.command == "POST" and form["Action"] == "AssumeRoleWithWebIdentity":
            if form["WebIdentityToken"] != "identity+/= token" or form["RoleArn"] != "arn:aws:iam::1:role/r":
                return (403, "AccessDenied")
            return (200, "", {}, "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
                    f"<AccessKeyId>FROMSTS</AccessKeyId><SecretAccessKey>{SECRET}</SecretAccessKey>"
                    f"<SessionToken>{TOKEN}</SessionToken><Expiration>{expires}</Expiration></Credentials>"
                    "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>")
        return (404,)

    do_GET = do_PUT = do_POST = serve


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.store = StandIn(secret=SECRET)
        self.addCleanup(self.store.close)
        self.source = StandIn(handler=Source)
        self.source.lifetime, self.source.container_token = 3600, None
        self.addCleanup(self.source.close)

    def file(self, name, text):
        path = os.path.join(self.folder.name, name)
        with open(path, "w") as file:
            file.write(textwrap.dedent(text))
        return path

    def tool(self, terminal=None, **environment):
        tool = StoreTool({"AWS_ENDPOINT_URL_S3": self.store.url, **environment}, terminal=terminal)
        self.addCleanup(tool.close)
        return tool

    def opened(self, terminal=None, **environment):
        tool = self.tool(terminal, **environment)
        self.assertEqual(tool.ask("open", "s", "s3://locks/k"), {"outcome": "open"})
        return tool

    def used(self):
        """The key and token of the last request to the store."""
        headers = self.store.requests[-1][2]
        return headers["authorization"].split("=")[1].split("/")[0], headers.get("x-amz-security-token")

    def check(self, key, token=None, **environment):
        tool = self.opened(**environment)
        result = tool.ask("get", "s")
        self.assertEqual(result["outcome"], "absent", result)
        self.assertEqual(self.used(), (key, token))
        return tool

    def check_refused(self, words, **environment):
        result = self.opened(**environment).ask("get", "s")
        self.assertEqual(result["outcome"], "refused", result)
        self.assertIn(words, result["error"])
        self.assertEqual(self.store.requests, [])
        return result


class Environment(Case):
    def test_keys(self):
        self.check("FROMENV", AWS_ACCESS_KEY_ID="FROMENV", AWS_SECRET_ACCESS_KEY=SECRET)
        self.check("FROMENV", TOKEN, AWS_ACCESS_KEY_ID="FROMENV", AWS_SECRET_ACCESS_KEY=SECRET, AWS_SESSION_TOKEN=TOKEN)

    def test_half_a_key(self):
        self.check_refused("secret access key is missing", AWS_ACCESS_KEY_ID="FROMENV")
        self.check_refused("access key id is missing", AWS_SECRET_ACCESS_KEY=SECRET)

    def test_a_key_with_a_line_end(self):
        result = self.check_refused("no key has", AWS_ACCESS_KEY_ID="FROMENV", AWS_SECRET_ACCESS_KEY=SECRET,
                                    AWS_SESSION_TOKEN="x\r\nHost: evil")
        self.assertNotIn("evil", result["error"])

    def test_no_credentials_at_all(self):
        self.check_refused("there are no credentials: set AWS_ACCESS_KEY_ID")


class Files(Case):
    def files(self):
        return {"AWS_SHARED_CREDENTIALS_FILE": self.file("credentials", f"""\
                    # a comment
                    [default]
                    aws_access_key_id = FROMDEFAULT
                    aws_secret_access_key={SECRET}
                    [ other ]
                    AWS_ACCESS_KEY_ID = FROMOTHER
                    aws_secret_access_key = {SECRET}
                    aws_session_token = {TOKEN}
                    """),
                "AWS_CONFIG_FILE": self.file("config", f"""\
                    [default]
                    region = eu-north-1
                    aws_access_key_id = NOTTHIS
                    aws_secret_access_key = not-this
                    [profile third]
                    aws_access_key_id = FROMCONFIG
                    aws_secret_access_key = {SECRET}
                    region = eu-south-1
                    services = mine
                    s3 =
                      addressing_style = path
                    [profile 'in quotes']
                    credential_process = echo unused
                    [services mine]
                    s3 =
                      endpoint_url = {self.store.url}
                    [profile sso]
                    sso_session = x
                    [profile role]
                    role_arn = arn:aws:iam::1:role/r
                    source_profile = default
                    """)}

    def test_profiles(self):
        self.check("FROMDEFAULT", **self.files())
        self.assertIn("/eu-north-1/", self.store.requests[-1][2]["authorization"])
        self.check("FROMOTHER", TOKEN, AWS_PROFILE="other", **self.files())
        self.check("FROMCONFIG", AWS_PROFILE="third", **self.files())
        self.assertIn("/eu-south-1/", self.store.requests[-1][2]["authorization"])
        self.check("FROMENV", AWS_ACCESS_KEY_ID="FROMENV", AWS_SECRET_ACCESS_KEY=SECRET, AWS_PROFILE="other",
                   AWS_REGION="us-west-2", **self.files())
        self.assertIn("/us-west-2/", self.store.requests[-1][2]["authorization"])

    def test_the_usual_places(self):
        tool = self.tool(**{"AWS_ENDPOINT_URL_S3": self.store.url})
        os.mkdir(os.path.join(tool.home.name, ".aws"))
        with open(os.path.join(tool.home.name, ".aws", "credentials"), "w") as file:
            file.write(f"[default]\naws_access_key_id=FROMHOME\naws_secret_access_key={SECRET}\n")
        tool.ask("open", "s", "s3://locks/k")
        self.assertEqual(tool.ask("get", "s")["outcome"], "absent")
        self.assertEqual(self.used(), ("FROMHOME", None))

    def test_endpoints_in_their_order(self):
        other = StandIn(secret=SECRET)
        self.addCleanup(other.close)
        self.check("FROMCONFIG", AWS_PROFILE="third", **{**self.files(), "AWS_ENDPOINT_URL_S3": ""})
        self.check("FROMCONFIG", AWS_PROFILE="third", AWS_ENDPOINT_URL=other.url, **self.files())
        self.assertEqual((len(self.store.requests), len(other.requests)), (2, 0))
        tool = self.opened(**{"AWS_PROFILE": "third", **self.files(), "AWS_ENDPOINT_URL": other.url,
                              "AWS_ENDPOINT_URL_S3": ""})
        tool.ask("get", "s")
        self.assertEqual((len(self.store.requests), len(other.requests)), (2, 1))

    def test_what_is_not_supported(self):
        for profile in ("sso", "role"):
            self.check_refused("credential_process", AWS_PROFILE=profile, **self.files())

    def test_a_profile_that_is_nowhere(self):
        result = self.tool(AWS_PROFILE="nobody", **self.files()).ask("open", "s", "s3://locks/k")
        self.assertIn('"nobody"', result["error"])

    def test_files_that_cannot_be_used(self):
        folder = {"AWS_CONFIG_FILE": self.folder.name}
        self.assertIn(self.folder.name, self.tool(**folder).ask("open", "s", "s3://locks/k")["error"])
        large = {"AWS_CONFIG_FILE": self.file("large", "#" * ((1 << 20) + 1))}
        self.assertIn("more than", self.tool(**large).ask("open", "s", "s3://locks/k")["error"])
        self.check_refused("no credentials", AWS_CONFIG_FILE=self.file("odd", "x\n=\n[\n[profile\n  a=b\n]\n[x]\n\0y"))

    def test_keys_that_are_replaced_in_the_file(self):
        files = self.files()
        tool = self.check("FROMDEFAULT", **files)
        self.file("credentials", f"[default]\naws_access_key_id=NEWER\naws_secret_access_key={SECRET}\n")
        self.store.faults = [Fault(400, "ExpiredToken")]
        self.assertEqual(tool.ask("get", "s")["outcome"], "absent")
        self.assertEqual(self.used(), ("NEWER", None))


class Process(Case):
    def profile(self, command):
        return {"AWS_CONFIG_FILE": self.file("config", f"[default]\ncredential_process = {command}\n")}

    def script(self, text):
        path = self.file("give", "#!/bin/sh\n" + text)
        os.chmod(path, stat.S_IRWXU)
        return path

    def keys(self, **more):
        return json.dumps({"Version": 1, "AccessKeyId": "FROMPROCESS", "SecretAccessKey": SECRET,
                           "SessionToken": TOKEN, **more})

    def test_keys(self):
        self.check("FROMPROCESS", TOKEN, **self.profile(self.script(f"echo '{self.keys()}'")))
        self.check("FROMPROCESS", TOKEN, **self.profile(self.script(f"echo '{self.keys(Expiration=utc(3600))}'")))

    def test_failures(self):
        for text, words in [("exit 3", "status 3"), ("kill -9 $$", "status 137"), ("echo nonsense", "not a JSON object"),
                            (f"echo '{self.keys(Version=2)}'", "Version"), ("echo '{\"Version\":1}'", "access key id"),
                            (f"echo '{self.keys(Expiration=utc(-1))}'", "expired already"),
                            (f"echo '{self.keys(Expiration='soon')}'", "not a date"),
                            ("head -c 100000 /dev/zero", "more than")]:
            with self.subTest(text):
                self.check_refused(words, **self.profile(self.script(text)))
        self.check_refused("status 127", **self.profile("/nowhere/at-all"))

    @staticmethod
    def lines(path):
        with open(path) as file:
            return len(file.readlines())

    def test_renewed_before_they_expire(self):
        counter = self.file("count", "")
        script = self.script(f"echo x >> {counter}; echo '{self.keys(Expiration=utc(200))}'")
        tool = self.check("FROMPROCESS", TOKEN, **self.profile(script))
        tool.ask("get", "s")
        self.assertEqual(self.lines(counter), 2, "keys with 200 s left are not asked for again")
        self.script("exit 1")
        self.assertEqual(tool.ask("get", "s")["outcome"], "absent", "keys that are still good are not used")
        self.script(f"echo x >> {counter}; echo '{self.keys(Expiration=utc(3600))}'")
        tool.ask("get", "s")
        tool.ask("get", "s")
        self.assertEqual(self.lines(counter), 3)

    def test_no_connection_is_inherited(self):
        script = self.script(f"ls -l /proc/$$/fd > {self.folder.name}/fds; cat /proc/net/tcp > {self.folder.name}/tcp\n"
                             f"echo '{self.keys(Expiration=utc(200))}'")
        tool = self.check("FROMPROCESS", TOKEN, **self.profile(script))
        tool.ask("get", "s")
        with open(f"{self.folder.name}/fds") as file:
            inherited = re.findall(r"socket:\[(\d+)\]", file.read())
        with open(f"{self.folder.name}/tcp") as file:
            connections = {line.split()[9] for line in file}
        self.assertNotEqual(inherited, [], "its stdout is one")
        self.assertEqual([inode for inode in inherited if inode in connections], [])

    def test_closed_while_it_runs(self):
        begun = os.path.join(self.folder.name, "begun")
        tool = self.opened(**self.profile(self.script(f"touch {begun}; exec sleep 60")))
        tool.tell("begin", "get", "s")
        deadline = time.monotonic() + 60
        while not os.path.exists(begun):
            self.assertLess(time.monotonic(), deadline, "the program was not started")
            time.sleep(0.01)
        started = processes.below(tool.process.pid)
        self.assertNotEqual(started, [])
        self.assertEqual(tool.ask("close", "s"), {"outcome": "closed"})
        self.assertEqual(processes.wait_for_end(started, 5), [])

    def test_asks_at_the_terminal(self):
        person, terminal = pty.openpty()
        self.addCleanup(os.close, person)
        self.addCleanup(os.close, terminal)
        keys = self.keys().replace("FROMPROCESS", "'$key'")
        tool = self.opened(terminal=terminal, **self.profile(self.script(f"read -r key </dev/tty; echo '{keys}'")))
        tool.tell("get", "s")
        os.write(person, b"FROMPERSON\n")
        self.assertEqual(tool.hear()["outcome"], "absent")
        self.assertEqual(self.used(), ("FROMPERSON", TOKEN))


class WebIdentity(Case):
    def environment(self, **more):
        return {"AWS_WEB_IDENTITY_TOKEN_FILE": self.file("token", "identity+/= token\n"),
                "AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_ENDPOINT_URL_STS": self.source.url, **more}

    def test_keys(self):
        tool = self.check("FROMSTS", TOKEN, **self.environment())
        tool.ask("get", "s")
        self.assertEqual(len(self.source.requests), 1, "the keys are not kept")
        self.assertNotIn("authorization", self.source.requests[0][2])

    def test_from_the_profile(self):
        config = self.file("config", f"""\
            [default]
            role_arn = arn:aws:iam::1:role/r
            web_identity_token_file = {self.file("token", "identity+/= token")}
            """)
        self.check("FROMSTS", TOKEN, AWS_CONFIG_FILE=config, AWS_ENDPOINT_URL_STS=self.source.url)

    def test_failures(self):
        self.check_refused("AWS_ROLE_ARN", **self.environment(AWS_ROLE_ARN=""))
        self.check_refused("AccessDenied", **self.environment(AWS_ROLE_ARN="arn:other"))
        self.check_refused("/nowhere", **self.environment(AWS_WEB_IDENTITY_TOKEN_FILE="/nowhere"))
        self.check_refused("is empty", **self.environment(AWS_WEB_IDENTITY_TOKEN_FILE=self.file("none", "\n")))
        self.source.faults = [Fault(200, body="<html>")]
        self.check_refused("without an expiration", **self.environment())

    def test_sts_out_of_order_may_come_back(self):
        self.source.faults = [Fault(503, "ServiceUnavailable")]
        tool = self.opened(**self.environment())
        self.assertEqual(tool.ask("get", "s")["outcome"], "unknown")
        self.assertEqual(tool.ask("get", "s")["outcome"], "absent")


class Container(Case):
    def test_keys(self):
        self.source.container_token = "Basic abc"
        uri = self.source.url + "/container"
        self.check("FROMCONTAINER", TOKEN, AWS_CONTAINER_CREDENTIALS_FULL_URI=uri,
                   AWS_CONTAINER_AUTHORIZATION_TOKEN="Basic abc")
        self.check("FROMCONTAINER", TOKEN, AWS_CONTAINER_CREDENTIALS_FULL_URI=uri,
                   AWS_CONTAINER_AUTHORIZATION_TOKEN="wrong",
                   AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=self.file("token", "Basic abc\n"))
        # The proxy is for the world outside, not for this machine.
        self.source.container_token = self.store.secret = None
        self.check("FROMCONTAINER", TOKEN, AWS_CONTAINER_CREDENTIALS_FULL_URI=uri, AWS_ENDPOINT_URL_S3=self.store.url,
                   http_proxy=self.store.url, no_proxy="")

    def test_failures(self):
        uri = self.source.url + "/container"
        self.source.container_token = "x"
        self.check_refused("401", AWS_CONTAINER_CREDENTIALS_FULL_URI=uri)
        for other in ("http://192.0.2.1/x", "http://127.0.0.1:80@192.0.2.1/x", "http://127.0.0.1.example/x", "file:///etc"):
            self.check_refused("neither https nor", AWS_CONTAINER_CREDENTIALS_FULL_URI=other)
        self.check_refused("cannot stand in a header", AWS_CONTAINER_CREDENTIALS_FULL_URI=uri,
                           AWS_CONTAINER_AUTHORIZATION_TOKEN="a\nb")
        self.assertEqual(len(self.source.requests), 1)


class Machine(Case):
    def environment(self, **more):
        return {"AWS_EC2_METADATA_DISABLED": "", "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.source.url + "/", **more}

    def test_keys(self):
        tool = self.check("FROMMACHINE", TOKEN, **self.environment())
        self.assertEqual([request[0] for request in self.source.requests], ["PUT", "GET", "GET"])
        tool.ask("get", "s")
        self.assertEqual(len(self.source.requests), 3)

    def test_other_sources_go_before(self):
        self.check("FROMENV", AWS_ACCESS_KEY_ID="FROMENV", AWS_SECRET_ACCESS_KEY=SECRET, **self.environment())
        self.assertEqual(self.source.requests, [])

    def test_failures(self):
        for faults, words in [([Fault(404)], "404"), ([Fault(200, body="t"), Fault(404)], "404"),
                              ([Fault(200, body="machine-token"), Fault(200, body="../x y")], "has no role"),
                              ([Fault(200, body="a b")], "is not one"),
                              ([Fault(200, body="t"), Fault(200, body="the-role"),
                                Fault(200, body='{"Code":"Failed"}')], "the error Failed")]:
            self.source.faults = faults
            result = self.check_refused(words, **self.environment())
            self.assertIn("there are no credentials in the environment", result["error"])
        self.check_refused("no role to give", **self.environment(AWS_EC2_METADATA_SERVICE_ENDPOINT="http://127.0.0.1:1"))


if __name__ == "__main__":
    unittest.main()
