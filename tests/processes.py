"""The processes that a test has started, and those that these have started.

Where the test's own process adopts orphans (tests/run_unittest.py has it so), what is left behind by a program that was killed
is still below it.
"""
import ctypes
import os
import signal
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def adopt_orphans():
    """From now on the parent of each process below this one whose own parent has ended is this one."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent():
    """For Popen's preexec_fn: what is started so is killed when the test's process ends, however it does."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def status(pid):
    """The parent's pid and the state's letter, as proc(5) has them; (0, "X") where there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            state, parent = file.read().rsplit(")", 1)[1].split()[:2]
    except OSError:
        return 0, "X"
    return int(parent), state


def is_alive(pid):
    """Whether there is such a process that has not ended."""
    return status(pid)[1] not in "ZX"


def below(pid, but=()):
    """The processes that have not ended, and that this one or one below it has started; parents come before their children. Those
    in `but`, and what is below them, are left out."""
    children = {}
    for other in map(int, filter(str.isdigit, os.listdir("/proc"))):
        parent, state = status(other)
        if state not in "ZX":
            children.setdefault(parent, []).append(other)
    found, waiting = [], [pid]
    while waiting:
        more = sorted(set(children.get(waiting.pop(0), [])).difference(but))
        found += more
        waiting += more
    return found


def command(pid):
    """Its command line, for a person."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "(ended)"


def kill(pids):
    """Kill those of them that are below this process, and wait for their end. A number that means another's process by now is
    left alone."""
    ours = set(below(os.getpid())).intersection(pids)
    for pid in ours:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    wait_for_end(ours, 20)


def kill_below(pid):
    """Kill all that is below it. They are stopped first: else one that is seen too late could start another one meanwhile."""
    stopped = set()
    while True:
        found = below(pid)
        for other in found:
            if other not in stopped:
                try:
                    os.kill(other, signal.SIGSTOP)
                except ProcessLookupError:
                    pass
        if stopped.issuperset(found) and all(status(other)[1] in "tTZX" for other in found):
            break
        stopped.update(found)
    kill(stopped)


def wait_for_end(pids, seconds):
    """Those that have not ended in that time."""
    deadline = time.monotonic() + seconds
    left = [pid for pid in pids if is_alive(pid)]
    while left and time.monotonic() < deadline:
        time.sleep(0.01)
        left = [pid for pid in left if is_alive(pid)]
    return left
