#!/bin/sh
# Debian packages of agent, engine, controller and command into build/packages;
# other architectures are cross-built.
#
# usage: deploy/packages.sh [--debian SUITE] [amd64|arm64|armhf ...]
# Default: this machine's Debian and all three. Another suite (trixie) is built in
# a root of its own below build/roots, as root.
set -eu
cd "$(dirname "$0")/.."
here=$PWD
. deploy/root.sh
out=$here/build/packages

files() {
    if [ -e .git ]; then
        git ls-files -z --cached --others --exclude-standard
    else # the copy in another Debian's root
        find . -type f -not -path './build/*' -print0
    fi
}

# The same script in a root of another suite.
in_root() {
    suite=$1
    shift
    root=$here/build/roots/$suite
    make_root "$suite" "$root" || exit 1
    rm -rf "$root/root/flotilla/source"
    mkdir -p "$root/root/flotilla"
    files | tar --null -T - -c |
        (mkdir -p "$root/root/flotilla/source" &&
            tar -x -C "$root/root/flotilla/source")
    # The mounts stand in a namespace of their own and end with it, however this
    # script ends: a /dev left in here is emptied by whoever removes the tree.
    unshare --mount --propagation private sh -eu -c '
        root=$1
        shift
        for place in proc dev sys; do
            mount --rbind "/$place" "$root/$place"
        done
        exec chroot "$root" "$@"' sh "$root" env -i HOME=/root \
        PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive http_proxy="${http_proxy-}" \
        https_proxy="${https_proxy-}" sh -eu -c "
        cd /root/flotilla/source
        apt-get update -q >/dev/null
        ./deploy/install-deps.sh
        apt-get install -qy --no-install-recommends dpkg-dev debhelper lintian \
            debootstrap gcc-aarch64-linux-gnu libc6-dev-arm64-cross \
            gcc-arm-linux-gnueabihf libc6-dev-armhf-cross >/dev/null
        deploy/packages.sh $*"
    cp "$root"/root/flotilla/source/build/packages/*.deb "$out/"
}

mkdir -p "$out"
if [ "${1-}" = --debian ]; then
    shift
    in_root "$@"
    exit 0
fi
missing=
for tool in dpkg-buildpackage dh lintian debootstrap; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
[ -z "$missing" ] || {
    echo "error[absent]:$missing is not installed" >&2
    echo "  fix: apt-get install dpkg-dev debhelper lintian debootstrap" >&2
    exit 3
}
for arch in ${*:-amd64 arm64 armhf}; do
    case $arch in
    arm64) cross=gcc-aarch64-linux-gnu libc=libc6-dev-arm64-cross ;;
    armhf) cross=gcc-arm-linux-gnueabihf libc=libc6-dev-armhf-cross ;;
    *) continue ;;
    esac
    [ "$arch" = "$(dpkg --print-architecture)" ] ||
        command -v "${cross#gcc-}-gcc" >/dev/null || {
        echo "error[absent]: no compiler for $arch is installed" >&2
        echo "  fix: apt-get install $cross $libc" >&2
        exit 3
    }
done
# When two releases of Debian have packages of one version, the newer Debian's is the
# newer.
release=$(. /etc/os-release && echo "$VERSION_ID")
source=$out/source
for arch in ${*:-amd64 arm64 armhf}; do
    rm -rf "$source"
    mkdir -p "$source/build"
    files | tar --null -T - -c | tar -x -C "$source"
    cp -r deploy/debian "$source/debian"
    sed -i "1s/(\([^)]*\))/(\1+deb$release)/" "$source/debian/changelog"
    if [ "$arch" != "$(dpkg --print-architecture)" ]; then
        deploy/sysroot.sh "$arch"
        ln -s "$here/build/sysroot" "$source/build/sysroot"
    fi
    echo "+ dpkg-buildpackage -a$arch"
    (cd "$source" && DEB_BUILD_OPTIONS="noautodbgsym nocheck" \
        dpkg-buildpackage -b -us -uc -d "-a$arch") >"$out/$arch.log" 2>&1 ||
        { tail -30 "$out/$arch.log"; exit 1; }
    lintian --allow-root --fail-on error \
        --suppress-tags bad-distribution-in-changes-file \
        "$out"/flotilla_*+deb"$release"_"$arch".changes
done
rm -rf "$source"
ls -l "$out"/*+deb"$release"_*.deb
