#!/bin/sh
# A fleet of one in a root that has booted: packages.sh starts it.
set -eu
began=$(date +%s)
place=/var/lib/private
sentence=begin

say() { # SENTENCE: what the next lines show
    sentence=$*
    echo "[$(($(date +%s) - began)) s] $*"
}
fail() {
    echo "FAILED: $sentence: $*"
    journalctl --no-pager -o cat -u flotilla-agent -u flotilla-controller | tail -40
    exit 1
}
trap 'test $? -eq 0 || fail "the command before this line"' EXIT
state() { # UNIT STATE
    [ "$(systemctl is-active "$1")" = "$2" ] ||
        fail "$1 is $(systemctl is-active "$1"), not $2"
}
pid() {
    systemctl show "$1" -p MainPID --value
}
install() { # FOLDER PACKAGE...
    folder=$1
    shift
    for package in "$@"; do
        set -- "$@" "/made/$folder/$package"_*.deb
        shift
    done
    apt-get install -qqy --reinstall --no-install-recommends "$@" \
        >/tmp/apt.log 2>&1 || { cat /tmp/apt.log; fail "apt-get install"; }
}
serves() { # RELEASE: the device says so to its controller
    for _ in $(seq 100); do
        flotilla device list | grep -q "$1" && return 0
        sleep 0.2
    done
    flotilla device list
    fail "no device has $1"
}
answers() { # RELEASE: and to a program on the device
    curl -s --max-time 20 --unix-socket $place/flotilla/api.sock \
        http://device/v1/chat/completions -d '{"model":"tiny","temperature":0,
        "messages":[{"role":"user","content":
        "Rate this log line: 20:25 gateway-42 link lost temp=94C"}]}' >/tmp/answer
    grep "$1" /tmp/answer | grep -o '"content":"severity: critical"' ||
        { cat /tmp/answer; fail "no answer of $1"; }
}

say "an installation starts nothing, and programs, manuals, completion are there"
install packages flotilla-agent flotilla-engine flotilla-controller \
    flotilla-cli libflotilla-engine-dev
dpkg-query -W 'flotilla-*' libflotilla-engine-dev
state flotilla-agent inactive
state flotilla-controller inactive
for program in flotilla flotilla-agent flotilla-controller flotilla-engine \
    flotilla-model flotilla-relay flotilla-updater; do
    "$program" --version
    man -w "$program" >/dev/null || fail "no manual of $program"
    bash -c ". /usr/share/bash-completion/bash_completion &&
        _completion_loader $program; complete -p $program" >/dev/null ||
        fail "no completion of $program"
done
man -w agent.yaml flotilla-errors

say "the engine's library builds the example, which answers"
cc /usr/share/doc/libflotilla-engine-dev/example/answer.c \
    $(pkg-config --cflags --libs flotilla-engine) -o /tmp/answer.program
/tmp/answer.program /made/models/tiny-v1.Q4_0.gguf "link lost temp=94C"

say "the units as systemd rates them"
for unit in flotilla-agent flotilla-controller; do
    systemd-analyze verify "$unit.service" || fail "verify"
    systemd-analyze security --no-pager --offline=true \
        "/usr/lib/systemd/system/$unit.service" | tail -1
done

say "the controller comes up, a device enrols and is ready"
systemctl enable -q --now flotilla-controller
curl -fs --retry 30 --retry-delay 1 --retry-all-errors -o /dev/null \
    http://127.0.0.1:8080/readyz
flotilla login http://127.0.0.1:8080 \
    --token-file /var/lib/flotilla-controller/admin.token
flotilla key create publisher --to keys
flotilla key trust keys/publisher.pub
flotilla token create --kind enroll --to enroll.token >/dev/null
flotilla-agent enroll --controller https://fleet:8443 \
    --token-file enroll.token --name gw-1
systemctl enable -q --now flotilla-agent
state flotilla-agent active
flotilla-agent doctor

say "two releases are published and rolled out"
for n in 1 2; do
    flotilla release create "tiny@$n" \
        --model-file "/made/models/tiny-v$n.Q4_0.gguf" \
        --golden "/made/models/golden-tiny-v$n.json" \
        --sign-with keys/publisher.key --publish | tail -1
    flotilla rollout start "tiny@$n" --phase 100% --soak 2s --wait --timeout 120s |
        tail -1
    serves "tiny@$n"
    answers "tiny@$n"
done

