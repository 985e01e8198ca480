#!/bin/sh
# Debian packages of llama.cpp's server as a runtime, and of the engine with its
# library (docs/runtimes-llamacpp.md), into build/packages, from the one archive
# that archives.tsv pins.
#
# usage: deploy/llamacpp/build.sh [--archive FILE] [--server|--library] [--cpu]
#                                 [--jobs N]
#   --archive FILE  the archive is here already; its digest is checked all the same
#   --server        only build the server, into build/llamacpp/bin; no package
#   --library       only build the libraries, into build/llamacpp/library; --cpu
#   --cpu           without the parts for GPUs
#   --jobs N        compilers at a time (default: CPUs)
# The CPU's part is always built. Vulkan's is where glslc, spirv-headers and
# Vulkan's headers 1.3.272 are (Debian 13; VULKAN_INCLUDE names a folder with
# newer ones), CUDA's where nvcc is.
set -eu
cd "$(dirname "$0")/../.."
here=$PWD
out=$here/build/packages
work=$here/build/llamacpp
archive=
jobs=$(nproc)
packages=1
what=server
while [ $# -gt 0 ]; do
    case $1 in
    --archive) archive=$2 && shift ;;
    --jobs) jobs=$2 && shift ;;
    --server) packages=0 ;;
    --library) packages=0 what=library && export CPU_ONLY=1 ;;
    --cpu) export CPU_ONLY=1 ;;
    *) sed -n '2,15s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
    shift
done

tab=$(printf '\t')
IFS=$tab read -r name version digest folder inner <<END
$(grep -v '^#' deploy/llamacpp/archives.tsv)
END

is_pinned() {
    [ -f "$1" ] && [ "$(sha256sum "$1" | cut -d' ' -f1)" = "$digest" ]
}

missing=
for tool in cmake ninja c++ python3 make dpkg-buildflags; do
    command -v $tool >/dev/null || missing="$missing $tool"
done
[ $packages = 0 ] || for tool in dpkg-buildpackage dh lintian; do
    command -v $tool >/dev/null || missing="$missing $tool"
done
[ -z "$missing" ] || {
    echo "error[absent]:$missing is not installed" >&2
    echo "  fix: apt-get install g++ cmake ninja-build python3 make dpkg-dev debhelper lintian" >&2
    exit 3
}

mkdir -p "$work" "$out"
kept=$work/$name-$version.tar.gz
if [ -n "$archive" ]; then
    is_pinned "$archive" || {
        echo "error[target.hash]: $archive is not $name $version ($digest)" >&2
        exit 6
    }
    [ "$archive" -ef "$kept" ] || cp "$archive" "$kept"
elif ! is_pinned "$kept"; then
    # The index builds the metadata of a source archive to serve it: minutes.
    echo "+ pip download $name==$version"
    rm -rf "$work/fetched"
    python3 -m pip -q download --no-binary :all: --no-deps -d "$work/fetched" "$name==$version"
    found=$(echo "$work"/fetched/*.tar.gz)
    is_pinned "$found" || {
        echo "error[target.hash]: $found is not the archive of archives.tsv ($digest)" >&2
        exit 6
    }
    mv "$found" "$kept"
fi

source=$work/source
[ "$(cat "$source/.digest" 2>/dev/null)" = "$digest" ] || {
    rm -rf "$source" "$work/unpacked"
    mkdir -p "$work/unpacked"
    tar -xzf "$kept" -C "$work/unpacked" --wildcards --strip-components=1 "*/$folder/*"
    mv "$work/unpacked/$folder" "$source"
    echo "$digest" >"$source/.digest"
}
rm -rf "$source/debian"
cp -r deploy/llamacpp/debian "$source/debian"
cp deploy/llamacpp/llamacpp.yaml deploy/llamacpp/gpu.conf "$source/debian/"

if [ $packages = 0 ]; then
    cd "$source"
    into=$work/bin
    [ $what = server ] || into=$work/library
    JOBS=$jobs debian/rules $what
    rm -rf "$into"
    debian/rules files INTO="$into"
    ls -l "$into"
    exit 0
fi
release=$(. /etc/os-release && echo "$VERSION_ID")
cat >"$source/debian/changelog" <<END
flotilla-runtime-llamacpp ($inner+$version-1+deb$release) unstable; urgency=medium

  * llama.cpp's server of $name $version.

 -- Flotilla maintainers <maintainers@users.noreply.github.com>  $(date -R -r "$source/CMakeLists.txt")
END
ours=$(sed -n '1s/.*(\(.*\)).*/\1/p' deploy/debian/changelog)+deb$release
(cd "$source" && JOBS=$jobs FLOTILLA=$here FLOTILLA_VERSION=$ours \
    DEB_BUILD_OPTIONS="noautodbgsym nocheck" \
    dpkg-buildpackage -b -us -uc -d) >"$work/package.log" 2>&1 ||
    { tail -30 "$work/package.log"; exit 1; }
mv "$work"/flotilla-*.deb "$work"/flotilla-*.changes "$work"/flotilla-*.buildinfo "$out/"
(cd "$out" && lintian --allow-root --fail-on error \
    --suppress-tags bad-distribution-in-changes-file flotilla-runtime-llamacpp_*.changes)
ls -l "$out"/flotilla-*llama*.deb
