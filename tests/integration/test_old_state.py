"""A state folder that goes back in time: a snapshot of a machine, the card of
last week.  The device goes on from there as a boot of its own, and nothing
that it says afterwards counts as known."""
import contextlib
import os
import shutil
import signal
import sqlite3

import pytest

import draw
import sets
from bad_parts import rest
from conftest import Small
from waits import Seen, until

# 200 copies are put back with FLOTILLA_PART=all; else a few that the seed draws.
COPIES = 200 if draw.now().is_all else 5
RANDOM = draw.dice("old-states")
draw.say("old-states")
FILES = {"tiny@1": "tiny-v2.Q4_0.gguf", "tiny@2": "tiny-v2.1.Q4_0.gguf"}
GOLDEN = {"tiny@1": "golden-tiny-v2.json", "tiny@2": "golden-tiny-v2.1.json"}
# States of an update in which a copy is made.
MOMENTS = ("accepted", "probing", "soaking", "succeeded")


@pytest.fixture(scope="module")
def fleet(folder, bin_dir):
    one = Small(folder, bin_dir, name="test")
    one.up(["a"])
    with open(one.admin_token, encoding="utf-8") as file:
        one.admin = file.read().strip()
    for release, file in FILES.items():
        one.publish(release, file, GOLDEN[release])
    one.roll("tiny@1")
    one.now, one.copies = "tiny@1", []
    one.policy = os.path.join(folder, "policy.yaml")
    with open(one.policy, "w", encoding="utf-8") as file:
        file.write("policy: {probe_speed_ratio_max: 0}")
    yield one
    one.close()


def timeline(fleet):
    """The device's events that the controller has."""
    return rest(fleet, "GET", "/v1/devices/a/timeline?limit=1000")[1]["items"]


def copy(fleet):
    """A copy as a snapshot is made: the machine stands still at any moment."""
    device = fleet.devices["a"]
    folder = os.path.join(fleet.dir, "copies", str(len(fleet.copies)))
    device.process.send_signal(signal.SIGSTOP)
    sets.copy(device.state, folder)
    device.process.send_signal(signal.SIGCONT)
    fleet.copies.append(folder)


def outbox(device):
    """The number of the outbox's newest event, and how many events wait for an ack."""
    with contextlib.closing(sqlite3.connect(os.path.join(device.state, "outbox.db"))) as db:
        acked = db.execute("SELECT text FROM value WHERE key = 'acked'").fetchone()
        last, waiting = db.execute("SELECT max(seq), count(*) FROM event").fetchone()
    return max(int(acked[0]) if acked else 0, last or 0), waiting


def put_back(fleet, folder):
    """Starts the device from a copy; the number of the copy's newest event."""
    device = fleet.devices["a"]
    device.stop(signal.SIGKILL)
    shutil.rmtree(device.state)
    sets.copy(folder, device.state)
    last = outbox(device)[0]
    device.start()
    return last


def update(fleet, moment=None):
    """An update of the device to the other release, with a copy at `moment`."""
    release = "tiny@2" if fleet.now == "tiny@1" else "tiny@1"
    rollout = fleet.ask("rollout", "start", release, "--phase", "100%", "--soak", "500ms",
                        "-f", fleet.policy)["id"]
    fleet.now = release
    if moment is not None:
        until("it is " + moment, lambda: moment in [
            event.get("state") for event in timeline(fleet)
            if event.get("execution", "").startswith(rollout + ".")])
        copy(fleet)
    return rollout


def rows(fleet, what, *values):
    path = os.path.join(fleet.dir, "controller", "control.db")
    with contextlib.closing(sqlite3.connect("file:%s?mode=ro" % path, uri=True)) as db:
        return [row[0] for row in db.execute(what, values)]


def all_stored(fleet, first, newest):
    """Every event after `first` came to the controller after its event `newest`."""
    last, waiting = outbox(fleet.devices["a"])
    there = rows(fleet, "SELECT seq FROM event WHERE id > ?", newest)
    missing = set(range(first + 1, last + 1)) - set(there)
    return not waiting and not missing or Seen((last, waiting, sorted(missing)))


def test_a_state_that_goes_back_serves_on_and_loses_no_event(fleet):
    copy(fleet)
    for moment in MOMENTS:
        fleet.cli("rollout", "wait", update(fleet, moment), "--for", "completed", "-q")

    for turn in range(COPIES):
        moment = RANDOM.choice((None, None) + MOMENTS)
        before = RANDOM.randrange(3)
        for _ in range(before):
            fleet.cli("rollout", "wait", update(fleet), "--for", "completed", "-q")
        rollout = update(fleet, moment) if RANDOM.randrange(2) else None
        folder = RANDOM.choice(fleet.copies)
        print("turn %d: %s after %d updates, at %s in %s" % (
            turn, os.path.basename(folder), before, moment, rollout))
        newest = rows(fleet, "SELECT max(id) FROM event")[0]

        first = put_back(fleet, folder)

        fleet.online(["a"])
        until("the release is right", lambda: fleet.serving(fleet.now))
        if rollout:
            fleet.cli("rollout", "wait", rollout, "--for", "completed", "-q")
        fleet.cli("rollout", "wait", update(fleet), "--for", "completed", "-q")
        until("all events are stored", lambda: all_stored(fleet, first, newest))
