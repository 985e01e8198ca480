#!/usr/bin/env python3
"""The engine next to llama.cpp: same file, machine and minute, in turns.

usage: bench_engine.py BIN_DIR OUT_DIR [--only 'smollm2-* p128*'] [--list]
                       [--minutes N] [--rounds N] [--threads 1,2] [--again]

Models: every *.gguf of FLOTILLA_BENCH_MODELS (else build/models and the tiny
model).  Peers: FLOTILLA_PEER_A and FLOTILLA_PEER_B each name a folder with
include/ and lib/ (or what deploy/llamacpp/build.sh --library makes), or the
root of a system that has the peer installed; none: ours alone.  A peer is
tried with and without flash attention and repacked weights; the settings
within a tenth of its best stay in, and the one that does best against us
counts.  Where a peer has its kernels by CPU (libggml-cpu-*.so, of
GGML_CPU_ALL_VARIANTS), the classes of CPU that this machine can play are
points, too (ONLY='* avx2').  A point (model, test, threads or class) is kept
in OUT_DIR/bench_engine.state as soon as it is measured, so a run goes on where
the last one stopped; points of another build are measured again.  Writes
OUT_DIR/bench_engine.md and .json, and classes.md.
"""
import argparse
import atexit
import fcntl
import fnmatch
import glob
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

import bench_classes as classes
import bench_goals as goals
from bench_sides import (Ours, Peer, Side, Stopped, busy_neighbours,
                         first_token, median, raise_priority, roof,
                         usual_priority)

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CONTEXT = 2688      # of the speed tests
START_CONTEXT = 1024
PROMPTS, SINGLES = ("p128", "p512"), ("g128", "g32@2048")
SCOUT = {"p128": "p128", "p512": "p128", "g128": "g16", "g32@2048": "g8@2048",
         "busy": "g16"}


