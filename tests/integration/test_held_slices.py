"""A slice that is held, while the controller is killed and its devices change in
each state of the rollout.

They are pinned, regrouped, retired and relabelled."""
import hashlib

import pytest

from evidence_parts import Told
from site_parts import BAD, EACH, SITES, Sites, TYPICAL
from waits import until

BLOCKS_MAX = 20  # until it is named; it has its data after five
PROBED = 3
GATES = {"alarm_only": True, "token_p50": {"weight": 0.5, "limit_pct": 100}}
PHASES = [{"name": "canary", "devices": len(SITES), "soak_ms": 3600000},
          {"name": "rest", "share_pct": 100}]


@pytest.fixture(scope="module")
def fleet(folder):
    one = Sites(folder, ("1.0.0", "2.0.0", "3.0.0"), "vast")
    yield one
    one.close()


def members(fleet, rollout):
    one = fleet.controller.ask(
        "GET", "/v1/rollouts/%s?devices=100" % rollout).json
    return {d["id"]: d for d in one["devices"]}


def seen(fleet, rollout):
    """A death of the controller changes nothing of it."""
    one = fleet.get(rollout)
    return (one["state"], one["phase"], one.get("slices"), one.get("held"),
            [(p["state"], p["devices"], p["counts"]) for p in one["phases"]],
            {id: (d["state"], d["phase"])
             for id, d in members(fleet, rollout).items()})


def at(fleet, site, version=None):
    return [one for one in fleet.devices if one.site == site and
            (version is None or
             one.runs.get("tiny") == fleet.digests[version])]


def edit(fleet, device, **change):
    answer = fleet.controller.ask("PATCH", "/v1/devices/" + device.id, change)
    assert answer.status == 200, answer.body


def verb(fleet, rollout, action, **more):
    answer = fleet.controller.ask("POST", "/v1/rollouts/%s/actions" % rollout,
                                  dict({"action": action}, **more))
    assert answer.status == 200, answer.body


def regroup(fleet, *devices, to="add"):
    fleet.controller.ask("POST", "/v1/groups", {"name": "edge"})
    answer = fleet.controller.ask(
        "POST", "/v1/groups/edge/members",
        {to: [device.id for device in devices]})
    assert answer.status == 200, answer.body


def newcomer(fleet, name, site):
    token = fleet.controller.enrol_token(group="edge")
    one = Told(fleet.controller, fleet.folder, name, token, TYPICAL,
               labels={"site": site})
    one.site = site
    one.versions = fleet.devices[0].versions
    fleet.devices.append(one)
    return one


def is_ordered(device, digest):
    """After all that the controller has said so far."""
    device.comes_through()
    return device.was_ordered("deploy", digest)


def stays_out(fleet, rollout, *devices):
    for device in devices:
        member = members(fleet, rollout)[device.id]
        assert member["state"] == "cancelled", member


@pytest.fixture(scope="module")
def rollout(fleet):
    """The first phase has one device of each site, and lyon's is slow."""
    for model in ("tiny", "vast"):
        fleet.start("1.0.0", model, phases=[{"share_pct": 100}])
        until("all run it", lambda: len(fleet.have("1.0.0", model)) ==
              len(fleet.devices))
    for _ in range(20):
        fleet.block()
    regroup(fleet, *fleet.devices)
    made = fleet.start("2.0.0", cover="site", on_fail="pause", phases=PHASES,
                       gates=GATES, group="edge")
    until("one of each site has it",
          lambda: len(fleet.have("2.0.0")) == len(SITES))
    assert len(at(fleet, BAD, "2.0.0")) == 1
    return made


