"""Running link_probe, and what it says."""
import os
import re
import subprocess

PROGRAM = os.path.join(os.environ["LOCKSTEP_BIN"], "link_probe")

# libssh2 1.10 leaks two numbers for each signature with an ECDSA key file; all else is checked by the other runs.
ECDSA_LEAK = {"ASAN_OPTIONS": "detect_leaks=0"}


class Result:
    """One run of link_probe: stdout is bytes; far, the far lines; code and text, the error that on_close gave."""

    def __init__(self, status, stdout, stderr):
        self.status = status
        self.stdout = stdout
        self.stderr = stderr
        lines = stderr.split("\n")
        self.opened = "open" in lines
        self.far = [line[5:] for line in lines if line.startswith("far: ")]
        match = re.search(r"^(?:closed|not made): (\w+): (.*)$", stderr, re.M)
        self.code, self.text = match.groups() if match else (None, stderr)
        match = re.search(r"^traffic: (\d+) (\d+)$", stderr, re.M)
        self.sent, self.received = (int(n) for n in match.groups()) if match else (None, None)


def run(*args, stdin=b"", timeout=30, env=None, **kwargs):
    """Run link_probe with args, stdin its input: bytes, or something with a fileno()."""
    given = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    environment = dict(os.environ, **(env or {}))
    done = subprocess.run([PROGRAM, *args], stdout=kwargs.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE,
                          timeout=timeout, env=environment, **given, **kwargs)
    return Result(done.returncode, done.stdout, done.stderr.decode("utf-8", "backslashreplace"))
