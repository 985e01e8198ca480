#!/usr/bin/env python3
"""Kernel sets for CPUs that this one is not, next to llama.cpp's, in turns.

usage: sets.py BIN_DIR PEER_DIR BACKENDS_DIR OUT_DIR MODEL.gguf ...
           [--sets avx2:haswell,avx:sandybridge,sse42:sse42] [--turns 5]

PEER_DIR has llama.cpp's include/ and lib/, BACKENDS_DIR its kernels as
libggml-cpu-NAME.so (built with GGML_BACKEND_DL and GGML_CPU_ALL_VARIANTS).
A set is forced by FLOTILLA_KERNEL here, and there by a folder that holds that
one file.  Both sides have one thread and stay loaded; each turn asks one, then
the other.  Tokens are counted per second of processor time, which neighbours
change less than the clock; a ratio is the median of the turns' ratios.
"""
import argparse
import os
import shutil
import statistics
import sys

from bench_sides import Ours, Peer, Side

TESTS = {"p128": 128, "g32": 32}


def processor_seconds(pid):
    spent = 0
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/schedstat" % (pid, task),
                  encoding="ascii") as f:
            spent += int(f.read().split()[0])
    return spent * 1e-9


def resident(pid):
    """Peak resident bytes."""
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        for line in f:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def rate(side, test):
    """Tokens per second of processor time."""
    before = processor_seconds(side.process.pid)
    side.ask(test)
    return TESTS[test] / (processor_seconds(side.process.pid) - before)


def one_backend(folder, name, out):
    """A folder of its own for the kernels of that name."""
    own = os.path.join(os.path.abspath(out), "backend-" + name)
    os.makedirs(own, exist_ok=True)
    shutil.copy(os.path.join(folder, "libggml-cpu-%s.so" % name), own)
    return own


def ours(program, kernel, model):
    return Side([program, "bench", "--model", model, "--threads", "1", "--ctx",
                 "512", "--tests", "-", "--json"],
                dict(os.environ, FLOTILLA_KERNEL=kernel))


def theirs(peer, backends, model):
    environment = dict(peer.environment, PEER_BACKENDS=backends)
    return Side(peer.arguments("serve", model, 1, -1, 1, 512), environment)


def compare(a, b, turns):
    """{test: (our rate, their rate, ratio)}"""
    told = {}
    for test in TESTS:
        rate(a, test), rate(b, test)  # what is read for the first time
        pairs = [(rate(a, test), rate(b, test)) for _ in range(turns)]
        told[test] = (statistics.median(p[0] for p in pairs),
                      statistics.median(p[1] for p in pairs),
                      statistics.median(p[0] / p[1] for p in pairs))
    return told


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("bin", "peer", "backends", "out"):
        parser.add_argument(name)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--sets",
                        default="avx2:haswell,avx:sandybridge,sse42:sse42")
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    program = os.path.join(os.path.abspath(args.bin), "flotilla-engine")
    peer = Peer("SETS", args.peer, args.out)
    ready = Ours(program)
    print("| set · peer's | model | prompt 128 | generation 32 | "
          "resident, MB |\n| --- | --- | --- | --- | --- |")
    for pair in args.sets.split(","):
        kernel, name = pair.split(":")
        backends = one_backend(args.backends, name, args.out)
        for model in args.models:
            ready.make_ready(model)
            with ours(program, kernel, model) as a, \
                    theirs(peer, backends, model) as b:
                told = compare(a, b, args.turns)
                memory = [resident(s.process.pid) / 1e6 for s in (a, b)]
            cells = ["%.1f · %.1f: %.2f" % told[test] for test in TESTS]
            print("| %s · %s | %s | %s | %.0f · %.0f |" % (
                kernel, name, os.path.basename(model), " | ".join(cells),
                *memory))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
