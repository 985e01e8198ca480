#!/usr/bin/env python3
"""Power loss: what may a disk show after a cut, and does the device live on?

An update runs with record.c preloaded, which writes down every change to the
device's files.  Behind every change of that record the power may go.  Two
models say what the disk shows then:

strict   what was synced is there, and of what was not, anything may be: none,
         all, each alone, all but one, any part, names without bytes, the last
         write torn.  Bytes are durable by fsync or fdatasync of their file,
         names by fsync of their folder; nothing else is.
journal  names change in the order in which it was done, as a journal keeps it:
         the first few of them are there.  A sync of a folder, or of a file that
         is new, takes all names before it along.  Bytes of files that were not
         synced are there, partly there, missing, or zeros of the full length.

Each state is built in a folder and looked at as a start would; some are
started.

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
import hashlib
import itertools
import os
import random
import shutil
import signal
import struct
import sys
import tempfile

import sweep
from waits import moment

OPEN, NAMELESS, WRITE, CUT, GROW, SYNC, LINK, RENAME, UNLINK, MKDIR = range(10)
WORDS = ("open nameless write cut grow sync link rename unlink mkdir").split()
HEAD = struct.Struct("<IIQQQQIIQ")
MAGIC = 0x44524c46
DATA = (WRITE, CUT, GROW)
NAMES = (OPEN, LINK, RENAME, UNLINK, MKDIR)
SCENARIOS = ["update", "first", "resume", "bundle", "bundle-resume"]
GROUPS = {"all": SCENARIOS, "worker": SCENARIOS[:3], "agent": SCENARIOS[3:],
          **{scenario: [scenario] for scenario in SCENARIOS}}
MODELS = ["strict", "journal"]
TORN, ZEROS = 1, 2  # what a cut made of a write
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
}


class Op:
    __slots__ = ("index", "kind", "thing", "path", "to", "at", "data", "site",
                 "folders", "label")

    def __str__(self):
        return "%d %s %s%s" % (self.index, WORDS[self.kind], self.path,
                               " -> " + self.to if self.to else "")


class Recording:
    """The beginning, all of it on the disk, and what was done from there."""

    def __init__(self, root):
        self.root = root
        self.files = {}    # path -> thing
        self.folders = {"."}
        self.bytes = {}    # thing -> bytes at the beginning
        self.ops = []
        self.marks = []    # indices: what was reported done by then
        self.killed = -1   # index of the first change behind a kill
        self.numbers = {}  # inode of a file -> thing
        self.places = {os.stat(root).st_ino: "."}  # inode of a folder -> path
        self.live = {}
        self.things = 0
        self.taken = 0
        for here, folders, files in os.walk(root):
            inside = os.path.relpath(here, root)
            for name in folders:
                path = os.path.normpath(os.path.join(inside, name))
                self.folders.add(path)
                self.places[os.stat(os.path.join(here, name)).st_ino] = path
            for name in files:
                whole = os.path.join(here, name)
                if not os.path.isfile(whole):
                    continue
                thing = self.thing()
                self.numbers[os.stat(whole).st_ino] = thing
                path = os.path.normpath(os.path.join(inside, name))
                self.files[path] = thing
                with open(whole, "rb") as file:
                    self.bytes[thing] = file.read()
        self.live = dict(self.files)

    def thing(self):
        self.things += 1
        return self.things

    def agrees(self):
        """A process that was killed by another's end may have changed a name
        and not have said so."""
        found = set()
        for here, _, files in os.walk(self.root):
            found.update(os.path.normpath(os.path.relpath(
                os.path.join(here, name), self.root)) for name in files
                if os.path.isfile(os.path.join(here, name)))
        return {path for path in found ^ set(self.live)
                if path.startswith(STATE + "/") and
                not is_history(path)} == set()

    def path_of(self, folder, name):
        """Inside the root, or None."""
        if folder:
            here = self.places.get(folder)
            return None if here is None else os.path.normpath(
                os.path.join(here, name))
        if name.startswith(self.root + "/"):
            return os.path.normpath(name[len(self.root) + 1:])
        return None

    def read(self, log):
        with open(log, "rb") as file:
            data = file.read()
        at = self.taken
        while at < len(data):
            magic, kind, inode, folder, other, offset, n, m, count = \
                HEAD.unpack_from(data, at)
            if magic != MAGIC:
                raise RuntimeError("no record at %d of %s" % (at, log))
            at += HEAD.size
            name = data[at:at + n].decode()
            second = data[at + n:at + n + m].decode()
            at += n + m
            self.take(kind, inode, folder, other, offset, name, second,
                      data[at:at + count])
            at += count
        self.taken = at

    def add(self, kind, path, thing=None, to=None, at=0, data=b"", site=""):
        op = Op()
        op.index, op.kind, op.thing = len(self.ops), kind, thing
        op.path, op.to, op.at, op.data, op.site = path, to, at, data, site
        op.folders = {os.path.dirname(p) or "." for p in (path, to) if p}
        op.label = ""
        self.ops.append(op)
        return op

    def take(self, kind, inode, folder, other, offset, name, second, data):
        if kind == NAMELESS:
            self.numbers[inode] = self.thing()
        elif kind in DATA:
            thing = self.numbers.get(inode)
            if thing is not None:
                self.add(kind, self.name_of(thing), thing, at=offset,
                         data=data)
        elif kind == SYNC:
            self.take_sync(inode, name)
        else:
            self.take_name(kind, inode, self.path_of(folder, name),
                           self.path_of(other, second) if second else None)

    def name_of(self, thing):
        for path, held in self.live.items():
            if held == thing:
                return path
        return "(nameless)"

    def take_sync(self, inode, site):
        if inode in self.places:
            path = self.places[inode]
            op = self.add(SYNC, path, None, site=site)
            op.label = self.label(path) + "/"
        elif inode in self.numbers:
            thing = self.numbers[inode]
            op = self.add(SYNC, self.name_of(thing), thing, site=site)
            op.label = self.label(op.path)

    @staticmethod
    def label(path):
        """blobs/<hex>, slots/tiny.bin: the same for every run."""
        inside = os.path.relpath(path, STATE) if path.startswith(STATE) else \
            path
        if inside.startswith("outbox.db"):
            return "outbox.db"
        parts = inside.split("/")
        stem, dot, suffix = parts[-1].partition(".")
        if parts[0] == "slots" and len(parts) == 2:
            parts[-1] = "<record>" + dot + suffix
        elif len(stem) >= 64:
            parts[-1] = "<hex>" + dot + suffix.split("-")[0]
        return "/".join(parts)

    def take_name(self, kind, inode, path, to):
        if path is None:
            return
        if kind == MKDIR:
            self.add(MKDIR, path)
        elif kind == OPEN:
            if os.path.isdir(os.path.join(self.root, path)):
                self.places[inode] = path
            elif path not in self.live:
                thing = self.numbers[inode] = self.live[path] = self.thing()
                self.add(OPEN, path, thing)
        elif kind == LINK and inode in self.numbers:
            self.live[path] = self.numbers[inode]
            self.add(LINK, path, self.numbers[inode])
        elif kind == RENAME and to is not None and path in self.live:
            thing = self.live[to] = self.live.pop(path)
            self.add(RENAME, path, thing, to)
        elif kind == UNLINK and path in self.live:
            self.add(UNLINK, path, self.live.pop(path))


# ---- what a disk may show ----


class Disk:
    """Which operations are durable after each point, and what may be."""

    def __init__(self, recording, seed, left_out=(), model="strict"):
        self.recording = recording
        self.seed = seed
        self.is_journal = model == "journal"
        self.ops = [op for op in recording.ops if op.index not in left_out]

    def points(self, begin=0):
        """(position, durable operations, pending ones) after each call."""
        durable, pending = set(), []
        for position, op in enumerate(self.ops):
            if op.kind == SYNC:
                done = [x for x in pending if is_synced(x, op)]
                if self.is_journal and (op.thing is None or is_new(
                        op.thing, self.recording)):
                    done += [x for x in pending
                             if x.kind in NAMES and x not in done]
                durable.update(x.index for x in done)
                gone = {x.index for x in done}
                pending = [x for x in pending if x.index not in gone]
            else:
                pending.append(op)
            if op.index >= begin:
                yield position, frozenset(durable), list(pending)

    @staticmethod
    def choices_of_journal(pending, chooser):
        """(why, kept, spoilt): the first names, and bytes in four ways."""
        names = [x for x in pending if x.kind in NAMES]
        data = [x for x in pending if x.kind in DATA]
        zeros = tuple((x.index, ZEROS) for x in data if x.kind == WRITE)
        for count in range(len(names) + 1):
            first = names[:count]
            why = "the first %d names" % count
            yield why + ", no bytes", first, ()
            if data:
                some = [x for x in data if chooser.random() < 0.5]
                yield why + ", all bytes", first + data, ()
                yield why + ", some bytes", first + some, ()
                yield why + ", zeros", first + data, zeros

    @staticmethod
    def choices_of_strict(pending, chooser):
        """(why, kept, spoilt) of what was not synced."""
        names = [x for x in pending if x.kind in NAMES]
        data = [x for x in pending if x.kind in DATA]
        yield "none", [], ()
        if not pending:
            return
        yield "all", pending, ()
        few = pending if len(pending) <= 12 else chooser.sample(pending, 12)
        for one in few:
            yield "only %s" % one, [one], ()
            yield "all but %s" % one, [x for x in pending if x is not one], ()
        for _ in range(3):
            yield "a part", [x for x in pending if chooser.random() < 0.5], ()
        for count in range(1, len(names) + 1):
            yield "%d names, no bytes" % count, names[:count], ()
            yield "%d names, all bytes" % count, names[:count] + data, ()
        writes = [x for x in data if x.kind == WRITE and len(x.data) > 1]
        if writes:
            torn = ((writes[-1].index, TORN),)
            yield "torn", [writes[-1]], torn
            yield "all, torn", pending, torn

    def states(self, begin=0, end=None):
        """(position, why, indices of what is applied, spoilt), once each."""
        seen = set()
        choices = self.choices_of_journal if self.is_journal else \
            self.choices_of_strict
        for position, durable, pending in self.points(begin):
            if end is not None and self.ops[position].index > end:
                return
            chooser = random.Random("%d.%d" % (self.seed, position))
            for why, kept, spoilt in choices(pending, chooser):
                applied = durable | {x.index for x in kept}
                # The promises differ with the point: it belongs to the key.
                key = (applied, spoilt, self.promises(position))
                if key not in seen:
                    seen.add(key)
                    yield position, why, applied, spoilt

    # -- what must be there

    def promises(self, position):
        """({record: generation}, is done): not older than this; reported
        done."""
        if not hasattr(self, "made"):
            self.made = self.make_promises()
        return self.made[position]

    def make_promises(self):
        """A record counts from the first thing on that is done after it."""
        made, claim, due, is_resumed = [], None, {}, False
        recording = self.recording
        marks = recording.marks
        for op in self.ops:
            own = claim is not None and (
                (op.thing == claim[0] and op.kind in (SYNC, RENAME)) or
                (op.thing is None and op.kind == SYNC and
                 op.path == STATE + "/slots"))
            if 0 <= recording.killed <= op.index and not is_resumed:
                claim, is_resumed = None, True  # the write never returned
            if claim is not None and not own:
                due, claim = {**due, claim[1]: claim[2]}, None
            if op.kind == WRITE and op.path.startswith(SLOTS) and \
                    op.data[:4] in RECORDS:
                name = os.path.basename(op.path)
                claim = (op.thing, name[:-4] if name.endswith(".new")
                         else name, struct.unpack_from("<Q", op.data, 8)[0])
            made.append((tuple(sorted(due.items())),
                         any(op.index >= mark for mark in marks)))
        return made

    # -- the tree

    def tree(self, applied, spoilt):
        """path -> (thing, contents' operations); folders that are there."""
        recording, spoilt = self.recording, dict(spoilt)
        files, folders = dict(recording.files), set(recording.folders)
        steps = collections.defaultdict(list)
        for op in self.ops:
            if op.index not in applied:
                continue
            if op.kind in DATA:
                steps[op.thing].append(op)
            elif op.kind in (OPEN, LINK):
                files[op.path] = op.thing
            elif op.kind == RENAME:
                if files.get(op.path) == op.thing:
                    del files[op.path]
                files[op.to] = op.thing
            elif op.kind == UNLINK:
                files.pop(op.path, None)
            elif op.kind == MKDIR:
                folders.add(op.path)

        def is_there(path):
            while path != ".":
                if path not in folders:
                    return False
                path = os.path.dirname(path) or "."
            return True

        folders = {path for path in folders if is_there(path)}
        return ({path: (thing, tuple((op.index, spoilt.get(op.index, 0))
                                     for op in steps[thing]))
                 for path, thing in files.items()
                 if is_there(os.path.dirname(path) or ".")}, folders)

    def contents(self, thing, steps):
        data = bytearray(self.recording.bytes.get(thing, b""))
        for index, how in steps:
            op = self.recording.ops[index]
            if op.kind == WRITE:
                piece = op.data[:len(op.data) // 2] if how == TORN else \
                    bytes(len(op.data)) if how == ZEROS else op.data
                if len(data) < op.at + len(piece):
                    data.extend(bytes(op.at + len(piece) - len(data)))
                data[op.at:op.at + len(piece)] = piece
            elif op.kind == GROW and len(data) < op.at:
                data.extend(bytes(op.at - len(data)))
            elif op.kind == CUT:
                del data[op.at:]
                data.extend(bytes(op.at - len(data)))
        return bytes(data)


def is_new(thing, recording):
    """Made since the beginning: not one of the files that were on the disk."""
    return thing not in recording.bytes


def is_synced(op, sync):
    """Bytes by the sync of their file, names by that of their folder."""
    if sync.thing is not None:
        return op.kind in DATA and op.thing == sync.thing
    return op.kind in NAMES and sync.path in op.folders


# ---- the device ----


class Power(sweep.Sweep):
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
        recording = Recording(root)
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
            if not recording.agrees():
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
        files, folders = disk.tree(applied, spoilt)
        for folder in sorted(folders - {"."}):
            os.mkdir(os.path.join(root, folder), 0o700)
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
        starts = options.recover and number % options.recover == 0
        faults = power.try_state(disk, state, starts)
        count.states += 1
        count.starts += bool(starts)
        if faults:
            count.bad += 1
            if count.bad <= 10:
                print("bad: %s" % faults[0], flush=True)
    return len(states)


def sync_groups(recording, begin):
    """Syncs of one place in a program and of one kind of file."""
    groups = collections.OrderedDict()
    for op in recording.ops:
        if op.kind == SYNC and op.index >= begin:
            groups.setdefault((op.site, op.label), []).append(op.index)
    return groups


def is_caught(power, recording, begin, left_out, options, tries, model):
    """The fault that shows when these syncs are not there; None."""
    disk = Disk(recording, options.seed, frozenset(left_out), model)
    near = []
    for index in left_out:
        near += list(disk.states(index, index + 25))[:400]
    random.Random(options.seed).shuffle(near)
    # First the states that keep least or most: those are the plain cases.
    near.sort(key=lambda state: state[1] not in ("none", "torn"))
    far = list(disk.states(begin))
    random.Random(options.seed).shuffle(far)
    for state in near[:tries] + far[:tries]:
        faults = power.try_state(disk, state, False)
        if faults:
            return faults[0]
    return None


def is_excused(site, label):
    if site.startswith("libsqlite"):
        return True
    return any(label == what.split(" ")[0] and not what.endswith("SQLite")
               for what in EXCUSED)


def prove(power, recordings, options):
    """Leave each sync out; those that nothing notices are faults of the lane
    or syncs without a reason.  The third: those that a journal needs too."""
    caught, missed, needed = {}, {}, set()
    for recording, begin in recordings:
        for key, left_out in sync_groups(recording, begin).items():
            if key in caught or is_excused(*key):
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
                power, recording, begin, left_out, options, None, "strict")
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
        power = Power(options, folder, scenario)
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
    options.keep = False
    for name in ("flotilla-updater", "flotilla-agent"):
        if not os.path.exists(os.path.join(options.bin, name)):
            print("skipped, there is no %s" % name)
            return 77
    bad, caught, missed, needed = 0, {}, {}, set()
    # LD_PRELOAD is a list with blanks between: give it paths without any.
    with tempfile.TemporaryDirectory(prefix="flo-", dir="/tmp") as folder:
        options.record = shutil.copy(os.path.join(tests, "librecord.so"),
                                     folder)
        for scenario in GROUPS[options.scenario]:
            found, (new, unseen, journal) = run(scenario, options)
            bad += found
            caught.update(new)
            missed.update(unseen)
            needed |= journal
    if options.prove:
        missed = {key: n for key, n in missed.items() if key not in caught}
        for (site, label), fault in sorted(caught.items(),
                                           key=lambda item: item[0][1]):
            print("without the sync of %-28s %s" % (label, fault[:150]))
        for (site, label), number in missed.items():
            print("NOT NOTICED: the sync of %s at %s (%d times)" %
                  (label, site, number))
        print("%d syncs left out one by one: %d noticed, %d not" %
              (len(caught) + len(missed), len(caught), len(missed)))
        print("a journal needs %d of them too" % len(needed))
        bad += not needed  # a model that notices nothing
    return 1 if bad or missed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
