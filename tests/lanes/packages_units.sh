# A program of its own that reads released files, restarted in the two ways of
# deploy/examples. Read by packages_story.sh when a device is enrolled and runs
# the shipped unit; it leaves the root as it found it.
examples=/usr/share/doc/flotilla-agent/examples
runtime=/etc/flotilla/runtimes.d/gate.yaml
rules=/etc/polkit-1/rules.d/50-flotilla-gate.rules
health=http://127.0.0.1:8088/health

example() { # FILE of the examples, PATH
    mkdir -p "${2%/*}"
    cp "$examples/$1" "$2"
    chmod 0644 "$2"
}
uses() { # FILE of the examples
    example "$1" "$runtime"
    systemctl restart flotilla-agent
    flotilla-agent doctor | grep 'runtime gate .*can be started' ||
        fail "$(flotilla-agent doctor)"
}
systemctl_as() { # USER VERB UNIT
    setpriv --reuid="$1" --clear-groups \
        systemctl --no-ask-password "$2" "$3" </dev/null
}
refused() { # USER VERB UNIT
    if systemctl_as "$@" 2>/tmp/refusal; then
        fail "$1 may $2 $3"
    fi
    grep 'authentication required' /tmp/refusal || fail "$(cat /tmp/refusal)"
}
publish() { # VERSION LIMIT STATUS: its check wants an open gate for 5
    echo "$1 $2 $3" >table
    echo 5 >sample
    echo '{"format": "flotilla-golden-2", "cases": [{"id": "sample",
        "file": "sample", "expect": [{"exit": 0},
        {"json": "/is_open", "equals": 1}]}]}' >gate.json
    flotilla release create "gate@$1" --runtime gate --file table=table \
        --file sample=sample --golden gate.json \
        --sign-with keys/publisher.key --publish | tail -1
}
roll() { # VERSION: and how it ended
    flotilla rollout start "gate@$1" --phase 100% --soak 1s --wait \
        --timeout 60s >/tmp/rolled 2>&1 || true
    cat /tmp/rolled
}
ends_with() { # ERROR
    grep -q "why: $1" /tmp/rolled || fail "it did not end with $1"
}
has() { # VERSION: the program that runs, as a user that is not root
    for _ in $(seq 50); do
        [ "$(curl -s --max-time 5 $health)" = "$1" ] && break
        sleep 0.1
    done
    [ "$(curl -s --max-time 5 $health)" = "$1" ] ||
        fail "the program has version $(curl -s $health), not $1"
    [ "$(stat -c %u "/proc/$(pid gate)")" -ne 0 ] || fail "it is root"
    echo "gate@$1 in process $(pid gate), before it $process"
}
restarted() { # VERSION
    has "$1"
    [ "$(pid gate)" != "$process" ] || fail "process $process runs on"
    process=$(pid gate)
}
runs_on() { # VERSION
    has "$1"
    [ "$(pid gate)" = "$process" ] || fail "process $process was restarted"
}
story_of_a_way() { # FIRST-VERSION
    say "... a good release: another process reads the new file"
    publish "$1" 10 200
    roll "$1"
    restarted "$1"
    say "... a bad one: its check stops it, the process runs on"
    publish $(($1 + 1)) 3 200
    roll $(($1 + 1))
    ends_with probe.golden
    runs_on "$1"
    say "... an ill one: it goes back, and the old file is read"
    publish $(($1 + 2)) 10 500
    roll $(($1 + 2))
    ends_with soak.health
    restarted "$1"
    say "... an emergency: the order takes a release back"
    publish $(($1 + 3)) 10 200
    roll $(($1 + 3))
    restarted $(($1 + 3))
    flotilla rollout rollback --release "gate@$(($1 + 3))" --everywhere \
        --confirm "gate@$(($1 + 3))" --reason drill --wait | tail -1
    restarted "$1"
}

say "a program without an API waits for its first release"
mkdir -p /opt/gate
cc -o /opt/gate/gate /made/gate.c
for unit in gate.service flotilla-files@.service flotilla-restart@.path \
    flotilla-restart@.service; do
    example $unit /etc/systemd/system/$unit
done
systemctl daemon-reload
systemd-analyze verify gate.service flotilla-files@gate.service \
    flotilla-restart@gate.path flotilla-restart@gate.service || fail "verify"
systemd-analyze security --no-pager flotilla-files@gate.service | tail -1
systemctl start gate
process=$(pid gate)

say "a wish that a path unit sees: the shipped unit, no polkit"
systemctl enable -q --now flotilla-restart@gate.path
uses gate-wish.yaml
story_of_a_way 1

say "a copy takes nothing that is not the release's"
ln -s /etc/shadow $place/flotilla/links/gate/stolen
rm -rf /var/lib/flotilla-files/gate/sha256-*
if systemctl start flotilla-files@gate; then
    fail "a link out of the folder was followed"
fi
rm $place/flotilla/links/gate/stolen
systemctl start flotilla-files@gate
systemctl restart gate
process=$(pid gate)
runs_on 1

say "restart without a rule: refused, and the release goes back"
systemctl disable -q --now flotilla-restart@gate.path
uses gate-restart.yaml
publish 8 10 200
roll 8
ends_with hook.failed
runs_on 1

say "restart by a rule of polkit, of a user that stays"
systemctl stop flotilla-agent
useradd --system --home-dir / --no-create-home --shell /usr/sbin/nologin \
    flotilla-agent
example 50-flotilla-gate.rules $rules
systemctl start flotilla-agent
systemctl_as flotilla-agent try-restart gate.service
if journalctl --no-pager -o cat -u polkit | grep -i 'error\|warning'; then
    fail "polkit cannot read the rule"
fi
process=$(pid gate)
story_of_a_way 11

say "the rule is for that verb of that unit and that user"
refused flotilla-agent stop gate.service
refused flotilla-agent restart gate.service
refused flotilla-agent try-restart flotilla-controller.service
refused nobody try-restart gate.service
process=$(pid gate)
runs_on 11

say "all of it goes away"
flotilla model remove gate --everywhere --confirm gate | tail -1
for _ in $(seq 50); do
    [ -L $place/flotilla/links/gate ] || break
    sleep 0.1
done
[ ! -L $place/flotilla/links/gate ] || fail "its link is there"
systemctl stop gate flotilla-agent
userdel flotilla-agent
rm -rf /etc/systemd/system/gate.service /etc/systemd/system/flotilla-files@* \
    /etc/systemd/system/flotilla-restart@* /var/lib/flotilla-files /opt/gate \
    $rules "${runtime%/*}"
systemctl daemon-reload
systemctl start flotilla-agent
