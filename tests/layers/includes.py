"""Reads the #include lines of every source file: arrows between layers point down only, the headers of libraries are
known to few files, and project headers are named from the root so that this can be read with grep."""
import fnmatch
import os
import re
import sys
import unittest
from pathlib import Path

ROOT = Path(os.environ.get("LOCKSTEP_SOURCE") or Path(__file__).resolve().parents[2])
FOLDERS = ("protocol", "lockstore", "origin", "replica", "bench", "tests")

# A layer is a folder. It may include itself and these.
PROTOCOL = ("protocol/base", "protocol/wire", "protocol/page", "protocol/link", "protocol/sync")
BELOW = {
    "protocol/base": (),
    "protocol/wire": ("protocol/base",),
    "protocol/page": ("protocol/base",),
    "protocol/link": ("protocol/base",),
    "protocol/sync": ("protocol/base", "protocol/wire", "protocol/page", "protocol/link"),
    "lockstore": ("protocol/base",),
    "origin": PROTOCOL + ("lockstore",),
    "replica": PROTOCOL + ("lockstore",),
    "bench": PROTOCOL + ("lockstore", "origin", "replica"),
    "tests": PROTOCOL + ("lockstore", "origin", "replica", "bench"),
}

# The headers of libraries, and the files of the product that may know them. No header is among them but for libuv's
# handles, which links embed.
LIBRARIES = {
    "sqlite3.h": ("protocol/page/connection.c", "protocol/page/large_io.c", "protocol/sync/sidecar_file.c",
                  "protocol/sync/sidecar_base.c", "protocol/sync/receipts.c", "protocol/sync/history.c",
                  "protocol/sync/history_file.c", "protocol/sync/history_index.c",
                  "protocol/sync/history_packs.c"),
    "msgpack.h": ("protocol/wire/message.c",),
    "libssh2.h": ("protocol/link/link_ssh.c", "protocol/link/ssh_*.c"),
    "microhttpd.h": ("origin/http_server.c",),
    "curl/curl.h": ("lockstore/http.c",),
    "jansson.h": ("lockstore/record.c", "lockstore/credentials_parse.c", "replica/report_json.c",
                  "replica/progress_render.c"),
    "zstd.h": ("protocol/page/compress.c", "protocol/sync/history.c", "protocol/sync/history_packs.c"),
    "xxhash.h": ("protocol/page/page_hash.c", "protocol/page/page_kin.c"),
    "xxh_x86dispatch.h": ("protocol/page/page_hash.c",),
    "openssl/*": ("protocol/page/*.c", "protocol/link/*.c", "lockstore/*.c", "origin/access.c", "origin/keygen.c", "origin/stream_name.c"),
    "uv.h": ("protocol/link/*", "protocol/sync/*.c", "lockstore/*.c", "origin/*.c", "origin/metrics_state.h", "replica/*.c"),
}

# Headers of the C library, the kernel and the compiler: free to all.
SYSTEM = re.compile(r"""
    (sys|linux|net|netinet|arpa)/.* |
    (assert|byteswap|complex|ctype|dirent|dlfcn|endian|errno|fcntl|fenv|float|fnmatch|ftw|getopt|glob|grp|iconv|
     ifaddrs|inttypes|langinfo|libgen|limits|locale|malloc|math|mntent|netdb|paths|poll|pthread|pty|pwd|regex|sched|
     search|semaphore|setjmp|signal|spawn|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|string|strings|
     sysexits|syslog|termios|threads|time|unistd|utime|utmp|wchar|wctype|wordexp|
     immintrin|wmmintrin|emmintrin|nmmintrin|cpuid|arm_neon|arm_acle)\.h
    """, re.VERBOSE)

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]*)"|<([^>]*)>|(.*))', re.MULTILINE)


def layer_of(path):
    """The layer that a path from the root is in, None where there is none."""
    return next((layer for layer in BELOW if path.startswith(layer + "/")), None)


def library_fault(path, header):
    for pattern, files in LIBRARIES.items():
        if fnmatch.fnmatchcase(header, pattern):
            if layer_of(path) in ("tests", "bench"):
                return "a library's header in a header" if path.endswith(".h") and header != "uv.h" else None
            if any(fnmatch.fnmatchcase(path, allowed) for allowed in files):
                return None
            return f"only {', '.join(files)} may include it"
    if SYSTEM.fullmatch(header) or (header == "cmocka.h" and layer_of(path) == "tests"):
        return None
    return "neither a header of the system nor of a library that tests/layers/includes.py knows: add it there"


def project_fault(path, header):
    mine, theirs = layer_of(path), layer_of(header)
    if theirs is None or ".." in header:
        return "a project header is named by its path from the root"
    if theirs != mine and theirs not in BELOW[mine]:
        return f"an arrow from {mine} up or across to {theirs}"
    return None


