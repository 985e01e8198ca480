"""Assets of a device whose power goes: its programs see one release, or the other.

A device (crash_assets.c) shows release 1 in a folder of its owner, then release 2,
then release 1 again.  In each state that a cut may leave, the names of the model
lead to all files of one release, with the modes that they must have, or to nothing
before the first; behind the end of a switch they lead to its release.  A device
that starts there shows the release, and nothing else is left."""
import os
import shutil
import subprocess

from assets import closed, files_of, shown
from disk import Recording
from waits import HANG_S

SHOWN = [1, 2, 1]


class Shows:
    """The scenario `assets`, as the lane plays it."""
    always_starts = True
    windows_max = None

    def __init__(self, options, folder, _scenario):
        self.options, self.folder = options, folder

    def show(self, root, number, environment=None):
        return subprocess.run(
            [self.options.assets, os.path.join(root, "state"),
             os.path.join(root, "assets"), str(number)], capture_output=True,
            env=environment, timeout=HANG_S, check=True)

    def record(self, name, _kill_at=None):
        root = os.path.join(self.folder, name)
        log = os.path.join(self.folder, name + ".log")
        os.mkdir(root)
        open(log, "wb").close()
        recording = Recording(root, ".", has_modes=True)
        for number in SHOWN:
            self.show(root, number, dict(
                os.environ, LD_PRELOAD=self.options.record, FLO_RECORD=log))
            recording.read(log)
            recording.marks.append(len(recording.ops) - 1)
        shutil.rmtree(root)
        return recording, 0

    @staticmethod
    def windows(recording, index):
        """Where a missing sync shows: right away, and behind the switch."""
        ends = [mark for mark in recording.marks if mark >= index]
        return [(index, index + 25), (ends[0], ends[0] + 3)]

    def try_state(self, disk, state, _starts):
        root = disk.shown(state, os.path.join(self.folder, "shown"))
        done = disk.promises(state[0])
        try:
            self.look(root, done)
            self.show(root, SHOWN[min(done, len(SHOWN) - 1)])
            self.look(root, min(done + 1, len(SHOWN)))
            left = sorted(os.listdir(os.path.join(root, "assets")))
            assert len(left) == 2 and left[1] == "tiny", left
            closed(os.path.join(root, "state"))
        except (AssertionError, OSError, subprocess.CalledProcessError) as error:
            return [disk.fault(state, getattr(error, "stderr", None) or error)]
        return []

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
