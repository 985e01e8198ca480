#!/usr/bin/env python3
"""Stop single processes of the tests for a moment, as a busy host does.

usage: tests/run/pauses.py COMMAND...
Runs the command. Meanwhile it chooses one process after the other among the
command's descendants, stops it (SIGSTOP), and lets it go on after 1 ms to 0.5 s. So
each moment between two system calls gets long: between bind() and listen(), a fork
and the first message to the child, a look and its consequence. No process stays
stopped that a test has stopped. FLOTILLA_SEED draws. The result is the command's."""
import os
import signal
import subprocess
import sys
import time

import draw

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                "integration"))
import sets  # noqa: E402

AT_ONCE = 2 * len(os.sched_getaffinity(0))
LOOK_S = 0.005


def descendants(pid):
    found = []
    for child in sets.children(pid):
        found += [(pid, child)] + descendants(child)
    return found


def main():
    draws = draw.dice("pauses")
    command = subprocess.Popen(sys.argv[1:])
    stopped = {}  # pid -> when it goes on
    known, count = set(), 0
    try:
        while command.poll() is None:
            time.sleep(LOOK_S)
            for pid in [pid for pid, at in stopped.items() if at <= time.monotonic()]:
                sets.kill([pid], signal.SIGCONT)
                del stopped[pid]
            pairs = descendants(command.pid)
            born = [pair for pair in pairs if pair[1] not in known]
            known = {child for _, child in pairs}
            if not pairs or len(stopped) >= AT_ONCE:
                continue
            # One that has just begun, or its parent, comes before the others.
            pid = draws.choice(draws.choice(born or pairs))
            if pid == command.pid or pid in stopped or sets.fields(pid)[:1] not in (["R"], ["S"], ["D"]):
                continue
            sets.kill([pid], signal.SIGSTOP)
            stopped[pid] = time.monotonic() + 10 ** draws.uniform(-3, -0.3)
            count += 1
    finally:
        sets.kill(stopped, signal.SIGCONT)
    print("pauses: %d" % count)
    return command.returncode


if __name__ == "__main__":
    sys.exit(main())
