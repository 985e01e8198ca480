#!/usr/bin/env python3
"""Our BSDIFF40 next to Debian's bsdiff and bspatch, in turns.

usage: delta.py BIN_DIR OUT.json [ROUNDS]
CPU seconds (user + system) are the medians of interleaved runs; peak memory is
the whole process's.  Patches of each are applied by the other.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
MODELS = os.path.join(ROOT, "tests", "models")
PAIRS = [("tiny-v2.Q4_0.gguf", "tiny-v2.1.Q4_0.gguf"),
         ("tiny-v1.Q4_0.gguf", "tiny-v2.Q4_0.gguf")]


def run(argv):
    """(CPU seconds, peak bytes) of one program."""
    pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=[
        (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        raise SystemExit("%s failed: %d" % (" ".join(argv), status))
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def which(name):
    return subprocess.run(["which", name], capture_output=True,
                          text=True).stdout.strip()


def main():
    bin_dir, out = sys.argv[1], sys.argv[2]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    ours = os.path.join(bin_dir, "flotilla-updater")
    bsdiff, bspatch = which("bsdiff"), which("bspatch")
    results = []
    with tempfile.TemporaryDirectory() as d:
        for old_name, new_name in PAIRS:
            old, new = (os.path.join(MODELS, n) for n in (old_name, new_name))
            a, b, back = (os.path.join(d, n) for n in "ab-")
            commands = {
                ("flotilla", "create"): [ours, "delta", "create", old, new, a,
                                         "--codec", "bsdiff"],
                ("bsdiff", "create"): [bsdiff, old, new, b],
                ("flotilla", "apply"): [ours, "delta", "apply", old, b, back],
                ("bsdiff", "apply"): [bspatch, old, back, a]}
            times = {key: [] for key in commands}
            for _ in range(rounds):
                for key, argv in commands.items():
                    times[key].append(run(argv))
                    if key[1] == "apply" and open(back, "rb").read() != \
                            open(new, "rb").read():
                        raise SystemExit("%s: wrong bytes" % (key,))
            row = {"old": old_name, "new": new_name,
                   "new_bytes": os.path.getsize(new), "rounds": rounds,
                   "patch_bytes": {"flotilla": os.path.getsize(a),
                                   "bsdiff": os.path.getsize(b)}}
            for (who, what), got in times.items():
                row.setdefault(what, {})[who] = {
                    "cpu_s": round(statistics.median(t for t, _ in got), 4),
                    "peak_bytes": max(m for _, m in got)}
            results.append(row)
            for what in ("create", "apply"):
                f, p = row[what]["flotilla"], row[what]["bsdiff"]
                print("delta %-6s %s: %.3f s against %.3f s (%.2f x), %.1f MB "
                      "against %.1f MB; patch %d against %d" % (
                          what, new_name, f["cpu_s"], p["cpu_s"],
                          p["cpu_s"] / max(f["cpu_s"], 1e-9),
                          f["peak_bytes"] / 1e6, p["peak_bytes"] / 1e6,
                          row["patch_bytes"]["flotilla"],
                          row["patch_bytes"]["bsdiff"]))
    with open(out, "w", encoding="utf-8") as f:
        json.dump(results, f, indent=1)


main()
