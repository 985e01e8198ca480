#!/usr/bin/env python3
"""Damaged GGUF files of each family at the door of the engine: in each, one value
of the metadata or one field of a tensor is changed.

usage: model_damage.py [COUNT [FOLDER]]   (20 of each file of tests/oracle/tiny)
FLOTILLA_BIN names the programs, the tree draws the changes (tests/run/draw.py). `flotilla-model
logits` (`embed` for encoders) must answer, or refuse with a typed error, within
2 GB of memory. A signal, an error without an id, and a program that hangs fail."""
import glob
import os
import re
import resource
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", folder) for folder in ("integration", "run")]
import bad_files  # noqa: E402
import draw  # noqa: E402
from damage import damaged, play_all  # noqa: E402
from waits import HANG_S  # noqa: E402

BIN = os.environ.get("FLOTILLA_BIN", os.path.join(ROOT, "build", "bin"))
SEED = str(draw.seed())
MEMORY = 2 << 30
ENCODERS = ("bert", "xlmr", "modernbert", "embeddinggemma")


def bound():
    """A sanitizer's shadow is larger than any bound."""
    if "ASAN_OPTIONS" not in os.environ:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def play(number, files):
    """The end of that file and the change; AssertionError: one that is not allowed."""
    what, data = damaged(SEED, number, files)
    is_encoder = what.startswith(ENCODERS)
    words = ["embed", "a b"] if is_encoder else ["logits", "--tokens", "1,2,3,4,5"]
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        model = os.path.join(place, "m.gguf")
        with open(model, "wb") as out:
            out.write(data)
        if not is_encoder:
            words += ["--out", os.path.join(place, "logits")]
        done = subprocess.run(
            [os.path.join(BIN, "flotilla-model"), *words, "--model", model, "--ctx", "64",
             "--threads", "2"], capture_output=True, text=True, check=False, errors="replace",
            timeout=HANG_S, preexec_fn=bound)
    found = re.search(r"error\[([a-z_.]+)\]", done.stderr)
    assert done.returncode >= 0, "%s: signal %d" % (what, -done.returncode)
    assert done.returncode == 0 or found, "%s: %s" % (what, done.stderr[-600:])
    return found.group(1) if done.returncode else "answered", what


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    folder = sys.argv[2] if len(sys.argv) > 2 else os.path.join(ROOT, "tests", "oracle", "tiny")
    files = [(path, bad_files.Gguf(path)) for path in
             sorted(glob.glob(os.path.join(folder, "*.gguf")))]
    play_all(play, [(number, [file]) for file in files for number in range(count)], SEED)


main()
