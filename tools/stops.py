#!/usr/bin/env python3
"""Each file and folder that docs/tour.md and CONTRIBUTING.md name is there."""
import re
import subprocess
import sys

KNOWN = re.compile(r"[\w./-]+(?:\.(?:c|h|def|py|sh|md|js)|/)$")


def main():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"],
                            capture_output=True, text=True, check=True).stdout
    paths = set()
    for path in listed.split("\n"):
        parts = path.split("/")
        # A stop may leave out the folders that its chapter is about.
        for i in range(len(parts)):
            for j in range(i + 1, len(parts)):
                paths.add("/".join(parts[i:j]) + "/")
            paths.add("/".join(parts[i:]))
    bad = 0
    for page in ("docs/tour.md", "CONTRIBUTING.md"):
        for line, text in enumerate(open(page, encoding="utf-8"), 1):
            for stop in re.findall(r"`([^`]+)`", text):
                if KNOWN.match(stop) and stop not in paths:
                    print("%s:%d: no `%s` in the tree" % (page, line, stop))
                    bad += 1
    return 1 if bad else 0


sys.exit(main())
