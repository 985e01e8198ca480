#!/usr/bin/env python3
"""Several requests in one engine process: what they cost each other.

usage: together.py BIN_DIR MODEL [--packed FILE] [--threads N] [--rounds N]
                   [--tokens N] [--only PART] [--json FILE]

  first token   of an interactive request next to four batch requests (whose
                prompts and answers never end), against the same alone
  together      tokens/s of four answers at once, against one alone
  guesses       tokens/s with prompt lookup against without, on a text to be
                repeated with a change (JSON, summary) and on free text
  beginning     first token after a system prompt that another request had

Runs alternate; a ratio is the median of those of neighbours.  The frames are those of
engine/include/flotilla/engine_wire.h.
"""
import argparse
import array
import json
import os
import select
import socket
import statistics
import struct
import subprocess
import time

OPEN, GENERATE, CANCEL = 1, 2, 3
READY, TOKEN, DONE, FAILED = 101, 102, 103, 104
USER, BATCH = 0, 2
HEAD = struct.Struct("<IIHHI")


def field(tag, value):
    data = value if isinstance(value, bytes) else struct.pack("<Q", value)
    return struct.pack("<HI", tag, len(data)) + data


class Engine:
    """One engine process."""

    def __init__(self, path, model, packed, threads, context, sessions, draft=None):
        ours, theirs = socket.socketpair()
        self.fd, self.data, self.next = ours, b"", 1

        def become_three():
            os.dup2(theirs.fileno(), 3)

        self.process = subprocess.Popen([path, "worker"], close_fds=False,
                                        preexec_fn=become_three)
        theirs.close()
        files = [f for f in (model, packed, draft) if f]
        self.open(files, field(1, context) + field(2, threads) + field(3, sessions) +
                  (field(12, 1) if draft else b""))
        kind, _, fields = self.read()
        if kind != READY:
            raise SystemExit(fields.get(2, b"?").decode())

    def open(self, names, payload):
        files = [os.open(name, os.O_RDONLY) for name in names]
        frame = HEAD.pack(0x31574c46, len(payload), OPEN, 0, 0) + payload
        self.fd.sendmsg([frame], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                   array.array("i", files))])
        for fd in files:
            os.close(fd)

    def say(self, kind, request, payload=b""):
        self.fd.sendall(HEAD.pack(0x31574c46, len(payload), kind, 0, request)
                        + payload)

    def ask(self, text, tokens, priority=USER, guesses=True, chat=True,
            seed=1):
        request, self.next = self.next, self.next + 1
        payload = field(4, tokens) + field(5, priority) + field(6, 1)
        payload += field(12, seed) + (b"" if guesses else field(14, 1))
        if chat:
            payload += field(100, b"user") + field(101, text.encode())
        else:
            payload += field(1, text.encode())
        self.say(GENERATE, request, payload)
        return request

    def read(self, timeout=120):
        while True:
            if len(self.data) >= HEAD.size:
                _, size, kind, _, request = HEAD.unpack_from(self.data)
                if len(self.data) >= HEAD.size + size:
                    payload = self.data[HEAD.size:HEAD.size + size]
                    self.data = self.data[HEAD.size + size:]
                    return kind, request, self.fields(payload)
            if not select.select([self.fd], [], [], timeout)[0]:
                raise SystemExit("no answer in time")
            got = self.fd.recv(1 << 16)
            if not got:
                raise SystemExit("the engine ended")
            self.data += got

    @staticmethod
    def fields(payload):
        out, at = {}, 0
        while at < len(payload):
            tag, size = struct.unpack_from("<HI", payload, at)
            out[tag] = payload[at + 6:at + 6 + size]
            at += 6 + size
        return out

    def first(self, request):
        """Seconds until the first token of this request, then its end."""
        began, took = time.perf_counter(), None
        while True:
            kind, whose, fields = self.read()
            if whose != request:
                continue
            if kind == TOKEN and took is None:
                took = time.perf_counter() - began
            if kind in (DONE, FAILED):
                return took, self.numbers(fields)

    @staticmethod
    def numbers(fields):
        return {tag: struct.unpack("<Q", data)[0]
                for tag, data in fields.items() if len(data) == 8}

    def cancel(self, requests):
        for request in requests:
            self.say(CANCEL, request)
        left = set(requests)
        while left:
            kind, whose, _ = self.read()
            if kind in (DONE, FAILED):
                left.discard(whose)

    def close(self):
        self.fd.close()
        self.process.wait()


def words(count, seed):
    names = ("river stone window market engine paper silver garden number "
             "letter winter road bridge music island copper").split()
    return " ".join(names[(i * 7 + seed * (i + 3)) % len(names)]
                    for i in range(count))


