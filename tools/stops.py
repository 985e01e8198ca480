#!/usr/bin/env python3
"""Each file that a page names is there, and each page that code names.

In the tour and CONTRIBUTING.md a folder, `like/this/`, is checked as well.  A
name may leave out the folders in front of it."""
import os
import re
import subprocess
import sys

FILE = re.compile(r"[\w./-]+\.(?:c|h|def|py|sh|md|js)$")
FOLDER = re.compile(r"[\w./-]+/$")
LINK = re.compile(r"\]\(([^)#:]+)\)")
PAGE = re.compile(r"\bdocs/[\w./-]+\.md\b")
CODE = re.compile(r"\.(?:c|h|def|py|sh|js|cmake|service|1|5|7)$|Makefile$|\.txt$")
WALKS = ("docs/tour.md", "CONTRIBUTING.md")


def known(listed):
    """Every file and folder, by each end of its path."""
    paths = set()
    for path in listed:
        parts = path.split("/")
        for i in range(len(parts)):
            for j in range(i + 1, len(parts)):
                paths.add("/".join(parts[i:j]) + "/")
            paths.add("/".join(parts[i:]))
    return paths


def missing(page, text, paths):
    for name in re.findall(r"`([^`\s]+)`", text):
        is_stop = FILE.match(name) or page in WALKS and FOLDER.match(name)
        if is_stop and name not in paths:
            yield name
    for link in LINK.findall(text):
        if not os.path.exists(os.path.join(os.path.dirname(page), link)):
            yield link


def main():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"],
                            capture_output=True, text=True,
                            check=True).stdout.split("\n")
    paths = known(listed)
    faults = []
    for path in listed:
        is_page = path.endswith(".md") and (path.startswith("docs/") or
                                            "/" not in path)
        if not os.path.isfile(path) or not (is_page or CODE.search(path)):
            continue
        with open(path, encoding="utf-8", errors="replace") as file:
            for line, text in enumerate(file, 1):
                names = missing(path, text, paths) if is_page else \
                    (n for n in PAGE.findall(text) if n not in paths)
                faults += ["%s:%d: no `%s` in the tree" % (path, line, name)
                           for name in names]
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


sys.exit(main())
