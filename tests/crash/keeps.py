"""Files that a device or a person keeps whole, when the power goes.

`trust`: a device (crash_trust.c) takes the trust statements 1 to 4.  It starts with
one of them, whole: the last that it took or the next.  Its record never names a
newer one than the file, and no floor of the last one is lost.

`packs`: a device (crash_packs.c) packs a model three times.  The store has the last
pack that was published, whole, or the next, or for a moment none.  A person's cache
has whole packs alone.

`drafts`: a table of drafts is written three times (crash_drafts.c, engine/tools/
outfile.c).  It is absent or one whole table, and the next one can be written."""
import hashlib
import os
import subprocess

import sets
from shows import Small
from waits import HANG_S

# In these calls the device is killed before that sync, of a record that it has just
# written, and takes the statement again.
KILLED = {2: 4, 3: 6}


class Takes(Small):
    """The scenario `trust`."""
    calls = 4

    def __init__(self, options, folder, scenario):
        super().__init__(options, folder, scenario)
        self.program = os.path.join(options.tests, "crash_trust")
        self.chain = os.path.join(folder, "chain")
        os.mkdir(self.chain)
        self.run(None, self.program, "make", self.chain)

    def begin(self, root):
        os.makedirs(os.path.join(root, "device"), mode=0o700)
        os.mkdir(os.path.join(root, "device", "identity"), mode=0o700)

    def call(self, root, number, environment=None):
        words = (self.program, "take", os.path.join(root, "device"),
                 os.path.join(self.chain, "%d.json" % (number + 1)))
        if environment and number in KILLED:
            subprocess.run(words, check=False, timeout=HANG_S, env=dict(
                environment, FLO_RECORD_KILL="crash_trust:%d" % KILLED[number]))
        self.run(environment, *words)

    def look(self, root, done):
        """`done` statements were taken, and the next one may be."""
        number, floor, record, model = map(int, self.run(
            None, self.program, "show", os.path.join(root, "device")).split())
        assert done <= number <= done + 1, "statement %d of %d" % (number, done)
        assert record <= number and record >= done, "record %d of %d" % (record, done)
        assert model >= done, "record of the model %d of %d" % (model, done)
        assert floor >= floor_of(done), "floor %d of statement %d" % (floor, done)

    def again(self, root, done):
        self.call(root, min(done, self.calls - 1))
        self.look(root, min(done + 1, self.calls))


def floor_of(statement):
    """The third raises it, crash_trust.c; 0: none did."""
    return (statement - 1) * 10 if statement > 2 else 0


class Packs(Small):
    """The scenario `packs`."""

    def __init__(self, options, folder, scenario):
        super().__init__(options, folder, scenario)
        self.program = os.path.join(options.tests, "crash_packs")

    def begin(self, root):
        for name in ("device", "cache"):
            os.makedirs(os.path.join(root, name), mode=0o700)
        with open(os.path.join(root, "model"), "wb") as file:
            file.write(b"model")

    def call(self, root, number, environment=None):
        self.run(environment, self.program, os.path.join(root, "device"),
                 os.path.join(root, "cache"), os.path.join(root, "model"), str(number + 1))

    @staticmethod
    def windows(recording, index):
        """Behind the last call, too: no pack goes for another one there."""
        return Small.windows(recording, index) + [(recording.marks[-1], None)]

    def look(self, root, done):
        """`done` packs were published, and the next one may be."""
        packed = os.path.join(root, "device", "packed")
        names = sets.names(packed) if os.path.isdir(packed) else []
        found = [whole(packed, name) for name in names]
        for name, which in zip(names, found):
            assert name.endswith(digest_of(which)), "the bytes of %s" % name
        assert found or done < self.calls, "no pack"
        assert set(found) <= {done, done + 1}, "packs %s" % found
        for name in sets.names(os.path.join(root, "cache")):
            assert whole(os.path.join(root, "cache"), name) == 1, "cache %s" % name

    def again(self, root, done):
        self.call(root, done)
        self.look(root, done + 1)
        assert len(sets.names(os.path.join(root, "device", "packed"))) == 1, "packs are left"


class Drafts(Small):
    """The scenario `drafts`."""

    def __init__(self, options, folder, scenario):
        super().__init__(options, folder, scenario)
        self.program = os.path.join(options.tests, "crash_drafts")

    def call(self, root, number, environment=None):
        self.run(environment, self.program, os.path.join(root, "table.draft"), str(number + 1))

    @staticmethod
    def look(root, done):
        if os.path.exists(os.path.join(root, "table.draft")):
            number = whole(root, "table.draft")
            assert number <= done + 1, "table %d of %d" % (number, done)

    def again(self, root, done):
        self.call(root, done)
        assert whole(root, "table.draft") == done + 1, "again"
        assert sets.names(root) == ["table.draft"], "left: %s" % sets.names(root)


BYTES = 6000  # of a pack and a table


def whole(folder, name):
    """Which one it is; a torn one is an error."""
    with open(os.path.join(folder, name), "rb") as file:
        data = file.read()
    assert len(data) == BYTES and data == data[:1] * BYTES and data.isdigit(), \
        "%s is torn" % name
    return int(data[:1])


def digest_of(which):
    return hashlib.sha256(str(which).encode() * BYTES).hexdigest()
