#!/usr/bin/env python3
"""How long a short prompt waits behind another client's long one.

usage: fairness.py BIN MODEL [--words N] [--rounds N]

Starts BIN/flotilla-agent serve; one client asks with N words, another with a
few words 20 ms later; both stream.  Prints milliseconds to the first token."""
import argparse
import http.client
import json
import random
import re
import statistics
import subprocess
import threading
import time

DICE = random.Random(1)


def first_token_ms(port, text):
    began = time.monotonic()
    link = http.client.HTTPConnection("127.0.0.1", port)
    body = {"stream": True, "max_tokens": 8, "temperature": 0,
            "messages": [{"role": "user", "content": text}]}
    link.request("POST", "/v1/chat/completions", json.dumps(body))
    answer = link.getresponse()
    for line in answer if answer.status == 200 else []:
        if line.startswith(b"data:") and b'"content":"' in line:
            ms = 1000 * (time.monotonic() - began)
            answer.read()
            return ms
    raise SystemExit("no token: %d %s" % (answer.status, answer.read()))


def words(count):
    return " ".join("%d" % DICE.randrange(1000) for _ in range(count))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bin")
    parser.add_argument("model")
    parser.add_argument("--words", type=int, default=110)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    agent = subprocess.Popen(
        [args.bin + "/flotilla-agent", "serve", "--model", args.model,
         "--listen", "127.0.0.1:0", "--threads", "1"],
        stdout=subprocess.PIPE, text=True)
    try:
        port = None
        for line in agent.stdout:
            found = re.search(r"\(port (\d+)\)", line)
            port = int(found.group(1)) if found else port
            if line.startswith("serving"):
                break
        alone, long, short = [], [], []
        for _ in range(args.rounds):
            alone.append(first_token_ms(port, words(8)))
            thread = threading.Thread(target=lambda: long.append(
                first_token_ms(port, words(args.words))))
            thread.start()
            time.sleep(0.02)
            short.append(first_token_ms(port, words(8)))
            thread.join()
        for name, times in (("short alone", alone), ("short behind", short),
                            ("long", long)):
            print("%-13s %7.1f ms median, %7.1f ms worst" %
                  (name, statistics.median(times), max(times)))
    finally:
        agent.terminate()
        agent.wait()


main()
