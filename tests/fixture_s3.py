"""A real S3 server for tests, Ceph's gateway (radosgw.sh), and requests to any S3 server, signed in Python.

    with Radosgw(buckets=["locks"]) as server:
        server.environment()                 # what makes lockstep find it
        client = S3("127.0.0.1", server.port)
        client.request("GET", "/locks/key")  # (status, headers, body)
"""
import datetime
import hashlib
import hmac
import http.client
import os
import random
import shutil
import socket
import subprocess
import tempfile

KEY = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+SECRET-OF-TESTS"
PORTS = 30  # what radosgw.sh may use


def sign(secret, method, path, headers, names, scope, amz_date, payload_hash):
    """The signature over a request, by "Authenticating Requests" in the S3 API reference."""
    canonical = "\n".join([method, path, "", *(f"{name}:{' '.join(headers[name].split())}" for name in names), "",
                           ";".join(names), payload_hash])
    text = "\n".join(["AWS4-HMAC-SHA256", amz_date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


class S3:
    """Requests to the store at host:port, each over a connection of its own."""

    def __init__(self, host, port):
        self.host = f"{host}:{port}"

    def request(self, method, path, body=b"", headers=()):
        """(status, headers, body). path: /bucket/key, percent-encoded where it must be."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(body).hexdigest()
        signed = {"host": self.host, "x-amz-content-sha256": digest, "x-amz-date": now}
        names = sorted(signed)
        scope = f"{now[:8]}/us-east-1/s3/aws4_request"
        signature = sign(SECRET, method, path, signed, names, scope, now, digest)
        signed["Authorization"] = (f"AWS4-HMAC-SHA256 Credential={KEY}/{scope},SignedHeaders={';'.join(names)},"
                                   f"Signature={signature}")
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.request(method, path, body=body, headers={**signed, **dict(headers)})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def make_bucket(self, name):
        status, _, body = self.request("PUT", "/" + name)
        if status != 200:
            raise AssertionError(f"making the bucket {name}: {status} {body}")


class Radosgw:
    """Two gateways of one store. Its ports are consecutive ones of those in LOCKSTEP_TEST_PORTS, FIRST-LAST, if that is set.
    name: the host by which clients call it."""

    def __init__(self, buckets=(), name="localhost"):
        if not shutil.which("radosgw"):
            raise AssertionError("there is no radosgw: apt-get install --no-install-recommends radosgw ceph-mon ceph-osd")
        self.folder = tempfile.mkdtemp(prefix="lockstep-radosgw-")
        self.port = free_ports()
        script = os.path.join(os.environ["LOCKSTEP_SOURCE"], "tests", "radosgw.sh")
        self.process = subprocess.Popen([script, self.folder, str(self.port), KEY, SECRET, name], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.process.stdout.readline() != "ready\n":
            self.stop()
            raise AssertionError("radosgw did not start")
        for bucket in buckets:
            S3("127.0.0.1", self.port).make_bucket(bucket)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()
        shutil.rmtree(self.folder)

    def tell(self, command):
        """One of the commands of radosgw.sh."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        if self.process.stdout.readline() != "done\n":
            raise AssertionError(f"{command} failed")

    def url(self, gateway=0, tls=False):
        return f"{'https' if tls else 'http'}://127.0.0.1:{self.port + gateway + (2 if tls else 0)}"

    def environment(self, port=None):
        """port: of a proxy on 127.0.0.1 in front of it; None: none."""
        return {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_ENDPOINT_URL_S3": self.url() if port is None else f"http://127.0.0.1:{port}"}


reservations = []


def free_ports():
    """The first of PORTS ports in a row that nobody listens on. They are this process's until it ends: it holds the first one's UDP
    port, and tests that run beside it leave such a row alone."""
    first, last = (int(text) for text in os.environ.get("LOCKSTEP_TEST_PORTS", "18400-18898").split("-"))
    rows = list(range(first, last + 2 - PORTS, PORTS))
    for start in random.sample(rows, len(rows)):
        reservation = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            reservation.bind(("127.0.0.1", start))
            for port in range(start, start + PORTS):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of a test before linger
                    probe.bind(("127.0.0.1", port))
        except OSError:
            reservation.close()
            continue
        reservations.append(reservation)
        return start
    raise RuntimeError("no ports are free")
