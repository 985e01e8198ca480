#!/usr/bin/env python3
"""Cost of each front of the local API against chat completions.

bench_fronts.py [--rounds N] [--tokens N] [--model FILE] [--bin DIR]

One `flotilla-agent serve` answers the same conversation in each API's words,
streamed, at temperature 0, with a model that hardly ends.  Rounds take the fronts in turns, and the one that
begins changes.  The client reads bytes and parses nothing: a request is timed
to the first byte of its first piece and to its end.  Each row is the median of
differences or ratios to the chat completion of the same round.
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
parser.add_argument("--rounds", type=int, default=60)
parser.add_argument("--tokens", type=int, default=256)
parser.add_argument("--model", default=str(
    ROOT / "tests/models/tiny-v2.Q4_0.gguf"))
parser.add_argument("--bin", default=str(ROOT / "build/bin"))
options = parser.parse_args()
os.environ["FLOTILLA_BIN"] = options.bin
sys.path.insert(0, str(ROOT / "tests/integration"))
import test_local_api  # noqa: E402

SAID = [{"role": "user", "content": "Say the log lines of a long day, one by "
                                    "one, and do not come to an end."}]
COMMON = {"model": "any", "messages": SAID, "stream": True, "temperature": 0}
# A front: its path, its body, the mark of its first piece.
FRONTS = {
    "chat": ("/v1/chat/completions",
             {**COMMON, "max_tokens": options.tokens}, b'"content":"'),
    "ollama": ("/api/chat", {
        **{key: value for key, value in COMMON.items()
           if key != "temperature"},
        "options": {"temperature": 0, "num_predict": options.tokens}},
        b'"content":"'),
    "anthropic": ("/v1/messages", {**COMMON, "max_tokens": options.tokens},
                  b"event: content_block_delta"),
    "responses": ("/v1/responses", {
        **{key: value for key, value in COMMON.items() if key != "messages"},
        "input": SAID, "max_output_tokens": options.tokens},
        b"event: response.output_text.delta"),
}


def timed(server, front):
    """(seconds to the first piece, to the end, pieces)"""
    path, body, mark = FRONTS[front]
    text, first = b"", None
    connection = server.connect()
    body = json.dumps(dict(body, model=server.model))
    began = time.perf_counter()
    connection.request("POST", path, body)
    answer = connection.getresponse()
    if answer.status == 404:
        return None
    assert answer.status == 200, answer.read()
    while True:
        piece = answer.read1()
        if not piece:
            break
        text += piece
        if first is None and mark in text:
            first = time.perf_counter() - began
    ended = time.perf_counter() - began
    connection.close()
    return first, ended, text.count(mark)


def endless(path, folder):
    """The model with another end of its answers: they get long."""
    key = b"tokenizer.ggml.eos_token_id"
    with open(path, "rb") as file:
        data = bytearray(file.read().replace(b"<|im_end|>", b"<|im_enx|>"))
    at = data.index(key) + len(key)
    assert data[at:at + 4] == b"\4\0\0\0"  # a number of 32 bits
    data[at + 4:at + 8] = b"\0\0\0\0"
    copy = os.path.join(folder, "endless.gguf")
    with open(copy, "wb") as file:
        file.write(data)
    return copy


def main():
    with tempfile.TemporaryDirectory() as folder:
        server = test_local_api.Server(
            options.bin, folder, endless(options.model, folder), token=None)
        server.model = server.call("GET", "/v1/models")[2]["data"][0]["id"]
        fronts = [one for one in FRONTS if timed(server, one) is not None]
        rows = []
        for turn in range(options.rounds):
            shift = turn % len(fronts)
            rows.append({one: timed(server, one)
                         for one in fronts[shift:] + fronts[:shift]})
        server.close()
    print("%d rounds, %d pieces of a chat, %.0f pieces/s, first after %.2f ms" % (
        len(rows), rows[0]["chat"][2],
        statistics.median(row["chat"][2] / row["chat"][1] for row in rows),
        1e3 * statistics.median(row["chat"][0] for row in rows)))
    for one in fronts[1:]:
        print("%-10s first piece %+.3f ms, whole answer %+.1f %%, %d pieces" % (
            one,
            1e3 * statistics.median(row[one][0] - row["chat"][0]
                                    for row in rows),
            100 * statistics.median(row[one][1] / row["chat"][1] - 1
                                    for row in rows), rows[0][one][2]))


main()
