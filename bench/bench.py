"""bench/run.sh in Python: lays the work out, runs the programs in turn, and has the results written.

The programs take turns (A B A B, not A A B B), so that a machine that gets slower or faster meanwhile does so for
all of them; each run starts from fresh copies, and ends with a proof that the receiver holds what it should."""

import argparse
import csv
import dataclasses
import os
import shutil
import sys

import daemon_rows
import programs
import report
import work
from measure import Failed, Link

CHANGES = [1, 10, 100, 1000, 10000, 100000]
LATENCY_WORKS = ["upd100", "batchjob"]
RTTS_MS = [1, 40, 120, 240]
RATES_MBIT = [10, 100]
SIZE_SCALES = [0.22, 2.2, 22]  # 0.1, 1 and 10 GB
SIZE_WORKS = ["nochange", "upd100", "upd1pct"]


@dataclasses.dataclass
class Setting:
    """What every program is told."""

    folder: str
    bin: str
    works: work.Works
    repeats: int  # how often each program runs for each work


class Bench:
    """Runs, and the rows that come of them."""

    def __init__(self, options, bin_folder):
        self.options = options
        self.bin = bin_folder
        self.rows = []
        self.failures = []
        os.makedirs(options.out, exist_ok=True)

    def chosen(self, setting):
        """The programs that are there and wanted, anew for each setting."""
        chosen = []
        for kind in programs.ALL:
            if self.options.only and not any(word in kind.name for word in self.options.only):
                continue
            if kind.installed():
                chosen.append(kind(setting))
        return chosen

    def setting(self, scale, repeats):
        return Setting(self.options.out, self.bin,
                       work.Works(self.options.out, self.bin, scale, self.options.seed), repeats)

    def measure(self, section, setting, name, link):
        """One work over one link, by all programs in turn."""
        chosen = [p for p in self.chosen(setting) if p.fits(name, link)]
        differing, pages = setting.works.differing(name)
        for repeat in range(setting.repeats):
            for program in chosen:
                where = "%s %s by %s" % (section, name, program.name)
                try:
                    program.prepare(name)
                    cost = program.run(link)
                    setting.works.prove(program.receiver, name)
                except (Failed, OSError, KeyError, ValueError) as problem:
                    self.failures.append("%s: %s" % (where, problem))
                    print("FAILED " + self.failures[-1], flush=True)
                    continue
                self.rows.append({
                    "section": section, "scale": setting.works.scale, "work": name, "pages": pages,
                    "differing": differing, "program": program.name, "repeat": repeat + 1,
                    "rtt_ms": link.rtt_ms, "rate_mbit": link.rate_mbit,
                    "bytes": cost.bytes, "bytes_sent": cost.bytes_sent,
                    "bytes_received": cost.bytes_received, "seconds": round(cost.seconds, 4),
                    "cpu_seconds": round(cost.cpu_seconds, 4),
                    "round_trips": cost.round_trips, "peak_near": cost.peak_near,
                    "peak_far": cost.peak_far})
                print("%-60s %12d bytes %8.3f s" % (where, cost.bytes, cost.seconds), flush=True)
        for program in chosen:
            work.remove_folder(getattr(program, "prepared_folder", ""))

    def run(self):
        options = self.options
        once = self.setting(options.scale, 1)
        pipe = Link()
        if "works" in options.sections:
            setting = self.setting(options.scale, options.repeats)
            for name in options.works:
                self.measure("works", setting, name, pipe)
        if "changes" in options.sections:
            for count in options.changes:
                self.measure("changes", once, "upd%d" % count, pipe)
        if "latency" in options.sections:
            for name in options.latency_works:
                for rate in options.rates:
                    for rtt in options.rtts:
                        self.measure("latency", once, name, Link(rtt, rate))
        if "size" in options.sections:
            for scale in options.scales:
                setting = self.setting(scale, 1)
                for name in SIZE_WORKS:
                    self.measure("size", setting, name, pipe)
                    setting.works.forget(name)
        if "daemon" in options.sections:
            daemon_rows.write(options.out, daemon_rows.Rows(options.out, self.bin, options).run())
        work.remove_folder(os.path.join(options.out, "run"))


def parse_options():
    parser = argparse.ArgumentParser(prog="bench/run.sh", description="Measure Lockstep and its peers.")
    parser.add_argument("--quick", action="store_true", help="a small database, once: done in two minutes")
    parser.add_argument("--scale", type=float, default=1, help="1 is 456 MB, 22 is 10 GB (default 1)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each row; medians are shown")
    parser.add_argument("--sections", type=lambda text: text.split(","),
                        default=["works", "changes", "latency"],
                        help="of works, changes, latency, size, daemon (default: the first three)")
    parser.add_argument("--works", type=lambda text: text.split(","), default=work.NAMES)
    parser.add_argument("--only", action="append", help="only programs with this in their name; repeatable")
    parser.add_argument("--out", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "out"))
    daemon_rows.add_options(parser)
    numbers = lambda text: [float(part) if "." in part else int(part) for part in text.split(",")]
    parser.add_argument("--rtts", type=numbers, default=RTTS_MS, help="of the slow links, ms")
    parser.add_argument("--rates", type=numbers, default=RATES_MBIT, help="of the slow links, Mbit/s")
    parser.add_argument("--changes", type=numbers, default=CHANGES, help="rows changed, in the section changes")
    parser.add_argument("--latency-works", type=lambda text: text.split(","), default=LATENCY_WORKS)
    parser.add_argument("--scales", type=numbers, default=SIZE_SCALES, help="of the section size")
    parser.add_argument("--merge", nargs="+", metavar="CSV",
                        help="measure nothing: one report of the results.csv of several runs")
    options = parser.parse_args()
    if options.quick:
        options.scale, options.repeats = 0.01, 1
        options.changes, options.rates, options.rtts = [1, 10, 100], [100], [1, 40]
        options.latency_works = ["upd100"]
    # No single row can change more rows than there are.
    most = work.schedules(options.scale)
    options.changes = [count for count in options.changes if count <= most]
    return options


def read_rows(paths):
    """The rows that earlier runs wrote, with numbers for numbers."""
    rows = []
    for path in paths:
        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                rows.append({name: value if name in ("section", "work", "program") else number(value)
                             for name, value in row.items()})
    return rows


def number(text):
    if text == "":
        return None
    return float(text) if "." in text or "e" in text else int(text)


def write_results(folder, rows):
    with open(os.path.join(folder, "results.csv"), "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    report.write(folder, rows)


def main():
    options = parse_options()
    if options.merge:
        os.makedirs(options.out, exist_ok=True)
        write_results(options.out, read_rows(options.merge))
        return 0
    bench = Bench(options, os.path.abspath(os.environ["LOCKSTEP_BIN"]))
    for kind in programs.ALL:
        if not kind.installed():
            print("%s: not there, its rows are left out" % kind.name)
    bench.run()
    if options.sections == ["daemon"]:
        return 0
    if not bench.rows:
        print("nothing was measured", file=sys.stderr)
        return 1
    write_results(options.out, bench.rows)
    if not shutil.which("gnuplot"):
        print("gnuplot: not there, no pictures were drawn")
    for failure in bench.failures:
        print("FAILED " + failure, file=sys.stderr)
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
