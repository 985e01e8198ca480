#!/usr/bin/env python3
"""The pages' files of others are what their tables say: nothing more, nothing
else, each with its licence.

usage: vendor.py [--fetch]
--fetch takes them from npm again, by name and version."""
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDERS = [os.path.join(ROOT, part, "web", "vendor")
           for part in ("base", "server-stub")]
TABLE = "vendor.txt"


def rows(place):
    with open(os.path.join(place, TABLE), encoding="utf-8") as file:
        return [line.split() for line in file
                if line.strip() and not line.startswith("#")]


def fetch(place):
    with tempfile.TemporaryDirectory() as folder:
        for package, version, _, name, inside, _ in rows(place):
            archive = os.path.join(folder, "%s-%s.tgz" % (package, version))
            if not os.path.exists(archive):
                subprocess.run(["npm", "pack", "--silent",
                                "%s@%s" % (package, version)], cwd=folder,
                               check=True, stdout=subprocess.DEVNULL)
            with tarfile.open(archive) as tar:
                data = tar.extractfile("package/" + inside).read()
            with open(os.path.join(place, name), "wb") as file:
                file.write(data)


def problems(place):
    listed = {TABLE}
    licensed = {row[0] for row in rows(place) if row[3].endswith(".LICENSE")}
    for package, version, licence, name, _, digest in rows(place):
        listed.add(name)
        path = os.path.join(place, name)
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
    for name in sorted(set(os.listdir(place)) - listed):
        yield "%s stands in no row of %s" % (name, TABLE)


if __name__ == "__main__":
    if sys.argv[1:] == ["--fetch"]:
        for place in FOLDERS:
            fetch(place)
    found = [line for place in FOLDERS for line in problems(place)]
    print("\n".join(found), end="\n" if found else "")
    sys.exit(bool(found))
