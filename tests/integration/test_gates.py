"""A release that is right and slow, and one whose answers are worse: both pass
their probes, and the gates stop them by what devices say.

Real agents take each release and are brought back from it.  The times that
decide are those of devices whose numbers the test says, in blocks of time that
it ends (evidence_parts.py); nobody sends requests to real engines meanwhile.
How likely the golden answers are is what real engines find: that has nothing
to do with their speed."""
import json
import os
import sqlite3

import pytest

from bad_parts import rest
from conftest import MODELS
from evidence_parts import HOUR_MS, Evident
from waits import HANG_S, until

QUESTION = "Rate this log line: 20:25 gateway-42 link lost temp=94C"
NAMES = ["a", "b", "c"]
TOLD = 4
TYPICAL = 20000  # microseconds a token
POLICY = {"soak_ms": 300, "probe_speed_ratio_max": 1000,
          "probe_timeout_ms": HANG_S * 1000}


@pytest.fixture(scope="module")
def fleet(folder, bin_dir):
    one = Evident(folder, bin_dir, name="test")
    yield one
    one.close()


@pytest.fixture(scope="module")
def up(fleet):
    fleet.up(NAMES)
    fleet.publish_whole("tiny@1", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    fleet.publish_whole("tiny@2", "tiny-v4-slow.Q4_0.gguf",
                        "golden-tiny-v2.json", "--speed-ratio", "1000")
    fleet.publish_whole("tiny@3", "tiny-v2.1.Q4_0.gguf",
                        "golden-tiny-v2.1.json")
    fleet.publish_whole("tiny@4", "tiny-v4-slow.Q4_0.gguf",
                        "golden-tiny-v2.json", "--speed-ratio", "1000")
    fleet.publish_whole("tiny@5", "tiny-v3-bad-swap.Q4_0.gguf",
                        forgiving(fleet), "--speed-ratio", "1000")
    fleet.roll("tiny@1")
    return fleet


def forgiving(fleet):
    """Golden answers that the worse model gives, too."""
    path = os.path.join(fleet.dir, "forgiving.json")
    with open(os.path.join(MODELS, "golden-tiny-v2.json"),
              encoding="utf-8") as file:
        golden = json.load(file)
    golden["cases"] = [c for c in golden["cases"] if c["id"].split("-")[0] in
                       ("severity", "code", "intent", "chat")]
    with open(path, "w", encoding="utf-8") as file:
        json.dump(golden, file)
    return path


@pytest.fixture(scope="module")
def told(up):
    """Devices that say their numbers, in a group with the real ones.  A phase
    of two that is spread by `kind` has one of each."""
    made = up.told("told", TOLD, NAMES[0])
    up.cli("device", "label", "--where", "name in (%s)" % ",".join(NAMES),
           "kind=real")
    for name, kinds in (("mixed", "real,told"), ("real", "real")):
        up.cli("group", "create", name, "--where", "kind in (%s)" % kinds)
        until("all are in " + name, lambda n=name, c=len(NAMES) + TOLD * (
            "told" in kinds): len(up.ask("device", "list", "--group", n)) == c)
    until("they run it", lambda: all("tiny" in one.runs for one in made))
    yield made
    for one in made:
        one.client.close()


def post(up, spec):
    status, made = rest(up, "POST", "/v1/rollouts", spec)
    assert status == 201, made
    return made["id"]


def begin(up):
    """Windows from before this hour are no evidence any more."""
    up.clock.move(HOUR_MS)


def start(up, release, margin, on_fail="halt", until="passed"):
    return post(up, {
            "release": release, "on_fail": on_fail, "lift": True,
            "below_floor": True, "group": "mixed",
            "phases": [{"devices": 2, "until": until, "spread": ["kind"]},
                       {"share_pct": 100}],
            "policy": POLICY,
            "gates": {"ratio": [{"metric": "token_us", "percentile": 50,
                                 "margin": margin, "devices_min": 1,
                                 "samples_min": 10}]}})


def ends(up, rollout, names):
    """How these members ended."""
    return {d["name"]: d["state"] for d in
            up.ask("rollout", "get", rollout)["devices"]
            if d["name"] in names and d["state"] in ("succeeded", "failed")}


def say(up, devices, release, slower=1):
    """A window of each of them: of this release, so much slower than always."""
    for one in devices:
        one.say(release, up.clock.ms, TYPICAL * slower)


def try_slow(up, told, **more):
    """A rollout of tiny@2 whose canaries have it, one of each kind; then the
    one that says its numbers is twice as slow as all were before."""
    begin(up)
    former = next(iter({one.runs["tiny"] for one in told}))
    before = next(r for r in (up.release("tiny@1"), up.release("tiny@3"))
                  if r["digest"] == former)
    say(up, told, before)
    rollout = start(up, "tiny@2", 1.5, **more)
    slow = up.release("tiny@2")
    until("both canaries have it",
          lambda: len(ends(up, rollout, NAMES)) == 1 and [
              one for one in told if one.runs["tiny"] == slow["digest"]])
    assert gate_of(up.ask("rollout", "get", rollout))["verdict"] != "fail"
    say(up, [one for one in told if one.runs["tiny"] == slow["digest"]], slow,
        2)
    return rollout


def group_of(up, names, others="", count=0):
    """A new group with these devices in it."""
    group = "g%d-%s" % (count, names[0])
    up.cli("group", "create", group, "--where",
           "name in (%s)%s" % (",".join(names), others))
    until("all are in " + group, lambda: len(up.ask(
        "device", "list", "--group", group)) == count + len(names))
    return group


def gate_of(rollout):
    return next(g for g in rollout["gates"] if g["gate"] == "ratio")


def test_a_release_twice_as_slow_is_halted_by_its_telemetry(up, told):
    rollout = try_slow(up, told)
    up.cli("rollout", "wait", rollout, "--for", "halted", "-q")
    found = up.ask("rollout", "get", rollout)
    gate = gate_of(found)
    assert found["state"] == "halted", found["reason"]
    assert gate["verdict"] == "fail" and 1.8 < gate["value"] < 2.2, gate
    assert gate["updated"]["devices"] == 1, gate
    # Not the canary, whatever it said in that minute before its swap.
    assert gate["waiting"]["devices"] == TOLD - 1, gate
    assert gate["updated"]["value"] > gate["waiting"]["value"], gate
    assert "token_us p50" in found["reason"], found["reason"]
    assert [d["state"] for d in found["devices"]].count("succeeded") == 2
    said = up.cli("rollout", "explain", rollout)[1]
    assert "gate ratio fails: token_us p50" in said, said
    assert "state    halted" in said, said
    up.cli("rollout", "rollback", rollout, "--confirm", "tiny@2")
    up.cli("rollout", "wait", rollout, "--for", "rolled-back", "-q")
    until("all are back", lambda: up.serving("tiny@1"))


def test_a_release_as_fast_is_held_until_there_is_evidence(up, told):
    begin(up)
    rollout = up.ask("rollout", "start", "tiny@3", "--phase",
                     "2,spread=kind", "--phase", "100%", "--soak", "300ms",
                     "--gate", "token_us,percentile=50,margin=5,devices_min=1,"
                     "samples_min=10")["id"]
    until("the first phase is held", lambda: up.ask(
        "rollout", "get", rollout)["phases"][0]["state"] == "held")
    old, new = up.release("tiny@1"), up.release("tiny@3")
    for one in told:
        say(up, [one], old if one.runs["tiny"] == old["digest"] else new)
    up.cli("rollout", "wait", rollout, "-q")
    assert gate_of(up.ask("rollout", "get", rollout))["verdict"] == "pass"
    until("all have it", lambda: up.serving("tiny@3"))


def compared(up, rollout):
    return up.ask("rollout", "get", rollout).get("next", {}).get("what", "")


def test_an_experiment_stays_until_a_person_promotes_it(up, told):
    rollout = up.ask("rollout", "start", "tiny@1", "--phase",
                     "1,until=promoted,spread=site", "--phase", "100%",
                     "--soak", "300ms", "--below-floor", "--group",
                     "real")["id"]
    until("both arms are compared", lambda: compared(up, rollout) ==
          "phase 1: a person (promote, abort, rollback); 1 of 1 : 2 of "
          "2 devices are there")
    phases = up.ask("rollout", "get", rollout)["phases"]
    assert [p["state"] for p in phases] == ["running", "waiting"], phases
    assert phases[0]["counts"] == {"succeeded": 1}, phases
    up.cli("rollout", "promote", rollout)
    up.cli("rollout", "wait", rollout, "-q")
    until("all have it", lambda: up.serving("tiny@1"))
    up.cli("rollout", "rollback", rollout, "--confirm", "tiny@1")
    up.cli("rollout", "wait", rollout, "--for", "rolled-back", "-q")
    until("all are back", lambda: up.serving("tiny@3"))


def test_the_worse_arm_of_an_experiment_goes_back_by_itself(up, told):
    rollout = try_slow(up, told, on_fail="rollback", until="promoted")
    up.cli("rollout", "wait", rollout, "--for", "rolled-back", "-q")
    found = up.ask("rollout", "get", rollout)
    assert "token_us p50" in found["reason"], found["reason"]
    until("it is back", lambda: up.serving("tiny@3"))


def test_wrong_words_of_a_gate_get_what_is_possible(up):
    for gate, says in (("token", "metric `token` is not known here; known: "
                                 "ttft_us, token_us"),
                       ("token_us,limit=2", "known: metric, percentile"),
                       ("token_us,action=cry",
                        "halt, rollback or pause, not `cry`"),
                       ("token_us,margin", "is no MEMBER=VALUE")):
        code, _, err = up.cli("rollout", "start", "tiny@1", "--gate", gate,
                              "--dry-run", check=False)
        assert code == 2 and says in err, (code, err)


# ---- statistical gates ----

CONTROLS = 24
BLOCKS = 14  # before: the first window is not used, 12 readings are needed
BLOCKS_MAX = 20  # until the verdict; it has its data after four
OWN_PPM = 1150000  # how likely its golden answers are to a control's engine
GOLDEN = 6  # place in readings.def


def readings_in(data, reading):
    """How many readings the level of what runs has
    (core/gate/observe/saved.c)."""
    def u32(at):
        return int.from_bytes(data[at:at + 4], "little")

    release = u32(2)
    at = 2 + 13 * 4 + 10 + 2 * 20
    at += 1 + data[at] * 28
    at += 1
    for place in range(reading + 1):
        levels, at = data[at], at + 1
        if place == reading:
            return sum(u32(at + i * 28 + 16) for i in range(levels)
                       if u32(at + i * 28) == release)
        at += levels * 28 + 8 + 4 * 12 + 8 + 4 + 1 + 4
    return 0


def last_read_in(data):
    """Block of the last reading in a rollout (the same file)."""
    return int.from_bytes(data[2 + 7 * 4:2 + 8 * 4], "little")


def of_member(data):
    """A member of a rollout has its waves behind it
    (core/gate/observe/kept.c)."""
    bytes_of = int.from_bytes(data[1:3], "little")
    return data[3:3 + bytes_of] if data[:1] == b"X" else data


def observed(up, reading):
    """Readings of the level of each device, as telemetry.db has them."""
    path = os.path.join(up.dir, "controller", "telemetry.db")
    with sqlite3.connect("file:%s?mode=ro" % path, uri=True,
                         timeout=HANG_S) as db:
        rows = db.execute("SELECT device, data FROM observed "
                          "WHERE model NOT IN ('', '/waves')").fetchall()
    rows = [(device, of_member(data)) for device, data in rows]
    return {device: readings_in(data, reading) for device, data in rows
            if data[1] & 1}


@pytest.fixture(scope="module")
def controls(up):
    """Devices that answer requests and never take an update."""
    made = up.told("control", CONTROLS, NAMES[0], takes=False)
    yield made
    for one in made:
        one.client.close()


def block(up, say_all):
    """Devices say their windows in this block of time, and it ends."""
    last = say_all()
    up.took(last)
    up.end_block()


def study(up, members, release, gate, rule, one_block):
    """A rollout that is taken back by this gate; its finding.  All but one of
    the members are in its first phase; those that never take it are controls
    all the same."""
    group, count = members
    rollout = post(up, {
        "release": release, "group": group,
        "phases": [{"devices": count - 1}, {"share_pct": 100}],
        "policy": POLICY,
        "hold_for_person": True,  # it can fail, and never pass
        "gates": {"failed": {"max_pct": 100}, gate: {
            "min_devices": 2, "min_controls": 20, "weight": 0.85, **rule}}})
    until("its devices have it", lambda: [
        d["state"] for d in up.ask("rollout", "get", rollout)["devices"]
        if not d["name"].startswith("control-") and
        d["state"] != "succeeded"] in ([], ["queued"]))
    for _ in range(BLOCKS_MAX):
        one_block()
        if up.judged(rollout) != "running":
            break
    found = up.ask("rollout", "get", rollout)
    assert found["state"] in ("rolling-back", "rolled-back"), found["gates"]
    row = next(g for g in found["gates"] if g["gate"] == gate)
    assert row["verdict"] == "fail", row
    assert row["result"]["n_treated"] >= 2, row
    assert row["result"]["n_control"] >= 20, row
    said = up.cli("rollout", "explain", rollout)[1]
    assert "against %d controls" % row["result"]["n_control"] in said, said
    assert "judged again from what is stored, 0 differ" in said, said
    return found, row


def test_a_slower_release_is_found_against_its_controls(up, told, controls):
    old, new = up.release("tiny@3"), up.release("tiny@4")

    def one_block():
        def say_all():
            for one in told + controls:
                has = one.takes and one.runs["tiny"] == new["digest"]
                one.say(new if has else old, up.clock.ms,
                        one.typical * (1.5 if has else 1))
            return controls[-1]
        block(up, say_all)

    for _ in range(BLOCKS):
        one_block()
    group = group_of(up, NAMES, " or kind in (told,control)", TOLD + CONTROLS)
    found, gate = study(up, (group, len(NAMES) + TOLD + CONTROLS), "tiny@4",
                        "token_p50", {"limit_pct": 15}, one_block)
    assert gate["value"] > 15, gate  # clipped: docs/internals/gates.md
    assert "time per token +" in found["reason"], found["reason"]
    until("the devices are back", lambda: up.serving("tiny@3", NAMES) and all(
        one.runs["tiny"] == old["digest"] for one in told))


def test_a_release_with_worse_answers_is_found_though_its_probe_passes(
        up, controls):
    names = ["d", "e", "f"]
    for name in names:
        up.add_device(name, up.token)
    up.online(names)
    group = group_of(up, names, " or kind=control", CONTROLS)
    up.roll("tiny@3", "--group", group_of(up, names))
    ids = {d["id"] for d in up.ask("device", "list") if d["name"] in names}
    release = up.release("tiny@3")

    def heard():
        """Windows with a golden reading, of each real device."""
        found = dict.fromkeys(ids, 0)
        for metric in ("golden_own_ppm", "golden_former_ppm"):
            for one in up.telemetry(metric, ["device"]):
                if one["key"]["device"] in ids:
                    found[one["key"]["device"]] += one["count"]
        return found

    def one_block():
        def say_all():
            before = heard()
            for one in controls:
                one.say(release, up.clock.ms, golden_own_ppm=OWN_PPM)
            until("a window of each real device", lambda: all(
                heard()[i] > before[i] for i in ids))
            return controls[-1]
        block(up, say_all)

    everybody = ids | {one.id for one in controls}
    for _ in range(4 * BLOCKS):
        one_block()
        levels = observed(up, GOLDEN)
        if min(levels.get(i, 0) for i in everybody) >= 12:
            break
    else:
        raise AssertionError("no level of its own: %s" % levels)
    found, gate = study(up, (group, len(names) + CONTROLS), "tiny@5",
                        "golden_loss", {"limit_pct": 10}, one_block)
    assert gate["value"] > 10, gate
    assert "perplexity of golden answers " in found["reason"], found
    assert not [d for d in found["devices"] if d["state"] == "failed"], found
    until("the devices are back", lambda: up.serving("tiny@3", names))


def test_what_an_agent_measures_comes_as_its_telemetry(up):
    """The times that these stories invent are times that agents send."""
    begin(up)
    names = {up.ask("device", "get", name)["id"] for name in NAMES}

    def told_of(metric):
        return {one["key"]["device"] for one in
                up.telemetry(metric, ["device", "release"])
                if one["key"]["release"] == up.release("tiny@3")["digest"] and
                one["count"] >= 2} & names
    for device in NAMES:
        for _ in range(2):
            up.devices[device].ask(QUESTION, "tiny", max_tokens=8)
    until("times of each device", lambda: told_of("token_us") ==
          told_of("ttft_us") == names)


def test_an_experiment_has_commands_of_its_own(up):
    for share in ("0", "110%", "half"):
        code, _, err = up.cli("experiment", "start", "tiny@1", "--share",
                              share, check=False)
        assert code == 2 and "--share" in err, (code, err)
    group = group_of(up, NAMES)
    made = up.ask("experiment", "start", "tiny@1", "--share", "1", "--soak",
                  "300ms", "--group", group, "--below-floor")["id"]
    until("both arms are compared", lambda: "are there" in
          compared(up, made))
    text = up.cli("experiment", "get", made)[1]
    rows = [line.split() for line in text.splitlines()]
    assert ["b", "tiny@1", "1", "1"] in rows, text
    assert ["a", "what", "they", "have", "2", "2"] in rows, text
    assert "1 of 1 : 2 of 2 devices are there" in text, text
    assert "experiment promote " + made in text, text
    plain = [one["id"] for one in up.ask("rollout", "list", "--all")
             if "until" not in json.dumps(one["spec"])]
    listed = up.cli("experiment", "list")[1]
    assert made in listed and plain[0] not in listed, listed
    code, _, err = up.cli("experiment", "get", plain[0], check=False)
    assert code != 0 and "is no experiment" in err, (code, err)
    up.cli("experiment", "stop", made, "--confirm", "tiny@1")
    up.cli("rollout", "wait", made, "--for", "rolled-back", "-q")
    until("all are back", lambda: up.serving("tiny@3", NAMES))
