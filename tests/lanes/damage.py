"""Damaged GGUF files: in each, one value of the metadata or one field of a tensor
is changed. The seed and a number draw the change."""
import collections
import concurrent.futures
import http.client
import os
import random
import shlex
import struct
import subprocess
import sys

FORMS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<B",
         10: "<Q", 11: "<q", 12: "<d"}
TEXT, ARRAY = 8, 9


def another(draw, form, old):
    """A value of that form that is not the old one: a limit, a neighbour, or any."""
    bits = 8 * struct.calcsize(form)
    if form in ("<f", "<d"):
        values = [0.0, -1.0, -old, old * 2, 1e-30, 1e30, float("nan"), float("inf"),
                  -float("inf")]
    else:
        values = [0, 1, 2, 3, old + 1, old - 1, old * 2, old // 2, 2 ** 31, 2 ** bits - 1,
                  2 ** (bits - 1), draw.getrandbits(bits)]
    while True:
        value = draw.choice(values)
        if form in ("<f", "<d"):
            return struct.pack(form, value)
        packed = (int(value) % 2 ** bits).to_bytes(bits // 8, "little")
        if packed != struct.pack(form, old):
            return packed


def change_number(draw, g, at, form):
    return g.put(at, another(draw, form, struct.unpack_from(form, g.data, at)[0]))


def change_text(draw, g, at):
    chars = struct.unpack_from("<Q", g.data, at)[0]
    if chars == 0 or draw.random() < 0.2:
        return change_number(draw, g, at, "<Q")
    letter = at + 8 + draw.randrange(chars)
    return g.put(letter, bytes([draw.choice([0, 10, 32, 0x61, 0x7b, 0xc3, 0xff])]))


def change_value(draw, g, key):
    """The file with another kind, value, number of items or item of that key."""
    _, kind_at, at = g.keys[key]
    kind = struct.unpack_from("<I", g.data, kind_at)[0]
    if draw.random() < 0.1:
        return g.kind(key, draw.randrange(14))
    if kind == TEXT:
        return change_text(draw, g, at)
    if kind != ARRAY:
        return change_number(draw, g, at, FORMS[kind])
    item, count = struct.unpack_from("<IQ", g.data, at)
    if count == 0 or draw.random() < 0.2:
        return change_number(draw, g, *draw.choice([(at, "<I"), (at + 4, "<Q")]))
    at += 12
    if item != TEXT:
        return change_number(draw, g, at + draw.randrange(count) * struct.calcsize(FORMS[item]),
                             FORMS[item])
    for _ in range(draw.randrange(count)):
        at += 8 + struct.unpack_from("<Q", g.data, at)[0]
    return change_text(draw, g, at)


def change_tensor(draw, g, name):
    fields = g.tensors[name]
    dims = struct.unpack_from("<I", g.data, fields["dims"])[0]
    if draw.random() < 0.7:
        return change_number(draw, g, fields["shape"] + 8 * draw.randrange(dims), "<Q")
    what, form = draw.choice([("dims", "<I"), ("type", "<I"), ("offset", "<Q")])
    return change_number(draw, g, fields[what], form)


def damaged(seed, number, files):
    """The name of the changed field, and the bytes of that file."""
    draw = random.Random("%s/%d" % (seed, number))
    while True:
        path, g = draw.choice(files)
        if draw.random() < 0.6:
            what = draw.choice(sorted(g.keys))
            data = change_value(draw, g, what)
        else:
            what = draw.choice(sorted(g.tensors))
            data = change_tensor(draw, g, what)
        if data != g.data:
            return "%s: %s" % (os.path.basename(path), what), data


def play_all(play, jobs, seed):
    """Play each job, which gives an end and what was changed, and print the ends.
    Exits with 1 if one gave an end that is not allowed."""
    ends, failed = collections.Counter(), 0
    print("FLOTILLA_SEED=%s %s plays this alone" % (seed, shlex.join(sys.argv)), flush=True)

    def one(job):
        try:
            return play(*job)
        except (AssertionError, OSError, ValueError, http.client.HTTPException,
                subprocess.TimeoutExpired) as error:
            number, files = job
            return None, "file %d: %s: %r" % (number, damaged(seed, number, files)[0], error)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for end, what in pool.map(one, jobs):
            ends[end] += 1
            if end is None:
                failed += 1
                print("failed: " + what)
    print("%d damaged files (seed %s): %s" % (len(jobs), seed, ", ".join(
        "%s %d" % pair for pair in ends.most_common())))
    sys.exit(1 if failed or not jobs else 0)