def faults(path, text, exists):
    """What is wrong with the #include lines of one file, as sentences; exists(path) tells of other files."""
    found = []
    own = path.removesuffix(".c") + ".h"
    first = True
    if layer_of(path) is None:
        return [f"{path}: stands in no layer that tests/layers/includes.py knows"]
    for match in INCLUDE.finditer(text):
        quoted, angled, other = match.groups()
        line = text.count("\n", 0, match.start()) + 1
        if quoted is not None:
            fault = project_fault(path, quoted)
        elif angled is not None:
            fault = library_fault(path, angled)
        else:
            fault = "the name of a header is written out"
        if first and path.endswith(".c") and exists(own) and quoted != own:
            fault = fault or f"{own} comes first, so that it is seen to stand alone"
        first = False
        if fault:
            found.append(f"{path}:{line}: {quoted or angled or other}: {fault}")
    return found


class Sources(unittest.TestCase):
    def test_every_file(self):
        paths = sorted(
            path.relative_to(ROOT).as_posix()
            for folder in FOLDERS
            for pattern in ("*.c", "*.h")
            for path in (ROOT / folder).rglob(pattern)
        )
        self.assertGreater(len(paths), 20, f"{ROOT} is not the source tree")
        found = []
        for path in paths:
            found += faults(path, (ROOT / path).read_text(encoding="utf-8"), lambda other: (ROOT / other).is_file())
        self.assertEqual(found, [], "\n" + "\n".join(found))


class Checker(unittest.TestCase):
    """The check itself: that it finds what it is there for, and nothing else."""

    FILES = {"protocol/base/error.h", "protocol/wire/frame.h", "protocol/page/sketch.h", "protocol/link/link.h",
             "protocol/sync/sender.h", "lockstore/lease.h", "origin/origin.h", "replica/run.h", "replica/run.c",
             "tests/wire/samples.h"}

    GOOD = [
        ("protocol/base/hex.c", '#include <stdint.h>\n#include <sys/stat.h>\n#include "protocol/base/error.h"\n'),
        ("protocol/sync/receiver.c", '#include "protocol/page/sketch.h"\n  #  include "protocol/link/link.h"\n'),
        ("origin/main.c", '#include "lockstore/lease.h"\n#include "protocol/sync/sender.h"\n#include <uv.h>\n'),
        ("replica/run.c", '#include "replica/run.h"\n#include "lockstore/lease.h"\n'),
        ("protocol/wire/message.c", "#include <msgpack.h>\n"),
        ("protocol/link/ssh_auth.c", "#include <libssh2.h>\n"),
        ("protocol/link/link_ssh.h", "#include <uv.h>\n"),
        ("tests/page/database.c", "#include <cmocka.h>\n#include <sqlite3.h>\n"),
        ("tests/wire/message.c", '#include "tests/wire/samples.h"\n'),
        ("protocol/base/hex.c", '/* #include in a comment */\n'),
    ]
    BAD = [
        ("protocol/base/hex.c", '#include "protocol/wire/frame.h"\n', "up or across"),
        ("protocol/page/sketch.c", '#include "protocol/page/sketch.h"\n#include "protocol/wire/frame.h"\n', "across"),
        ("protocol/wire/message.c", '#include "protocol/page/sketch.h"\n', "across"),
        ("protocol/link/tls.c", '#include "protocol/wire/frame.h"\n', "across"),
        ("protocol/sync/sender.c", '#include "lockstore/lease.h"\n', "across"),
        ("lockstore/lease.c", '#include "lockstore/lease.h"\n#include "protocol/wire/frame.h"\n', "up or across"),
        ("origin/serve.c", '#include "replica/run.h"\n', "up or across"),
        ("replica/pull.c", '#include "origin/origin.h"\n', "up or across"),
        ("replica/pull.c", '#include "tests/wire/samples.h"\n', "up or across"),
        ("replica/pull.c", '#include "run.h"\n', "path from the root"),
        ("replica/pull.c", '#include "replica/../origin/origin.h"\n', "path from the root"),
        ("replica/run.c", '#include <stdio.h>\n#include "replica/run.h"\n', "comes first"),
        ("replica/pull.c", "#include HEADER\n", "written out"),
        ("replica/pull.c", "#include <sqlite3.h>\n", "may include it"),
        ("protocol/page/database.h", "#include <sqlite3.h>\n", "may include it"),
        ("protocol/link/ssh_auth.h", "#include <libssh2.h>\n", "may include it"),
        ("protocol/sync/sender.c", "\t# include <msgpack.h>\n", "may include it"),
        ("tests/page/sample.h", "#include <sqlite3.h>\n", "in a header"),
        ("replica/pull.c", "#include <boost.h>\n", "neither"),
        ("replica/pull.c", "#include <cmocka.h>\n", "neither"),
        ("elsewhere/x.c", "#include <stdio.h>\n", "no layer"),
    ]

    def test_good(self):
        for path, text in self.GOOD:
            with self.subTest(path=path, text=text):
                self.assertEqual(faults(path, text, self.FILES.__contains__), [])

    def test_bad(self):
        for path, text, reason in self.BAD:
            with self.subTest(path=path, text=text):
                found = faults(path, text, self.FILES.__contains__)
                self.assertEqual(len(found), 1, found)
                self.assertIn(reason, found[0])


if __name__ == "__main__":
    sys.exit(unittest.main())
