#!/usr/bin/env python3
"""Interrupt each command that writes, and look for what it left.

usage: tests/lanes/interrupts.py [NAME...]
Each command runs once to count its changes to files (tests/crash/inject.c). It runs
again for each of five moments, evenly spread over these changes: it stops there, gets
INT (its whole group, as Ctrl-C does), TERM or KILL (alone), and goes on. Then no file,
process, mount or socket is there that was not there before, except what the row names
as resumable, and an output is the old one or complete. After a KILL the same command
runs to its end, and nothing but its output is left.
FLOTILLA_SEED draws a tenth; FLOTILLA_PART=all plays all. A verb whose help names an
output and which has no row fails the lane."""
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", part) for part in ("integration", "run")]
import draw  # noqa: E402
import sets  # noqa: E402
from waits import HANG_S, until  # noqa: E402

BIN = os.environ.get("FLOTILLA_BIN", os.path.join(ROOT, "build", "bin"))
INJECT = os.environ.get("FLOTILLA_INJECT",
                        os.path.join(ROOT, "build", "release", "tests", "libinject.so"))
MODELS = os.path.join(ROOT, "tests", "models")
FOLDER = os.path.join(MODELS, "lfm2-folder")
F16 = os.path.join(MODELS, "tiny-v1.F16.gguf")
OLD = os.path.join(MODELS, "tiny-v2.Q4_0.gguf")
NEW = os.path.join(MODELS, "tiny-v2.1.Q4_0.gguf")
LORA = os.path.join(MODELS, "tiny-v1-site-lora.gguf")
GOLDEN = os.path.join(MODELS, "golden-tiny-v2.json")
SHARED = ["/tmp", "/dev/shm", "/var/tmp"]  # looked at if we have our own
MOMENTS = 5
EMPTY = hashlib.sha256().hexdigest()
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]
PROGRAMS = ["flotilla", "flotilla-model", "flotilla-updater", "flotilla-engine",
            "flotilla-agent", "flotilla-controller", "flotilla-relay"]
# Words and flags of a help that name an output.
OUTPUT = re.compile(r"--(?:to|out|report|page|work|prefix-file|partial) [A-Z]|-o FILE|"
                    r" (?:OUT|TO|NEW|PATCH|ENVELOPE\.json)\b(?! --trust)")
READS = {"flotilla-updater delta info", "flotilla-updater release inspect"}


class Row:
    """A command: its line, its outputs, and what a signal may leave (resumable)."""

    def __init__(self, line, outputs=(), left=(), said=None, is_once=False,
                 varies=(), is_online=False, given=None, one_of=()):
        self.line, self.outputs, self.left, self.said = line.split(), outputs, left, said
        self.varies = varies  # outputs that have times or random bytes
        self.is_once = is_once  # it refuses an output that is there
        self.is_online = is_online  # it needs a controller
        self.given = given or {}  # copies that it may remove
        self.one_of = one_of  # one of these is always there


