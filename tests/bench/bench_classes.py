"""Classes of CPU, most of which this one is not, played by their kernels.

A class is forced by FLOTILLA_KERNEL here, and there by a folder that holds that
one library of kernels.  Both sides have one thread; tokens are counted per
second of processor time, which neighbours change less than the clock.
"""
import os
import re
import shutil

import bench_goals as goals
from bench_sides import Stopped, median, roof, run


def playable():
    """Classes that this CPU has the instructions of, and {other: reason}."""
    flags = set()
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
        for line in f:
            if line.startswith(("flags", "Features")):
                flags.update(line.split(":")[1].split())
    absent = {name: "this CPU has no " + cpu.flag
              for name, cpu in goals.CLASSES.items() if cpu.flag not in flags}
    return [c for c in goals.CLASSES if c not in absent], absent


def one_backend(peer, library, out):
    """A folder of its own for the kernels of that name."""
    own = os.path.join(os.path.abspath(out), "backend-%s-%s" % (peer.name,
                                                                library))
    os.makedirs(own, exist_ok=True)
    shutil.copy(peer.kernels(library)[0], own)
    return own


def processor_seconds(pid):
    spent = 0
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/schedstat" % (pid, task),
                  encoding="ascii") as f:
            spent += int(f.read().split()[0])
    return spent * 1e-9


def rate(side, test):
    """Tokens per second of processor time."""
    before = processor_seconds(side.process.pid)
    side.ask(test)
    return int(test[1:]) / (processor_seconds(side.process.pid) - before)


def products(programs, out, point):
    """GOP/s of products with packed weights, and of nothing but the
    instruction that multiplies."""
    bound = roof(out).get("integer_gops")
    told = run([os.path.join(programs, "kernel_bench"),
                goals.main_type(point.model.types),
                goals.CLASSES[point.cpu].kernel])
    got = [int(n) for n in re.findall(r" 8-bit x128 +(\d+)", told)]
    if not got or not bound:
        raise Stopped("no products of packed weights, or no bound of them")
    share = {"value": bound, "ratio": median(got) / bound,
             "low": min(got) / bound, "high": max(got) / bound}
    return dict(share, ours=median(got), rounds=len(got), peer="bench_roof",
                peers={"bench_roof": share})
