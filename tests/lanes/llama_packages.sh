#!/bin/sh
# The packages of deploy/llamacpp in an empty root of this machine's Debian: apt
# installs them with what they need, the doctor finds library and runtime, a model
# of an architecture that only the library knows answers, and nothing is left.
#
# usage: llama_packages.sh
# As root, with a network for apt. Packages in build/packages are used; missing
# ones are built (FLOTILLA_LLAMA_ARCHIVE: their archive, without a network).
set -eu
cd "$(dirname "$0")/../.."
here=$PWD
. deploy/root.sh
[ "$(id -u)" -eq 0 ] && command -v debootstrap >/dev/null || {
    echo "skipped: a root is made by root, with debootstrap"
    exit 77
}
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
release=$(. /etc/os-release && echo "$VERSION_ID")
arch=$(dpkg --print-architecture)
base=$here/build/roots/empty-$suite
run=$base.run
found() { # PACKAGE...: the newest file of each
    for package in "$@"; do
        ls -t build/packages/"$package"_*+deb"$release"*_"$arch".deb 2>/dev/null | head -1
    done
}
core="flotilla-agent flotilla-engine"
more="flotilla-llamacpp flotilla-engine-llama flotilla-runtime-llamacpp"
# shellcheck disable=SC2086
[ "$(found $core | wc -l)" -eq 2 ] || deploy/packages.sh "$arch"
# shellcheck disable=SC2086
[ "$(found $more | wc -l)" -eq 3 ] || deploy/llamacpp/build.sh --cpu \
    ${FLOTILLA_LLAMA_ARCHIVE:+--archive "$FLOTILLA_LLAMA_ARCHIVE"}
make_root "$suite" "$base" || exit 77
rm -rf --one-file-system "$run"
cp -a "$base" "$run"
mkdir "$run/made"
# shellcheck disable=SC2086
cp $(found $core $more) "$run/made/"
python3 tests/integration/unknown_model.py tests/models/tiny-v2.Q4_0.gguf \
    "$run/made/model.gguf"

# The mounts stand in a namespace of their own and end with it.
cat >"$run/made/story.sh" <<'STORY'
set -eu
say() { echo "+ $*"; }
apt() { apt-get -qqy --no-install-recommends "$@" >/made/apt.log 2>&1 ||
    { cat /made/apt.log; exit 1; }; }
names="flotilla-llamacpp flotilla-engine-llama flotilla-runtime-llamacpp"
apt update
say "without the packages the library is absent"
apt install /made/flotilla-agent_*.deb /made/flotilla-engine_*.deb
find / -xdev -path /made -prune -o -path /proc -prune -o -path '/var/*' -prune -o \
    -print | sort >/made/before
echo "state_dir: /made/state" >/made/agent.yaml
doctor() {
    flotilla-agent doctor --config /made/agent.yaml >/made/doctor || true
    grep -E "flotilla-engine-llama|runtime llamacpp" /made/doctor
}
doctor | grep "is not installed"
say "the packages are installed, with what they need"
apt install $(ls /made/*.deb | grep llama)
# shellcheck disable=SC2086
dpkg-query -W -f '${Package} ${Version} ${Installed-Size} KiB\n' $names
doctor | grep "/usr/bin/flotilla-engine-llama, backend auto"
doctor | grep "runtime llamacpp .* can be started"
! flotilla-engine run --model /made/model.gguf --prompt hello --n 1 2>/made/err
grep "error\[model.arch\]" /made/err
say "a model answers that our engine does not know"
: >/made/serve.log
flotilla-agent serve --model /made/model.gguf --listen unix:/made/api.sock \
    >>/made/serve.log 2>&1 &
agent=$!
tail -n +1 -f --pid=$agent /made/serve.log | grep -m 1 "kernel llama.cpp"
perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new(Peer => "/made/api.sock");
    $b = q({"prompt":"hello","max_tokens":8,"temperature":0});
    print $s "POST /v1/completions HTTP/1.1\r\nHost: d\r\nConnection: close\r\n",
        "Content-Length: ", length $b, "\r\n\r\n$b"; print <$s>' >/made/answer
grep "200 OK" /made/answer
grep -o '"usage":{[^}]*}' /made/answer
for process in /proc/[0-9]*; do
    [ "$(readlink "$process/exe")" != /usr/bin/flotilla-engine-llama ] ||
        grep -E "VmHWM|RssFile|RssAnon" "$process/status"
done
kill $agent
wait $agent
say "the server starts and names its version"
/usr/lib/flotilla/llamacpp/llama-server --version
say "a removal leaves the engine's packages, a purge leaves no file"
# shellcheck disable=SC2086
apt remove $names
doctor | grep "is not installed"
# A package without settings leaves nothing to purge.
# shellcheck disable=SC2086
dpkg --purge $names 2>/dev/null
find / -xdev -path /made -prune -o -path /proc -prune -o -path '/var/*' -prune -o \
    -print | sort >/made/after
diff /made/before /made/after
STORY
unshare --mount --pid --fork --propagation private sh -eu -c '
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    exec chroot "$@"' sh "$run" env -i HOME=/made LANG=C.UTF-8 \
    PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive \
    http_proxy="${http_proxy-}" https_proxy="${https_proxy-}" sh /made/story.sh
rm -rf --one-file-system "$run"