ROWS = {
    "flotilla-model quantize": Row("%s out Q8_0 --report report" % F16, ["out", "report"],
                                   varies=["report"]),
    "flotilla-model merge-lora": Row("--model %s --lora %s --out out" % (
        os.path.join(MODELS, "tiny-v1.F16.gguf"), LORA), ["out"]),
    "flotilla-model golden create": Row("out --model %s" % OLD, ["out"]),
    "flotilla-model eval": Row("%s --model %s --report out" % (GOLDEN, OLD), ["out"],
                               varies=["out"]),
    "flotilla-model logits": Row("--model %s --tokens 1,2,3 --out out" % OLD, ["out"]),
    "flotilla-model import": Row("%s --to out --type q8_0" % FOLDER, ["out"], ["out.part"],
                                 "the same command goes on, `rm out.part`"),
    "flotilla-model compare": Row("%s %s --types q8_0 --page out" % (GOLDEN, F16), ["out"],
                                  varies=["out"]),
    "flotilla-updater delta create": Row("%s %s out" % (OLD, NEW), ["out"]),
    "flotilla-updater delta apply": Row("%s in/patch out" % OLD, ["out"]),
    "flotilla-updater release sign": Row("in/body out --key in/key", ["out"]),
    "flotilla-engine pack": Row("%s -o out" % OLD, ["out"]),
    "flotilla key create": Row("fleet --to .", ["fleet.key", "fleet.pub"],
                               is_once=True, varies=["fleet.key", "fleet.pub"]),
    "flotilla model build": Row("in/b.yaml --work work", [], ["work"],
                                "goes on, `rm -r work`"),
    "flotilla release create": Row("lfm@{n} --model-file %s --type q8_0 --sign-with in/key"
                                   % FOLDER, is_online=True),  # another one in each run
    "flotilla release create: GGUF": Row(
        "gguf@{n} --model-file %s --sign-with in/key" % OLD, is_online=True),
    "flotilla release sign": Row("in/body --key in/key --to out", ["out"]),
    "flotilla key move": Row("mine.key --to to", ["to/mine.key", "to/mine.txt"], is_once=True,
                             varies=["to/mine.txt"], given={"mine.key": "key", "to/in": "body"},
                             one_of=["mine.key", "to/mine.key"]),
    "flotilla token create": Row("--kind enroll --to out", ["out"], varies=["out"],
                                 is_online=True),
    "flotilla emergency account": Row(
        "--to out", ["out", "out/account.key", "out/account.pem", "out/ca.pem"],
        varies=["out/account.key", "out/account.pem", "out/ca.pem"], is_online=True),
    "flotilla bundle create": Row("tiny@1 --to out", ["out"], varies=["out"], is_online=True),
    "flotilla-model draft": Row("%s in/suite --to out --tokens 1" % OLD, ["out"]),
}
# Verbs with an output that no row plays: the row whose function writes it, or why it is
# no file.
UNPLAYED = {
    "flotilla-model convert-lora": "flotilla-model merge-lora",  # flo_outfile
    "flotilla-updater bundle create": "flotilla bundle create",  # which runs it
    "flotilla-engine run": "flotilla-engine pack",  # flo_outfile
    "flotilla-engine bench": "no file: --to is a descriptor",
    "flotilla-agent batch": "elsewhere: tests/integration/test_batch.py",
    "flotilla-controller backup": "elsewhere: tests/integration/test_backups.py",
    "flotilla-relay": "no file: --to is an address",
    "flotilla device replace": "no file: NEW is a device",
    "flotilla rollout rollback": "no file: --to is a release",
    # flo_file_write
    "flotilla device benchmark": "flotilla release sign",
    "flotilla device benchmarks": "flotilla release sign",
    "flotilla emergency freeze": "flotilla release sign",
    "flotilla emergency unfreeze": "flotilla release sign",
    "flotilla emergency prompts": "flotilla release sign",
    "flotilla emergency rollback": "flotilla release sign",
    "flotilla emergency allow": "flotilla release sign",
    "flotilla key rotate": "flotilla release sign",
    "flotilla key revoke": "flotilla release sign",
    "flotilla trust init": "flotilla release sign",
    "flotilla trust require": "flotilla release sign",
}


def completed(program, *words):
    out = subprocess.run([os.path.join(BIN, program), "__complete", *words, ""],
                         capture_output=True, text=True, check=False).stdout
    return [line.split("\t")[0] for line in out.splitlines() if "\t" in line]


