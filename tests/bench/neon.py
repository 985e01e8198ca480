#!/usr/bin/env python3
"""Instructions per token of the NEON kernels, next to llama.cpp's.

usage: neon.py BIN_DIR OUT_DIR [--only 'neon-dotprod * Q4_0 p128'] [--again]

BIN_DIR has flotilla-engine for 64-bit Arm (tests/lanes/cross.sh arm64).  Both
sides run with one thread under the same emulator, and a plugin (count_insns.c)
counts what each of them executes for a test: exact numbers, which say how much
work a token is, not how fast a CPU does it.

FLOTILLA_QEMU          qemu-aarch64 that loads plugins (Debian's qemu-user)
FLOTILLA_PEER_ARM      llama.cpp cross-built for 64-bit Arm with
                       GGML_CPU_ALL_VARIANTS: source/ (or include/) and library/
FLOTILLA_BENCH_MODELS  folder with *.gguf

Our weights are packed first, into OUT_DIR; the peer repacks its own.  A count is
kept in OUT_DIR/neon.json; those of another build are made again.  Writes
OUT_DIR/neon.md, the rows of docs/benchmarks.md, and for each count a profile,
OUT_DIR/SIDE-MODEL-TEST.txt: functions and blocks with most instructions.
"""
import argparse
import collections
import fnmatch
import glob
import hashlib
import json
import os

import bench_goals as goals
from bench_sides import HERE, Peer, Side, Stopped, compile_c, run
from insn_blocks import profile, read_answers

ROOT = os.path.dirname(os.path.dirname(HERE))
SYSROOT = os.path.join(ROOT, "build/sysroot/arm64")
CROSS = "aarch64-linux-gnu-"
CONTEXT = 2688      # as bench_engine.py's
TESTS = {"p128": "prompt of 128, million instructions per token",
         "g32": "generation of 32, million instructions per token"}

# Kernels here and of the peer, and the emulated CPU.  The peer's libraries with
# i8mm for Linux use SVE, too; 128 bits is the length of most CPUs.  "i8mm" is
# one without SVE, which the peer does not ship (docs/benchmarks.md).
Pair = collections.namedtuple("Pair", "kernel library cpu")
PAIRS = [Pair("neon-dotprod", "armv8.2_1", "cortex-a76"),
         Pair("neon-dotprod", "armv8.2_2", "cortex-a76"),
         Pair("neon-i8mm", "armv8.6_1", "max,sve-max-vq=1"),
         Pair("neon-i8mm", "i8mm", "max,sve=off")]


class Emulator:
    def __init__(self, program, out):
        self.program = program
        self.plugin = os.path.join(out, "count_insns.so")
        self.counts = os.path.join(out, "counts.txt")
        compile_c("count_insns.c", self.plugin, "-shared", "-fPIC")

    def command(self, cpu, environment, command, is_counted=True):
        settings = [word for item in environment.items()
                    for word in ("-E", "%s=%s" % item)]
        plugin = ["-plugin", "%s,out=%s" % (self.plugin, self.counts)]
        return [self.program, "-L", SYSROOT, "-cpu", cpu, *settings,
                *(plugin if is_counted else []), *command]

    def count(self, cpu, environment, command, tests):
        """{test: answer}, and the header of the program.  A short prompt comes
        first and is not counted, so that both sides are warm."""
        with Side(self.command(cpu, environment, command), None) as side:
            header = side.header
            for test in ["p8", *tests]:
                side.ask(test)
        answers = read_answers(self.counts)[2:]   # past start and warming
        os.remove(self.counts)
        return dict(zip(tests, answers)), header


class OurSide:
    def __init__(self, folder, out):
        self.program = os.path.join(folder, "flotilla-engine")
        self.out = out
        self.build = digest(self.program)

    def packed(self, emulator, model):
        path = os.path.join(self.out, model.name + ".packed")
        if not os.path.exists(path) or os.path.getmtime(path) < \
                os.path.getmtime(self.program):
            run(emulator.command("max", {}, [
                self.program, "pack", model.path, "--o", path], False))
        return path

    def count(self, emulator, pair, model, tests):
        answers, header = emulator.count(
            pair.cpu, {"FLOTILLA_KERNEL": pair.kernel},
            [self.program, "bench", "--model", model.path,
             "--packed", self.packed(emulator, model), "--threads", "1",
             "--ctx", str(CONTEXT), "--tests", "-", "--json"], tests)
        if header["kernel"] != pair.kernel or not header["packed"]:
            raise Stopped("not %s with packed weights" % pair.kernel)
        return answers


