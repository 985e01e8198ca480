#!/usr/bin/env python3
"""First token of another device of the site against that of one's own engine.

bench_routes.py [--rounds N] [--model FILE] [--golden FILE] [--words N[,N]]
                [--bin DIR]

A real fleet of two devices on loopback, each with the same release.  In each
round the same device streams one answer in both ways, and the way that begins
changes: by its own engine, and by the other device, because the application
asks for it.  The other way's surplus is the cost of proxy, relay, TLS and the
other agent.  Each request is timed to its first word.  No two prompts begin
alike, so that no kept prefix helps.  Each row has medians of the same rounds.
"""
import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
parser = argparse.ArgumentParser(usage=__doc__)
parser.add_argument("--rounds", type=int, default=40)
parser.add_argument("--model", default="tiny-v2.Q4_0.gguf")
parser.add_argument("--golden", default="golden-tiny-v2.json")
parser.add_argument("--words", default="8,400")
parser.add_argument("--bin", default=str(ROOT / "build/bin"))
options = parser.parse_args()
os.environ["FLOTILLA_BIN"] = options.bin
sys.path.insert(0, str(ROOT / "tests/integration"))
from conftest import Small  # noqa: E402
import test_route_fleet as R  # noqa: E402

WAYS = ("own", "other")
numbers = iter(range(1, 1 << 30))


def prompt(words):
    """As many words; none begins like one before."""
    return "%d oven lines of the night: " % next(numbers) + " ".join(
        ["voltage", "drop", "at", "the", "boiler"][i % 5]
        for i in range(words))


def timed(connection, text, headers):
    """(seconds to the first word, who served it)"""
    began = time.perf_counter()
    connection.request("POST", R.CHAT, R.body(
        stream=True, max_tokens=4,
        messages=[{"role": "user", "content": text}]),
        {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    first, data = None, b""
    while True:
        piece = answer.read1()
        if not piece:
            return first, answer.getheader("X-Flotilla-Served-By")
        data += piece
        if first is None and b'"content":"' in data.replace(
                b'"content":""', b""):
            first = time.perf_counter() - began


def ask(site, way, text):
    connection = site.south.connection()
    headers = {"X-Flotilla-Escalate": "1"} if way == "other" else {}
    first, by = timed(connection, text, headers)
    connection.close()
    assert by == ("north; reason=app" if way == "other" else "tiny@1"), by
    return first


def measure(site, words):
    rows = []
    for turn in range(options.rounds + 2):
        order = WAYS if turn % 2 == 0 else WAYS[::-1]
        rows.append({way: ask(site, way, prompt(words)) for way in order})
    return rows[2:]  # the first ones warm up


def main():
    with tempfile.TemporaryDirectory(prefix="flo-", dir="/tmp") as folder:
        fleet = Small(folder, options.bin, name="bench")
        try:
            fleet.up(["north", "south"])
            fleet.publish_whole("tiny@1", options.model, options.golden)
            fleet.roll("tiny@1")
            site = R.Pair(fleet)
            site.away(site.south, "north; reason=app")
            print("words  own ms  other ms  ratio  surplus ms")
            for words in map(int, options.words.split(",")):
                rows = measure(site, words)

                def median(of):
                    return statistics.median(of(row) for row in rows)
                print("%5d %7.2f %9.2f %6.2f %11.2f" % (
                    words, median(lambda row: 1e3 * row["own"]),
                    median(lambda row: 1e3 * row["other"]),
                    median(lambda row: row["other"] / row["own"]),
                    median(lambda row: 1e3 * (row["other"] - row["own"]))))
        finally:
            fleet.close()


main()
