"""store_tool (store_tool.c) as an object: one process that holds stores, asked by lines, answering in JSON."""
import fcntl
import json
import os
import subprocess
import tempfile
import termios

from fixture_s3 import SECRET

TOKEN = "session-token-of-tests//+="


class StoreTool:
    """A running store_tool with nothing of this machine's AWS settings, a cache of its own or the one given, and no terminal or
    the one given."""

    def __init__(self, environment, *options, cache=None, terminal=None):
        self.home = tempfile.TemporaryDirectory()
        env = {"PATH": os.environ["PATH"], "HOME": self.home.name, "AWS_EC2_METADATA_DISABLED": "true",
               "XDG_CACHE_HOME": cache or self.home.name}
        env.update({name: text for name, text in os.environ.items() if name.endswith("SAN_OPTIONS")})
        env.update(environment)
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [os.path.join(os.environ["LOCKSTEP_BIN"], "store_tool"), *options], env=env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, start_new_session=True,
            preexec_fn=terminal and (lambda: fcntl.ioctl(terminal, termios.TIOCSCTTY)))
        self.said = []

    def tell(self, *words):
        self.process.stdin.write("\t".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()

    def hear(self):
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"store_tool is gone: {self.stderr()}")
        self.said.append(line)
        return json.loads(line)

    def ask(self, *words):
        self.tell(*words)
        return self.hear()

    def stderr(self):
        self.log.seek(0)
        return self.log.read()

    def close(self):
        """End it; fails where it does not end cleanly (a leak, say) or where it let a secret out."""
        self.process.stdin.close()
        try:
            status = self.process.wait(30)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        stderr = self.stderr()
        self.log.close()
        self.home.cleanup()
        if status != 0:
            raise AssertionError(f"store_tool ended with {status}: {stderr}")
        for text in [stderr, *self.said]:
            if SECRET in text or TOKEN in text:
                raise AssertionError(f"a secret is in: {text}")
