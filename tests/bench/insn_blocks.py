"""Counts of count_insns.c: the total of an answer, and which functions and
blocks its instructions are in."""
import bisect
import collections
import os
import re
import subprocess

Block = collections.namedtuple("Block", "times insns address")
Place = collections.namedtuple("Place", "file function offset")


class Answer:
    """One answer: the blocks that ran, and where files were mapped."""

    def __init__(self, lines):
        self.blocks, self.maps = [], []
        for line in lines:
            parts = line.split()
            if "-" not in parts[0]:
                self.blocks.append(Block(int(parts[0]), int(parts[1]),
                                         int(parts[2], 16)))
            elif len(parts) > 5 and parts[5].startswith("/"):
                first, last = (int(n, 16) for n in parts[0].split("-"))
                self.maps.append((first, last, int(parts[2], 16),
                                  " ".join(parts[5:])))

    def total(self):
        return sum(b.times * b.insns for b in self.blocks)

    def place(self, address, symbols):
        for first, last, offset, path in self.maps:
            if first <= address < last:
                return symbols(path).place(address - first + offset)
        return Place("?", "?", address)


class Symbols:
    """Functions of an ELF file by their place in the file."""

    def __init__(self, path, prefix):
        self.name = os.path.basename(path)
        self.segments = [tuple(int(n, 16) for n in found) for found in
                         re.findall(r"LOAD +(0x\w+) (0x\w+) 0x\w+ (0x\w+)",
                                    told(prefix + "readelf", "-lW", path))]
        known = re.findall(r"^(\w+) (?:\w+ )?[tTwWiI] (.+)$",
                           told(prefix + "nm", "-nC", path), re.M)
        self.starts = [int(address, 16) for address, _ in known]
        self.names = [name for _, name in known]

    def place(self, offset):
        for start, address, count in self.segments:
            if start <= offset < start + count:
                offset += address - start
                break
        at = bisect.bisect_right(self.starts, offset) - 1
        return Place(self.name, self.names[at] if at >= 0 else "?", offset)


def told(*command):
    return subprocess.run(command, capture_output=True, text=True,
                          check=False).stdout


def read_answers(path):
    """The first one is the start of the program."""
    with open(path, encoding="utf-8") as f:
        return [Answer(text.splitlines())
                for text in f.read().split("\n\n") if text.strip()]


def profile(answer, prefix, tokens, functions=12, blocks=16):
    """Text: where the millions of instructions per token are."""
    cache, sums = {}, collections.Counter()

    def symbols(path):
        if path not in cache:
            cache[path] = Symbols(path, prefix)
        return cache[path]

    each = sorted(answer.blocks, key=lambda b: -b.times * b.insns)
    places = [answer.place(b.address, symbols) for b in each]
    for block, place in zip(each, places):
        sums[place.file, place.function] += block.times * block.insns
    lines = ["%9.3f  %s  %s" % (count / tokens / 1e6, *name)
             for name, count in sums.most_common(functions)]
    lines += ["", "blocks: millions per token, instructions, times per token"]
    lines += ["%9.3f %5d %10.0f  %s +%x  %s" % (
        b.times * b.insns / tokens / 1e6, b.insns, b.times / tokens,
        p.file, p.offset, p.function)
              for b, p in list(zip(each, places))[:blocks]]
    return "\n".join(lines) + "\n"
