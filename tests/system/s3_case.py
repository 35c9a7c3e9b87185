"""What the tests of this folder that need a lock in a real S3 server share: one server a file, a proxy in front of it that counts
and can be cut, an origin and a copy on this machine."""
import tempfile

import cli
from fixture_proxy import Proxy
from fixture_s3 import S3, Radosgw

RUN = ["--lock-timeout", "60s", "--lock-wait", "0"]


def start(module):
    """To be called by setUpModule."""
    Case.server = Radosgw(buckets=["locks"])
    module.addModuleCleanup(Case.server.stop)
    Case.cache = tempfile.TemporaryDirectory()
    module.addModuleCleanup(Case.cache.cleanup)


class Case(cli.Case):
    server = None
    cache = None  # a folder where what is learned of the store is kept from test to test

    def setUp(self):
        super().setUp()
        self.proxy = Proxy(self.server.port)
        self.addCleanup(self.proxy.close)
        self.s3 = S3("127.0.0.1", self.server.port)
        self.key = "/locks/" + self.id()
        self.url = "s3:/" + self.key
        self.origin = self.path("origin.db")
        self.copy = self.path("copy.db")
        cli.make_counter(self.origin)

    def environment(self, extra=None):
        return super().environment({"XDG_CACHE_HOME": self.cache.name, **self.server.environment(self.proxy.port), **(extra or {})})

    def run_job(self, *job, options=RUN, **kwargs):
        return self.lockstep("run", "--lock", self.url, *options, self.origin, self.copy, "--", *(job or cli.INCREMENT), **kwargs)

    def start_job(self, *job, options=RUN, **kwargs):
        return self.start("run", "--lock", self.url, *options, self.origin, self.copy, "--", *(job or cli.INCREMENT), **kwargs)

    def acquire(self, *options):
        """The --token and --lease of a lock that is taken and kept."""
        result = self.lockstep("lock", "acquire", "--lock-wait", "0", *options, self.url)
        self.assert_status(result, 0)
        return result.stdout.split()

    def release(self, held):
        self.assert_status(self.lockstep("lock", "release", *held, self.url), 0)

    def record(self):
        """The lock object's text; None where there is none."""
        status, _, body = self.s3.request("GET", self.key)
        return body.decode() if status == 200 else None

    def delete(self):
        self.s3.request("DELETE", self.key)

    def know_the_store(self):
        """What the first lock in a store that is not known yet has to find out is found out."""
        self.release(self.acquire())
        self.delete()
        self.proxy.forget()
