"""The programs that are measured, each behind the same four methods.

name            as it stands in the tables
prepare(work)   lay the two sides out in the folder `run`, untimed
run(link)       move the change from the sender to the receiver: a Cost
receiver        the path of the database that then has to hold the new content
"""

import json
import math
import os
import re
import shutil
import subprocess

from measure import Cost, Failed, Stopwatch
from work import FIRST_COPY, copy, copy_folder, remove_folder, settle


class Program:
    """One program, in one folder."""

    def __init__(self, setting):
        self.setting = setting
        self.run_folder = os.path.join(setting.folder, "run")
        self.sender = os.path.join(self.run_folder, "sender.db")
        self.receiver = os.path.join(self.run_folder, "receiver.db")
        self.report_folder = os.path.join(setting.folder, "reports")
        os.makedirs(self.report_folder, exist_ok=True)

    def stopwatch(self, link):
        return Stopwatch(self.report_folder, self.setting.bin, link)

    def prepare(self, work):
        """The sender has what the work makes, the receiver the base, or nothing."""
        remove_folder(self.run_folder)
        os.makedirs(self.run_folder)
        copy(self.setting.works.target(work), self.sender)
        if work != FIRST_COPY:
            copy(self.setting.works.base(), self.receiver)
        settle()

    def fits(self, _work, _link):
        """Whether it can be asked for this work over this link."""
        return True


class Sqlite3Rsync(Program):
    """sqlite3_rsync, from here to a far replica. Where that is still empty, it believes that its far side could
    not be started, and starts it once more.

    With -v alone it hands its far side the word 2>/dev/null as an argument, which that refuses, and starts
    everything once more: -vv leaves the word out."""

    name = "sqlite3_rsync"

    @staticmethod
    def installed():
        return shutil.which("sqlite3_rsync")

    def run(self, link):
        watch = self.stopwatch(link)
        watch.write_script(drop=3)  # -e none HOST
        output, cost = watch.run([self.installed(), self.sender, "far:" + self.receiver,
                                  "--ssh", watch.script, "--exe", self.installed(), "-vv"])
        if link.is_pipe:
            counts = re.search(r"sent ([\d,]+) bytes, received ([\d,]+) bytes", output)
            cost.bytes_sent, cost.bytes_received = (int(n.replace(",", "")) for n in counts.groups())
        return cost


class Rsync(Program):
    """rsync with its delta algorithm and compression, writing in place. It copies files, not databases: the
    sender must be at rest, with an empty WAL, as it is here."""

    name = "rsync -z"

    @staticmethod
    def installed():
        return shutil.which("rsync")

    def run(self, link):
        watch = self.stopwatch(link)
        watch.write_script(drop=1)  # HOST
        output, cost = watch.run([self.installed(), "--inplace", "--no-whole-file", "--ignore-times", "-z",
                                  "--stats", "-e", watch.script, self.sender, "far:" + self.receiver])
        if link.is_pipe:
            cost.bytes_sent, cost.bytes_received = (
                int(re.search(r"Total bytes %s: ([\d,]+)" % way, output)[1].replace(",", ""))
                for way in ("sent", "received"))
        return cost


class ZstdPatch(Program):
    """zstd --patch-from, there and back: what a patch weighs for somebody who has both databases in one
    place and sends a file. It is a floor for the bytes, not a way to synchronise."""

    name = "zstd --patch-from"

    @staticmethod
    def installed():
        return shutil.which("zstd")

    def fits(self, _work, link):
        # A window of 2 GiB is zstd's largest.
        return link.is_pipe and os.path.getsize(self.setting.works.base()) < 1 << 31

    def run(self, link):
        patch = os.path.join(self.run_folder, "patch.zst")
        new = os.path.join(self.run_folder, "new.db")
        from_old = []
        if os.path.exists(self.receiver):
            size = max(os.path.getsize(self.sender), os.path.getsize(self.receiver))
            from_old = ["--patch-from=" + self.receiver,
                        "--long=%d" % min(31, max(27, math.ceil(math.log2(size))))]
        watch = self.stopwatch(link)
        _, packing = watch.run([self.installed(), "-q", "-3"] + from_old + [self.sender, "-o", patch],
                               has_far=False)
        _, unpacking = watch.run([self.installed(), "-q", "-d"] + from_old + [patch, "-o", new],
                                 has_far=False)
        os.replace(new, self.receiver)
        return Cost(seconds=packing.seconds + unpacking.seconds, bytes_sent=os.path.getsize(patch),
                    bytes_received=0, peak_near=packing.peak_near, peak_far=unpacking.peak_near,
                    cpu_seconds=packing.cpu_seconds + unpacking.cpu_seconds)


