#!/usr/bin/env python3
"""Memory and swap time of several models in one `flotilla-agent serve`, next to
one program for each.

usage: models.py BIN_DIR OUT.json [FILE.gguf FILE.gguf FILE.gguf FILE.gguf]

Memory is Pss (shared pages count once), so it needs root.  The files lie in the
page cache.  Four different models are needed; two names of one file are
measured as well.
"""
import atexit
import http.client
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
MODELS = os.path.join(ROOT, "tests", "models")
SMALL = [os.path.join(MODELS, name + ".gguf") for name in (
    "tiny-v1.Q4_0", "tiny-v2.Q4_0", "tiny-v2.1.Q4_0", "tiny-v1.Q8_0")]
SWAPS = 6
SERVES_S = 10.2  # an on-demand model gives way after so long


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=120)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect(self.path)


class Server:
    def __init__(self, bin_dir, folder, models, *flags):
        self.path = os.path.join(folder, "api%d" % time.monotonic_ns())
        self.out = self.path + ".out"
        line = [os.path.join(bin_dir, "flotilla-agent"), "serve", "--no-pack",
                "--listen", "unix:" + self.path]
        for name, file in models.items():
            line += ["--model", "%s=%s" % (name, file)]
        self.began = time.monotonic()
        self.process = subprocess.Popen(line + list(flags),
                                        stdout=open(self.out, "wb"))
        atexit.register(self.process.kill)  # after a failure

    def said(self):
        return open(self.out, encoding="utf-8").read()

    def wait(self, names):
        end = time.monotonic() + 120
        while not all("serving %s@" % name in self.said() for name in names):
            assert self.process.poll() is None and time.monotonic() < end
            time.sleep(0.002)

    def ask(self, model, tokens=1):
        """(seconds until the whole answer, its timings)"""
        began = time.monotonic()
        connection = Unix(self.path)
        connection.request("POST", "/v1/completions", json.dumps({
            "model": model, "prompt": "Rate this log line: link lost",
            "max_tokens": tokens, "ignore_eos": True}))
        answer = connection.getresponse()
        body = json.loads(answer.read())
        connection.close()
        assert answer.status == 200, body
        return time.monotonic() - began, body["timings"]

    def processes(self):
        pid = self.process.pid
        with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
            return [pid] + [int(word) for word in file.read().split()]

    def close(self):
        self.process.terminate()
        assert self.process.wait(60) == 0


def pss(servers):
    total = 0
    for server in servers:
        for pid in server.processes():
            with open("/proc/%d/smaps_rollup" % pid) as file:
                total += int(re.search(r"^Pss:\s+(\d+)", file.read(),
                                       re.M).group(1)) * 1024
    return total


def together(bin_dir, folder, models):
    server = Server(bin_dir, folder, models, "--memory", "1000000")
    server.wait(models)
    for name in models:
        server.ask(name, 64)
    value = pss([server])
    server.close()
    return value


def apart(bin_dir, folder, models):
    servers = [Server(bin_dir, folder, {name: file})
               for name, file in models.items()]
    for server, name in zip(servers, models):
        server.wait([name])
        server.ask(name, 64)
    value = pss(servers)
    for server in servers:
        server.close()
    return value


def planned(bin_dir, folder, models, *flags):
    """Bytes of each model as the plan says them: its own and mapped ones."""
    server = Server(bin_dir, folder, models, "--memory", "1000000", *flags)
    server.wait(models)
    told = re.findall(r"plan: (\S+) stays, rung 0: (\d+) .*own, (\d+) mapped",
                      server.said())
    server.close()
    return {name: int(own) + int(mapped) for name, own, mapped in told}


def swaps(bin_dir, folder, models):
    """One model stays, the others take turns: ms of the load as the request saw
    it, and until its first token."""
    names = list(models)
    least = planned(bin_dir, folder, models, "--context", "512",
                    "--sessions", "1")
    mib = ((least[names[0]] + max(least[name] for name in names[1:]))
           >> 20) + 1
    server = Server(bin_dir, folder, models, "--memory", str(mib),
                    "--pin", names[0])
    server.wait(names[:1])
    loads, answers, alone = [], [], []
    for i in range(SWAPS):
        name = names[1 + i % (len(names) - 1)]
        seconds, timings = server.ask(name)
        assert timings["load_ms"] > 0
        loads.append(timings["load_ms"])
        answers.append(seconds * 1e3)
        alone.append(server.ask(name)[0] * 1e3)
        time.sleep(SERVES_S)
    said = server.said()
    server.close()
    return {"memory_mib": mib, "on_demand": said.count(" on demand, rung"),
            "load_ms": statistics.median(loads), "load_ms_most": max(loads),
            "answer_ms": statistics.median(answers),
            "answer_ms_loaded": statistics.median(alone)}


def start_ms(bin_dir, folder, file):
    """A program of its own: from its start to its first answer."""
    values = []
    for _ in range(SWAPS):
        server = Server(bin_dir, folder, {"one": file})
        server.wait(["one"])
        server.ask("one")
        values.append((time.monotonic() - server.began) * 1e3)
        server.close()
    return statistics.median(values)


def main():
    bin_dir, out = sys.argv[1:3]
    files = sys.argv[3:] or SMALL
    assert len(files) == 4
    os.environ["FLOTILLA_PACK_CACHE"] = "off"
    for file in files:
        open(file, "rb").read()
    result = {"files": [os.path.basename(file) for file in files],
              "bytes": [os.path.getsize(file) for file in files]}
    with tempfile.TemporaryDirectory(prefix="flo-bench-") as folder:
        for count in (1, 2, 4):
            models = {"m%d" % i: files[i] for i in range(count)}
            result["pss_%d" % count] = {
                "together": together(bin_dir, folder, models),
                "apart": apart(bin_dir, folder, models)}
        shared = {"m0": files[0], "m1": files[0]}
        result["pss_two_of_one_file"] = together(bin_dir, folder, shared)
        result["swap"] = swaps(bin_dir, folder,
                               {"m%d" % i: files[i] for i in range(4)})
        result["start_ms"] = start_ms(bin_dir, folder, files[0])
    with open(out, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
    for key, value in result.items():
        print(key, value)


if __name__ == "__main__":
    main()