class Run:
    def __init__(self, args):
        self.args = args
        self.out = args.out
        self.deadline = time.monotonic() + args.minutes * 60
        self.ours = Ours(os.path.join(args.bin, "flotilla-engine"))
        with open(self.ours.program, "rb") as f:
            self.build = hashlib.sha256(f.read()).hexdigest()[:12]
        self.peers = [Peer(name, os.environ["FLOTILLA_PEER_" + name],
                           self.out) for name in "AB"
                      if os.environ.get("FLOTILLA_PEER_" + name)]
        self.state_path = os.path.join(self.out, "bench_engine.state")
        self.state = {"points": {}, "scout": {}, "flags": {},
                      "roof": {}}
        if os.path.exists(self.state_path):
            with open(self.state_path, encoding="utf-8") as f:
                self.state.update(json.load(f))

    def save(self):
        with open(self.state_path + ".new", "w", encoding="utf-8") as f:
            json.dump(self.state, f, indent=1)
        os.rename(self.state_path + ".new", self.state_path)

    def time_left(self):
        return self.deadline - time.monotonic()

    # ---- which settings of a peer are its best ----

    def settings_of(self, peer, model, test):
        """[(flash, repack)] of `peer` within a tenth of its best; they are
        looked for once, with the fewest threads."""
        threads = min(p.threads for p in self.points if p.model is model)
        repacks = (1, 0) if goals.is_repacked(model.types) else (1,)
        if test == "g32@2048" and len(repacks) > 1:  # long to fill: only one
            repacks = (self.settings_of(peer, model, "g128")[0][1],)
        tried = {}
        for flash in (0, 1):
            for repack in repacks:
                tried["%d%d" % (flash, repack)] = self.scouted(
                    peer, model, test, threads, flash, repack)
        best = max(tried.values())
        good = sorted((k for k in tried if tried[k] >= 0.9 * best),
                      key=lambda k: -tried[k])[:2]
        return [(int(k[0]), int(k[1])) for k in good]

    def scouted(self, peer, model, test, threads, flash, repack):
        key = "%s %s %d %s %d%d" % (model.name, SCOUT[test], threads,
                                    peer.name, flash, repack)
        if key not in self.state["scout"]:
            with peer.serve(model.path, threads, flash, repack,
                            CONTEXT) as side:
                self.state["flags"][peer.name] = "%s: %s" % (
                    side.header["version"], side.header["system"])
                # One load serves prompts and generation.
                for asked in {SCOUT[test], "g16"}:
                    side.ask(asked)
                    self.state["scout"][key.replace(
                        SCOUT[test], asked)] = max(side.ask(asked)
                                                   for _ in range(2))
            self.save()
        return self.state["scout"][key]

    # ---- measuring ----

    def in_turns(self, sides, test, ask):
        """{name: [value per round]}; every side is warm before."""
        values = {name: [] for name in sides}
        for side in sides.values():
            ask(side, test)
        started = time.monotonic()
        order = list(sides)
        while len(values[order[0]]) < self.args.rounds:
            for name in order:
                values[name].append(ask(sides[name], test))
            order.reverse()
            spent = time.monotonic() - started
            if len(values[order[0]]) >= 3 and spent > self.args.seconds:
                break
        return values

    def sides_of(self, point):
        """{name: (peer, flash, repack[, folder of its kernels])}"""
        if point.cpu:
            library = goals.CLASSES[point.cpu].library
            return {"%s %s" % (peer.name, library): (
                peer, -1, 1, classes.one_backend(peer, library, self.out))
                    for peer in self.peers if peer.kernels(library)}
        return {"%s flash=%d repack=%d" % (peer.name, flash, repack): (
            peer, flash, repack) for peer in self.peers
                for flash, repack in self.settings_of(
                    peer, point.model, point.test)}

    def speed(self, point):
        model, threads = point.model, point.threads
        sides = {}
        try:
            for name, (peer, *how) in self.sides_of(point).items():
                sides[name] = peer.serve(model.path, threads, *how[:2],
                                         CONTEXT, *how[2:])
            sides["ours"] = self.ours.serve(
                model.path, threads, CONTEXT,
                point.cpu and goals.CLASSES[point.cpu].kernel)
            values = self.in_turns(sides, point.test, classes.rate
                                   if point.cpu else Side.ask)
        finally:
            for side in sides.values():
                side.close()
        result = self.ratios(values.pop("ours"), values,
                             larger_is_better=True)
        result["kernel"] = sides["ours"].header["kernel"]
        return result

    def busy(self, point):
        """All sides as ordinary programs among eight others."""
        model, threads = point.model, point.threads
        chosen = [(peer, self.settings_of(peer, model, "busy")[0])
                  for peer in self.peers]
        sides = {}
        with usual_priority(self.args.priority):
            try:
                for peer, (flash, repack) in chosen:
                    sides["%s flash=%d repack=%d" % (
                        peer.name, flash, repack)] = peer.serve(
                            model.path, threads, flash, repack, CONTEXT)
                sides["ours"] = self.ours.serve(model.path, threads, CONTEXT)
                sides["one"] = self.ours.serve(model.path, 1, CONTEXT)
                with busy_neighbours(8, 600):
                    values = {name: [] for name in sides}
                    for _ in range(3):
                        for name, side in sides.items():
                            values[name].append(sustained(side, 8))
            finally:
                for side in sides.values():
                    side.close()
        single = median(values.pop("one"))
        result = self.ratios(values.pop("ours"), values,
                             larger_is_better=True)
        return dict(result, own_one_thread=single,
                    kernel=sides["ours"].header["kernel"])

    def starts(self, point):
        """Load, first token or memory: a process for every value."""
        test, model, threads = point.test, point.model, point.threads
        count = int(test[5:]) if test.startswith("first") else \
            512 if test == "rss" else 8
        repacks = (1, 0) if goals.is_repacked(model.types) and \
            test != "rss" else (1,)
        values, ours = {}, []
        sides = [(p, r) for p in self.peers for r in repacks]
        kernel = ""
        for turn in range(self.args.rounds + 1):
            got = {}
            for peer, repack in sides:
                spent_ms, told = first_token(peer.start_command(
                    model.path, threads, repack, START_CONTEXT, count),
                    peer.environment)
                got["%s repack=%d" % (peer.name, repack)] = {
                    "load": told["load_ms"], "rss": told["rss_bytes"]}.get(
                        test, spent_ms)
            if test == "load":
                with self.ours.serve(model.path, threads,
                                     START_CONTEXT) as side:
                    mine, kernel = side.header["load_ms"], \
                        side.header["kernel"]
            elif test == "rss":
                told = self.ours.bench(model.path, threads, START_CONTEXT,
                                       "p512")
                mine, kernel = told["rss_bytes"], told["kernel"]
            else:
                mine, _ = first_token(self.ours.start_command(
                    model.path, threads, START_CONTEXT, count), None)
            if turn > 0:    # the first one warms the file's pages
                ours.append(mine)
                for key, value in got.items():
                    values.setdefault(key, []).append(value)
        result = self.ratios(ours, values, larger_is_better=False,
                             as_share=test == "rss")
        result["kernel"] = kernel
        return result

    def ratios(self, ours, values, larger_is_better, as_share=False):
        """The peer's setting that does best against us counts."""
        result = {"ours": median(ours), "rounds": len(ours), "peers": {}}
        for key, theirs in values.items():
            each = [(a / b if larger_is_better or as_share else b / a)
                    for a, b in zip(ours, theirs)]
            result["peers"][key] = {"value": median(theirs),
                                    "ratio": median(each), "low": min(each),
                                    "high": max(each)}
        if values:
            pick = max if as_share else min
            key = pick(result["peers"],
                       key=lambda k: result["peers"][k]["ratio"])
            result.update(result["peers"][key], peer=key)
        return result

    def form(self, point):
        """Milliseconds per token that keeping a JSON Schema adds."""
        schema = os.path.join(HERE, "form.json")
        grammar = os.path.join(HERE, "form.gbnf")
        ours, told = [], {}
        theirs = {peer.name: [] for peer in self.peers}
        for _ in range(3):
            added, told = self.ours.form(point.model.path, point.threads,
                                         schema)
            ours.append(added)
            for peer in self.peers:
                theirs[peer.name].append(peer.form(
                    point.model.path, point.threads, CONTEXT, grammar))
        result = {"ours": median(ours), "rounds": len(ours), "told": told,
                  "peers": {k: {"value": median(v)}
                            for k, v in theirs.items()}}
        if theirs:
            result["peer"] = min(theirs, key=lambda k: median(theirs[k]))
            result["value"] = median(theirs[result["peer"]])
        return result

    # ---- the loop ----

    def measure(self, point):
        if point.test == "form":
            return self.form(point)
        if point.test == "products":
            return classes.products(self.args.bin, self.out, point)
        if point.test in ("load", "rss") or point.test.startswith("first"):
            return self.starts(point)
        return self.busy(point) if point.test == "busy" else \
            self.speed(point)

    def is_done(self, point):
        known = self.state["points"].get(point.key)
        return (known is not None and not self.args.again and
                known.get("build") == self.build and "error" not in known and
                bool(known["peers"]) == self.has_peer(point))

    def has_peer(self, point):
        return point.test == "products" or any(
            not point.cpu or peer.kernels(goals.CLASSES[point.cpu].library)
            for peer in self.peers)

    def go(self, every, points):
        self.every, self.points = every, points
        if self.peers:
            now = roof(self.out)
            self.state["roof"] = {k: max(v, self.state["roof"].get(k, 0))
                                  for k, v in now.items()}
        todo = [p for p in points if not self.is_done(p)]
        self.write()
        print("%d points, %d to measure, %d peers, at most %.0f minutes"
              % (len(points), len(todo), len(self.peers), self.args.minutes))
        spent = []
        for i, point in enumerate(todo):
            if self.time_left() < (median(spent) if spent else 0):
                print("the time is over; run again to go on")
                break
            started = time.monotonic()
            try:
                self.ours.make_ready(point.model.path)
                result = self.measure(point)
            except Stopped as stopped:
                result = {"error": str(stopped), "peers": {}}
            load = os.getloadavg()[0]
            result.update(build=self.build, load_average=load)
            self.state["points"][point.key] = result
            self.save()
            spent.append(time.monotonic() - started)
            left = sum(spent) / len(spent) * (len(todo) - i - 1)
            print("%3d/%d %-34s %s  (%.0f s, load %.1f, %.0f min to go)" % (
                i + 1, len(todo), point.key, goals.line(point, result),
                spent[-1], load, min(left, self.time_left()) / 60), flush=True)
            self.write()

    def write(self):
        """All that is known of this build, chosen this time or not."""
        known = self.state["points"]
        rows = [(p, known[p.key]) for p in self.every if p.key in known
                and known[p.key]["build"] == self.build]
        with open(os.path.join(self.out, "bench_engine.md"), "w",
                  encoding="utf-8") as f:
            f.write(goals.table([(p, r) for p, r in rows if not p.cpu],
                                self.state["flags"], self.build,
                                self.state["roof"]))
        with open(os.path.join(self.out, "bench_engine.json"), "w",
                  encoding="utf-8") as f:
            json.dump({"flags": self.state["flags"], "build": self.build,
                       "roof": self.state["roof"],
                       "points": {p.key: dict(r, **goals.verdict(p, r))
                                  for p, r in rows}}, f, indent=1)
        with open(os.path.join(self.out, "classes.md"), "w",
                  encoding="utf-8") as f:
            f.write(goals.class_table(
                [(p, known.get(p.key)) for p in self.every if p.cpu],
                self.absent, self.build))


