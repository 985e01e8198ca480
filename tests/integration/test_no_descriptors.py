"""A device that has no descriptor left: it serves, it says why an update
waits, and goes on when there is one again."""
import json
import re
import resource

import pytest

import sets
from waits import Seen, same, until

# Descriptors that stay, of those behind the lock: all before it do.
STAYS = re.compile(r"(socket|pipe|anon_inode):|.*(\.db(-wal|-shm)?|\.log)$")


@pytest.fixture(scope="module")
def up(fleet):
    fleet.up(["gw"])
    fleet.publish_whole("tiny@1", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    fleet.publish_whole("tiny@2", "tiny-v2.1.Q4_0.gguf",
                        "golden-tiny-v2.1.json")
    fleet.roll("tiny@1")
    return fleet


def lasting(pid):
    """Descriptors that stay open.  A folder, a record, or a file of the kernel
    is open while the agent reads it, as it does in a collection."""
    found = sets.descriptors(pid)
    lock = min(fd for fd, path in found.items() if path.endswith("/lock"))
    return {fd for fd, path in found.items()
            if fd <= lock or STAYS.match(path)}


def leave(device, free):
    """So many descriptors can be opened by the agent; those open stay."""
    pid = device.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = lasting(pid)
    limit = 3
    while len(set(range(limit + 1)) - used) <= free:
        limit += 1
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    return before


def models(connection):
    """Who serves, by a connection that is open already."""
    connection.request("GET", "/health")
    answer = connection.getresponse()
    body = json.loads(answer.read())
    return answer.status, body.get("model")


def told(fleet, rollout):
    """Why it waits: the rollout's member and the device say it."""
    member = fleet.rollout_device(rollout, "gw")
    degraded = fleet.ask("device", "get", "gw").get("degraded") or {}
    return member["state"], member.get("reason"), degraded.get("id")


# How many are left decides what fails: the order's record, the updater's start,
# its candidate's engine.
@pytest.mark.parametrize("free,state", [
    (0, "notified"), (1, "accepted"), (6, "probing")])
def test_an_update_without_descriptors_waits_says_why_and_goes_on(
        up, free, state):
    device = up.devices["gw"]
    open_before = device.connection()
    assert models(open_before) == (200, "tiny@1")
    before = leave(device, free)
    started = up.ask("rollout", "start", "tiny@2", "--phase", "100%",
                     "--soak", "50ms", "--below-floor", "--lift")["id"]

    def is_told():
        at, reason, degraded = told(up, started)
        assert models(open_before) == (200, "tiny@1")  # and it stays open
        return (at == state and "Too many open files" in (reason or "") and
                degraded == "io.descriptors") or Seen((at, reason, degraded))
    until("it says why", is_told)
    assert "Too many open files" in up.cli("rollout", "get", started)[1]
    assert models(open_before) == (200, "tiny@1")

    resource.prlimit(device.process.pid, resource.RLIMIT_NOFILE, before)
    up.cli("rollout", "wait", started, "-q")
    until("it serves the next", lambda: up.serving("tiny@2"))
    until("it is over", lambda: same(told(up, started)[2], None))
    up.roll("tiny@1", "--below-floor", "--lift")
