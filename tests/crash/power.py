#!/usr/bin/env python3
"""Power loss: what may a disk show after a cut, and does the device live on?

An update runs with record.c preloaded, which writes down every change to the
device's files.  Behind every change of that record the power may go.  disk.py
says what the disk shows then, by two models of a disk.

Each state is built in a folder and looked at as a start would; some are
started.  controller.py says what a controller promises, in the same way, and
shows.py what assets do, batches.py batches, keeps.py trust statements,
packed weights and drafts.

A state is bad when the record of the slots is gone or names what is not whole,
when a blob has other bytes than its name says, when it is older than what was
already decided (a record counts once something else was done after it), and
when the update was reported done and is not there.

The proof that the lane sees something: each sync is left out of the record, and
then a bad state must be found.  Those that cost only a download are excused by
name.  A journal needs fewer syncs; it must miss some of them too.
Everything is chosen with --seed, else with the seed of the tree (tests/run/draw.py);
the same seed gives the same states.

usage: power.py [--scenario NAME] [--model NAME] [--states N] [--prove]
           [--recover N] [--kills N] [--seed N]   (0 states, 0 kills: all)
"""
import argparse
import collections
import fnmatch
import hashlib
import importlib
import itertools
import os
import random
import shutil
import signal
import struct
import sys
import tempfile

import sweep
from disk import (MODELS, NAMES, RENAME, SYNC, WRITE, Disk, Recording, function_of,
                  sync_groups, unrecorded)
from waits import moment

RECORDED = ["flotilla-agent", "flotilla-updater", "flotilla-controller"]
SCENARIOS = ["update", "first", "resume", "bundle", "bundle-resume",
             "controller", "assets", "batches", "pairs", "trust", "packs", "drafts"]
ELSEWHERE = {"controller": ("controller", "Service"), "assets": ("shows", "Shows"),
             "batches": ("batches", "Batches"), "pairs": ("shows", "Renews"),
             "trust": ("keeps", "Takes"), "packs": ("keeps", "Packs"),
             "drafts": ("keeps", "Drafts")}
GROUPS = {"all": SCENARIOS, "worker": SCENARIOS[:3], "agent": SCENARIOS[3:5],
          **{scenario: [scenario] for scenario in SCENARIOS}}
STATE = "device"  # the state directory, in a folder that is on the disk
SLOTS = STATE + "/slots/"
MAP_BYTES, BOOT = 512, slice(48, 64)  # updater/fetch/part.c
RECORDS = {b"FLMR": 4096, b"FLDR": 4096}  # magic -> bytes

# Syncs that guard no promise of this lane: (what is synced, why).
EXCUSED = {
    "partial/<hex>.part behind its map": "a download is hashed again: it "
    "would cost bytes, not truth",
    "partial/<hex>.map": "what a map claims is hashed again",
    "partial/": "a name that stays there is dropped by the next job",
    "outbox.db": "history, not what runs (SQLite's own tests cover it)",
    "./ by SQLite": "the same",
    "packed/": "packed weights without a name are made again",
    "pki/*.pem": "made again at a start, from keys and tables; ca.pem is not",
    "keys/rows.sealed": "a start looks at the rows when it lacks this word",
    "../backup.part/control.db": "SQLite syncs a copy when it ends",
    "../backup.part/trust/": "an empty folder",
    "mosquitto/*": "the broker's files are written at each start",
    "flo_batch_work_step": "answers that are lost are made again: it would cost "
    "time, not truth; the last sync of a batch is another one",
    "state/": "the worker's scenarios need it; crash_assets makes blobs anew",
    "state/blobs/": "the same",
    "flo_sqlite_log_open": "a start answers after a commit of its own, whose "
    "sync takes along what a killed process left",
}
NEEDED = {"pki/ca.pem"}  # in spite of these


# ---- the device ----


