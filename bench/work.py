"""The databases that the bench moves: the base, and what each workload makes of it."""

import os
import shutil
import subprocess

from measure import Failed

# The base goes to where nothing is yet.
FIRST_COPY = "first-copy"

NAMES = ["nochange", "upd100", "upd1pct", "batchjob", "append", "index", "vacuum", "vacuum-head", FIRST_COPY]


class Works:
    """Makes the databases of one scale in a folder, once, and keeps them for later runs."""

    def __init__(self, folder, bin_folder, scale, seed):
        self.maker = bin_folder + "/bench_make_work"
        self.scale = scale
        self.seed = seed
        self.folder = os.path.join(folder, "work-%g-%d" % (scale, seed))
        os.makedirs(self.folder, exist_ok=True)

    def base(self):
        path = os.path.join(self.folder, "base.db")
        if not os.path.exists(path):
            self._finish(path, ["create", path + ".part", "--scale", repr(self.scale),
                                "--seed", str(self.seed)])
        return path

    def target(self, name):
        """What the workload called name makes of the base."""
        if name in ("nochange", FIRST_COPY):
            return self.base()
        path = os.path.join(self.folder, name + ".db")
        if not os.path.exists(path):
            copy(self.base(), path + ".part")
            self._finish(path, ["apply", path + ".part", name], keep=True)
        return path

    def forget(self, name):
        """Give back the space of what the workload called name makes; it is made again when it is needed."""
        path = os.path.join(self.folder, name + ".db")
        if name not in ("nochange", FIRST_COPY) and os.path.exists(path):
            os.remove(path)

    def _finish(self, path, arguments, keep=False):
        if not keep and os.path.exists(path + ".part"):
            os.remove(path + ".part")
        self._run(arguments)
        os.rename(path + ".part", path)

    def differing(self, name):
        """(pages that the workload called name makes differ, pages that there are then)"""
        differing, _, pages = self.differ(self.base(), self.target(name))
        return (pages if name == FIRST_COPY else differing), pages

    def differ(self, one, other):
        """(differing pages of other, pages of one, pages of other)"""
        return tuple(int(word) for word in self._run(["differ", one, other]).split())

    def prove(self, path, name):
        """The database at path has to hold what the workload called name makes."""
        differing, pages, wanted = self.differ(path, self.target(name))
        if differing or pages != wanted:
            raise Failed("%s: %d of %d pages are not those of %s, which has %d"
                         % (path, differing, pages, name, wanted))

    def _run(self, arguments):
        done = subprocess.run([self.maker] + arguments, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise Failed("bench_make_work %s: exit status %d" % (" ".join(arguments), done.returncode))
        return done.stdout


def copy(source, target):
    """Copy a file, sharing its blocks where the file system can."""
    subprocess.run(["cp", "--reflink=auto", source, target], check=True)


def copy_folder(source, target):
    remove_folder(target)
    subprocess.run(["cp", "-a", "--reflink=auto", source, target], check=True)


def remove_folder(path):
    shutil.rmtree(path, ignore_errors=True)


def settle():
    """Have the copies, and what was removed for them, on the disk, so that no program's own fsync pays for that."""
    os.sync()


def schedules(scale):
    """Rows that there are to change."""
    return round(400000 * scale) * 4
