"""Runs one program against another over a local pipe or a slow link, and says what it cost."""

import dataclasses
import json
import os
import subprocess
import time

# Seconds after which a run is given up.
PATIENCE = 1800


@dataclasses.dataclass
class Link:
    """A link between the two sides; without a delay and a rate the programs share a pipe."""

    rtt_ms: float = 0
    rate_mbit: int = 0

    @property
    def is_pipe(self):
        return not self.rtt_ms and not self.rate_mbit


@dataclasses.dataclass
class Cost:
    """What one run took. None is what could not be known."""

    seconds: float
    bytes_sent: int
    bytes_received: int
    peak_near: int = None
    peak_far: int = None
    round_trips: int = None
    cpu_seconds: float = None

    @property
    def bytes(self):
        return self.bytes_sent + self.bytes_received


class Failed(Exception):
    """A program failed, or left something other than it should have."""


class Stopwatch:
    """Runs the near side of a program, whose far side is started through a script of ours.

    The script stands where the program expects `ssh` or its far program: it drops what is meant for ssh, and
    puts bench_usage, and for a slow link bench_link_proxy, before what is left."""

    def __init__(self, folder, bin_folder, link):
        self.bin = bin_folder
        self.link = link
        self.near_report = os.path.join(folder, "near.json")
        self.far_report = os.path.join(folder, "far.json")
        self.count_report = os.path.join(folder, "count.json")
        self.script = os.path.join(folder, "far.sh")
        for path in (self.near_report, self.far_report, self.count_report):
            if os.path.exists(path):
                os.remove(path)

    def write_script(self, drop, program=""):
        """drop: how many arguments come before the far command; program: what to put before the others."""
        proxy = ""
        if not self.link.is_pipe:
            proxy = "%s/bench_link_proxy --rtt %g --rate %dmbit --count %s --" % (
                self.bin, self.link.rtt_ms, self.link.rate_mbit, self.count_report)
        with open(self.script, "w", encoding="utf-8") as out:
            out.write("#!/bin/sh\nshift %d\nexec %s %s/bench_usage %s env %s \"$@\"\n"
                      % (drop, proxy, self.bin, self.far_report, program))
        os.chmod(self.script, 0o755)

    def run(self, command, has_far=True):
        """Run command to its end and, as some programs leave early, its far side's. Returns (stdout, Cost)
        with the bytes that crossed a slow link, and 0 on a pipe, where nobody but the program can count."""
        done = subprocess.run([self.bin + "/bench_usage", self.near_report] + command,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE,
                              stdin=subprocess.DEVNULL, text=True, check=False)
        if done.returncode != 0:
            raise Failed("%s: exit status %d: %s%s"
                         % (" ".join(command), done.returncode, done.stdout[-500:], done.stderr[-500:]))
        near = read_json(self.near_report)
        far = wait_for_json(self.far_report) if has_far else None
        cpu = near["user"] + near["system"]
        # The far side is a child of the near one; where that waited for it, its time is among the near side's.
        if far and near["children"] + 0.02 < far["user"] + far["system"]:
            cpu += far["user"] + far["system"]
        cost = Cost(seconds=max(near["ended"], far["ended"] if far else 0) - near["started"],
                    bytes_sent=0, bytes_received=0,
                    peak_near=near["peak"], peak_far=far["peak"] if far else None,
                    cpu_seconds=cpu)
        if has_far and not self.link.is_pipe:
            count = wait_for_json(self.count_report)
            cost.bytes_sent, cost.bytes_received = count["near_sent"], count["far_sent"]
            cost.round_trips = count["round_trips"]
        return done.stdout, cost


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def wait_for_json(path):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            return read_json(path)
        except (FileNotFoundError, json.JSONDecodeError):
            time.sleep(0.002)
    raise Failed("the far side never ended: no %s" % path)