def writers():
    """The verbs of all programs whose help names an output."""
    found = set()
    for program in PROGRAMS:
        names = [[]] + [[verb] for verb in completed(program)]
        names += [[verb, sub] for (verb,) in names[1:] for sub in completed(program, verb)
                  if re.fullmatch(r"[a-z-]+", sub) and sub[0] != "-"]
        for words in names:
            text = subprocess.run([os.path.join(BIN, program), *words, "--help"],
                                  capture_output=True, text=True, check=False).stdout
            name = " ".join([program, *words])
            # a program's or a noun's own help is a list of commands
            if not text.startswith("usage: " + name) or "COMMAND [FLAG" in text[:200]:
                continue
            usage = text.split("\n\n", 1)[0]
            flags = "\n".join(re.findall(r"^  (?:-\w, )?--[a-z-]+ [A-Z].*$", text, re.M))
            if OUTPUT.search(usage[len("usage: " + name):] + "\n" + flags):
                found.add(name)
    return found - READS


class World:
    """A folder with inputs, an empty HOME, TMPDIR and working folder."""

    def __init__(self, place, controller, key):
        self.place = place
        self.flags = [] if controller is None else [
            "--controller", controller.rest, "--token-file", controller.facts["token"]]
        for name in ("tmp", "home", "work"):
            os.makedirs(os.path.join(place, name))
        self.work = os.path.join(place, "work")
        given = os.path.join(self.work, "in")
        os.mkdir(given)
        shutil.copy(key, given)
        with open(os.path.join(given, "body"), "w", encoding="utf-8") as out:
            json.dump({"v": 1, "fleet": "demo", "model": "tiny", "version": "1", "number": 1,
                       "license": "apache-2.0", "created_at_ms": 0,
                       "variants": [{"name": "a", "needs": {}, "files": ["m"]}],
                       "files": [{"name": "m", "role": "model", "bytes": 1,
                                  "digest": "sha256:" + "0" * 64, "chunk_bytes": 1 << 20,
                                  "chunks": ["0" * 64],
                                  "get": [{"codec": "raw", "bytes": 1,
                                           "digest": "sha256:" + "0" * 64}]}]}, out)
        with open(os.path.join(MODELS, "tools", "prompts.jsonl"), encoding="utf-8") as prompts, \
                open(os.path.join(given, "suite"), "w", encoding="utf-8") as out:
            out.write(prompts.readline())
        with open(os.path.join(given, "b.yaml"), "w", encoding="utf-8") as out:
            out.write("release: tiny@1\nfrom: %s\nvariants:\n  - {type: q8_0}\n" % F16)
        subprocess.run([os.path.join(BIN, "flotilla-updater"), "delta", "create", OLD, NEW,
                        os.path.join(given, "patch")], check=True, stdout=subprocess.DEVNULL)

    def environment(self, **injection):
        env = {"PATH": os.environ["PATH"], "FLOTILLA_BIN": BIN,
               "TMPDIR": os.path.join(self.place, "tmp"),
               "HOME": os.path.join(self.place, "home")}
        if injection:
            env["LD_PRELOAD"] = INJECT
            env.update(("FLO_INJECT_" + key, str(value)) for key, value in injection.items())
        return env

    def files(self):
        """{path: digest} of all files and folders but /tmp's, whose names count alone."""
        found = dict.fromkeys(sets.stats(self.place))
        found.update((name, hashlib.sha256(data).hexdigest())
                     for name, data in sets.tree(self.place).items())
        for path in SHARED if is_private() else []:
            found.update((os.path.join(path, name), None) for name in sets.names(path)
                         if os.path.join(path, name) != os.path.dirname(self.place))
        with open("/proc/self/mounts", encoding="utf-8") as file:
            found.update(("mount " + line.split()[1], None) for line in file)
        return found

    def clean(self, given=(), old=()):
        for name in sets.names(self.work):
            path = os.path.join(self.work, name)
            if name != "in":
                (shutil.rmtree if os.path.isdir(path) else os.unlink)(path)
        for name, source in dict(given).items():
            os.makedirs(os.path.dirname(os.path.join(self.work, name)), exist_ok=True)
            shutil.copy(os.path.join(self.work, "in", source), os.path.join(self.work, name))
        for name in old:
            with open(os.path.join(self.work, name), "wb") as file:
                file.write(b"old")


def is_private():
    """Nobody else writes to the folders for temporary files."""
    return "FLOTILLA_PRIVATE" in os.environ


