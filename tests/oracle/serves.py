#!/usr/bin/env python3
"""Serve each GGUF of a folder by `flotilla-agent serve`, in its sandbox, and ask it what
an application would ask: a chat, a stream, log-probabilities, an answer by a JSON
Schema; an encoder is asked for vectors, a reranker for scores.

usage: serves.py FOLDER [--bin DIR] [--backend llama] [--accept-inexact] [--only TEXT]

Prints a line for each file, and `N/M serve` at the end.  The models are random, so
nothing is said of their words: an answer has to come whole, in the form that was
asked for, with finite numbers."""
import argparse
import glob
import http.client
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile

HANG_S = 600
SCHEMA = {"type": "object", "properties": {"level": {"enum": ["low", "high"]}},
          "required": ["level"], "additionalProperties": False}


class Refused(Exception):
    pass


class Server:
    def __init__(self, args, path, folder):
        self.socket = os.path.join(folder, "s")
        options = ["--backend", args.backend] if args.backend else []
        options += ["--accept-inexact"] if args.accept_inexact else []
        self.process = subprocess.Popen(
            [os.path.join(args.bin, "flotilla-agent"), "serve", "--model", path,
             "--listen", "unix:" + self.socket, "--no-pack", *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if line.startswith("serving ") and "loaded" in line:
                return
        raise Refused(self.process.stderr.read().strip().split("\n")[0])

    def ask(self, path, body):
        connection = http.client.HTTPConnection("localhost", timeout=HANG_S)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(HANG_S)
        connection.sock.connect(self.socket)
        connection.request("POST", path, json.dumps(body))
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        if answer.status != 200:
            raise Refused("%s: %d %s" % (path, answer.status, text[:160]))
        return text

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=HANG_S)


def finite(numbers):
    if not numbers or not all(math.isfinite(x) for x in numbers):
        raise Refused("numbers that are not finite, or none")


def ask_language(server):
    chat = {"messages": [{"role": "user", "content": "a b c"}], "temperature": 0,
            "max_tokens": 8}
    try:
        server.ask("/v1/chat/completions", chat)
        path = "/v1/chat/completions"
    except Refused as error:
        if "template" not in str(error):
            raise
        path, chat = "/v1/completions", {"prompt": "a b c", "temperature": 0, "max_tokens": 8}
    body = json.loads(server.ask(path, {**chat, "logprobs": True if "chat" in path else 1}))
    choice = body["choices"][0]["logprobs"]
    finite([entry["logprob"] for entry in choice["content"]] if "chat" in path
           else choice["token_logprobs"])
    text = server.ask(path, {**chat, "stream": True})
    if not text.rstrip().endswith("data: [DONE]"):
        raise Refused("a stream without its end")
    formed = json.loads(server.ask(path, {
        **chat, "max_tokens": 64,
        "response_format": {"type": "json_schema",
                            "json_schema": {"name": "x", "schema": SCHEMA}}}))
    first = formed["choices"][0]
    json.loads(first["message"]["content"] if "chat" in path else first["text"])["level"]
    return "chat" if "chat" in path else "text"


def ask_encoder(server):
    body = json.loads(server.ask("/v1/embeddings", {"input": ["a b c", "d e f"]}))
    for entry in body["data"]:
        finite(entry["embedding"])
    return "vectors"


def ask_ranker(server):
    body = json.loads(server.ask("/v1/rerank", {
        "query": "a b", "documents": ["a b c", "d e f"]}))
    finite([entry["relevance_score"] for entry in body["results"]])
    return "scores"


def play(args, path):
    name = os.path.basename(path)
    ask = ask_ranker if "rerank" in name else ask_encoder if "embed" in name else ask_language
    with tempfile.TemporaryDirectory() as folder:
        server = Server(args, path, folder)
        try:
            return ask(server)
        finally:
            server.close()


def main():
    parse = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parse.add_argument("folder")
    parse.add_argument("--bin", default="build/bin")
    parse.add_argument("--backend", default="")
    parse.add_argument("--accept-inexact", action="store_true")
    parse.add_argument("--only", default="")
    args = parse.parse_args()
    good, files = 0, sorted(glob.glob(os.path.join(args.folder, "*.gguf")))
    files = [path for path in files if re.search(args.only, os.path.basename(path))]
    for path in files:
        try:
            print("%-32s %s" % (os.path.basename(path), play(args, path)), flush=True)
            good += 1
        except (Refused, OSError, ValueError, KeyError) as error:
            print("%-32s NO  %s" % (os.path.basename(path), error), flush=True)
    print("%d/%d serve" % (good, len(files)))
    return 0 if good == len(files) else 1


if __name__ == "__main__":
    sys.exit(main())
