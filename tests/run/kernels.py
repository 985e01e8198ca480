#!/usr/bin/env python3
"""Print the kernels that this CPU has, best first, as the program says.

usage: tests/run/kernels.py BIN"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODEL = os.path.join(ROOT, "tests", "models", "tiny-v1.Q8_0.gguf")


def kernels(bin_dir):
    """The error of a kernel that nobody has names those that can be had."""
    done = subprocess.run(
        [os.path.join(bin_dir, "flotilla-model"), "logits", "--model", MODEL, "--tokens", "1",
         "--out", os.devnull, "--kernel", "none"], capture_output=True, text=True, check=False)
    found = re.search(r"this CPU has ([a-z0-9 -]+)", done.stderr)
    if found is None:
        raise RuntimeError("no kernels in: " + done.stderr)
    return found.group(1).split()


if __name__ == "__main__":
    print("\n".join(kernels(sys.argv[1])))
