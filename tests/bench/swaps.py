#!/usr/bin/env python3
"""Swaps that alternate a model, an adapter and a runtime on one real device,
with a real controller, while clients stream from all three without a pause.

usage: swaps.py BIN_DIR OUT.json [SWAPS] [SECONDS] [CLIENTS]

SWAPS (500) end early after SECONDS (1800).  CLIENTS (2) ask each model, every
other one by its alias.  Each third round takes releases back by an emergency
order.  It needs root: runtimes.d belongs to root.

  swap       seconds from the command's start until the controller knows its
             end, with a soak of 0.05 s
  first      seconds to the first piece of the first answer after each flip
  failed     requests without a whole answer
  strangers  answers of a release that was not assigned at the time
  wrong      answers that the engine alone does not give for that release
"""
import json
import os
import shutil
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))
from conftest import Small  # noqa: E402
from swap_parts import Swaps  # noqa: E402


def percentile(values, share):
    values = sorted(values)
    return round(values[min(len(values) - 1, int(len(values) * share))], 3)


def spread(values):
    return {"n": len(values), "p50_s": percentile(values, 0.5),
            "p99_s": percentile(values, 0.99),
            "max_s": round(max(values), 3)}


def figures(swaps):
    kinds, spans = {}, [s for model in swaps.streamers
                        for s in swaps.spans(model)]
    for swap in swaps.swaps:
        kinds.setdefault(swap.kind, []).append(swap.end - swap.begin)
    return {"swaps": len(swaps.swaps), "requests": swaps.requests(),
            "failed": len(swaps.failed()), "faults": swaps.failed()[:9],
            "strangers": swaps.strangers()[:9], "wrong": swaps.wrong()[:9],
            "swap": {kind: spread(took) for kind, took in kinds.items()},
            "first": spread(swaps.first_answers()),
            "first_always": spread([s[1] - s[0] for s in spans]),
            "cpus": os.cpu_count(), "load": round(os.getloadavg()[1], 1)}


def main():
    out = sys.argv[2]
    count, seconds, clients = [int(word) for word in sys.argv[3:]] + [
        500, 1800, 2][len(sys.argv) - 3:]
    folder = tempfile.mkdtemp(prefix="flo-", dir="/tmp")
    fleet = Small(folder, sys.argv[1], name="bench")
    try:
        swaps = Swaps(fleet, clients)
        swaps.start()
        end = time.monotonic() + seconds
        for number, swap in enumerate(swaps.run(count), 1):
            print("%3d %-22s %s %.2f s, %d failed" % (
                number, swap.kind, swap.new, swap.end - swap.begin,
                len(swaps.failed())), flush=True)
            if time.monotonic() > end:
                break
        swaps.stop()
        result = figures(swaps)
    finally:
        fleet.close()
        shutil.rmtree(folder, ignore_errors=True)
    with open(out, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
    print(json.dumps(result, indent=1))
    sys.exit(0 if not (result["failed"] or result["strangers"] or
                       result["wrong"]) else 1)


main()
