#!/bin/sh
# The packages as people have them: a root of their own boots, and
# packages_story.sh installs, runs, upgrades, removes and purges them there.
#
# usage: packages.sh [SUITE]   (this machine's Debian; trixie)
# As root. Packages in build/packages are used; missing ones are built. The root
# stays in build/roots; each run boots a copy without any network but loopback.
set -eu
cd "$(dirname "$0")/../.."
here=$PWD
. deploy/root.sh
suite=${1-$(. /etc/os-release && echo "$VERSION_CODENAME")}
arch=$(dpkg --print-architecture)
for tool in debootstrap systemd-nspawn dpkg-buildpackage dh lintian; do
    command -v "$tool" >/dev/null || {
        echo "skipped: $tool is not installed (packages debootstrap" \
            "systemd-container dpkg-dev debhelper lintian)"
        exit 77
    }
done
[ "$(id -u)" -eq 0 ] || {
    echo "skipped: a root is made and booted by root alone"
    exit 77
}
base=$here/build/roots/boot-$suite
run=$base.run
rm -rf --one-file-system "$run" "$run.made"
mkdir -p "$run.made/packages" "$run.made/next" "$run.made/models"

# ---- a root that boots, with what the packages depend on ----

make_root "$suite" "$base" \
    --include=systemd-sysv,dbus,curl,procps,man-db,bash-completion || exit 77
release=$(. "$base/etc/os-release" && echo "$VERSION_ID")
# Those of deploy/debian alone: build/packages may have others (deploy/llamacpp).
ours=$(sed -n 's/^Package: //p' deploy/debian/control)
found() {
    for package in $ours; do
        ls build/packages/"$package"_*+deb"$release"_"$arch".deb 2>/dev/null
    done
}
if [ "$(found | wc -l)" -ne "$(echo "$ours" | wc -l)" ]; then
    if [ "$release" = "$(. /etc/os-release && echo "$VERSION_ID")" ]; then
        deploy/packages.sh "$arch"
    else
        deploy/packages.sh --debian "$suite" "$arch"
    fi
fi
cp $(found) "$run.made/packages/"
# polkit: packages_units.sh restarts a unit by a rule of it.
needed=$({
    echo polkitd
    for package in "$run.made"/packages/*.deb; do
        dpkg-deb -f "$package" Depends | tr ',' '\n'
    done
} | sed 's/(.*//; s/ //g' | grep -v '^flotilla-' | sort -u | tr '\n' ' ')
if [ "$needed" != "$(cat "$base.needed" 2>/dev/null)" ]; then
    echo "+ apt-get install $needed"
    # Nothing that comes along may start on this machine.
    printf '#!/bin/sh\nexit 101\n' >"$base/usr/sbin/policy-rc.d"
    chmod +x "$base/usr/sbin/policy-rc.d"
    chroot "$base" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive http_proxy="${http_proxy-}" \
        https_proxy="${https_proxy-}" sh -eu -c "apt-get update -q &&
        apt-get install -qy --no-install-recommends gcc pkg-config $needed" \
        >"$base.log" 2>&1 || { tail -5 "$base.log"; exit 1; }
    rm "$base/usr/sbin/policy-rc.d"
    echo "$needed" >"$base.needed"
fi

# ---- the same programs, one version later ----

for package in "$run.made"/packages/*.deb; do
    rm -rf "$run.made/tree"
    dpkg-deb -R "$package" "$run.made/tree"
    version=$(dpkg-deb -f "$package" Version)
    sed -i "s/$version/$version.next/" "$run.made/tree/DEBIAN/control"
    dpkg-deb -b "$run.made/tree" "$run.made/next/" >/dev/null
done
rm -rf "$run.made/tree"
cp tests/models/tiny-v1.Q4_0.gguf tests/models/tiny-v2.Q4_0.gguf \
    tests/models/golden-tiny-v1.json tests/models/golden-tiny-v2.json \
    "$run.made/models/"
cp tests/lanes/packages_story.sh tests/lanes/packages_units.sh \
    tests/lanes/gate.c "$run.made/"

# ---- boot ----

cp -a "$base" "$run"
echo fleet >"$run/etc/hostname"
echo "127.0.1.1 fleet" >>"$run/etc/hosts"
cat >"$run/etc/systemd/system/story.service" <<'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'sh /made/packages_story.sh; echo $? >/made/code; systemctl poweroff'
WorkingDirectory=/root
Environment=HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive
StandardOutput=append:/made/story.log
StandardError=append:/made/story.log
TimeoutStartSec=900
UNIT
mkdir -p "$run/etc/systemd/system/default.target.wants"
ln -s ../story.service "$run/etc/systemd/system/default.target.wants/"
# landlock: nspawn's own filter is older than it. The last word lets a newer
# systemd start on a machine with control groups of version 1.
timeout 1000 systemd-nspawn -q -D "$run" --boot --private-network \
    --register=no --keep-unit --console=pipe \
    --bind="$run.made:/made" \
    --system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self" \
    SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1 </dev/null >"$run.log" 2>&1 || true
cat "$run.made/story.log" 2>/dev/null || { tail -20 "$run.log"; exit 1; }
code=$(cat "$run.made/code" 2>/dev/null || echo 1)
[ "$code" -ne 0 ] || rm -rf --one-file-system "$run" "$run.made" "$run.log"
exit "$code"