def sustained(side, seconds):
    """Tokens per second of a side that may be fifty times slower than
    another: as many tokens as the time allows, in steps that it can make."""
    made, spent, step = 0, 0.0, 1
    while spent < seconds and made < 128:
        took = step / side.ask("g%d" % step)
        made, spent = made + step, spent + took
        step = max(1, min(16, int(step / took)))
    return made / spent


class Model:
    def __init__(self, path, ours):
        self.path = path
        self.name = os.path.basename(path)[:-len(".gguf")]
        self.types = ours.types(path)


class Point:
    """A class of CPU is played with one thread."""

    def __init__(self, model, test, threads, cpu=None):
        self.model, self.test, self.threads = model, test, threads
        self.cpu = cpu
        self.key = "%s %s %s" % (model.name, test, cpu or "t%d" % threads)


def all_points(models, threads, cpus):
    """Grouped so that the most telling come first."""
    points = []
    for tests in (PROMPTS, SINGLES, ("load", "first32", "first512", "rss")):
        for model in models:
            for count in threads if tests in (PROMPTS, SINGLES) else [2]:
                points += [Point(model, t, count) for t in tests]
    points += [Point(model, test, 1, cpu) for cpu in cpus
               for model in models for test in goals.class_tests(cpu)]
    points += [Point(m, "busy", 2) for m in models]
    return points + [Point(m, "form", 1) for m in models]