class Lockstep(Program):
    """lockstep and lockstep-origin. What the programs' command line looks like stands in this class only."""

    def __init__(self, setting):
        super().__init__(setting)
        self.origin = os.path.join(self.run_folder, "origin.db")
        self.local = os.path.join(self.run_folder, "local.db")
        self.prepared_for = None
        self.prepared_folder = os.path.join(setting.folder, "prepared-" + type(self).__name__)

    @staticmethod
    def installed():
        folder = os.environ["LOCKSTEP_BIN"]
        return all(os.access(os.path.join(folder, name), os.X_OK) for name in ("lockstep", "lockstep-origin"))

    def command(self, verb, source, target):
        """The near command without what concerns the measuring."""
        return [self.setting.bin + "/lockstep", verb, source, target]

    def timed(self, verb, source, target, link):
        """Run it with the far side behind our script: a Cost."""
        watch = self.stopwatch(link)
        watch.write_script(drop=0, program=self.setting.bin + "/lockstep-origin")
        output, cost = watch.run(self.command(verb, source, target) + ["--json", "--exe", watch.script])
        totals = json.loads(output)
        if link.is_pipe:
            cost.bytes_sent, cost.bytes_received = totals["bytes_sent"], totals["bytes_received"]
            cost.round_trips = totals["round_trips"]
        return cost

    def untimed(self, verb, source, target):
        done = subprocess.run(self.command(verb, source, target), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed("laying out, lockstep %s: exit status %d: %s" % (verb, done.returncode, done.stderr))

    def prepare(self, work):
        """Lay the two sides out once for each work, and copy that for each run, if there is more than one."""
        if self.prepared_for != work or self.setting.repeats == 1:
            remove_folder(self.run_folder)
            os.makedirs(self.run_folder)
            self.lay_out(work)
        if self.setting.repeats > 1:
            if self.prepared_for != work:
                copy_folder(self.run_folder, self.prepared_folder)
            copy_folder(self.prepared_folder, self.run_folder)
        self.prepared_for = work
        settle()

    def start_from_base(self):
        """An origin with the base, and a replica that pulled it."""
        copy(self.setting.works.base(), self.origin)
        self.untimed("pull", self.origin, self.local)

    def replace(self, path, work):
        """Put what the work makes where a program with the database open would have put it."""
        copy(self.setting.works.target(work), path)


class LockstepPush(Lockstep):
    """The replica pulled the base, changed it, and pushes: both sides know the base."""

    name = "lockstep push"

    def fits(self, work, _link):
        return work != FIRST_COPY

    def __init__(self, setting):
        super().__init__(setting)
        self.receiver = self.origin

    def lay_out(self, work):
        self.start_from_base()
        self.replace(self.local, work)

    def run(self, link):
        return self.timed("push", self.local, self.origin, link)


class LockstepPull(Lockstep):
    """Another replica pushed the change, so that the origin's page-version log covers it."""

    name = "lockstep pull"

    def fits(self, work, _link):
        return work != FIRST_COPY

    def __init__(self, setting):
        super().__init__(setting)
        self.receiver = self.local

    def lay_out(self, work):
        other = os.path.join(self.run_folder, "other.db")
        self.start_from_base()
        self.untimed("pull", self.origin, other)
        self.replace(other, work)
        self.untimed("push", other, self.origin)
        for name in os.listdir(self.run_folder):
            if name.startswith("other.db"):
                os.remove(os.path.join(self.run_folder, name))

    def run(self, link):
        return self.timed("pull", self.origin, self.local, link)


class LockstepUnknown(Lockstep):
    """The origin's database was changed by another program: nobody has the old pages to patch against."""

    name = "lockstep, base unknown"

    def __init__(self, setting):
        super().__init__(setting)
        self.receiver = self.local

    def lay_out(self, work):
        if work == FIRST_COPY:
            copy(self.setting.works.base(), self.origin)
            return
        self.start_from_base()
        self.replace(self.origin, work)

    def run(self, link):
        return self.timed("pull", self.origin, self.local, link)


ALL = [LockstepPush, LockstepPull, LockstepUnknown, Sqlite3Rsync, Rsync, ZstdPatch]
