#!/bin/sh
# The root of another architecture that a cross build compiles and links against
# and an emulator runs in: build/sysroot/ARCH, from this machine's Debian mirror.
#
# usage: deploy/sysroot.sh arm64|armhf
# Does nothing when it is there. Packages are extracted; none of their scripts runs.
set -eu
cd "$(dirname "$0")/.."
. deploy/root.sh
arch=$1
root=build/sysroot/$arch
[ ! -e "$root.made" ] || exit 0
command -v debootstrap >/dev/null || {
    echo "skipped: debootstrap is not installed (deploy/install-deps.sh --optional)"
    exit 77
}
[ "$(id -u)" -eq 0 ] || {
    echo "skipped: a root of $arch is made by root alone (sudo $0 $arch)"
    exit 77
}
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
# The libraries to build with, as install-deps.sh names them.
libraries=$(sed -n '/^needed=/,/"$/p' deploy/install-deps.sh |
    tr ' "' '\n\n' | grep -E '^lib.*-dev$' | paste -sd, -)
rm -rf --one-file-system "$root"
mkdir -p "$root"
echo "+ debootstrap --foreign --arch=$arch $suite $root"
debootstrap --foreign --arch="$arch" --variant=minbase \
    --include="$libraries" "$suite" "$root" "$(debian_mirror)" >"$root.log" 2>&1 || {
    tail -3 "$root.log"
    echo "skipped: the packages of $arch could not be had"
    exit 77
}
info=$root/var/lib/dpkg/info # deploy/cross_depends.py reads it
mkdir -p "$info"
for package in "$root"/var/cache/apt/archives/*.deb; do
    dpkg-deb --extract "$package" "$root"
    name=$(dpkg-deb --field "$package" Package)
    dpkg-deb --ctrl-tarfile "$package" | tar -xO ./shlibs \
        >"$info/$name.shlibs" 2>/dev/null || rm -f "$info/$name.shlibs"
done
# Links from the root would lead out of it.
find "$root" -type l -lname '/*' | while read -r link; do
    ln -sfn "$(realpath -sm --relative-to="$(dirname "$link")" \
        "$root$(readlink "$link")")" "$link"
done
rm -rf "$root"/var/cache/apt/archives "$root"/usr/share/doc
: >"$root.made"
