"""A disk that does not end a sync: whoever asks the device is answered all the
same, and what waits for the disk goes on when the sync has ended."""
import json
import os
import shutil

import pytest

from waits import same, until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
SLOW = os.environ.get("FLOTILLA_SLOW", os.path.join(
    ROOT, "build", "release", "tests", "libslow.so"))
NEXT = {"tiny@1": "tiny@2", "tiny@2": "tiny@1"}


@pytest.fixture(scope="module")
def up(fleet):
    """A device that serves tiny@1, and whose syncs can be held."""
    fleet.up(["gw"])
    fleet.publish_whole("tiny@1", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    fleet.publish_whole("tiny@2", "tiny-v2.1.Q4_0.gguf",
                        "golden-tiny-v2.1.json")
    fleet.roll("tiny@1")
    library = os.path.join(fleet.dir, "libslow.so")
    shutil.copy(SLOW, library)  # LD_PRELOAD knows no paths with blanks
    fleet.hold = os.path.join(fleet.dir, "hold")
    device, plain = fleet.devices["gw"], fleet.env
    device.stop()
    fleet.env = dict(plain, LD_PRELOAD=library, FLO_SLOW_MS="0",
                     FLO_SLOW_HOLD=fleet.hold)
    device.start()
    fleet.env = plain
    fleet.online(["gw"])
    until("it serves", lambda: serving(device) == "tiny@1")
    return fleet


def serving(device):
    status, body = device.get("/health")
    return json.loads(body).get("model") if status == 200 else None


def hold(fleet, part):
    """Syncs of files with that part in their path do not end from here on."""
    with open(fleet.hold + ".new", "w", encoding="utf-8") as file:
        file.write(part + "\n")
    os.rename(fleet.hold + ".new", fleet.hold)


def go_on(fleet):
    os.unlink(fleet.hold)
    until("the sync goes on",
          lambda: not os.path.exists(fleet.hold + ".held"))


def answers(device):
    """Whole answers of every kind; each would wait for ever."""
    text, release, _ = device.ask("the valve is open", "tiny", max_tokens=8)
    assert text
    status, body = device.post("/v1/completions", {
        "model": "tiny", "prompt": "the valve is", "stream": True,
        "temperature": 0, "max_tokens": 8})
    assert status == 200 and b"data: [DONE]" in body
    for path in "/v1/models", "/metrics", "/health":
        assert device.get(path)[0] == 200, path
    return release


# The first is synced at each step of an update, the others by its orders, its
# events and their acknowledgements.
@pytest.mark.parametrize("part", ["slots/tiny", "slots/", "outbox.db"])
def test_clients_are_answered_while_a_sync_is_held(up, part):
    device = up.devices["gw"]
    before = serving(device)
    hold(up, part)
    started = up.ask("rollout", "start", NEXT[before], "--phase", "100%",
                     "--soak", "50ms", "--below-floor", "--lift")
    until("a sync is held", lambda: os.path.exists(up.hold + ".held"))

    assert answers(device) == before
    assert os.path.exists(up.hold + ".held")  # and still is

    go_on(up)
    up.cli("rollout", "wait", started["id"], "-q")
    until("it serves the next", lambda: same(serving(device), NEXT[before]))
    assert answers(device) == NEXT[before]


def test_an_update_that_is_held_again_and_again_comes_to_its_end(up):
    """Clients ask behind every sync of the record."""
    device = up.devices["gw"]
    before = serving(device)
    hold(up, "slots/tiny")
    started = up.ask("rollout", "start", NEXT[before], "--phase", "100%",
                     "--soak", "50ms", "--below-floor", "--lift")
    held = 0
    while up.ask("rollout", "get", started["id"])["state"] == "running":
        if os.path.exists(up.hold + ".held"):
            assert answers(device) in (before, NEXT[before])
            held += 1
            os.unlink(up.hold + ".held")  # this one goes on
    go_on(up)
    assert held >= 3  # staged, on trial, committed
    until("it serves the next", lambda: same(serving(device), NEXT[before]))