say "an emergency rollback takes the second one back"
flotilla rollout rollback --release tiny@2 --everywhere --confirm tiny@2 \
    --reason drill --wait
serves "tiny@1"
answers "tiny@1"

. /made/packages_units.sh

say "the watchdog kills an event loop that stands still"
mkdir -p /etc/systemd/system/flotilla-agent.service.d
printf '[Service]\nWatchdogSec=6\n' >/etc/systemd/system/flotilla-agent.service.d/t.conf
systemctl daemon-reload
systemctl restart flotilla-agent
first=$(pid flotilla-agent)
sleep 9 # longer than the watchdog: a loop that turns is left alone
[ "$(pid flotilla-agent)" = "$first" ] || fail "a living agent was killed"
kill -STOP "$first"
for _ in $(seq 150); do
    [ "$(pid flotilla-agent)" != "$first" ] &&
        [ "$(systemctl is-active flotilla-agent)" = active ] && break
    sleep 0.2
done
[ "$(pid flotilla-agent)" != "$first" ] || fail "it still stands"
state flotilla-agent active
journalctl --no-pager -o cat -u flotilla-agent | grep -i 'watchdog timeout'
rm -r /etc/systemd/system/flotilla-agent.service.d
systemctl daemon-reload
answers "tiny@1"

say "a restart of the controller keeps its broker and its devices"
broker=$(pgrep -f flotilla-controller/mosquitto)
systemctl restart flotilla-controller
state flotilla-controller active
[ "$(pgrep -f flotilla-controller/mosquitto)" = "$broker" ] ||
    fail "another broker"
serves "tiny@1"

say "an upgrade restarts what runs and keeps all state"
before=$(pid flotilla-agent)
controller=$(pid flotilla-controller)
echo '# an operator wrote this' >>/etc/flotilla/agent.yaml
was=$(flotilla device list | awk 'NR == 2 {print $1}')
install next flotilla-agent flotilla-engine flotilla-controller \
    flotilla-cli libflotilla-engine-dev
dpkg-query -W flotilla-agent
state flotilla-agent active
state flotilla-controller active
[ "$(pid flotilla-agent)" != "$before" ] || fail "the agent runs on"
[ "$(pid flotilla-controller)" != "$controller" ] || fail "the controller runs on"
grep -q 'operator wrote' /etc/flotilla/agent.yaml || fail "agent.yaml is lost"
serves "tiny@1"
[ "$(flotilla device list | awk 'NR == 2 {print $1}')" = "$was" ] ||
    fail "another device"
answers "tiny@1"

say "an installation over what is stopped starts nothing"
systemctl disable -q --now flotilla-agent
install next flotilla-agent
state flotilla-agent inactive
systemctl enable -q --now flotilla-agent
state flotilla-agent active

say "a removal stops the services and keeps their state"
apt-get remove -qqy flotilla-agent flotilla-controller >/tmp/apt.log 2>&1
state flotilla-agent inactive
state flotilla-controller inactive
[ ! -e /usr/bin/flotilla-agent ] || fail "the program is there"
[ -d $place/flotilla/blobs ] && [ -e /etc/flotilla/agent.yaml ] ||
    fail "state is gone"

say "what was removed comes back as it was"
install next flotilla-agent flotilla-controller
systemctl enable -q --now flotilla-controller flotilla-agent
serves "tiny@1"
answers "tiny@1"

say "a purge forgets the device, and keeps the fleet's keys"
apt-get purge -qqy flotilla-agent flotilla-controller >/tmp/apt.log 2>&1
grep 'keys and databases stay' /tmp/apt.log || fail "it does not say so"
for path in $place/flotilla /var/lib/flotilla /etc/flotilla \
    /usr/lib/systemd/system/flotilla-agent.service \
    /var/cache/private/flotilla; do
    [ ! -e "$path" ] || fail "$path is there"
done
[ -e $place/flotilla-controller/pki/ca.pem ] || fail "the fleet is lost"

say "nothing else stays"
apt-get purge -qqy flotilla-cli flotilla-engine libflotilla-engine-dev >/tmp/apt.log 2>&1
left=$(find / -xdev -name '*flotilla*' -not -path '/proc/*' -not -path '/made*' \
    -not -path "$place/flotilla-controller*" -not -path '/root/*' \
    -not -path '/var/lib/flotilla-controller' -not -path '/var/log/*' \
    -not -path '/var/cache/man/*' -not -path '/tmp/*' -not -path '/run/*')
[ -z "$left" ] || fail "$left"
say "done"
