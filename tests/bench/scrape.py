#!/usr/bin/env python3
"""The cost of a scrape of /metrics in a fleet that reports.

usage: scrape.py BIN_DIR FLOTILLA_SIM DEVICES [INTERVAL_MS]

Starts a controller and `flotilla-sim` with so many devices, waits until 99 % are
connected, and scrapes 40 times.  Prints one JSON object: what the controller's
thread took (its own figure) and how long the caller waited.  A device takes a
descriptor here and one in the broker: see `ulimit -Hn`.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

SCRAPES = 40


def number(text, name):
    return float([line for line in text.split("\n")
                  if line.startswith(name + " ")][0].split()[1])


def scrape(rest):
    began = time.monotonic()
    with urllib.request.urlopen(rest + "/metrics", timeout=60) as answer:
        text = answer.read().decode()
    return text, 1000 * (time.monotonic() - began)


def spread(values):
    values = sorted(values)
    return {"p50": round(statistics.median(values), 1),
            "p95": round(values[int(0.95 * len(values)) - 1], 1),
            "max": round(values[-1], 1)}


def measure(rest, devices):
    while number(scrape(rest)[0], "flotilla_devices_online") < 0.99 * devices:
        time.sleep(1)
    time.sleep(10)
    gathered, waited = [], []
    for _ in range(SCRAPES):
        text, ms = scrape(rest)
        gathered.append(1000 * number(text,
                                      "flotilla_metrics_gathering_seconds"))
        waited.append(ms)
        time.sleep(0.5)
    return {"devices": devices, "scrapes": SCRAPES,
            "gathering_ms": spread(gathered), "waited_ms": spread(waited),
            "bytes": len(text),
            "series": sum(1 for line in text.split("\n")
                          if line and line[0] != "#")}


def main():
    bins, program, devices = sys.argv[1], sys.argv[2], int(sys.argv[3])
    interval = sys.argv[4] if len(sys.argv) > 4 else "5000"
    with tempfile.TemporaryDirectory(prefix="flo-scrape-") as folder:
        controller = subprocess.Popen(
            [os.path.join(bins, "flotilla-controller"), "--data",
             folder + "/data", "--listen", "127.0.0.1:0", "--fleet", "bench",
             "--broker-linger", "0s"], stdout=subprocess.PIPE, text=True,
            stderr=open(folder + "/log", "w", encoding="utf-8"))
        facts = {}
        for line in controller.stdout:
            word, value = line.split(None, 1)
            facts[word] = value.split()[0]
            if word == "token":
                break
        with open(facts["token"], encoding="utf-8") as file:
            bearer = "Bearer " + file.read().strip()
        request = urllib.request.Request(
            facts["rest"] + "/v1/tokens",
            json.dumps({"kind": "enroll", "uses": devices}).encode(),
            {"Authorization": bearer, "Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            token = json.load(answer)["token"]
        descriptor = os.open(folder + "/token", os.O_CREAT | os.O_WRONLY, 0o600)
        os.write(descriptor, token.encode())
        os.close(descriptor)
        sim = subprocess.Popen(
            [program, "--controller",
             facts["devices"], "--token-file", folder + "/token", "--devices",
             str(devices), "--interval", interval], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=dict(os.environ,
                     SSL_CERT_FILE=folder + "/data/pki/ca.pem"))
        try:
            print(json.dumps(measure(facts["rest"], devices)))
        finally:
            sim.terminate()
            sim.wait()
            controller.terminate()
            controller.wait()


if __name__ == "__main__":
    main()
