"""Batches of a device whose power goes: files, batches and answers that clients know.

`flotilla-agent serve` takes files and batches over its API, one change after the
other.  Each state that a cut may leave (disk.py) is started: a file that was
acknowledged has its bytes, a batch is there, one that was seen completed has its
answers, and what was deleted or cancelled stays so."""
import os
import shutil

from batch_parts import BatchServer, lines_of, request
from controller import Changes

HOME = "batches"


class Batches:
    """The scenario `batches`, as the lane plays it."""
    always_starts = True
    is_slow = False
    windows_max = 8

    def __init__(self, options, folder, _scenario):
        self.options, self.folder = options, folder

    def serve(self, root):
        os.makedirs(root, exist_ok=True)
        return BatchServer(self.options.bin, root)

    def record(self, name, _kill_at=None):
        root = os.path.join(self.folder, name)
        log = os.path.join(self.folder, name + ".log")
        os.mkdir(root)
        open(log, "wb").close()
        recording = Changes(root, HOME)
        before = dict(os.environ)
        os.environ.update(LD_PRELOAD=self.options.record, FLO_RECORD=log)
        try:
            self.one = self.serve(root)
        finally:
            os.environ.clear()
            os.environ.update(before)
        for subject, step in (
                ("first", self.uploads), ("second", self.uploads),
                ("batch", self.begins), ("batch", self.completes),
                ("second", self.deletes), ("other", self.begins),
                ("other", self.cancels)):
            recording.read(log)
            begin = len(recording.ops)
            check = step()
            recording.read(log)
            recording.agreed(begin, subject, check)
        self.one.close()
        recording.read(log)
        shutil.rmtree(root)
        return recording, 0

    windows = staticmethod(Changes.windows)

    # -- what is asked of it, and how it is seen again

    def uploads(self):
        text = lines_of([request(number) for number in range(3)])
        self.file = file = self.one.upload(text)[2]["id"]

        def check(one):
            status, _, found = one.call("GET", "/v1/files/%s/content" % file)
            assert status == 200 and found == text, "the file has other bytes"
        return check

    def begins(self):
        self.batch = batch = self.one.batch([request(n) for n in range(20)])

        def check(one):
            assert one.look(batch).get("id") == batch, "the batch is gone"
        return check

    def completes(self):
        batch = self.batch
        output = self.one.ended(batch)["output_file_id"]
        answers = self.one.content(output)

        def check(one):
            seen = one.look(batch)
            assert seen.get("status") == "completed", seen
            assert one.content(output) == answers, "other answers"
        return check

    def deletes(self):
        file = self.file
        assert self.one.call("DELETE", "/v1/files/" + file)[0] == 200

        def check(one):
            assert one.call("GET", "/v1/files/" + file)[0] == 404, "it is back"
        return check

    def cancels(self):
        batch = self.batch
        assert self.one.call("POST", "/v1/batches/%s/cancel" % batch)[0] == 200

        def check(one):
            status = one.look(batch).get("status")
            assert status in ("cancelling", "cancelled", "completed"), status
        return check

    # -- a state

    def try_state(self, disk, state, _starts):
        faults = []
        root = disk.shown(state, os.path.join(self.folder, "shown"))
        one = self.serve(root)
        try:
            for number in disk.promises(state[0]):
                disk.recording.check(number, one)
        except (AssertionError, LookupError, ValueError) as error:
            faults = [disk.fault(state, error)]
        one.close()
        return faults
