"""The Debian package, as cpack makes it of this build: what is in it, what it says of itself, that it installs and goes without a trace.

tests/package.sh does the same in a clean Debian 12 root, with apt and a release build; that takes minutes.
"""
import os
import re
import shutil
import subprocess
import unittest

import cli

BUILD = os.path.dirname(cli.BIN)
LIBRARIES = ("libc6", "libcurl4", "libjansson4", "libmicrohttpd12", "libmsgpackc2", "libssh2-1", "libssl3", "libuv1", "libxxhash0", "libzstd1")
FILES = {
    "usr/bin/lockstep", "usr/bin/lockstep-origin",
    "usr/share/man/man1/lockstep.1.gz", "usr/share/man/man8/lockstep-origin.8.gz",
    "usr/share/bash-completion/completions/lockstep", "usr/share/bash-completion/completions/lockstep-origin",
    "usr/share/fish/vendor_completions.d/lockstep.fish", "usr/share/fish/vendor_completions.d/lockstep-origin.fish",
    "usr/share/zsh/vendor-completions/_lockstep", "usr/share/zsh/vendor-completions/_lockstep-origin",
    "usr/share/doc/lockstep/README.md", "usr/share/doc/lockstep/PROTOCOL.md", "usr/share/doc/lockstep/s3.md",
    "usr/share/doc/lockstep/daemon.md", "usr/lib/systemd/system/lockstep-origin.service", "usr/lib/systemd/system/lockstep-origin.socket",
}


def run(*argv, **kwargs):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120, **kwargs)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(argv)}: {done.returncode}\n{done.stdout}")
    return done.stdout


class Package(cli.Case):
    @classmethod
    def setUpClass(cls):
        cls.out = os.path.join(BUILD, "test_package")
        shutil.rmtree(cls.out, ignore_errors=True)
        run("cpack", "-G", "DEB", "--config", os.path.join(BUILD, "CPackConfig.cmake"), "-B", cls.out)
        names = [name for name in os.listdir(cls.out) if name.endswith(".deb")]
        if len(names) != 1:
            raise AssertionError(names)
        cls.package = os.path.join(cls.out, names[0])
        cls.fields = dict(re.findall(r"^ ?([A-Z][\w-]*): (.*)$", run("dpkg-deb", "-f", cls.package), re.M))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.out)

    def test_what_is_in_it(self):
        rows = [line.split(None, 5) for line in run("dpkg-deb", "-c", self.package).splitlines()]
        files = {path[2:] for mode, _, _, _, _, path in rows if mode[0] != "d"}
        self.assertLessEqual(FILES, files)
        for path in files - FILES:
            self.assertRegex(path, r"^usr/share/doc/lockstep/[\w.-]+\.(md|json)$")
        for mode, owner, _, _, _, path in rows:
            expected = "drwxr-xr-x" if path.endswith("/") else "-rwxr-xr-x" if path.startswith("./usr/bin/") else "-rw-r--r--"
            self.assertEqual((mode, owner), (expected, "root/root"), path)
        sums = run("dpkg-deb", "-I", self.package, "md5sums")
        self.assertEqual({line.split(None, 1)[1] for line in sums.splitlines()}, files)

    def test_what_it_says(self):
        version = self.assert_status(self.lockstep("--version"), 0).stdout.split()[1]
        self.assertEqual((self.fields["Package"], self.fields["Version"]), ("lockstep", version))
        self.assertEqual(os.path.basename(self.package), f"lockstep_{version}_{self.fields['Architecture']}.deb")
        # Some have another name since Debian 13: "libcurl4t64 (>= 7.88) | libcurl4 (>= 7.88)".
        needed = {name.split()[0] for part in self.fields["Depends"].split(", ") for name in part.split(" | ")}
        self.assertLessEqual(set(LIBRARIES), needed)
        self.assertNotIn("libsqlite3-0", needed)
        for name in ("Maintainer", "Section", "Priority", "Installed-Size", "Description"):
            self.assertTrue(self.fields[name])
        self.assertFalse({"Conflicts", "Replaces", "Provides"} & set(self.fields))

    def test_installed_it_works_and_it_goes(self):
        """Into a root of its own, by dpkg where we are root; there are no libraries in it, so its programs run from outside."""
        root = self.path("root")
        if os.geteuid() == 0:
            for name in ("info", "updates", "triggers"):
                os.makedirs(os.path.join(root, "var/lib/dpkg", name))
            for name in ("status", "available"):
                with open(os.path.join(root, "var/lib/dpkg", name), "w", encoding="utf-8"):
                    pass
            dpkg = ["dpkg", f"--root={root}", f"--log={self.path('log')}", "--force-depends", "--force-script-chrootless"]
            run(*dpkg, "--install", self.package)
        else:
            run("dpkg-deb", "-x", self.package, root)
        program = os.path.join(root, "usr/bin/lockstep")
        cli.make_counter(self.path("origin.db"), 3)
        self.assert_status(self.run_program(program, "pull", self.path("origin.db"), self.path("local.db")), 0)
        cli.add(self.path("local.db"))
        self.assert_status(self.run_program(program, "push", self.path("local.db"), self.path("origin.db")), 0)
        self.assertEqual(cli.count(self.path("origin.db")), 4)
        with open(os.path.join(root, "usr/lib/systemd/system/lockstep-origin.service"), encoding="utf-8") as file:
            self.assertIn("\nExecStart=/usr/bin/lockstep-origin serve", file.read())
        page = run("mandoc", "-T", "ascii", os.path.join(root, "usr/share/man/man1/lockstep.1.gz"))
        self.assertIn("STALE_BASE", page)
        if os.geteuid() == 0:
            run(*dpkg, "--purge", "lockstep")
            left = [os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names]
            self.assertEqual([path for path in left if "/var/lib/dpkg/" not in path], [])

    def test_another_prefix(self):
        """cmake --install into /usr/local, where zsh has other folders."""
        run("cmake", "--install", BUILD, "--prefix", self.path("local"))
        for path in ("bin/lockstep", "bin/lockstep-origin", "share/man/man1/lockstep.1", "share/man/man8/lockstep-origin.8",
                     "share/zsh/site-functions/_lockstep", "share/bash-completion/completions/lockstep",
                     "share/fish/vendor_completions.d/lockstep.fish", "share/doc/lockstep/README.md"):
            self.assertTrue(os.path.exists(self.path("local", path)), path)
        with open(self.path("local", "lib/systemd/system/lockstep-origin.service"), encoding="utf-8") as file:
            self.assertIn(f"ExecStart={self.path('local', 'bin/lockstep-origin')} serve", file.read())


if __name__ == "__main__":
    unittest.main()
