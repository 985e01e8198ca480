#!/usr/bin/env python3
"""How long after the last byte of a patch a device is done.

usage: overlap.py BIN_DIR OLD.gguf NEW.gguf [--mbit 10,50] [--turns 3]

The shipped worker, in its sandbox, takes a release by a typed delta from a
mirror that sends so many Mbit/s; in turns with a release that signs the patch's
head, so that the worker decodes what has come, and with one that does not.

  fetch   seconds from the worker's start to the last byte of the patch
  after   seconds from there until the file is made, verified and named
"""
import argparse
import http.server
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "crash"))
import sweep  # noqa: E402

PIECE = 8192


class SlowMirror(sweep.Mirror):
    """The mirror, at a rate; notes when the last byte of the patch went out."""

    def do_GET(self):
        plain = self.wfile
        self.wfile = Slow(plain, self.server)
        super().do_GET()
        self.wfile = plain


class Slow:
    def __init__(self, file, server):
        self.file, self.server = file, server

    def write(self, data):
        view, begin, sent = memoryview(data), time.monotonic(), 0
        while sent < len(view):
            piece = view[sent:sent + PIECE]
            self.file.write(piece)
            sent += len(piece)
            ahead = begin + sent / self.server.rate - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
        if len(view) == self.server.patch_bytes:
            self.server.last_at = time.monotonic()

    def flush(self):
        self.file.flush()


def take(args, publisher, server, release, folder):
    """-> seconds of fetch and after."""
    state = os.path.join(folder, "state")
    shutil.rmtree(state, ignore_errors=True)
    os.mkdir(state, 0o700)
    os.mkdir(os.path.join(state, "blobs"), 0o700)
    old = os.path.join(state, "blobs", "sha256-" + sweep.sha256(args.old))
    shutil.copyfile(args.old, old)
    os.chmod(old, 0o400)
    job = {"v": 1, "job": "stage", "state_dir": state,
           "urls": ["http://127.0.0.1:%d" % server.server_address[1]],
           "release": "sha256:" + release, "fleet": "demo",
           "trust_file": publisher.trust, "bundle": None,
           "profile": {"arch": os.uname().machine}, "have": [],
           "rate_bytes_per_s": 0, "memory_bytes_max": 32 << 20}
    ours, theirs = socket.socketpair()
    begin = time.monotonic()
    worker = subprocess.Popen(
        [os.path.join(args.bin, "flotilla-updater"), "worker"],
        preexec_fn=lambda: os.dup2(theirs.fileno(), 3), close_fds=False)
    theirs.close()
    ours.sendall(json.dumps(job).encode() + b"\n")
    said = b"".join(iter(lambda: ours.recv(65536), b""))
    end = time.monotonic()
    if worker.wait() != 0 or b'"staged"' not in said:
        raise SystemExit(said.decode())
    events = [json.loads(line) for line in said.splitlines()]
    planned = next(e for e in events if e["event"] == "planned")
    if planned["codec"] != "tensor1":
        raise SystemExit("the way was %s" % planned["codec"])
    return server.last_at - begin, end - server.last_at


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin")
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--mbit", default="10,50")
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    args.bin = os.path.abspath(args.bin)
    folder = tempfile.mkdtemp(prefix="overlap-")
    try:
        publisher = sweep.Publisher(os.path.join(folder, "publisher"), args.bin)
        releases = {}
        for number, has_head in ((2, True), (3, False)):
            file = publisher.file("model.gguf", "model", args.new, args.old,
                                  has_head)
            golden = publisher.file("golden.json", "golden", sweep.NEW_GOLDEN)
            releases[has_head] = publisher.release("2.%d.0" % number, number,
                                                   [file, golden])
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), SlowMirror)
        server.blobs = publisher.blobs
        server.daemon_threads = True
        server.patch_bytes = file["get"][1]["bytes"]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print("patch %d bytes, file %d bytes" % (server.patch_bytes,
                                                 file["bytes"]))
        for mbit in (float(word) for word in args.mbit.split(",")):
            server.rate = mbit * 1e6 / 8
            rows = {True: [], False: []}
            for _ in range(args.turns):
                for has_head, release in releases.items():
                    rows[has_head].append(take(args, publisher, server,
                                               release, folder))
            for has_head, row in rows.items():
                fetch = statistics.median(one[0] for one in row)
                after = statistics.median(one[1] for one in row)
                print("%g Mbit/s, %s: fetch %.2f s, after %.2f s = %.1f %%" % (
                    mbit, "decoded as it comes" if has_head
                    else "decoded at the end", fetch, after,
                    100 * after / fetch), flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