def ratio(a, b):
    """Median of the ratios of neighbouring runs."""
    return statistics.median(x / y for x, y in zip(a, b))


def first_token(engine, rounds, prompt_words):
    alone, beside = [], []
    for i in range(rounds):
        text = words(prompt_words, 2 * i)
        alone.append(engine.first(engine.ask(text, 4))[0])
        load = [engine.ask(words(150, 100 + 10 * i + k), 100000, BATCH)
                for k in range(4)]
        seen = set()
        while len(seen) < 2 + i % 3:  # some still in their prompts
            kind, whose, _ = engine.read()
            if kind == TOKEN:
                seen.add(whose)
        text = words(prompt_words, 2 * i + 1)
        beside.append(engine.first(engine.ask(text, 4))[0])
        engine.cancel(load)
    return {"alone_ms": statistics.median(alone) * 1e3,
            "beside_ms": statistics.median(beside) * 1e3,
            "ratio": ratio(beside, alone)}


def speed(engine, texts, tokens, **how):
    """Tokens/s of these together, from the last first token on."""
    requests = {engine.ask(t, tokens, **how): 0 for t in texts}
    began, open_ones = None, len(requests)
    made = 0
    numbers = {}
    while open_ones:
        kind, whose, fields = engine.read()
        if kind == TOKEN:
            requests[whose] += 1
            made += began is not None
            if began is None and all(requests.values()):
                began = time.perf_counter()
        elif kind in (DONE, FAILED):
            open_ones -= 1
            numbers = engine.numbers(fields)
    return made / (time.perf_counter() - began), numbers


def together(engine, rounds):
    one, four = [], []
    for i in range(rounds):
        one.append(speed(engine, [words(20, i)], 48, guesses=False)[0])
        four.append(speed(engine, [words(20, 50 + 4 * i + k)
                                   for k in range(4)], 48)[0])
    return {"one": statistics.median(one), "four": statistics.median(four),
            "ratio": ratio(four, one)}


RECORDS = [{"device": "gw-%03d" % i, "site": "hall-%d" % (i % 3),
            "temperature": 40 + i, "state": "ok"} for i in range(8)]
TEXTS = {
    "json": "Repeat this JSON exactly:\n" + json.dumps(RECORDS, indent=1),
    "summary": "Copy the following log, line by line:\n" + "\n".join(
        "2026-05-0%d 12:0%d pump-7 pressure low, valve %d opened by operator"
        % (i + 1, i, i) for i in range(8)),
    "free": "Write a long story about a lighthouse keeper and the sea.",
}


def guesses(engine, rounds, tokens):
    out = {}
    for name, text in TEXTS.items():
        got, last = {True: [], False: []}, {}
        for i in range(rounds):
            for on in ((True, False) if i % 2 else (False, True)):
                rate, numbers = speed(engine, [text], tokens, guesses=on)
                got[on].append(rate)
                last[on] = numbers
        out[name] = {"without": statistics.median(got[False]),
                     "with": statistics.median(got[True]),
                     "ratio": ratio(got[True], got[False]),
                     "guessed": last[True].get(12, 0),
                     "right": last[True].get(13, 0)}
    return out


def beginning(engine, rounds):
    cold, warm, cached = [], [], 0
    for i in range(rounds):
        system = words(300, 1000 + i)
        cold.append(engine.first(engine.ask(system + " One?", 2))[0])
        took, numbers = engine.first(engine.ask(system + " Two?", 2))
        warm.append(took)
        cached = numbers.get(9, 0)
    return {"cold_ms": statistics.median(cold) * 1e3,
            "warm_ms": statistics.median(warm) * 1e3,
            "ratio": ratio(cold, warm), "cached_tokens": cached}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bin")
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--packed", help="the model's packed weights")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=120)
    parser.add_argument("--only", default="")
    parser.add_argument("--json")
    args = parser.parse_args()
    engine = Engine(os.path.join(args.bin, "flotilla-engine"), args.model,
                    args.packed, args.threads, 2048, 4)
    result = {"model": os.path.basename(args.model), "threads": args.threads}
    parts = {
        "first_token_32": lambda: first_token(engine, args.rounds, 28),
        "first_token_256": lambda: first_token(engine, args.rounds, 240),
        "together": lambda: together(engine, args.rounds),
        "guesses": lambda: guesses(engine, args.rounds, args.tokens),
        "beginning": lambda: beginning(engine, args.rounds),
    }
    for name, part in parts.items():
        if args.only in name:
            result[name] = part()
            print(name, json.dumps(result[name]), flush=True)
    engine.close()
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(result, f, indent=1)


if __name__ == "__main__":
    main()
