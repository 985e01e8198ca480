"""A disk on paper: what was done to a folder, and what a power cut may leave of it.

record.c writes down each change that programs make to files.  A Recording reads
that; a Disk knows what may be there when the power goes behind any of them.  Two
models say what:

strict   what was synced is there, and of what was not, anything may be: none,
         all, each alone, all but one, any part, names without bytes, the last
         write torn.  Bytes are durable by fsync or fdatasync of their file,
         names by fsync of their folder; nothing else is.
journal  names change in the order in which it was done, as a journal keeps it:
         the first few of them are there.  A sync of a folder, or of a file that
         is new, takes all names before it along.  Bytes of files that were not
         synced are there, partly there, missing, or zeros of the full length.

Files and folders are things with numbers.  A name is a pair: the folder's number,
and the word in it.  So a folder that is renamed takes along what is in it."""
import collections
import os
import random
import re
import shutil
import struct
import subprocess

(OPEN, NAMELESS, WRITE, CUT, GROW, SYNC, LINK, RENAME, UNLINK, MKDIR, SYMLINK,
 MODE, LOST) = range(13)
WORDS = ("open nameless write cut grow sync link rename unlink mkdir symlink "
         "mode lost").split()
HEAD = struct.Struct("<IIQQQQIIQ")
MAGIC = 0x44524c46
DATA = (WRITE, CUT, GROW)
NAMES = (OPEN, LINK, RENAME, UNLINK, MKDIR, SYMLINK, MODE)  # in a journal's order
MODELS = ["strict", "journal"]
TORN, ZEROS = 1, 2  # what a cut made of a write
TOP = 0  # the thing that is the folder itself

# ---- what record.c follows ----

# Functions of libc that change names or bytes of a file system, or sync them.
CHANGES = re.compile(
    r"(__)?(open|openat|creat|(sym)?link(at)?|mknod(at)?|mkfifo(at)?|mkdir(at)?|"
    r"mkdtemp|mko?stemps?|tmpfile|rename(at)?2?|unlink(at)?|rmdir|remove|fopen|"
    r"freopen|fdopen|p?write(v2?)?|pwritev2?|f?truncate|(posix_)?fallocate|"
    r"f?chmod(at)?|copy_file_range|sendfile|splice|vmsplice|tee|mmap|msync|v?dprintf|"
    r"fsync|fdatasync|sync|syncfs|sync_file_range|syscall|aio_write|ioctl)"
    r"(64)?(_2|_chk)?")
# Those that are not followed: why nothing is missed.
UNFOLLOWED = {
    "__dprintf_chk": "into pipes and /proc",
    "ioctl": "asks about sockets and terminals",
    "msync": "mappings of an engine, whose files have no name until they are synced",
}


