#!/usr/bin/env python3
"""Memory of an idle, connected agent, and seconds of an emergency rollback.

usage: agent.py BIN_DIR OUT.json [ROUNDS]
"""
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))
import fleet as F  # noqa: E402
from waits import until  # noqa: E402

MODELS = os.path.join(ROOT, "tests", "models")
QUESTION = "Rate this log line: 20:25 gateway-42 link lost temp=94C"


def memory(pid, field):
    with open("/proc/%d/status" % pid, encoding="utf-8") as f:
        for line in f:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return 0


def publish(fleet, key, release, file, golden):
    fleet.cli("release", "create", release, "--model-file",
              os.path.join(MODELS, file), "--golden",
              os.path.join(MODELS, golden), "--sign-with", key, "--publish")


def rollback_seconds(fleet, release, old):
    """From the command's start to the first answer of `old` on each device."""
    seen = {}

    def watch(name):
        while name not in seen:
            try:
                if fleet.devices[name].ask(QUESTION, "tiny")[1] == old:
                    seen[name] = time.monotonic()
            except (OSError, F.Failed):
                pass

    threads = [threading.Thread(target=watch, args=(n,)) for n in fleet.devices]
    for thread in threads:
        thread.start()
    begin = time.monotonic()
    fleet.cli("rollout", "rollback", "--release", release, "--everywhere",
              "--confirm", release, "--wait", "-q")
    for thread in threads:
        thread.join(60)
    return [at - begin for at in seen.values()]


def main():
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    folder = tempfile.mkdtemp(prefix="flo-", dir="/tmp")
    fleet = F.Fleet(folder, sys.argv[1], name="bench")
    times = []
    try:
        fleet.start_controller()
        fleet.login()
        fleet.cli("key", "create", "publisher", "--to", folder + "/keys")
        key = folder + "/keys/publisher.key"
        fleet.cli("key", "trust", folder + "/keys/publisher.pub")
        token = folder + "/token"
        fleet.cli("token", "create", "--kind", "enroll", "--uses", "9", "--to",
                  token, "-q")
        for name in ("a", "b", "c"):
            fleet.add_device(name, token)
        until("online", lambda: sum(
            d["state"] == "online" for d in fleet.ask("device", "list")) == 3)
        time.sleep(3)
        idle = [memory(d.process.pid, "RssAnon") for d in
                fleet.devices.values()]
        publish(fleet, key, "tiny@1", "tiny-v2.Q4_0.gguf",
                "golden-tiny-v2.json")
        begin = fleet.ask("rollout", "start", "tiny@1", "--phase", "100%",
                          "--soak", "200ms")
        fleet.cli("rollout", "wait", begin["id"], "-q")
        for n in range(rounds):
            release = "tiny@2.%d" % n
            publish(fleet, key, release, "tiny-v2.1.Q4_0.gguf",
                    "golden-tiny-v2.1.json")
            begin = fleet.ask("rollout", "start", release, "--phase", "100%",
                              "--soak", "200ms")
            fleet.cli("rollout", "wait", begin["id"], "-q")
            times += rollback_seconds(fleet, release, "tiny@1")
    finally:
        fleet.close()
        shutil.rmtree(folder, ignore_errors=True)
    times.sort()
    result = {"agent_idle_rss_anon_bytes": max(idle),
              "rollback_s": {"n": len(times),
                             "median": round(statistics.median(times), 3),
                             "max": round(max(times), 3)}}
    print("agent idle, connected, before a model: RssAnon %.1f MB" % (
        max(idle) / 1e6))
    print("emergency rollback, Enter to first old answer: median %.2f s, most "
          "%.2f s of %d" % (statistics.median(times), max(times), len(times)))
    with open(sys.argv[2], "w", encoding="utf-8") as f:
        json.dump(result, f, indent=1)


main()
