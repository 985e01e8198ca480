#!/usr/bin/env python3
"""An adapter release next to the merged release of the same adapter.

usage: adapter_release.py BIN_DIR SmolLM2-135M-Instruct.Q4_1.gguf [--dir DIR]

One real device takes the base, then the merged release and the adapter release,
each followed by its way back:

  bytes      that the device fetched
  update     seconds from the order to its success, soak of 0.5 s taken off
  back       seconds from the rollback's order to the first right answer
  memory     private and shared pages of its engines (Pss), after the commit
  exact      answers to the held-out prompts, and how many both releases share
"""
import argparse
import json
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "..", "tools"))
import demo_parts as parts  # noqa: E402
import fleet as F  # noqa: E402
from waits import until  # noqa: E402

SOAK = 0.5


def pss(device):
    """Bytes, and processes."""
    pids = until("one engine", lambda: (
        lambda p: p if len(p) == 1 else None)(
            device.children("flotilla-engine")))
    total = 0
    for pid in pids:
        with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as file:
            total += sum(int(line.split()[1]) * 1024 for line in file
                         if line.startswith("Pss:"))
    return total


class Bench:
    def __init__(self, args, folder):
        self.args = args
        self.fleet = F.Fleet(folder, args.bin, name="bench")
        self.cases = [json.loads(line) for line in open(
            args.eval, encoding="utf-8") if line.strip()]
        self.merged = os.path.join(folder, "merged.gguf")

    def up(self):
        fleet = self.fleet
        fleet.start_controller()
        fleet.login()
        keys = os.path.join(fleet.dir, "keys")
        self.key = os.path.join(keys, "publisher.key")
        fleet.cli("key", "create", "publisher", "--to", keys)
        fleet.cli("key", "trust", self.key[:-4] + ".pub")
        token = os.path.join(fleet.dir, "token")
        fleet.cli("token", "create", "--kind", "enroll", "--uses", "1", "--to",
                  token, "-q")
        self.device = fleet.add_device("gw", token)
        fleet.program("flotilla-model", "merge-lora", "--model",
                      self.args.base, "--lora", self.args.adapter, "--out",
                      self.merged, "--seed", "1", timeout=600)

    def publish(self, release, *words):
        begin = time.monotonic()
        self.fleet.cli("release", "create", release, *words, "--golden",
                       self.args.golden, "--skip-play", "--sign-with",
                       self.key, "--publish", timeout=900)
        return time.monotonic() - begin

    def roll(self, release):
        begin = time.monotonic()
        started = self.fleet.ask("rollout", "start", release, "--phase",
                                 "100%", "--soak", "%dms" % (SOAK * 1000))
        self.fleet.cli("rollout", "wait", started["id"], "--for", "completed",
                       "--timeout", "300s", "-q", timeout=310)
        took = time.monotonic() - begin - SOAK
        device = self.fleet.ask("rollout", "get", started["id"])["devices"][0]
        return device.get("bytes", 0), took

    def back(self, release, to):
        begin = time.monotonic()
        self.fleet.cli("rollout", "rollback", "--release", release, "--to", to,
                       "--everywhere", "--confirm", release, "-q")
        until("an answer of " + to, lambda: self.device.ask(
            "Hello", "m", 1)[1] == to, every=0.005)
        return time.monotonic() - begin

    def held_out(self):
        return [self.device.ask(c["prompt"], "m", 64, system=c.get("system"))[0]
                for c in self.cases]

    def exact(self, texts):
        return sum(t == c["answer"].strip()
                   for t, c in zip(texts, self.cases))

    def part(self, release, to, *words):
        made = self.publish(release, *words)
        got, took = self.roll(release)
        texts, memory = self.held_out(), pss(self.device)
        back = self.back(release, to)
        print("%-12s made in %.1f s, %d bytes, update %.2f s, back %.2f s, "
              "memory %.1f MB, exact %d of %d" % (
                  release, made, got, took, back, memory / 1e6,
                  self.exact(texts), len(texts)), flush=True)
        return texts

    def run(self):
        self.up()
        print("base %d bytes, merged %d, adapter %d" % tuple(
            os.path.getsize(f) for f in (self.args.base, self.merged,
                                         self.args.adapter)))
        self.fleet.program("flotilla-model", "golden", "create", os.path.join(
            self.fleet.dir, "base.json"), "--model", self.args.base)
        golden, self.args.golden = self.args.golden, os.path.join(
            self.fleet.dir, "base.json")
        self.publish("m@1", "--model-file", self.args.base)
        self.args.golden = golden
        got, took = self.roll("m@1")
        print("m@1 (base)   %d bytes, update %.2f s, memory %.1f MB, exact %d "
              "of %d" % (got, took, pss(self.device) / 1e6,
                         self.exact(self.held_out()), len(self.cases)),
              flush=True)
        merged = self.part("m@2", "m@1", "--model-file", self.merged)
        first = self.part("m@3", "m@1", "--base", "m@1", "--adapter",
                          self.args.adapter)
        print("the same text from merged and adapter release: %d of %d" % (
            sum(a == b for a, b in zip(merged, first)), len(first)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin")
    parser.add_argument("base")
    parser.add_argument("--dir")
    args = parser.parse_args()
    args.adapter = parts.model("smollm2-ops-lora.gguf")
    args.eval = parts.model("ops-eval.jsonl")
    args.golden = parts.stable_golden("golden-smollm2-v2.json")
    with tempfile.TemporaryDirectory(prefix="flo-", dir=args.dir) as folder:
        bench = Bench(args, folder)
        try:
            bench.run()
        finally:
            bench.fleet.close()


main()
