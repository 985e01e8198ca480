"""Small programs of a device whose power goes.

`assets`: a device (crash_assets.c) shows release 1 in a folder of its owner, then
release 2, then release 1 again.  In each state that a cut may leave, the names of
the model lead to all files of one release, with the modes that they must have, or
to nothing before the first; behind the end of a switch they lead to its release.  A
device that starts there shows the release, and nothing else is left.

`pairs`: a device (crash_pairs.c) renews its key and certificate.  One pair is whole,
not older than the last one that was kept, and the device can renew again."""
import os
import shutil
import subprocess

import pairs
from assets import closed, files_of, shown
from disk import Recording
from waits import HANG_S

SHOWN = [1, 2, 1]


class Small:
    """A program that is called some times; the end of each call is a promise."""
    always_starts = True
    is_slow = False
    windows_max = None
    calls = 3

    def __init__(self, options, folder, _scenario):
        self.options, self.folder = options, folder

    def begin(self, root):
        os.mkdir(root)

    def record(self, name, _kill_at=None):
        root = os.path.join(self.folder, name)
        log = os.path.join(self.folder, name + ".log")
        self.begin(root)
        open(log, "wb").close()
        recording = Recording(root, ".", has_modes=True)
        for number in range(self.calls):
            self.call(root, number, dict(
                os.environ, LD_PRELOAD=self.options.record, FLO_RECORD=log))
            recording.read(log)
            recording.marks.append(len(recording.ops) - 1)
        shutil.rmtree(root)
        return recording, 0

    @staticmethod
    def windows(recording, index):
        """Where a missing sync shows: right away, and behind the call."""
        ends = [mark for mark in recording.marks if mark >= index]
        return [(index, index + 25), (ends[0], ends[0] + 3)]

    def run(self, environment, *words):
        return subprocess.run(words, capture_output=True, env=environment,
                              timeout=HANG_S, check=True).stdout

    def try_state(self, disk, state, _starts):
        root = disk.shown(state, os.path.join(self.folder, "shown"))
        done = disk.promises(state[0])
        try:
            self.look(root, done)
            self.again(root, done)
        except (AssertionError, OSError, subprocess.CalledProcessError) as error:
            return [disk.fault(state, getattr(error, "stderr", None) or error)]
        return []


class Renews(Small):
    """The scenario `pairs`."""

    def begin(self, root):
        os.makedirs(os.path.join(root, "identity"), mode=0o700)

    def call(self, root, _number, environment=None):
        return int(self.run(environment, self.options.pairs, root))

    @staticmethod
    def look(root, done):
        """`done` renewals ended, and the next one may have begun."""
        number = pairs.newest(root)
        assert done <= number <= done + 1, "pair %d of %d" % (number, done)
        assert done == 0 or pairs.authorities(root) > 0, "authorities"

    def again(self, root, _done):
        assert self.call(root, 0) == pairs.newest(root), "again"


class Shows(Small):
    """The scenario `assets`.  The state directory is there: `first` proves its sync."""
    calls = len(SHOWN)

    def begin(self, root):
        os.makedirs(os.path.join(root, "state"), mode=0o700)

    def call(self, root, number, environment=None):
        self.run(environment, self.options.assets, os.path.join(root, "state"),
                 os.path.join(root, "assets"), str(SHOWN[number]))

    def again(self, root, done):
        self.call(root, min(done, len(SHOWN) - 1))
        self.look(root, min(done + 1, len(SHOWN)))
        left = sorted(os.listdir(os.path.join(root, "assets")))
        assert len(left) == 2 and left[1] == "tiny", left
        closed(os.path.join(root, "state"))

    @staticmethod
    def look(root, done):
        """`done` switches ended, and the next one may have begun."""
        folder = os.path.join(root, "assets")
        may = [files_of(number) for number in SHOWN[max(done - 1, 0):done + 1]]
        if os.path.lexists(os.path.join(folder, "tiny")):
            found = shown(folder)
            assert found in may, "shown: %s" % found
        else:
            assert done == 0, "nothing is shown"