def symbols(which, path):
    text = subprocess.run(["nm", "-D", which, path], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    return {line.split()[-1].partition("@")[0] for line in text.splitlines()}


def libraries(program):
    """SQLite, which writes files by itself."""
    text = subprocess.run(["ldd", program], check=False, text=True,
                          stdout=subprocess.PIPE).stdout
    return re.findall(r"=> (\S*libsqlite3\S*)", text)


def unrecorded(record, programs):
    """Calls that change a disk, and that these programs make behind the back of
    record.c."""
    followed = symbols("--defined-only", record)
    programs = set(programs).union(*(libraries(path) for path in programs))
    return sorted("%s calls %s" % (os.path.basename(path), name)
                  for path in programs
                  for name in symbols("--undefined-only", path)
                  if CHANGES.fullmatch(name) and name not in followed and
                  name not in UNFOLLOWED)


def function_of(site, folder):
    """Who asks for a sync, from "PROGRAM+OFFSET"; the same when that is unknown."""
    name, _, offset = site.partition("+")
    path = os.path.join(folder, name)
    text = subprocess.run(["nm", "-n", path], check=False, text=True,
                          stdout=subprocess.PIPE).stdout if os.path.exists(path) else ""
    found = [line.split() for line in text.splitlines()]
    before = [words[2] for words in found if len(words) == 3 and
              words[1] in "tT" and int(words[0], 16) <= int(offset, 16)]
    return before[-1] if before else site


class Op:
    __slots__ = ("index", "kind", "thing", "places", "path", "to", "at", "data",
                 "site", "label")

    def __str__(self):
        return "%d %s %s%s" % (self.index, WORDS[self.kind], self.path,
                               " -> " + self.to if self.to else "")


class Recording:
    """The beginning, all of it on the disk, and what was done from there."""

    def __init__(self, root, home, has_modes=False):
        self.root = root
        self.has_modes = has_modes
        self.home = home   # the folder in it that the programs are given
        self.names = {}    # (folder, word) -> thing, at the beginning
        self.folders = {TOP}
        self.texts = {}    # thing, a symbolic link -> where to
        self.bytes = {}    # thing -> bytes at the beginning
        self.modes = {}    # thing -> mode at the beginning
        self.ops = []
        self.marks = []    # indices: what was reported done by then
        self.killed = -1   # index of the first change behind a kill
        self.numbers = {os.stat(root).st_ino: TOP}  # inode -> thing
        self.things = TOP
        self.taken = 0
        places = {root: TOP}
        for here, folders, files in os.walk(root):
            for name in folders + files:
                self.find(places, here, name)
        self.live = dict(self.names)

    def find(self, places, here, name):
        whole = os.path.join(here, name)
        is_link = os.path.islink(whole)
        if not (is_link or os.path.isfile(whole) or os.path.isdir(whole)):
            return
        thing = self.names[(places[here], name)] = self.thing()
        if is_link:
            self.texts[thing] = os.readlink(whole)
            return
        self.numbers[os.stat(whole).st_ino] = thing
        self.modes[thing] = os.stat(whole).st_mode & 0o7777
        if os.path.isdir(whole):
            places[whole] = thing
            self.folders.add(thing)
        else:
            with open(whole, "rb") as file:
                self.bytes[thing] = file.read()

    def thing(self):
        self.things += 1
        return self.things

    def agrees(self, is_ignored):
        """A process that was killed by another's end may have changed a name
        and not have said so."""
        there = set()
        for here, _, files in os.walk(self.root):
            there.update(os.path.normpath(os.path.relpath(
                os.path.join(here, name), self.root)) for name in files
                if os.path.isfile(os.path.join(here, name)))
        live = {path for path, thing in paths_of(self.live, self.folders).items()
                if thing not in self.folders and thing not in self.texts}
        return all(is_ignored(path) or not path.startswith(self.home + "/")
                   for path in there ^ live)

    # -- names

    def place(self, folder, name):
        """(folder, word) of a name inside the root, or None."""
        if folder:
            here = self.numbers.get(folder)
            if here not in self.folders or os.path.isabs(name):
                return None
        elif name.startswith(self.root + "/"):
            here, name = TOP, name[len(self.root) + 1:]
        else:
            return None
        *above, last = os.path.normpath(name).split("/")
        if last in (".", ".."):
            return None  # a folder that is known already
        for word in above:
            here = self.live.get((here, self.follow(here, word)))
            if here not in self.folders:
                return None
        return here, last

    def follow(self, here, word):
        """A symbolic link in the middle of a path names its neighbour."""
        return self.texts.get(self.live.get((here, word)), word)

    def path_of(self, place):
        words = []
        above = {thing: name for name, thing in self.live.items()
                 if thing in self.folders}
        while place is not None:
            words.append(place[1])
            place = above.get(place[0])
        return "/".join(reversed(words))

    def name_of(self, thing):
        if thing == TOP:
            return "."
        for place, held in self.live.items():
            if held == thing:
                return self.path_of(place)
        return "(nameless)"

    # -- the log of record.c

    def read(self, log):
        with open(log, "rb") as file:
            file.seek(self.taken)
            data = file.read()
        at = 0
        while at < len(data):
            magic, kind, inode, folder, other, offset, n, m, count = \
                HEAD.unpack_from(data, at)
            if magic != MAGIC:
                raise RuntimeError("no record at %d of %s" % (at, log))
            at += HEAD.size
            name = data[at:at + n].decode()
            second = data[at + n:at + n + m].decode()
            at += n + m
            self.take(kind, inode, (folder, name), (other, second), offset,
                      data[at:at + count])
            at += count
        self.taken += at

    def add(self, kind, thing, places=(), at=0, data=b"", site=""):
        op = Op()
        op.index, op.kind, op.thing, op.places = len(self.ops), kind, thing, places
        op.path = self.path_of(places[0]) if places else self.name_of(thing)
        op.to = self.path_of(places[1]) if len(places) > 1 else None
        op.at, op.data, op.site, op.label = at, data, site, ""
        self.ops.append(op)
        return op

    def take(self, kind, inode, first, second, offset, data):
        thing = self.numbers.get(inode)
        if kind == NAMELESS:
            thing = self.numbers[inode] = self.thing()
            self.modes[thing] = second[0]
        elif kind == MODE:
            thing = thing if inode else self.live.get(self.place(*first))
            if self.has_modes and thing is not None:
                self.add(MODE, thing, at=offset)
        elif kind in DATA and thing is not None:
            self.add(kind, thing, at=offset, data=data)
        elif kind == SYNC and thing is not None:
            op = self.add(SYNC, thing, site=first[1])
            op.label = self.label(op.path) + ("/" if thing in self.folders else "")
        elif kind == LOST and thing is not None:
            raise RuntimeError("%s writes %s, and record.c cannot follow" %
                               (first[1], self.name_of(thing)))
        elif kind == OPEN:
            self.take_open(inode, self.place(*first), bool(offset), second[0])
        elif kind in NAMES:
            self.take_name(kind, thing, self.place(*first), first, second)

    def label(self, path):
        """blobs/<hex>, slots/<record>.bin: the same for every run."""
        inside = os.path.relpath(path, self.home) if path != "(nameless)" else path
        parts = inside.split("/")
        if parts[0].startswith("outbox.db"):
            return "outbox.db"
        stem, dot, suffix = parts[-1].partition(".")
        if parts[0] == "slots" and len(parts) == 2:
            parts[-1] = "<record>" + dot + suffix
        elif len(stem) >= 64:
            parts[-1] = "<hex>" + dot + suffix.split("-")[0]
        elif parts[-1].startswith(".upload-"):
            parts[-1] = ".upload-<random>"
        return re.sub(r"\b[0-9a-f]{8,}\b", "<hex>", "/".join(parts))

    def take_open(self, inode, place, is_folder, mode):
        if place is None:
            return
        thing = self.live.get(place)
        if place[1].endswith("-shm"):  # SQLite makes it anew after a cut
            self.numbers.pop(inode, None)
        elif thing in self.folders:
            self.numbers[inode] = thing
        elif is_folder and thing is None:
            raise RuntimeError("nobody made %s" % self.path_of(place))
        elif thing is None:
            thing = self.numbers[inode] = self.live[place] = self.thing()
            self.modes[thing] = mode
            self.add(OPEN, thing, (place,))

    def take_name(self, kind, thing, place, first, second):
        if kind == RENAME or (kind == LINK and second[1]):
            self.take_move(kind, place, self.place(*second), first, second)
        elif place is None:
            return
        elif kind == UNLINK:
            thing = self.live.get(place)
            if thing is not None:
                self.add(UNLINK, thing, (place,))
                del self.live[place]
        elif kind == LINK:
            if thing is not None:
                self.live[place] = thing
                op = self.add(LINK, thing, (place,))
                for sync in self.ops:
                    if sync.thing == thing and sync.label == "(nameless)":
                        sync.label = self.label(op.path.removesuffix(".tmp-new"))
        else:
            thing = self.live[place] = self.thing()
            if kind == SYMLINK:
                self.texts[thing] = second[1]
            else:
                self.folders.add(thing)
            self.add(kind, thing, (place,))

    def take_move(self, kind, place, to, first, second):
        """A file gets a new name, in the place of its old one or in addition."""
        thing = self.live.get(place)
        if to is None and thing is None:
            return
        if to is None or thing is None:
            raise RuntimeError("%s -> %s: one of them is not in %s" % (
                first[1], second[1], self.root))
        if kind == LINK:
            self.live[to] = thing
            self.add(LINK, thing, (to,))
        elif self.live.get(to) != thing:
            self.add(RENAME, thing, (place, to))
            del self.live[place]
            self.live[to] = thing

    # -- promises

    def promises(self, ops):
        """Behind each of these operations: what was reported done."""
        return [sum(op.index >= mark for mark in self.marks) for op in ops]


def paths_of(names, folders):
    """path -> thing, of all that can be reached from the top."""
    inside, found = collections.defaultdict(list), {}
    for (folder, word), thing in names.items():
        inside[folder].append((word, thing))

    def walk(folder, path, above):
        for word, thing in inside[folder]:
            whole = os.path.join(path, word)
            found[whole] = thing
            if thing in folders and thing not in above:
                walk(thing, whole, above | {thing})
    walk(TOP, "", {TOP})
    return found


class Disk:
    """Which operations are durable after each point, and what may be."""

    def __init__(self, recording, seed, left_out=(), model="strict"):
        self.recording = recording
        self.seed = seed
        self.is_journal = model == "journal"
        self.ops = [op for op in recording.ops if op.index not in left_out]
        self.made = recording.promises(self.ops)
        self.things = {}   # path -> thing, of the last tree

    def promises(self, position):
        """Facts that must be there when the power goes behind this operation."""
        return self.made[position]

    def points(self, begin=0):
        """(position, durable operations, pending ones) after each call."""
        durable, pending = set(), []
        recording = self.recording
        for position, op in enumerate(self.ops):
            if op.kind == SYNC:
                done = [x for x in pending if is_synced(x, op, recording)]
                if self.is_journal and (op.thing in recording.folders or
                                        is_new(op.thing, recording)):
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

    # -- the tree

    def tree(self, applied, spoilt):
        """path -> (thing, contents' operations); folders that are there; path ->
        text of symbolic links."""
        recording, spoilt = self.recording, dict(spoilt)
        names = dict(recording.names)
        steps = collections.defaultdict(list)
        for op in self.ops:
            if op.index not in applied:
                continue
            if op.kind in DATA:
                steps[op.thing].append(op)
            elif op.kind == UNLINK:
                names.pop(op.places[0], None)
            elif op.kind != MODE:
                if op.kind == RENAME and names.get(op.places[0]) == op.thing:
                    del names[op.places[0]]
                names[op.places[-1]] = op.thing
        files, folders, links = {}, [], {}
        self.things = paths_of(names, recording.folders)
        for path, thing in self.things.items():
            if thing in recording.folders:
                folders.append(path)
            elif thing in recording.texts:
                links[path] = recording.texts[thing]
            else:
                files[path] = (thing, tuple((op.index, spoilt.get(op.index, 0))
                                            for op in steps[thing]))
        return files, sorted(folders), links

    def modes(self, applied):
        """thing -> mode, where one is known."""
        changed = {op.thing: op.at for op in self.ops
                   if op.kind == MODE and op.index in applied}
        return {**self.recording.modes, **changed}

    def shown(self, state, root):
        """That state, in a folder; all names of a file are names of one."""
        _, _, applied, spoilt = state
        shutil.rmtree(root, ignore_errors=True)
        files, folders, links = self.tree(applied, spoilt)
        modes = self.modes(applied) if self.recording.has_modes else {}
        named = {}
        os.mkdir(root)
        for path in folders:
            os.mkdir(os.path.join(root, path), 0o700)
        for path, text in links.items():
            os.symlink(text, os.path.join(root, path))
        for path, key in files.items():
            whole = os.path.join(root, path)
            if key[0] in named:
                os.link(named[key[0]], whole)
                continue
            named[key[0]] = whole
            with open(whole, "wb") as file:
                file.write(self.contents(*key))
            os.chmod(whole, modes.get(key[0], 0o600))
        for path in folders:
            os.chmod(os.path.join(root, path), modes.get(self.things[path], 0o700))
        return root

    def fault(self, state, what):
        return "behind %s, %s: %s" % (self.ops[state[0]], state[1], str(what)[-600:])

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


def is_synced(op, sync, recording):
    """Bytes and modes by the sync of their file, names by that of their folder."""
    if op.kind == MODE:
        return op.thing == sync.thing
    if sync.thing not in recording.folders:
        return op.kind in DATA and op.thing == sync.thing
    return op.kind in NAMES and any(here == sync.thing for here, _ in op.places)


def sync_groups(recording, begin):
    """Syncs of one place in a program and of one kind of file."""
    groups = collections.OrderedDict()
    for op in recording.ops:
        if op.kind == SYNC and op.index >= begin:
            groups.setdefault((op.site, op.label), []).append(op.index)
    return groups
