#!/usr/bin/env python3
"""Tokens per second of the engine on the models at hand.

usage: engine.py BIN_DIR OUT.json
The tiny model always; SmolLM2 when build/models has it (make demo-real).
Kernels are measured in turns, so their ratio means something.
"""
import glob
import json
import os
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))


def bench(engine, model, threads, tests, kernel=None):
    env = dict(os.environ)
    if kernel:
        env["FLOTILLA_KERNEL"] = kernel
    done = subprocess.run(
        [engine, "bench", "--model", model, "--threads", str(threads),
         "--tests", tests, "--json"], capture_output=True, env=env, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def main():
    engine = os.path.join(sys.argv[1], "flotilla-engine")
    models = [(os.path.join(ROOT, "tests/models/tiny-v2.Q4_0.gguf"),
               "p128,g32", 3)]
    models += [(m, "p128,g32", 2)
               for m in glob.glob(os.path.join(ROOT, "build/models/*.gguf"))]
    results = []
    for model, tests, rounds in models:
        for threads in (1, 2):
            runs = {kernel: [] for kernel in (None, "ref")}
            for _ in range(rounds):
                for kernel in runs:
                    runs[kernel].append(bench(engine, model, threads, tests,
                                              kernel))
            for kernel, got in runs.items():
                row = {"model": os.path.basename(model), "threads": threads,
                       "kernel": got[0].get("kernel"), "rounds": rounds}
                for key in tests.split(",") + ["load_ms", "ttft_ms",
                                               "rss_bytes"]:
                    row[key] = statistics.median(g[key] for g in got)
                results.append(row)
                print("engine %-28s %d threads %-6s prompt %8.0f/s  generation "
                      "%7.1f/s  load %.1f ms  RSS %.1f MB" % (
                          row["model"], threads, row["kernel"], row["p128"],
                          row["g32"], row["load_ms"], row["rss_bytes"] / 1e6))
    with open(sys.argv[2], "w", encoding="utf-8") as f:
        json.dump(results, f, indent=1)


main()
