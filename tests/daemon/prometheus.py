"""A strict reader of Prometheus' text format 0.0.4: what it takes, Prometheus takes."""
import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)")
ONE_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
SUFFIXES = {"counter": [""], "gauge": [""], "summary": ["_sum", "_count"]}


def unescape(value):
    return re.sub(r"\\(.)", lambda match: {"n": "\n"}.get(match[1], match[1]), value)


def read(text):
    """{(name, frozenset of labels): value}; ValueError for the first thing that is not as it must be."""
    samples = {}
    families = {}
    family = None
    if not text.endswith("\n"):
        raise ValueError("the last line has no end")
    for number, line in enumerate(text[:-1].split("\n"), 1):
        where = f"line {number}: {line}"
        if line.startswith("# HELP "):
            family = line.split(" ", 3)[2]
            if family in families or not re.fullmatch(NAME, family) or len(line.split(" ", 3)) < 4:
                raise ValueError(f"a family twice, or without a text: {where}")
            families[family] = None
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            if name != family or families[name] is not None or kind not in SUFFIXES:
                raise ValueError(f"TYPE does not follow its HELP: {where}")
            if (kind == "counter") != name.endswith("_total"):
                raise ValueError(f"counters, and they alone, end with _total: {where}")
            families[name] = kind
        else:
            match = SAMPLE.fullmatch(line)
            if not match:
                raise ValueError(f"neither a comment nor a sample: {where}")
            if match[1] not in [family + suffix for suffix in SUFFIXES[families[family]]]:
                raise ValueError(f"not of the family {family}: {where}")
            pairs = [(name, unescape(value)) for name, value in ONE_LABEL.findall(match[2] or "")]
            key = (match[1], frozenset(pairs))
            if key in samples or len({name for name, _ in pairs}) != len(pairs):
                raise ValueError(f"twice: {where}")
            samples[key] = float(match[3])
            if math.isnan(samples[key]) or (samples[key] < 0):
                raise ValueError(f"no number that we count with: {where}")
    return samples
