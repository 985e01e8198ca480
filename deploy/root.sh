# Debian's mirror and roots: functions for scripts that source this file.

# The mirror that this machine's apt uses.
debian_mirror() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
        awk '/^URIs:/ {print $2; exit} /^deb / {print $2; exit}'
}

# usage: make_root SUITE ROOT [FLAG OF DEBOOTSTRAP...]
# Does nothing when the root is there; fails when the mirror cannot be had.
make_root() {
    suite=$1
    root=$2
    shift 2
    [ ! -e "$root.made" ] || return 0
    rm -rf --one-file-system "$root"
    mkdir -p "${root%/*}"
    echo "+ debootstrap $suite $root"
    debootstrap --variant=minbase "$@" "$suite" "$root" "$(debian_mirror)" \
        >"$root.log" 2>&1 || { tail -3 "$root.log"; return 1; }
    # Settings that a person made on this machine, for a proxy say; those of
    # packages come with the packages.
    for file in /etc/apt/apt.conf.d/* /etc/apt/auth.conf.d/*; do
        dpkg -S "$file" >/dev/null 2>&1 || [ ! -f "$file" ] ||
            cp "$file" "$root$file"
    done
    cp /etc/resolv.conf "$root/etc/"
    : >"$root.made"
}