class PeerSide:
    def __init__(self, folder, out):
        os.environ["CC"] = CROSS + "gcc"
        self.peer = Peer("ARM", folder, out)
        del os.environ["CC"]
        self.out = out

    def folder(self, library):
        """One that holds these kernels alone, by the name that is loaded
        without a score."""
        found = self.peer.kernels(library)
        if not found:
            raise Stopped("the peer has no kernels %s" % library)
        own = os.path.join(self.out, "kernels-" + library)
        os.makedirs(own, exist_ok=True)
        link = os.path.join(own, "libggml-cpu.so")
        if not os.path.lexists(link):
            os.symlink(os.path.abspath(found[0]), link)
        return own

    def count(self, emulator, pair, model, tests):
        paths = self.peer.environment["LD_LIBRARY_PATH"]
        return emulator.count(
            pair.cpu, {"LD_LIBRARY_PATH": paths,
                       "PEER_BACKENDS": self.folder(pair.library)},
            self.peer.arguments("serve", model.path, 1, -1, 1, CONTEXT),
            tests)[0]


class Model:
    def __init__(self, path):
        self.path = os.path.abspath(path)
        self.name = os.path.basename(path)[:-len(".gguf")]
        self.kind = self.name.split("-")[-1]


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()[:12]


class Counts:
    """Millions of instructions per token, by build."""

    def __init__(self, out):
        self.out = out
        self.path = os.path.join(out, "neon.json")
        self.known = {}
        if os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as f:
                self.known = json.load(f)

    def keep(self, key, test, answer):
        tokens = int(test[1:])
        self.known["%s %s" % (key, test)] = answer.total() / tokens / 1e6
        with open(self.path + ".new", "w", encoding="utf-8") as f:
            json.dump(self.known, f, indent=1)
        os.rename(self.path + ".new", self.path)
        name = "-".join([*key.split()[1:], test])
        with open(os.path.join(self.out, name + ".txt"), "w",
                  encoding="utf-8") as f:
            f.write(profile(answer, CROSS, tokens))

    def get(self, key, test):
        return self.known.get("%s %s" % (key, test))


def wanted(only, pair, model, test):
    key = "%s %s %s %s" % (pair.kernel, pair.library, model.kind, test)
    return not only or any(fnmatch.fnmatch(key, o) for o in only)


def row(pair, kind, test, ours, theirs):
    return "| %s |" % " | ".join([
        "NEON: %s · %s" % (pair.kernel, pair.library), kind, TESTS[test],
        goals.number(test, ours), goals.number(test, theirs),
        "%.2f" % (theirs / ours), "counted instructions",
        "fewer" if theirs > ours else "more"])


def table(models, counts, keys):
    """Rows of the tests that both sides have a count of; above 1 we need
    fewer instructions."""
    lines = []
    for pair in PAIRS:
        for model in models:
            for test in TESTS:
                ours, theirs = (counts.get(key, test)
                                for key in keys(pair, model))
                if ours and theirs:
                    lines.append(row(pair, model.kind, test, ours, theirs))
    return "\n".join(lines) + "\n"


def setting(name):
    if not os.environ.get(name):
        raise SystemExit("neon.py: %s is not set (--help)" % name)
    return os.environ[name]


def count(emulator, side, pair, model, tests, counts, key):
    try:
        answers = side.count(emulator, pair, model, tests)
    except Stopped as stopped:
        print("%s: not counted: %s" % (key, stopped))
        return
    for test, answer in answers.items():
        counts.keep(key, test, answer)
        print("%-44s %-5s %8.2f" % (key, test, counts.get(key, test)),
              flush=True)


def read_arguments():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("bin")
    parser.add_argument("out")
    parser.add_argument("--only", action="append")
    parser.add_argument("--again", action="store_true")
    return parser.parse_args()


def main():
    args = read_arguments()
    out = os.path.abspath(args.out)
    os.makedirs(out, exist_ok=True)
    emulator = Emulator(setting("FLOTILLA_QEMU"), out)
    ours = OurSide(os.path.abspath(args.bin), out)
    peer = PeerSide(setting("FLOTILLA_PEER_ARM"), out)
    models = [Model(p) for p in sorted(glob.glob(os.path.join(
        setting("FLOTILLA_BENCH_MODELS"), "*.gguf")))]
    counts = Counts(out)

    def keys(pair, model):
        library = peer.peer.kernels(pair.library)
        return ("%s ours-%s %s" % (ours.build, pair.kernel, model.name),
                "%s peer-%s %s" % (digest(library[0]) if library else "",
                                   pair.library, model.name))

    for pair in PAIRS:
        for model in models:
            for side, key in zip((ours, peer), keys(pair, model)):
                tests = [t for t in TESTS
                         if wanted(args.only, pair, model, t) and
                         (args.again or counts.get(key, t) is None)]
                if tests:
                    count(emulator, side, pair, model, tests, counts, key)
    with open(os.path.join(out, "neon.md"), "w", encoding="utf-8") as f:
        f.write(table(models, counts, keys))


if __name__ == "__main__":
    main()