def test_a_probe_is_open_and_the_controller_dies(fleet, rollout):
    for device in at(fleet, BAD, "1.0.0"):
        device.takes = False
    for _ in range(BLOCKS_MAX):
        fleet.block(slow=2)
        fleet.judged(rollout)
        if fleet.get(rollout)["phases"][0]["devices"] > len(SITES):
            break
    probed = {id for id, d in members(fleet, rollout).items()
              if d["phase"] == 1 and d["state"] == "notified"}
    assert len(probed) == PROBED
    assert probed < {d.id for d in at(fleet, BAD)}
    before = seen(fleet, rollout)
    fleet.killed()
    assert seen(fleet, rollout) == before
    # None of the site is probed twice.
    for _ in range(3):
        fleet.block(slow=2)
        fleet.judged(rollout)
    assert fleet.get(rollout)["phases"][0]["devices"] == len(SITES) + PROBED


def test_it_is_held_and_the_controller_dies_again(fleet, rollout):
    for device in at(fleet, BAD):
        device.takes = True
    fleet.killed()  # desired documents come again
    until("the probed ones have it",
          lambda: len(at(fleet, BAD, "2.0.0")) == 1 + PROBED)
    for _ in range(BLOCKS_MAX):
        fleet.block(slow=2)
        fleet.judged(rollout)
        if fleet.get(rollout).get("held"):
            break
    assert fleet.get(rollout)["held"] == ["site=lyon"], fleet.get(rollout)
    stays_out(fleet, rollout, *at(fleet, BAD, "1.0.0"))
    before = seen(fleet, rollout)
    fleet.killed()
    assert seen(fleet, rollout) == before