class Device(Recording):
    """Changes of the state directory of a device."""

    def __init__(self, root):
        super().__init__(root, STATE)

    def promises(self, ops):
        """({record: generation}, is done): not older than this; reported done.
        A record counts from the first thing on that is done after it."""
        made, claim, due, is_resumed = [], None, {}, False
        for op in ops:
            own = claim is not None and (
                (op.thing == claim[0] and op.kind in (SYNC, RENAME)) or
                (op.kind == SYNC and op.path == STATE + "/slots"))
            if 0 <= self.killed <= op.index and not is_resumed:
                claim, is_resumed = None, True  # the write never returned
            if claim is not None and not own:
                due, claim = {**due, claim[1]: claim[2]}, None
            if op.kind == WRITE and op.path.startswith(SLOTS) and \
                    op.data[:4] in RECORDS:
                name = os.path.basename(op.path)
                claim = (op.thing, name[:-4] if name.endswith(".new")
                         else name, struct.unpack_from("<Q", op.data, 8)[0])
            made.append((tuple(sorted(due.items())),
                         any(op.index >= mark for mark in self.marks)))
        return made


class Power(sweep.Sweep):
    always_starts = is_slow = False
    windows_max = None

    def __init__(self, options, folder, scenario):
        options.mode = "agent-bundle" if "bundle" in scenario \
            else "worker"
        super().__init__(options, folder)
        self.scenario = scenario
        self.is_first = scenario == "first"
        self.goal = self.a if self.is_first else self.b
        self.known = {}  # of a content: its file in kept/
        os.mkdir(os.path.join(folder, "kept"))
        if not self.is_first:
            self.prepare()

    @staticmethod
    def windows(_recording, index):
        """Where a missing sync shows, as numbers of changes."""
        return [(index, index + 25)]

    def root(self, name):
        """A folder that is on the disk, and the device in it."""
        root = os.path.join(self.folder, name)
        os.mkdir(root)
        if not self.is_first:
            shutil.copytree(self.template, os.path.join(root, STATE),
                            ignore=shutil.ignore_patterns("*.sock"))
        return root

    def record(self, name, kill_at=None):
        """A recorded update; with kill_at one that is killed and resumed."""
        root = self.root(name)
        state = os.path.join(root, STATE)
        log = os.path.join(self.folder, name + ".log")
        open(log, "wb").close()
        recording = Device(root)
        begin = 0
        if kill_at:
            environment = self.environment()
            environment["LD_PRELOAD"] = self.options.record
            environment["FLO_RECORD"] = log
            environment["FLO_RECORD_KILL"] = "%s:%d" % kill_at
            try:
                self.update(state, self.goal, environment)
            except (sweep.Killed, RuntimeError):
                pass
            recording.read(log)
            begin = recording.killed = len(recording.ops)
            if not recording.agrees(is_history):
                shutil.rmtree(root)
                return None
        environment = self.environment()
        environment["LD_PRELOAD"] = self.options.record
        environment["FLO_RECORD"] = log
        self.update(state, self.goal, environment)
        recording.read(log)
        recording.marks.append(len(recording.ops) - 1)
        shutil.rmtree(root)
        return recording, begin

    def build(self, disk, applied, spoilt, is_started):
        """The state in a folder; where nothing starts, contents are shared."""
        root = os.path.join(self.folder, "shown")
        shutil.rmtree(root, ignore_errors=True)
        os.mkdir(root)
        files, folders, links = disk.tree(applied, spoilt)
        for folder in folders:
            os.mkdir(os.path.join(root, folder), 0o700)
        for path, text in links.items():
            os.symlink(text, os.path.join(root, path))
        for path, key in files.items():
            if is_history(path):
                continue
            kept = self.known.get((id(disk.recording),) + key)
            if kept is None:
                data = disk.contents(*key)
                kept = os.path.join(self.folder, "kept",
                                    hashlib.sha256(data).hexdigest())
                with open(kept, "wb") as file:
                    file.write(data)
                os.chmod(kept, 0o400 if is_blob(path) else 0o600)
                self.known[(id(disk.recording),) + key] = kept
            whole = os.path.join(root, path)
            if is_started:
                shutil.copyfile(kept, whole)
                os.chmod(whole, 0o400 if is_blob(path) else 0o600)
            else:
                os.link(kept, whole)
        state = os.path.join(root, STATE)
        if is_started:
            self.boot(state)
        return state

    @staticmethod
    def boot(state):
        """The power came back: the maps of downloads are of another boot than
        this one, in which nothing but what was synced holds."""
        folder = os.path.join(state, "partial")
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            if not name.endswith(".map"):
                continue
            with open(os.path.join(folder, name), "r+b") as file:
                data = bytearray(file.read())
                for at in (0, 4096):
                    record = data[at:at + MAP_BYTES]
                    if len(record) == MAP_BYTES and record[-4:] == \
                            struct.pack("<I", sweep.crc32c(record[:-4])):
                        record[BOOT] = bytes(b ^ 0xff for b in record[BOOT])
                        record[-4:] = struct.pack(
                            "<I", sweep.crc32c(record[:-4]))
                        data[at:at + MAP_BYTES] = record
                file.seek(0)
                file.write(data)

    @staticmethod
    def generation(state, name):
        """The number of the newest valid image; 0: there is none."""
        try:
            with open(os.path.join(state, "slots", name), "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return 0
        newest = 0
        for offset in (0, 4096):
            size = RECORDS.get(data[offset:offset + 4], 0)
            record = data[offset:offset + size]
            if size and len(record) == size and sweep.crc32c(record[:-4]) == \
                    struct.unpack("<I", record[-4:])[0]:
                newest = max(newest, struct.unpack_from("<Q", record, 8)[0])
        return newest

    def judge(self, state, decided, is_done):
        """Faults of a state that a cut left."""
        faults = ["%s %d, and %d was decided" %
                  (name, self.generation(state, name), wanted)
                  for name, wanted in decided
                  if self.generation(state, name) < wanted]
        record = os.path.join(state, "slots", "tiny.bin")
        if faults or (self.is_first and not os.path.exists(record)):
            return faults
        try:
            faults = self.look(state)
            if is_done and self.images(state)[0][16:48].hex() != self.goal:
                faults.append("reported done, and is not there")
        except (OSError, ValueError, LookupError) as error:
            faults = ["%s: %s" % (type(error).__name__, error)]
        # A first release that is not committed yet: nothing is served.
        return [fault for fault in faults if not (
            self.is_first and fault.startswith("serves 0000"))]

    def start(self, state):
        """Does a device that wakes up there reach the release?"""
        try:
            self.update(state, self.goal, self.environment())
        except (sweep.Killed, RuntimeError) as error:
            return ["started: %s" % error]
        faults = self.look(state)
        if self.images(state)[0][16:48].hex() != self.goal:
            faults.append("started, and current is not the goal")
        return ["started: " + fault for fault in faults]

    def try_state(self, disk, state, starts):
        position, why, applied, spoilt = state
        decided, is_done = disk.promises(position)
        where = self.build(disk, applied, spoilt, starts)
        faults = self.judge(where, decided, is_done)
        if not faults and starts:
            faults = self.start(where)
        return ["behind %s, %s: %s" % (disk.ops[position], why, fault)
                for fault in faults[:1]]


def is_history(path):
    return "/outbox.db" in path or path.endswith(".sock")


def is_blob(path):
    return "/blobs/" in path or "/releases/" in path or "/packed/" in path


# ---- the lane ----


class Count:
    def __init__(self):
        self.states = self.starts = self.bad = 0

    def __str__(self):
        return "%d states, %d of them started, %d bad" % (
            self.states, self.starts, self.bad)


def look_at(power, disk, begin, options, count, wanted):
    """`wanted` of the states, by the seed; 0: all."""
    states = list(disk.states(begin))
    chosen = states
    if wanted and wanted < len(states):
        chosen = random.Random(options.seed).sample(states, wanted)
    for number, state in enumerate(chosen):
        starts = power.always_starts or (
            options.recover and number % options.recover == 0)
        faults = power.try_state(disk, state, starts)
        count.states += 1
        count.starts += bool(starts)
        if faults:
            count.bad += 1
            if count.bad <= 10:
                print("bad: %s" % faults[0], flush=True)
    return len(states)


def is_caught(power, recording, first, left_out, options, tries, model):
    """The fault that shows when these syncs are not there; None."""
    disk = Disk(recording, options.seed, frozenset(left_out), model)
    near = []
    for index in left_out[:power.windows_max]:
        for begin, end in power.windows(recording, index):
            near += list(disk.states(begin, end))[:400]
    random.Random(options.seed).shuffle(near)
    # First the states that keep least or most: those are the plain cases.
    near.sort(key=lambda state: state[1] not in ("none", "torn"))
    far = list(disk.states(first))
    random.Random(options.seed).shuffle(far)
    for state in near[:tries] + far[:tries]:
        faults = power.try_state(disk, state, False)
        if faults:
            return faults[0]
    return None


def is_excused(site, label, folder):
    if site.startswith("libsqlite") or function_of(site, folder) in EXCUSED:
        return True
    return label not in NEEDED and any(
        fnmatch.fnmatchcase(label, what.split(" ")[0]) and
        not what.endswith("SQLite") for what in EXCUSED)


def prove(power, recordings, options):
    """Leave each sync out; those that nothing notices are faults of the lane
    or syncs without a reason.  The third: those that a journal needs too."""
    caught, missed, needed = {}, {}, set()
    for recording, begin in recordings:
        for key, left_out in sync_groups(recording, begin).items():
            if key in caught or is_excused(*key, options.bin):
                continue
            if is_caught(power, recording, begin, left_out, options,
                         options.tries // 4, "journal"):
                needed.add(key)
            fault = is_caught(power, recording, begin, left_out, options,
                              options.tries, "strict")
            if fault:
                caught[key] = fault
                missed.pop(key, None)
            else:
                missed[key] = len(left_out)
    # A fault that a part of the states did not show, all of them may.
    for recording, begin in recordings if missed else []:
        for key, left_out in sync_groups(recording, begin).items():
            fault = key in missed and is_caught(
                power, recording, begin, left_out, options,
                options.tries if power.is_slow else None, "strict")
            if fault:
                caught[key] = fault
                del missed[key]
    return caught, missed, needed


def kill_points(recording, options):
    """(program, number of its sync): a kill before it leaves something that is
    not synced.  First those behind a record or a name, which somebody will
    find and believe."""
    points, numbers = [], collections.Counter()
    before = None
    for op in recording.ops:
        if op.kind == SYNC:
            program = op.site.partition("+")[0]
            numbers[program] += 1
            rank = 0 if before.kind == WRITE and \
                before.path.startswith(SLOTS) else \
                1 if before.kind in NAMES else 2
            if not program.startswith("libsqlite"):
                points.append((rank, (program, numbers[program])))
        before = op
    random.Random(options.seed).shuffle(points)
    ranks = [[point for rank, point in points if rank == wanted]
             for wanted in range(3)]
    first = [point for pair in itertools.zip_longest(ranks[0], ranks[1])
             for point in pair if point is not None]
    return first + ranks[2]


def run(scenario, options):
    folder = tempfile.mkdtemp(prefix="flo-power-", dir="/tmp")
    bad = 0
    try:
        module, name = ELSEWHERE.get(scenario, (None, None))
        power = (getattr(importlib.import_module(module), name) if module else
                 Power)(options, folder, scenario)
        if "resume" in scenario:
            points = kill_points(power.record("whole")[0], options)
            recordings = []
            for number, point in enumerate(points):
                if len(recordings) < (options.kills or len(points)):
                    recordings += filter(None, [power.record(
                        "r%d" % number, point)])
        else:
            recordings = [power.record("r")]
        share = max(1, options.states // max(1, len(recordings))) \
            if options.states else 0
        for model in [options.model] if options.model else MODELS:
            started, count, total = moment(), Count(), 0
            for recording, begin in recordings:
                total += look_at(power, Disk(recording, options.seed,
                                             model=model), begin,
                                 options, count, share)
            print("%s, %s: seed %d, %d recordings, %s (of %d), %.0f s" % (
                scenario, model, options.seed, len(recordings), count, total,
                moment() - started), flush=True)
            bad += count.bad
        results = ({}, {}, set())
        if options.prove:
            results = prove(power, recordings, options)
        return bad, results
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description="cut the power, on paper")
    parser.add_argument("--scenario", choices=list(GROUPS), default="all")
    parser.add_argument("--model", choices=MODELS, help="default: both")
    parser.add_argument("--bin", default=os.environ.get(
        "FLOTILLA_BIN", os.path.join(sweep.ROOT, "build", "bin")))
    parser.add_argument("--tests", help="folder of libraries and crash_slots")
    parser.add_argument("--states", type=int, default=0,
                        help="per scenario and model; 0: all")
    parser.add_argument("--recover", type=int, default=40,
                        help="start the device in every n-th state; 0: never")
    parser.add_argument("--kills", type=int, default=0,
                        help="recordings of `resume`; 0: before each sync")
    parser.add_argument("--prove", action="store_true",
                        help="leave each sync out: is it noticed?")
    parser.add_argument("--tries", type=int, default=150,
                        help="states that may notice a missing sync")
    sweep.add_seed(parser)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    sweep.choose_seed(options)
    options.bin = os.path.abspath(options.bin)
    tests = os.path.abspath(options.tests or os.path.join(
        os.path.dirname(options.bin), "tests"))
    options.slots = os.path.join(tests, "crash_slots")
    options.assets = os.path.join(tests, "crash_assets")
    options.pairs = os.path.join(tests, "crash_pairs")
    options.tests = tests
    options.keep = False
    there = [os.path.join(options.bin, name) for name in RECORDED
             if os.path.exists(os.path.join(options.bin, name))]
    small = dict.fromkeys(["assets", "pairs", "trust", "packs", "drafts"], [])
    for name in {"all": RECORDED, "controller": RECORDED[2:], **small}.get(
            options.scenario, RECORDED[:2]):
        if os.path.join(options.bin, name) not in there:
            print("skipped, there is no %s" % name)
            return 77
    unseen = unrecorded(os.path.join(tests, "librecord.so"), there)
    if unseen:
        sys.exit("record.c has no wrapper for a call that changes a disk: " +
                 ", ".join(unseen))
    bad, caught, missed, needed = 0, {}, {}, set()
    # LD_PRELOAD is a list with blanks between: give it paths without any.
    with tempfile.TemporaryDirectory(prefix="flo-", dir="/tmp") as folder:
        options.record = shutil.copy(os.path.join(tests, "librecord.so"),
                                     folder)
        for scenario in GROUPS[options.scenario]:
            found, (new, quiet, journal) = run(scenario, options)
            bad += found
            caught.update(new)
            missed.update(quiet)
            needed |= journal
    if options.prove:
        missed = {key: n for key, n in missed.items() if key not in caught}
        for (site, label), fault in sorted(caught.items(),
                                           key=lambda item: item[0][1]):
            print("without the sync of %-28s %s" % (label, fault[:150]))
        for (site, label), number in missed.items():
            print("NOT NOTICED: the sync of %s at %s (%d times)" %
                  (label, function_of(site, options.bin), number))
        print("%d syncs left out one by one: %d noticed, %d not" %
              (len(caught) + len(missed), len(caught), len(missed)))
        print("a journal needs %d of them too" % len(needed))
        bad += not needed  # a model that notices nothing
    return 1 if bad or missed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
