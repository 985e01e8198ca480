#!/usr/bin/env python3
"""Draw a part of the lines of standard input: the same for the same seed.

usage: tests/run/part.py NUMERATOR/DENOMINATOR [SEED] [ALWAYS-PATTERN]
Lines that the pattern matches are always in it."""
import random
import re
import sys


def main():
    above, below = map(int, sys.argv[1].split("/"))
    chance = random.Random("part" + (sys.argv[2:] + [""])[0])
    always = re.compile((sys.argv[3:] + ["^$"])[0])
    lines = sorted(set(sys.stdin.read().split("\n")) - {""})
    drawn = [line for line in lines if not always.search(line)]
    drawn = chance.sample(drawn, -(-len(drawn) * above // below))
    for line in lines:
        if always.search(line) or line in drawn:
            print(line)


if __name__ == "__main__":
    main()