def be_private():
    """Starts this program again with its own /tmp, if the system lets us (root)."""
    mounts = " && ".join("mount -t tmpfs -o mode=1777 none " + path for path in SHARED)
    words = ["unshare", "--mount", "sh", "-c", mounts + ' && exec "$@"', "sh"]
    if not is_private() and shutil.which("unshare") and subprocess.run(
            words + ["true"], capture_output=True, check=False).returncode == 0:
        os.environ["FLOTILLA_PRIVATE"] = "1"
        os.execvp(words[0], words + [sys.executable] + sys.argv)


class Command:
    def __init__(self, world, name, row):
        self.world, self.name, self.row = world, name, row
        program, *verb = name.partition(":")[0].split()
        self.words = [os.path.join(BIN, program), *verb, *row.line]
        self.words += world.flags if row.is_online else []
        self.run = 1
        self.counter = os.path.join(world.place, "..", os.path.basename(world.place) + ".n")

    def begin(self, **injection):
        with open(self.counter, "wb") as file:
            file.write(bytes(16))
        return subprocess.Popen(
            [word.replace("{n}", str(self.run)) for word in self.words], cwd=self.world.work,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
            start_new_session=True,
            env=self.world.environment(**injection and dict(COUNT=self.counter, **injection)))

    def count(self, old=()):
        """The number of changes of a run that nobody disturbs, and its files."""
        self.world.clean(self.row.given, old)
        before = self.world.files()
        process = self.begin(MODE="off")
        said = process.communicate(timeout=HANG_S)[1]
        self.code = process.returncode
        self.run += 1
        assert self.code in (0, 6) or self.row.outputs == [], said
        with open(self.counter, "rb") as file:
            count = int.from_bytes(file.read(8), "little")
        self.complete = self.world.files()
        more = {path for path in self.complete if path not in before and not self.may(path)
                and os.path.relpath(path, "work") not in self.row.outputs}
        assert not more, "a run that nobody disturbs leaves %s" % sorted(more)
        assert count > 0, "no change to a file: %s" % said
        return count

    def may(self, path):
        name = os.path.relpath(path, "work")
        return any(name == left or name.startswith(left + os.sep) for left in self.row.left)

    def play(self, at, number, old=()):
        """Faults of one interruption."""
        self.world.clean(self.row.given, old)
        self.run += 1
        before = self.world.files()
        process = self.begin(AT=at, MODE="stop")
        group = process.pid

        def has_stopped():
            return process.poll() is not None or any(
                state in "Tt" for _, state in sets.group(group))
        until("a stop", has_stopped, every=0.002)
        if process.poll() is not None:
            return None  # it ended before this change: the run differs a little
        if number == signal.SIGINT:
            os.killpg(group, number)
        else:
            os.kill(process.pid, number)
        os.killpg(group, signal.SIGCONT)
        said = process.communicate(timeout=HANG_S)[1]
        faults = []
        if process.returncode != -number:
            faults.append("ends with %d" % process.returncode)
        until("no process", lambda: all(state in "ZX" for _, state in sets.group(group)),
              lambda: sets.group(group), every=0.002)
        if self.row.said and number != signal.SIGKILL and any(
                self.may(path) for path in self.world.files()) and self.row.said not in said:
            faults.append("says %r, not %r" % (said[-200:], self.row.said))
        if number == signal.SIGKILL:
            again = self.begin()
            again.communicate(timeout=HANG_S)
            if again.returncode != self.code and not self.row.is_once:
                faults.append("the next one ends with %d" % again.returncode)
        after = self.world.files()
        for path, now in after.items():
            if self.may(path) or before.get(path, "") == now:
                continue
            if os.path.relpath(path, "work") not in self.row.outputs:
                faults.append("left %s" % path)
            elif now == EMPTY or (self.complete.get(path) != now and
                                  os.path.relpath(path, "work") not in self.row.varies):
                faults.append("%s is not complete" % path)
        lost = [path for path in before if path not in after and
                os.path.relpath(path, "work") not in self.row.given]
        if self.row.one_of and not any(os.path.join("work", name) in after
                                       for name in self.row.one_of):
            lost += self.row.one_of
        faults += ["lost %s" % path for path in lost]
        return faults