def test_two_models_hold_the_same_slice_each_for_itself(fleet, rollout):
    phases = [dict(PHASES[0], devices=EACH // 2 * len(SITES)), PHASES[1]]
    vast = fleet.start("2.0.0", "vast", cover="site", on_fail="pause",
                       phases=phases, gates=GATES)
    until("the first phase has it", lambda: len(fleet.have("2.0.0", "vast")) ==
          phases[0]["devices"])
    for _ in range(BLOCKS_MAX):
        fleet.block(slow=2)
        fleet.judged(vast)
        if fleet.get(vast).get("held"):
            break
    both = (vast, rollout)
    fleet.judged(rollout)
    assert [fleet.get(one)["held"] for one in both] == [["site=lyon"]] * 2
    before = [seen(fleet, one) for one in both]
    for body in ({"action": "promote"},
                 {"action": "rollback", "confirm": "vast@2.0.0"}):
        answer = fleet.controller.ask(
            "POST", "/v1/rollouts/%s/actions" % vast,
            dict(body, slice="site=lyon"))
        assert answer.status == 422, answer.body
        assert b"waits for no answer" in answer.body
    fleet.killed()
    assert [seen(fleet, one) for one in both] == before
    verb(fleet, vast, "rollback", confirm="vast@2.0.0")
    until("it went back", lambda: fleet.get(vast)["state"] == "rolled-back")
    assert not fleet.have("2.0.0", "vast")
    assert seen(fleet, rollout) == before[1]


def is_late(fleet, rollout, device):
    """Its own bucket is in the last phase: there it is when it joins again."""
    text = ("%s\0%s" % (rollout, device.id)).encode()
    bucket = int.from_bytes(hashlib.sha256(text).digest()[:8], "big") % 10**9
    return bucket >= fleet.get(rollout)["phases"][-1]["buckets"][0]


def goes_and_returns(fleet, rollout):
    """Who leaves by a pin, maintenance or a group comes back to its slice."""
    old, = at(fleet, BAD, "1.0.0")[:1]
    other = next(one for one in at(fleet, "oslo", "1.0.0")
                 if is_late(fleet, rollout, one))
    for away, back in (
            (lambda d: edit(fleet, d, pins={"tiny": "tiny@1.0.0"}),
             lambda d: edit(fleet, d, pins={"tiny": None})),
            (lambda d: edit(fleet, d, maintenance="new fan"),
             lambda d: edit(fleet, d, maintenance="")),
            (lambda d: regroup(fleet, d, to="remove"),
             lambda d: regroup(fleet, d))):
        was = members(fleet, rollout)[other.id]["state"]
        for device in (old, other):
            away(device)
        assert members(fleet, rollout).get(other.id, {}).get(
            "state") in (None, "succeeded")
        for device in (old, other):
            back(device)
        stays_out(fleet, rollout, old)
        assert members(fleet, rollout)[other.id]["state"] == was
    assert not is_ordered(old, fleet.digests["2.0.0"])


def test_who_leaves_and_returns_is_held_again(fleet, rollout):
    goes_and_returns(fleet, rollout)
    verb(fleet, rollout, "pause")
    goes_and_returns(fleet, rollout)


def test_other_labels_bring_other_slices(fleet, rollout):
    old, = at(fleet, BAD, "1.0.0")[:1]
    other = at(fleet, "oslo", "1.0.0")[0]
    edit(fleet, other, labels={"site": BAD})
    stays_out(fleet, rollout, other)
    edit(fleet, old, labels={"site": "oslo"})
    assert members(fleet, rollout)[old.id]["state"] == "queued"
    fleet.killed()
    stays_out(fleet, rollout, other)
    edit(fleet, other, labels={"site": "oslo"})
    edit(fleet, old, labels={"site": BAD})
    stays_out(fleet, rollout, old)
    assert members(fleet, rollout)[other.id]["state"] == "queued"


def test_who_is_retired_and_who_comes_new(fleet, rollout):
    gone = at(fleet, BAD, "1.0.0")[-1]
    assert fleet.controller.ask(
        "DELETE", "/v1/devices/" + gone.id).status in (200, 204)
    fleet.devices.remove(gone)
    assert members(fleet, rollout)[gone.id]["state"] == "removed"
    made = newcomer(fleet, "new-1", BAD)
    until("it has the release before",
          lambda: made.runs.get("tiny") == fleet.digests["1.0.0"])
    stays_out(fleet, rollout, made)


def test_the_others_get_it_and_the_slice_stays(fleet, rollout):
    verb(fleet, rollout, "resume")
    verb(fleet, rollout, "promote")
    elsewhere = [d for d in fleet.devices if d.site != BAD]
    until("the others have it", lambda: all(
        d.runs["tiny"] == fleet.digests["2.0.0"] for d in elsewhere))
    stays_out(fleet, rollout, *at(fleet, BAD, "1.0.0"))
    until("it is over", lambda: fleet.get(rollout)["state"] == "completed")
    assert fleet.get(rollout)["reason"] == \
        "%d of %d devices got it, 2 cancelled" % (
            len(fleet.have("2.0.0")), len(fleet.devices) + 1)
    before = seen(fleet, rollout)
    fleet.killed()
    assert seen(fleet, rollout) == before
    old = at(fleet, BAD, "1.0.0")[0]
    edit(fleet, old, pins={"tiny": "tiny@1.0.0"})
    edit(fleet, old, labels={"site": "oslo"})
    assert not is_ordered(old, fleet.digests["2.0.0"])
    edit(fleet, old, labels={"site": BAD})
    edit(fleet, old, pins={"tiny": None})
    stays_out(fleet, rollout, old)
    made = newcomer(fleet, "new-2", BAD)
    until("it joined", lambda: made.id in members(fleet, rollout))
    stays_out(fleet, rollout, made)
    edit(fleet, made, labels={"site": "oslo"})
    until("it has it elsewhere",
          lambda: made.runs.get("tiny") == fleet.digests["2.0.0"])
    made.site = "oslo"


def test_a_hotfix_reaches_the_slice(fleet, rollout):
    fix = fleet.start("3.0.0", group="edge", phases=[{"share_pct": 100}])
    until("all have it",
          lambda: len(fleet.have("3.0.0")) == len(fleet.devices))
    assert not fleet.get(fix).get("held")
    fleet.killed()
    assert len(fleet.have("3.0.0")) == len(fleet.devices)
    # The older one brings nothing back, wherever its devices go.
    one, = at(fleet, BAD)[:1]
    edit(fleet, one, labels={"site": "oslo"})
    regroup(fleet, one, to="remove")  # back to what all have
    regroup(fleet, one)
    one.comes_through()
    assert one.runs["tiny"] != fleet.digests["2.0.0"]
