"""The results as Markdown tables and, where gnuplot is installed, as pictures in SVG and PNG."""

import os
import shutil
import statistics
import subprocess

from programs import ALL

PROGRAMS = [kind.name for kind in ALL]

# One colour a program in every picture, kind to eyes that do not tell red from green.
COLOURS = dict(zip(PROGRAMS, ["#0072b2", "#56b4e9", "#009e73", "#d55e00", "#e69f00", "#999999"]))


def write(folder, rows):
    """results.md and the pictures, into folder, from the rows of bench.py."""
    with open(os.path.join(folder, "results.md"), "w", encoding="utf-8") as out:
        for section, title in (("works", "By work"), ("changes", "By number of changed rows"),
                               ("latency", "Over a slow link"), ("size", "By size")):
            part = Part([row for row in rows if row["section"] == section])
            if part.rows:
                out.write("## %s\n\n" % title + part.markdown(section) + "\n")
    if shutil.which("gnuplot"):
        draw_all(folder, rows)


class Part:
    """The rows of one section, asked for by key and program."""

    def __init__(self, rows):
        self.rows = rows
        self.programs = [name for name in PROGRAMS if any(row["program"] == name for row in rows)]

    def keys(self, *columns):
        """The values that the columns take together, in the order of the rows."""
        return list(dict.fromkeys(tuple(row[column] for column in columns) for row in self.rows))

    def median(self, value, program, **wanted):
        """The median over the repeats, or None where nothing was measured."""
        found = [row[value] for row in self.rows if row["program"] == program and row[value] is not None
                 and all(row[column] == wish for column, wish in wanted.items())]
        return statistics.median(found) if found else None

    def markdown(self, section):
        columns = {"works": ("work", "differing"), "changes": ("work", "differing"),
                   "latency": ("work", "rate_mbit", "rtt_ms"),
                   "size": ("scale", "work", "pages", "differing")}[section]
        tables = [("Bytes, both directions", "bytes", count), ("Seconds", "seconds", seconds),
                  ("Processor seconds, both sides", "cpu_seconds", seconds)]
        if section != "latency":
            tables += [("Most memory on the near side, MiB", "peak_near", mebibytes),
                       ("Most memory on the far side, MiB", "peak_far", mebibytes)]
        if any(row["round_trips"] is not None for row in self.rows):
            tables.append(("Round trips", "round_trips", count))
        return "\n".join(self.table(title, value, shown, columns) for title, value, shown in tables)

    def table(self, title, value, shown, columns):
        lines = ["%s:\n" % title,
                 "| " + " | ".join(list(columns) + self.programs) + " |",
                 "|" + "---|" * len(columns) + "---:|" * len(self.programs)]
        for key in self.keys(*columns):
            cells = [str(part) for part in key]
            for program in self.programs:
                median = self.median(value, program, **dict(zip(columns, key)))
                cells.append("-" if median is None else shown(median))
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"


def count(number):
    return "{:,}".format(round(number))


def seconds(number):
    return "%.3f" % number


def mebibytes(number):
    return "%.1f" % (number / 1048576)


# ---- pictures ----


def draw_all(folder, rows):
    works = [row for row in rows if row["section"] == "works"]
    for value, label in (("bytes", "bytes, both directions"), ("seconds", "seconds over a local pipe")):
        # A program whose runs say nothing of it has no bars.
        part = Part([row for row in works if row[value] is not None])
        if part.rows:
            draw(folder, value + "-by-work", bars(part, value, label))
    changes = Part([row for row in rows if row["section"] == "changes"])
    if changes.rows:
        draw(folder, "bytes-by-changes",
             curves(changes, lambda row: int(row["work"][3:]), "bytes", "changed rows",
                    "bytes, both directions", "set logscale xy"))
    sizes = Part([row for row in rows if row["section"] == "size"])
    for (work,) in sizes.keys("work"):
        part = Part([row for row in sizes.rows if row["work"] == work])
        draw(folder, "seconds-by-size-" + work,
             curves(part, lambda row: row["pages"] * 4096 / 1e9, "seconds", "GB of database",
                    "seconds: " + work, "set logscale xy"))
    latency = Part([row for row in rows if row["section"] == "latency"])
    for work, rate in latency.keys("work", "rate_mbit"):
        part = Part([row for row in latency.rows if (row["work"], row["rate_mbit"]) == (work, rate)])
        draw(folder, "seconds-by-latency-%s-%dmbit" % (work, rate),
             curves(part, lambda row: row["rtt_ms"], "seconds", "round trip, ms",
                    "seconds: %s at %d Mbit/s" % (work, rate), "set logscale y"))


def draw(folder, name, commands):
    """Have gnuplot run commands into NAME.svg and NAME.png."""
    for terminal, ending in (("svg noenhanced size 1000,560 background 'white'", "svg"),
                             ("pngcairo noenhanced size 1000,560", "png")):
        script = "set terminal %s\nset output '%s'\n%s" % (
            terminal, os.path.join(folder, name + "." + ending), commands)
        subprocess.run(["gnuplot"], input=script, text=True, check=True)


def bars(part, value, label):
    """For each work one bar a program, on a logarithmic scale."""
    lines = ["$data << EOD"]
    for (work,) in part.keys("work"):
        medians = [part.median(value, program, work=work) for program in part.programs]
        lines.append('"%s" ' % work + " ".join("NaN" if m is None else str(m) for m in medians))
    plots = ['$data using %d:xtic(1) title "%s" linecolor rgb "%s"'
             % (i + 2, program, COLOURS[program]) for i, program in enumerate(part.programs)]
    return "\n".join(lines + ["EOD", "set style data histogram", "set style histogram clustered gap 1",
                              "set style fill solid", "set logscale y", "set grid ytics", "set xtics rotate by -20",
                              "set format y '%.0s%c'", "set key outside top center horizontal",
                              "set ylabel '%s'" % label, "plot " + ", ".join(plots)]) + "\n"


def curves(part, x_of, value, x_label, y_label, scale):
    """A line for each program over what x_of makes of a row."""
    lines, plots = [], []
    for i, program in enumerate(part.programs):
        points = sorted((x_of(row), row[value]) for row in part.rows if row["program"] == program)
        lines += ["$program%d << EOD" % i] + ["%s %s" % point for point in points] + ["EOD"]
        plots.append('$program%d title "%s" with linespoints pointtype 7 linecolor rgb "%s"'
                     % (i, program, COLOURS[program]))
    return "\n".join(lines + [scale, "set grid", "set format y '%.0s%c'",
                              "set key outside top center horizontal", "set xlabel '%s'" % x_label,
                              "set ylabel '%s'" % y_label, "plot " + ", ".join(plots)]) + "\n"