def read_arguments():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("bin")
    parser.add_argument("out")
    parser.add_argument("--only", action="append")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--seconds", type=float, default=25.0,
                        help="of a point, after which 3 rounds are enough")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--priority", type=int, default=-10)
    return parser.parse_args()


def find_models(ours):
    folder = os.environ.get("FLOTILLA_BENCH_MODELS")
    paths = glob.glob(os.path.join(folder, "*.gguf")) if folder else \
        glob.glob(os.path.join(ROOT, "build/models/*.gguf")) + [
            os.path.join(ROOT, "tests/models/tiny-v2.Q4_0.gguf")]
    models = []
    for path in sorted(paths, key=os.path.getsize):
        try:
            models.append(Model(path, ours))
        except Stopped as stopped:
            print("passed over: %s" % stopped)
    return models


def alone():
    """One timing program at a time."""
    lock = open(os.path.join(tempfile.gettempdir(), "flotilla-bench.lock"),
                "w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("another measurement runs; waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def main():
    args = read_arguments()
    os.makedirs(args.out, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    run = Run(args)
    cpus, run.absent = classes.playable()
    every = [p for p in all_points(
        find_models(run.ours), [int(t) for t in args.threads.split(",")], cpus)
        if p.test != "form" or os.path.exists(run.ours.former)]
    points = [p for p in every if not args.only or
              any(fnmatch.fnmatch(p.key, o) for o in args.only)]
    if args.list:
        print("\n".join(p.key for p in points))
        return
    lock = alone()
    if os.getloadavg()[0] > 1.0:
        print("warning: load average %.1f: others run beside this; ratios "
              "are in turns, single figures mean little" % os.getloadavg()[0])
    atexit.register(raise_priority(args.priority))
    run.go(every, points)
    lock.close()


if __name__ == "__main__":
    main()
