"""A small S3 store in Python, for faults that no real store makes on demand. It checks signatures by an
implementation of its own, honours conditions as it is told to, and does what its list of faults says, one a request."""
import datetime
import email.utils
import hashlib
import http.server
import socket
import ssl
import struct
import threading
import time

from fixture_s3 import sign

ERROR = "<?xml version=\"1.0\"?><Error><Code>{}</Code><Message>{}</Message></Error>"


class Fault:
    """What to do with one request instead of answering it, or before."""

    def __init__(self, status=None, code="", headers=None, body=None, delay=0, cut=None, raw=None, apply=False):
        self.status, self.code, self.headers, self.body = status, code, headers or {}, body
        self.delay = delay  # seconds before the answer
        self.cut = cut  # "reset", "close": the connection is, without an answer; "half": in the middle of it
        self.raw = raw  # these bytes in the place of an answer
        self.apply = apply  # the request is carried out first


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle(self):
        try:
            super().handle()
        except (ConnectionError, ssl.SSLError):
            pass

    def answer(self, status, code="", headers=None, body=None):
        if body is None:
            body = ERROR.format(code, "as the test wants") if code else ""
        data = body if isinstance(body, bytes) else body.encode()
        self.send_response_only(status)
        names = {name.lower() for name in headers or {}}
        if "date" not in names:
            self.send_header("Date", email.utils.formatdate(time.time() + self.server.store.clock_offset, usegmt=True))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        if status != 204 and "content-length" not in names:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def serve(self):
        store = self.server.store
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with store.lock:
            store.requests.append((self.command, self.path, {n.lower(): t for n, t in self.headers.items()}, body))
            store.peers.append(self.client_address)
            fault = store.faults.pop(0) if store.faults else None
        if fault is None or fault.apply:
            answer = store.carry_out(self.command, self.path, {n.lower(): t for n, t in self.headers.items()}, body)
        if fault is None:
            self.answer(*answer)
            return
        time.sleep(fault.delay)
        if fault.raw is not None:
            self.wfile.write(fault.raw)
            self.close_connection = True
        elif fault.cut == "reset":
            self.reset()
        elif fault.cut == "close":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif fault.cut == "half":
            self.answer(200, headers={"ETag": '"x"', "Content-Length": "100"}, body="half")
            self.close_connection = True
        elif fault.status is not None:
            self.answer(fault.status, fault.code, fault.headers, fault.body)
        elif fault.delay:
            self.answer(*answer)

    do_GET = do_PUT = do_DELETE = do_POST = serve


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class StandIn:
    """forms: which ETags its If-Match takes ("quoted", "bare"); ignores: conditions that it does not look at;
    racy: it writes some time after it looked; stale: its reads are one write late."""

    def __init__(self, secret=None, forms=("quoted", "bare"), ignores=(), racy=False, stale=False, tls=None,
                 handler=Handler):
        self.secret, self.forms, self.ignores, self.racy, self.stale = secret, forms, ignores, racy, stale
        self.before = {}  # what objects were before their last write
        self.objects = {}  # path: (bytes, time)
        self.requests, self.peers, self.faults = [], [], []
        self.region = None  # requests signed for another are refused
        self.clock_offset = 0
        self.lock = threading.Lock()
        self.server = Server(("127.0.0.1", 0), handler)
        self.server.store = self
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def refusal(self, method, path, headers, body):
        """(status, code, headers, body) where the signature is not what it should be; else None."""
        fields = dict(part.strip().split("=", 1) for part in
                      headers["authorization"].removeprefix("AWS4-HMAC-SHA256 ").split(","))
        scope = fields["Credential"].split("/", 1)[1]
        region = scope.split("/")[1]
        names = fields["SignedHeaders"].split(";")
        if self.region is not None and region != self.region:
            return (400, "", {}, f"<Error><Code>AuthorizationHeaderMalformed</Code><Region>{self.region}</Region>"
                                 "</Error>")
        must = {"host", "x-amz-content-sha256", "x-amz-date"} | {
            name for name in headers if name in ("if-match", "if-none-match") or name.startswith(("x-amz-", "x-tigris"))}
        if not must <= set(names) or names != sorted(names):
            return (403, "AccessDenied", {})
        if hashlib.sha256(body).hexdigest() != headers["x-amz-content-sha256"]:
            return (400, "XAmzContentSHA256Mismatch", {})
        then = datetime.datetime.strptime(headers["x-amz-date"] + "+0000", "%Y%m%dT%H%M%SZ%z").timestamp()
        if abs(then - time.time() - self.clock_offset) > 900:
            return (403, "RequestTimeTooSkewed", {})
        expected = sign(self.secret, method, path, headers, names, scope, headers["x-amz-date"],
                        headers["x-amz-content-sha256"])
        return None if expected == fields["Signature"] else (403, "SignatureDoesNotMatch", {})

    def matches(self, header, path):
        etag = hashlib.md5(self.objects[path][0]).hexdigest()
        return (header == f'"{etag}"' and "quoted" in self.forms) or (header == etag and "bare" in self.forms)

    def carry_out(self, method, path, headers, body):
        if self.secret is not None:
            refusal = self.refusal(method, path, headers, body)
            if refusal:
                return refusal
        with self.lock:
            there = path in self.objects
            if method == "DELETE":
                self.objects.pop(path, None)
                return (204,)
            if method == "GET" and not there:
                return (404, "NoSuchKey")
            if method == "GET":
                data, written = (self.before if self.stale and path in self.before else self.objects)[path]
                return (200, "", {"ETag": f'"{hashlib.md5(data).hexdigest()}"',
                                  "Last-Modified": email.utils.formatdate(written, usegmt=True)}, data)
            if "if-none-match" in headers and "If-None-Match" not in self.ignores and there:
                return (412, "PreconditionFailed")
            if "if-match" in headers and "If-Match" not in self.ignores:
                if not there:
                    return (404, "NoSuchKey")
                if not self.matches(headers["if-match"], path):
                    return (412, "PreconditionFailed")
            if self.racy:
                self.lock.release()
                time.sleep(0.05)
                self.lock.acquire()
            if path in self.objects:
                self.before[path] = self.objects[path]
            self.objects[path] = (body, time.time() + self.clock_offset)
            return (200, "", {"ETag": f'"{hashlib.md5(body).hexdigest()}"'})