def check_table():
    found = writers()
    known = {name.partition(":")[0] for name in ROWS} | set(UNPLAYED)
    faults = ["%s has an output and no row" % name for name in sorted(found - known)]
    faults += ["%s: no row %s" % pair for pair in UNPLAYED.items()
               if pair[1] not in ROWS and not pair[1].startswith(("no file: ", "elsewhere: "))]
    faults += ["%s has a row and no output" % name for name in sorted(set(UNPLAYED) - found)]
    print("%d verbs with an output, %d of them played" % (len(found), len(ROWS)))
    return faults


def make_key(place):
    path = os.path.join(place, "key")
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout",
                    "-out", path], check=True)
    os.chmod(path, 0o600)
    return path


def begin_controller(folder, key):
    """A controller that knows the key, and the release tiny@1."""
    import controller_parts
    os.makedirs(folder)
    controller = controller_parts.Controller(folder).start()
    controller.state()
    controller.state(subprocess.run(["openssl", "ec", "-in", key, "-pubout"], check=True,
                                    capture_output=True, text=True).stdout)
    subprocess.run([os.path.join(BIN, "flotilla"), "release", "create", "tiny@1", "--model-file",
                    OLD, "--sign-with", key, "--controller", controller.rest, "--token-file",
                    controller.facts["token"]], check=True, stdout=subprocess.DEVNULL)
    return controller


def play(name, points, world):
    command = Command(world, name, ROWS[name])
    count = command.count()
    bad = []
    for moment, number in points:
        # every other one replaces an older file, the last one between the two calls for it
        old = ROWS[name].outputs if moment % 2 == 0 and not ROWS[name].is_once and not any(
            "/" in output for output in ROWS[name].outputs) else ()
        changes = command.count(old) if old else count
        at = changes - 1 if old and moment == MOMENTS - 1 else max(
            1, (2 * moment + 1) * changes // (2 * MOMENTS) + 1)
        for fault in command.play(min(at, changes), number, old) or []:
            bad.append("%s: %s at change %d of %d%s: %s" % (
                name, signal.Signals(number).name, at, changes, " over a file" if old else "",
                fault))
    print("%s: %d changes, %d interruptions, %d bad" % (name, count, len(points), len(bad)),
          flush=True)
    return bad


def main():
    be_private()
    points = [(name, moment, number) for name in ROWS for moment in range(MOMENTS)
              for number in SIGNALS if not sys.argv[1:] or name in sys.argv[1:]]
    if not sys.argv[1:]:
        print(draw.say("interrupts"), flush=True)
        by_name = {"%s, moment %d, %s" % (name, moment, number.name): (name, moment, number)
                   for name, moment, number in points}
        points = [by_name[one] for one in draw.drawn("interrupts", by_name)]
    faults = check_table()
    controller = key = None
    place = tempfile.mkdtemp(prefix="flo-interrupts-", dir="/tmp")
    try:
        key = make_key(place)
        if any(ROWS[name].is_online for name, *_ in points):
            controller = begin_controller(os.path.join(place, "controller"), key)
        for at, name in enumerate(ROWS):
            chosen = [(moment, number) for one, moment, number in points if one == name]
            if chosen:
                world = World(os.path.join(place, "w%d" % at),
                              controller if ROWS[name].is_online else None, key)
                faults += play(name, chosen, world)
    finally:
        if controller is not None:
            controller.stop()
        shutil.rmtree(place, ignore_errors=True)
    for fault in faults:
        print("bad: " + fault)
    print("%d interruptions, %d bad" % (len(points), len(faults)))
    return 1 if faults or not points else 0


if __name__ == "__main__":
    sys.exit(main())
