#!/usr/bin/env python3
"""600 tiny folders of others with one or two changes, and their own libraries' answers.

usage: play.py --bin DIR [--only ID,ID] [--keep DIR] [-v]

A case is right if the program gives the library's answer, and refused if it ends with an
error that names the key.  Anything else is silent.  A case that must apply may not be
refused, and one that the library itself refuses may not be right.

Prints `N/M right, R refused, 0 silent`."""
import argparse
import base64
import concurrent.futures
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

import folders

HANG_S = 600


class Refused(Exception):
    pass


class Program:
    def __init__(self, path):
        self.path = path

    def run(self, *words, text=""):
        done = subprocess.run([self.path, *words], input=text.encode(), capture_output=True,
                              timeout=HANG_S, check=False)
        error = done.stderr.decode(errors="replace")
        if done.returncode < 0 or done.returncode >= 128 or "Sanitizer" in error:
            raise RuntimeError("%s: exit %d: %s" % (words[0], done.returncode, error[-200:]))
        if done.returncode:
            raise Refused(error.strip())
        return done.stdout.decode(errors="replace")


def ids_of(line):
    return [int(word) for word in line.split()]


def framed(texts):
    return "".join("%d\n%s" % (len(text.encode()), text) for text in texts)


def rows(program, ask, path, *more):
    out = path + ".f32"
    program.run("logits", "--model", path, "--tokens", ",".join(map(str, ask["tokens"])),
                "--ctx", "512", "--kv", "f32", "--threads", "1", "--out", out, *more)
    with open(out, "rb") as file:
        data = file.read()
    width = len(data) // 4 // len(ask["tokens"])
    return [struct.unpack_from("<f", data, 4 * (row * width + column))[0]
            for row in ask["rows"] for column in ask["columns"]]


def generated(program, path, start, count, *more):
    return program.run("generate", "--model", path, "--tokens", str(start), "--ctx", "512",
                       "--kv", "f32", "--threads", "1", "-n", str(count), "--temp", "0", *more)


def is_close(got, ask):
    packed = base64.b64decode(ask["answer"])
    wanted = struct.unpack("<%df" % (len(packed) // 4), packed)
    error = sum((a - b) ** 2 for a, b in zip(got, wanted)) / len(wanted)
    return len(got) == len(wanted) and error ** 0.5 <= ask["limit"] * ask["deviation"]


def unlike(got, wanted):
    """Words about the first difference; "": there is none."""
    for i, (a, b) in enumerate(zip(got, wanted)):
        if a != b:
            return "%d: %s for %s" % (i, str(a)[:120], str(b)[:120])
    return "" if len(got) == len(wanted) else "%d for %d answers" % (len(got), len(wanted))


def check(program, what, ask, path):
    """Words about what is wrong with an answer; "": nothing."""
    if what == "tokens":
        lines = program.run("tokenize", "--model", path, "--special", "--framed",
                            text=framed(ask["texts"])).split("\n")
        got = [ids_of(line) for line in lines[:len(ask["texts"])]]
        words = unlike(got, ask["answer"])
        return words and "%r: %s" % (ask["texts"][int(words.split(":")[0])], words)
    if what == "pair":
        got = []
        for one, two in ask["pairs"]:
            got.append(ids_of(program.run("tokenize", "--model", path, "--framed", "--pair", two,
                                          text=framed([one])).split("\n")[0]))
        return unlike(got, ask["answer"])
    if what == "render":
        return unlike([program.run("render", "--model", path, text=json.dumps(chat))
                       for chat in ask["chats"]], ask["answer"])
    if what == "text":
        got = [generated(program, path, start, ask["count"]) for start in ask["starts"]]
        return unlike([text.strip() for text in got], [text.strip() for text in ask["answer"]])
    if what == "end":
        got = ids_of(generated(program, path, ask["start"], ask["count"], "--ids", "--stop"))
        wanted = ask["answer"]
        return "" if got in (wanted, wanted[:-1]) else unlike(got, wanted)
    more = []
    if what == "lora":
        more = ["--lora", path + ".lora"]
    return "" if is_close(rows(program, ask, path, *more), ask) else "other numbers"


def ask_all(program, base, case, top):
    """Words about what is wrong with the answers; "": nothing."""
    folder, path = os.path.join(top, "folder"), os.path.join(top, "m.gguf")
    base.write(base.changed(case["patch"]), folder)
    program.run("import", folder, "--type", "f32", "--to", path)
    if "lora" in case["asks"]:
        program.run("convert-lora", "--model", path, "--lora", folder + ".adapter", "--base",
                    folder, "--out", path + ".lora")
    if case["must"] == "refuse":
        return "taken, and the library refuses it: " + case.get("library", "")
    for what, ask in case["asks"].items():
        words = check(program, what, ask, path)
        if words:
            return what + ": " + words
    return ""


def judge(program, base, case, keep):
    """Returns "right", "refused" or "silent" or the like, and words."""
    top = os.path.join(keep, case["id"]) if keep else tempfile.mkdtemp(prefix="faithful-")
    os.makedirs(top, exist_ok=True)
    try:
        words = ask_all(program, base, case, top)
        return ("silent", words) if words else ("right", "")
    except Refused as error:
        words = str(error)
        is_named = any(name.lower() in words.lower() for name in case["names"])
        return ("unnamed" if not is_named else "wrongly refused" if case["must"] == "apply" else
                "refused", " | ".join(words.split("\n")))
    except (RuntimeError, OSError, ValueError, struct.error, subprocess.TimeoutExpired) as error:
        return "crash", str(error)
    finally:
        if not keep:
            shutil.rmtree(top, ignore_errors=True)


def main():
    parse = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parse.add_argument("--bin", required=True)
    parse.add_argument("--only", default="")
    parse.add_argument("--keep", default="")
    parse.add_argument("-v", action="store_true")
    args = parse.parse_args()
    cases = {case["id"]: case for case in folders.load("cases.json.gz")["cases"]}
    names = [name for name in args.only.split(",") if name] or sorted(cases)
    bases = folders.bases()
    program = Program(os.path.join(args.bin, "flotilla-model"))
    count = {}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda name: judge(program, bases[cases[name]["base"]], cases[name],
                                            args.keep), names)
        for name, (result, words) in zip(names, found):
            case = cases[name]
            count[result] = count.get(result, 0) + 1
            if result not in ("right", "refused") or args.v:
                print("%-16s %s %s %s: %s | %s" % (result.upper(), name, case["base"], case["must"],
                                                 case["note"], words[:300]), flush=True)
    print("%d/%d right, %d refused, %d silent" % (
        count.get("right", 0), len(names), count.get("refused", 0), count.get("silent", 0)))
    return 0 if set(count) <= {"right", "refused"} else 1


if __name__ == "__main__":
    sys.exit(main())
