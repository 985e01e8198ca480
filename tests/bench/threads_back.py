#!/usr/bin/env python3
"""How soon the engine's threads come back after a neighbour, and what they do
next to busy processes that stay.

usage: threads_back.py MODEL.gguf ENGINE [ENGINE_BEFORE] [--threads 2]
       [--rounds 12] [--for 0.5] [--busy 8]

An ENGINE is a flotilla-engine.  With two, both are measured in turns.  A
neighbour is one busy process that computes for half a second.  The threads are
back when eight tokens in a row took at most 1/0.95 of the median time before
the neighbour.  Figures depend on the machine: nothing else should run there."""
import argparse
import os
import statistics
import subprocess
import sys
import time

from bench_sides import Ours

TEST, TOKENS = "g8", 8
SHARE = 0.95
WAIT_S = 10
BUSY_LOOP = [sys.executable, "-c", "while True: pass"]


def step_ms(side):
    """Milliseconds of a token."""
    began = time.monotonic()
    side.ask(TEST)
    return (time.monotonic() - began) * 1e3 / TOKENS


def full_ms(side, seconds):
    until = time.monotonic() + seconds
    taken = []
    while time.monotonic() < until:
        taken.append(step_ms(side))
    return statistics.median(taken)


def back_after_s(side, full, seconds):
    """Seconds from the neighbour's end to full speed; None: not in time."""
    with subprocess.Popen(BUSY_LOOP) as neighbour:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            step_ms(side)
        neighbour.kill()
    ended = began = time.monotonic()
    while began < ended + WAIT_S:
        if step_ms(side) <= full / SHARE:
            return began - ended
        began = time.monotonic()
    return None


def busy_rate(side, count, seconds):
    """Tokens a second next to busy processes."""
    loops = [subprocess.Popen(BUSY_LOOP) for _ in range(count)]
    try:
        until = began = time.monotonic()
        until += seconds
        asked = 0
        while time.monotonic() < until:
            side.ask(TEST)
            asked += TOKENS
        return asked / (time.monotonic() - began)
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("engines", nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--for", type=float, default=0.5, dest="seconds")
    parser.add_argument("--busy", type=int, default=8)
    args = parser.parse_args()
    backs = {e: [] for e in args.engines}
    rates = {e: [] for e in args.engines}
    for turn in range(args.rounds):
        for engine in args.engines:
            with Ours(os.path.abspath(engine)).serve(
                    args.model, args.threads, 512) as side:
                full = full_ms(side, 3)
                back = back_after_s(side, full, args.seconds)
                rate = busy_rate(side, args.busy, 8)
                backs[engine].append(back if back is not None else WAIT_S)
                rates[engine].append(rate)
                print("%2d %s: %.2f ms a token; back after %s s; next to %d "
                      "busy processes %.1f tokens/s" % (
                          turn + 1, engine, full,
                          "%.2f" % back if back is not None else "10 and more",
                          args.busy, rate), flush=True)
    for engine in args.engines:
        print("%s: back after %.2f s (%.2f to %.2f); busy %.1f tokens/s" % (
            engine, statistics.median(backs[engine]), min(backs[engine]),
            max(backs[engine]), statistics.median(rates[engine])))
    if len(args.engines) == 2:
        one, before = args.engines
        print("busy, in turns: %.3f of the one before" % statistics.median(
            a / b for a, b in zip(rates[one], rates[before])))


if __name__ == "__main__":
    main()
