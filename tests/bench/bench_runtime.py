#!/usr/bin/env python3
"""Overhead of `flotilla-engine proxy` against its runtime asked directly.

bench_runtime.py [--pairs N] [--tokens N] [--pace MS] [--bin DIR]

Both ways ask the same server process (tests/integration/fake_runtime.py), in
turn, with the way that begins changing.  Directly: HTTP over the server's
socket, each piece parsed.  By the proxy: the agent's frames.  Each request is
timed to its first piece and to its end.
"""
import argparse
import json
import os
import pathlib
import socket
import statistics
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
parser = argparse.ArgumentParser()
parser.add_argument("--pairs", type=int, default=40)
parser.add_argument("--tokens", type=int, default=64)
parser.add_argument("--pace", type=int, default=5, help="ms before a piece")
parser.add_argument("--bin", default=str(ROOT / "build/bin"))
options = parser.parse_args()
os.environ["FLOTILLA_BIN"] = options.bin
sys.path[:0] = [str(ROOT / "tests/integration"), str(ROOT / "tools")]
import test_proxy  # noqa: E402


def directly(path, tokens):
    """(seconds to the first piece, to the end, pieces)."""
    body = json.dumps({
        "messages": [{"role": "user", "content": "long"}], "stream": True,
        "max_tokens": tokens}).encode()
    began = time.perf_counter()
    first, pieces, buffer = None, 0, b""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        server.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
                       b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" %
                       (len(body), body))
        is_done = False
        while not is_done:
            data = server.recv(1 << 16)
            assert data
            buffer += data
            while b"\n\n" in buffer:
                event, buffer = buffer.split(b"\n\n", 1)
                start = event.find(b"data: ")
                if event.endswith(b"[DONE]"):
                    is_done = True
                elif start >= 0:
                    choices = json.loads(event[start + 6:])["choices"]
                    if choices and choices[0]["delta"].get("content"):
                        pieces += 1
                        first = first or time.perf_counter() - began
    return first, time.perf_counter() - began, pieces


def by_proxy(proxy, tokens):
    began = time.perf_counter()
    request = proxy.ask("long", max_tokens=tokens)
    first, pieces = None, 0
    while True:
        frame = proxy.receive()
        assert frame.request == request
        if frame.kind != test_proxy.TOKEN:
            assert frame.kind == test_proxy.DONE, frame.text(2)
            return first, time.perf_counter() - began, pieces
        pieces += 1
        first = first or time.perf_counter() - began


def main():
    test_proxy.ANSWERS["long"] = " ".join(["word"] * (options.tokens + 8))
    with tempfile.TemporaryDirectory() as folder:
        before = set(pathlib.Path("/tmp").glob("flotilla-runtime.*"))
        fault = "slow:%d" % options.pace if options.pace else ""
        proxy = test_proxy.Proxy(pathlib.Path(folder), fault,
                                 context=4 * options.tokens)
        proxy.ready()
        place = str((set(pathlib.Path("/tmp").glob("flotilla-runtime.*")) -
                     before).pop() / "http.sock")
        rows = []
        for i in range(options.pairs + 2):
            ways = [lambda: directly(place, options.tokens),
                    lambda: by_proxy(proxy, options.tokens)]
            order = (0, 1) if i % 2 == 0 else (1, 0)
            got = [None, None]
            for way in order:
                got[way] = ways[way]()
            assert got[0][2] == got[1][2] == options.tokens, got
            if i >= 2:  # the first ones warm up
                rows.append(got)
        proxy.end()
    direct = statistics.median(r[0][1] for r in rows)
    added = statistics.median(r[1][1] - r[0][1] for r in rows)
    first = statistics.median(r[1][0] - r[0][0] for r in rows)
    print(json.dumps({
        "pairs": len(rows), "tokens": options.tokens, "pace_ms": options.pace,
        "direct_ms": round(direct * 1e3, 3),
        "added_ms_per_request": round(added * 1e3, 3),
        "added_ms_first_piece": round(first * 1e3, 3),
        "added_ms_per_token": round(added * 1e3 / options.tokens, 4),
        "added_percent": round(100 * added / direct, 2)}))


main()
