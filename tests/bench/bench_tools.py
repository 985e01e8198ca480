#!/usr/bin/env python3
"""Right calls: the model decides whether and what to call, next to llama-server.

usage: bench_tools.py BIN_DIR [--peer COMMAND] [--model GGUF] [--prompts FILE]
                      [--only N]

Each line of tests/models/tools/prompts.jsonl is asked alone, with its tools and
tool_choice `auto` at temperature 0, plain and as a stream.  An answer is right
where its calls are the line's, by name and by the JSON values of arguments; no
call is right where no tool fits.  COMMAND starts llama-server: {model} and
{port} in it are replaced, as in
'llama-server -m {model} --port {port} --jinja -c 1024 -np 1 -t 1'.

wrong name: another tool, or another number of calls.  not parsed: a call was
due, and none or no JSON came.  without need: a call came where none was due.
Prints a row for each server and way, and each wrong answer of ours; ends with 1
if plain and streamed differ on our side.
"""
import argparse
import collections
import http.client
import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(TESTS, "integration"))

from test_local_api import Server  # noqa: E402

MODEL = os.path.join(TESTS, "models", "tiny-tools.Q8_0.gguf")
PROMPTS = os.path.join(TESTS, "models", "tools", "prompts.jsonl")
START_S = 120
MAX_TOKENS = 120
KINDS = ("right", "wrong name", "wrong arguments", "not parsed",
         "without need")


def added(events):
    """The calls that a stream adds up to, as (name, arguments)."""
    calls = []
    for line in events.split("\n"):
        if not line.startswith("data: {"):
            continue
        event = json.loads(line[6:])
        for delta in [d for choice in event.get("choices", ())
                      for d in choice["delta"].get("tool_calls") or ()]:
            if delta["index"] == len(calls):
                calls.append(["", ""])
            told = delta.get("function", {})
            calls[delta["index"]][0] += told.get("name") or ""
            calls[delta["index"]][1] += told.get("arguments") or ""
    return calls


def calls_of(post, line, is_streamed):
    """None: a call is no JSON."""
    status, answer = post({
        "messages": [{"role": "user", "content": line["prompt"]}],
        "tools": line["tools"], "tool_choice": "auto", "temperature": 0,
        "parallel_tool_calls": True, "max_tokens": MAX_TOKENS,
        "stream": is_streamed})
    if status != 200:
        raise ValueError("status %d: %s" % (status, answer[:300]))
    if is_streamed:
        calls = added(answer)
    else:
        message = json.loads(answer)["choices"][0]["message"]
        calls = [(c["function"]["name"], c["function"]["arguments"])
                 for c in message.get("tool_calls") or ()]
    try:
        return [{"name": name, "arguments": json.loads(arguments)}
                for name, arguments in calls]
    except ValueError:
        return None


def kind_of(calls, due):
    if calls == due:
        return "right"
    if not due:
        return "without need"
    if not calls:
        return "not parsed"
    if [c["name"] for c in calls] != [c["name"] for c in due]:
        return "wrong name"
    return "wrong arguments"


def measure(post, lines):
    """For plain and streamed: the calls of each line, and the seconds."""
    ways = []
    for is_streamed in (False, True):
        began = time.monotonic()
        calls = [calls_of(post, line, is_streamed) for line in lines]
        ways.append((calls, time.monotonic() - began))
    return ways


def told(name, ways, lines):
    for way, (calls, took) in zip(("plain", "streamed"), ways):
        found = collections.Counter(
            kind_of(c, line["calls"]) for c, line in zip(calls, lines))
        print("| %s, %s | %s | %.0f |" % (
            name, way, " | ".join(str(found[kind]) for kind in KINDS), took),
            flush=True)


def poster(connect):
    def post(body):
        connection = connect()
        connection.request("POST", "/v1/chat/completions", json.dumps(body),
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text
    return post


def ours(options, lines):
    with tempfile.TemporaryDirectory() as folder:
        server = Server(options.bin_dir, folder, model=options.model,
                        options=("--context", "1024"))
        try:
            return measure(poster(server.connect), lines)
        finally:
            server.close()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def is_healthy(port):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False


def theirs(options, lines):
    port = free_port()
    command = shlex.split(options.peer.format(
        model=os.path.abspath(options.model), port=port))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        began = time.monotonic()
        while not is_healthy(port):
            if process.poll() is not None or \
                    time.monotonic() - began > START_S:
                sys.exit("the peer does not start: %s" % options.peer)
            time.sleep(0.1)
        return measure(poster(lambda: http.client.HTTPConnection(
            "127.0.0.1", port, timeout=600)), lines)
    finally:
        process.terminate()
        process.wait()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin_dir")
    parser.add_argument("--peer")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--prompts", default=PROMPTS)
    parser.add_argument("--only", type=int, help="the first N prompts")
    options = parser.parse_args()
    with open(options.prompts) as file:
        lines = [json.loads(line) for line in file][:options.only]
    print("%d prompts, %s\n\n| server | %s | s |\n| --- |%s" % (
        len(lines), os.path.basename(options.model), " | ".join(KINDS),
        " --- |" * (len(KINDS) + 1)), flush=True)
    mine = ours(options, lines)
    told("flotilla-agent", mine, lines)
    if options.peer:
        told("llama-server", theirs(options, lines), lines)
    (plain, _), (streamed, _) = mine
    for line, calls, again in zip(lines, plain, streamed):
        if calls != line["calls"]:
            print("%s: %s: due %s, came %s" % (
                kind_of(calls, line["calls"]), line["prompt"],
                json.dumps(line["calls"]), json.dumps(calls)),
                file=sys.stderr)
        if calls != again:
            print("streamed otherwise: " + line["prompt"], file=sys.stderr)
    sys.exit(plain != streamed)


if __name__ == "__main__":
    main()
