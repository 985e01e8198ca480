#!/usr/bin/env python3
"""A draft file: how much faster answers get, and that they stay the same.

usage: drafts.py prompts SUITE --count N > PROMPTS
       drafts.py speed BIN_DIR MODEL SUITE DRAFT [--threads N] [--rounds N]
                 [--endless N]

  prompts  makes N prompts like those of the suite (log lines with other
           machines, times and events), and none that the suite has
  speed    answers the suite's prompts three ways in turns: without any guess,
           with prompt lookup, and with the draft file; compares all answers

The packed weights MODEL.packed are used if they exist (flotilla-engine pack).
With --endless each answer has N tokens, as if there were no end token.
Tokens/s count from the first token of an answer to its end.  A ratio is the
median of the rounds' ratios; in a round each prompt is answered each way.
"""
import argparse
import json
import os
import random
import re
import statistics

from together import DONE, GENERATE, TOKEN, Engine, field

LINE = re.compile(r"^Log: (\d\d:\d\d) ([a-z]+)-\d+ (.+) temp=\d+C\n(.*)$", re.S)


def cases(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def prompts(suite, count):
    parts = [LINE.match(case["prompt"]).groups() for case in suite]
    known = {case["prompt"] for case in suite}
    chance = random.Random(1)
    while count > 0:
        text = "Log: %02d:%02d %s-%d %s temp=%dC\n%s" % (
            chance.randrange(24), chance.randrange(60),
            chance.choice(parts)[1], chance.randrange(10, 100),
            chance.choice(parts)[2], chance.randrange(15, 80),
            chance.choice(parts)[3])
        if text not in known:
            print(json.dumps({"system": suite[0]["system"], "prompt": text}))
            known.add(text)
            count -= 1


class Drafted(Engine):
    """One engine process that answers cases."""

    def answer(self, case, guesses, endless):
        """Token ids and the numbers of DONE."""
        payload = field(4, endless or 128) + field(5, 0) + field(6, int(endless > 0))
        payload += b"" if guesses else field(14, 1)
        for role, text in (("system", case.get("system")), ("user", case["prompt"])):
            if text is not None:
                payload += field(100, role.encode()) + field(101, text.encode())
        self.next += 1
        self.say(GENERATE, self.next, payload)
        ids = []
        while True:
            kind, whose, fields = self.read()
            if whose == self.next and kind == TOKEN:
                ids.append(self.numbers(fields)[2])
            elif whose == self.next:
                if kind != DONE:
                    raise SystemExit(fields)
                return ids, self.numbers(fields)


class Way:
    """One way of answering, and what it gave in a round."""

    def __init__(self, engine, guesses):
        self.engine, self.guesses, self.rates = engine, guesses, []

    def begin(self):
        self.us = self.timed = self.guessed = self.right = self.tokens = 0

    def answer(self, case, endless):
        ids, done = self.engine.answer(case, self.guesses, endless)
        self.us += done.get(11, 0)
        self.timed += max(0, len(ids) - 1)
        self.guessed += done.get(12, 0)
        self.right += done.get(13, 0)
        self.tokens += len(ids)
        return ids

    def end(self):
        self.rates.append(self.timed * 1e6 / self.us)

    def line(self, base):
        return "%7.1f tokens/s, %.2f times, %d guessed, %d right, %.2f tokens a step" % (
            statistics.median(self.rates),
            statistics.median(a / b for a, b in zip(self.rates, base.rates)),
            self.guessed, self.right, self.tokens / (self.tokens - self.right))


def speed(options):
    suite = cases(options.suite)
    path = os.path.join(options.bin, "flotilla-engine")
    packed = options.model + ".packed"
    packed = packed if os.path.exists(packed) else None
    plain = Drafted(path, options.model, packed, options.threads, 512, 1)
    drafted = Drafted(path, options.model, packed, options.threads, 512, 1, options.draft)
    ways = {"none": Way(plain, False), "lookup": Way(plain, True), "draft": Way(drafted, True)}
    for i in range(options.rounds):
        for way in ways.values():
            way.begin()
        for at, case in enumerate(suite):
            order = list(ways.values()) if (i + at) % 2 else list(ways.values())[::-1]
            if len({tuple(way.answer(case, options.endless)) for way in order}) > 1:
                raise SystemExit("the answers differ: %s" % case["prompt"])
        for way in ways.values():
            way.end()
    for name, way in ways.items():
        print("%-7s %s" % (name, way.line(ways["none"])))
    print("%d answers, all the same" % len(suite))
    plain.close()
    drafted.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    verbs = parser.add_subparsers(required=True)
    make = verbs.add_parser("prompts")
    make.add_argument("suite")
    make.add_argument("--count", type=int, default=240)
    make.set_defaults(run=lambda o: prompts(cases(o.suite), o.count))
    run = verbs.add_parser("speed")
    for name in ("bin", "model", "suite", "draft"):
        run.add_argument(name)
    run.add_argument("--threads", type=int, default=1)
    run.add_argument("--rounds", type=int, default=5)
    run.set_defaults(run=speed)
    run.add_argument("--endless", type=int, default=0)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
