#!/usr/bin/env python3
"""${shlibs:Depends} of cross-built packages, from the shlibs files of a root of
their architecture: dpkg-shlibdeps finds packages of this machine alone.

usage: cross_depends.py ROOT PACKAGE...     (in the source's folder)
"""
import glob
import os
import subprocess
import sys


def needed(path):
    said = subprocess.run(["readelf", "-d", path], capture_output=True,
                          text=True, check=True).stdout
    return [line.split("[")[1].split("]")[0] for line in said.split("\n")
            if "(NEEDED)" in line]


def known(root):
    """{(library, version): dependency} as shlibs files say it."""
    out = {}
    for path in glob.glob(os.path.join(root, "var/lib/dpkg/info/*.shlibs")):
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                words = line.split(None, 2)
                if len(words) == 3 and not words[0].endswith(":"):
                    out[words[0], words[1]] = words[2].strip()
    return out


def key(soname):
    """libname.so.VERSION or libname-VERSION.so, deb-shlibs(5)."""
    if ".so." in soname:
        return tuple(soname.split(".so.", 1))
    name, _, version = soname[:-len(".so")].rpartition("-")
    return name, version


def main():
    root, packages = sys.argv[1], sys.argv[2:]
    table = known(root)
    for package in packages:
        wanted = set()
        for path in glob.glob("debian/%s/usr/bin/*" % package):
            for soname in needed(path):
                if soname.startswith("ld-linux"):
                    continue
                if key(soname) not in table:
                    sys.exit("%s needs %s, which no package in %s has"
                             % (path, soname, root))
                wanted.add(table[key(soname)])
        with open("debian/%s.substvars" % package, "a",
                  encoding="utf-8") as out:
            out.write("shlibs:Depends=%s\n" % ", ".join(sorted(wanted)))


main()
