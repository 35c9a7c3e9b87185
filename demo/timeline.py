"""Draws what the runs of several regions did, and when, as SVG: a lane for each region, and above them who held the lock."""
import re
from html import escape

# What a line of `lockstep run` begins, and the colour of what goes on from then. Kind to eyes that do not tell red from green.
PHASES = (("acquiring the lock", "waiting for the lock", "#d9d9d9"), ("lock acquired", "fencing, pulling", "#56b4e9"),
          ("starting the job", "the job", "#e69f00"), ("the job ended", "pushing", "#0072b2"),
          ("pushed version", "releasing", "#999999"), ("lock released", None, None))
HOLDERS = ("#009e73", "#cc79a7", "#d55e00", "#f0e442")
LEFT, WIDTH, LANE, TOP = 150, 1000, 64, 70


def phases_of(events):
    """{(region, number): [(seconds, phase)]}, and the bytes that each run moved."""
    runs, moved = {}, {}
    for seconds, region, number, text in events:
        for beginning, phase, _ in PHASES:
            if text.startswith(beginning):
                runs.setdefault((region, number), []).append((seconds, phase))
        found = re.search(r"([\d,]+) bytes sent, ([\d,]+) received", text)
        if found:
            moved[region, number] = moved.get((region, number), 0) + sum(int(group.replace(",", "")) for group in found.groups())
    return runs, moved


def draw(path, events, regions, database_bytes):
    """events: (seconds, region, number of the run, line); regions: (name, title), from the top down."""
    runs, moved = phases_of(events)
    end = max(seconds for seconds, *_ in events) * 1.02
    height = TOP + LANE * (len(regions) + 1) + 60
    colours = {phase: colour for _, phase, colour in PHASES}
    lane_of = {name: TOP + LANE * (row + 1) for row, (name, _) in enumerate(regions)}
    out = []

    def x(seconds):
        return LEFT + (WIDTH - LEFT - 20) * seconds / end

    def text(left, top, what, size=12, anchor="start", weight="normal"):
        out.append(f'<text x="{left:.1f}" y="{top:.1f}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}">{escape(what)}</text>')

    def bar(begin, until, top, tall, colour, title):
        out.append(f'<rect x="{x(begin):.1f}" y="{top}" width="{max(x(until) - x(begin), 0.5):.1f}" height="{tall}" fill="{colour}">'
                   f'<title>{escape(title)}</title></rect>')

    text(20, 26, "One lock, one database, jobs in several regions", 17, weight="bold")
    text(20, 46, f"Numbers are the bytes that a run moved, both ways; the database has {database_bytes:,} bytes.")
    text(20, TOP + 30, "lock held by", weight="bold")
    for row, (name, title) in enumerate(regions):
        text(20, lane_of[name] + 24, name, 14, weight="bold")
        text(20, lane_of[name] + 40, title, 11)
        for (region, number), steps in runs.items():
            if region == name:
                draw_run(bar, text, x, number, steps, lane_of[name], colours, moved.get((region, number)))
                draw_holding(bar, text, x, steps, name, number, HOLDERS[row % len(HOLDERS)])
    step = next(step for step in (1, 2, 5, 10, 20, 60, 120, 600, 3600) if end / step < 16)
    for tick in range(0, int(end) + 1, step):
        out.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{height - 55}" stroke="#0002"/>')
        text(x(tick), height - 40, f"{tick} s", 11, "middle")
    left = LEFT
    for _, phase, colour in PHASES[:-1]:
        out.append(f'<rect x="{left}" y="{height - 24}" width="12" height="12" fill="{colour}"/>')
        text(left + 16, height - 14, phase, 11)
        left += 34 + 6.2 * len(phase)
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
                   f'font-family="sans-serif"><rect width="100%" height="100%" fill="white"/>\n' + "\n".join(out) + "\n</svg>\n")


def draw_run(bar, text, x, number, steps, top, colours, moved):
    for (begin, phase), (until, _) in zip(steps, steps[1:]):
        if phase is not None:
            bar(begin, until, top + 10, 28, colours[phase], f"run {number}: {phase}, {begin:.2f} s to {until:.2f} s")
    acquired = [seconds for seconds, phase in steps if phase == "fencing, pulling"]
    if moved is not None and acquired:
        text((x(acquired[0]) + x(steps[-1][0])) / 2, top + 52, f"{moved:,}", 11, "middle")


def draw_holding(bar, text, x, steps, name, number, colour):
    acquired = [seconds for seconds, phase in steps if phase == "fencing, pulling"]
    if acquired:
        bar(acquired[0], steps[-1][0], TOP + 12, 28, colour, f"{name}, run {number}")
        text((x(acquired[0]) + x(steps[-1][0])) / 2, TOP + 31, name, 12, "middle")
