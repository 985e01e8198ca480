"""Releases that are an adapter of a base: bytes on the wire, swaps in the
running engine, the way back, and adapters that must not come to serve."""
import http.client
import itertools
import json
import os
import signal
import struct
import subprocess
import threading

import pytest

import fleet as F
import sets
from bad_parts import long_probe
from conftest import MODELS, Small
from waits import Seen, joined, same, until

BASE = os.path.join(MODELS, "tiny-v1.Q4_0.gguf")
ENCODER = os.path.join(MODELS, "bert.Q8_0.gguf")
ENCODER_LORA = os.path.join(MODELS, "bert-lora.gguf") + ":4"
TEXT = "smoke detected on camera-68"
SITE = os.path.join(MODELS, "tiny-v1-site-lora.gguf")
PROMPTS = ["Classify: 23:45 oven-95 voltage drop temp=35C",
           "Severity? 13:38 gateway-58 signal weak temp=45C",
           "What should I do about smoke detected on camera-68?"]


def golden(up, name, *lora, model=BASE):
    """Prompts whose answers are those of the model with this adapter."""
    path = os.path.join(up.dir, name)
    prompts = os.path.join(up.dir, "prompts.txt")
    with open(prompts, "w", encoding="utf-8") as file:
        file.write("\n".join(PROMPTS) + "\n")
    up.program("flotilla-model", "golden", "create", path, "--model", model,
               "--prompts", prompts, *lora)
    return path


def with_bytes(path, source, at, byte):
    """A copy with one byte changed, from its end: other weights."""
    with open(source, "rb") as file:
        data = bytearray(file.read())
    data[at] ^= byte
    with open(path, "wb") as file:
        file.write(data)
    return path


@pytest.fixture(scope="module")
def up(tmp_path_factory, bin_dir):
    one = Small(str(tmp_path_factory.mktemp("l")), bin_dir, name="test")
    one.up(["a"])
    one.golden = {"base": golden(one, "base.json"),
                  "site": golden(one, "site.json", "--lora", SITE)}
    one.publish("tiny@1", "tiny-v1.Q4_0.gguf", one.golden["base"])
    yield one
    one.close()


def publish(up, release, adapter, prompts, *more, base="tiny@1"):
    return up.ask("release", "create", release, "--base", base,
                  "--adapter", adapter, "--golden", prompts, "--sign-with",
                  up.key, "--skip-play", "--publish", *more)


def engines(device):
    return device.children("flotilla-engine")


def expected(up, *lora):
    return up.program("flotilla-engine", "run", "--model", BASE, "--prompt",
                      PROMPTS[0], "--n", "24", *lora)[1].rstrip("\n")


def answer(device):
    text, release, _ = device.ask(PROMPTS[0], "tiny", max_tokens=24)
    return text, release


def engines_when(device, count):
    """Its engines, once there are so many."""
    def look():
        found = engines(device)
        return found if len(found) == count else Seen(found)
    return until("%d engines" % count, look)


def blobs(device):
    """{name: bytes it has}"""
    return {name: one.st_size for name, one in sets.stats(
        os.path.join(device.state, "blobs")).items() if "." not in name}


def one_engine(device):
    return engines_when(device, 1)[0]


VERSIONS = itertools.count(30)


def moved_in(up):
    """The next release, the engine that serves it, which is the one before, and
    what answered before.  None on a machine that took longer for it than the
    release soaked: there the candidate's engine stays."""
    device, number = up.devices["a"], next(VERSIONS)
    before = answer(device)
    release, pid = "tiny@%d" % number, one_engine(device)
    file = with_bytes(os.path.join(up.dir, "stronger.gguf"), SITE, -2,
                      number - 29)
    publish(up, release, file, up.golden["site"])
    up.roll(release, "--soak", "10s")
    with open(device.log) as log:
        has_moved = release + " is in the current engine" in log.read()
    assert (one_engine(device) == pid) == has_moved
    return has_moved and (release, pid, before)


def test_an_adapter_release_swaps_in_the_running_engine(up):
    device = up.devices["a"]
    up.roll("tiny@1")
    plain, adapted = expected(up), expected(up, "--lora", SITE)
    assert plain != adapted
    assert answer(device) == (plain, "tiny@1")
    files = blobs(device)

    made = publish(up, "tiny@2", SITE, up.golden["site"])
    rollout = up.roll("tiny@2")
    assert answer(device) == (adapted, "tiny@2")
    # The base is here: the adapter and its prompts came, nothing else.
    got = rollout["devices"][0]["bytes"]
    assert 0 < got < os.path.getsize(BASE) / 5, rollout
    assert made["number"] == 2
    now = blobs(device)
    assert all(now[name] <= os.path.getsize(BASE) / 2
               for name in set(now) - set(files))

    # The first engine had no room for adapters; this one has.
    streams = [F.Streamer(device, "tiny", PROMPTS) for _ in range(3)]
    for stream in streams:
        stream.start()
    release, pid, before = until("a release that moved in", lambda: moved_in(up))
    # Back to the adapter before, and to the base: no download, one engine.
    up.cli("rollout", "rollback", "--release", release, "--to", before[1],
           "--everywhere", "--confirm", release, "--wait")
    assert answer(device) == before
    assert one_engine(device) == pid
    until("more than ten answers",
          lambda: sum(len(s.spans) for s in streams) > 10)
    for stream in streams:
        stream.stop()
    assert [f for s in streams for f in s.failed] == []


def vector(device, model):
    connection = device.connection()
    connection.request("POST", "/v1/embeddings",
                       json.dumps({"model": model, "input": TEXT}),
                       {"Content-Type": "application/json"})
    body = json.loads(connection.getresponse().read())
    connection.close()
    return body["data"][0]["embedding"]


def vector_of(up, model, *lora):
    """To the bit what a device serves, which packs the weights of a release."""
    return json.loads(subprocess.run(
        [up.path("flotilla-model"), "embed", TEXT, "--model", model, *lora], check=True,
        capture_output=True, env=dict(up.env, FLOTILLA_PACK_CACHE=os.path.join(
            up.dir, "packs"))).stdout)["embedding"]


def test_vectors_under_an_adapter_release_are_the_adapters(up):
    right = vector_of(up, BASE, "--lora", SITE)
    assert vector_of(up, BASE) != right
    assert vector(up.devices["a"], "tiny") == right


def failed(up, release, meanwhile=None):
    """A rollout that the device's probe stops; the error of the device."""
    serving = answer(up.devices["a"])
    pids = engines(up.devices["a"])
    beside = threading.Thread(target=meanwhile or (lambda: None))
    beside.start()  # before the rollout: a candidate may be quick
    started = up.ask("rollout", "start", release, "--phase", "100%", "--soak",
                     "500ms")
    joined(beside)
    device = until("the end on the device", lambda: next(
        (d for d in up.ask("rollout", "get", started["id"])["devices"]
         if d["state"] in ("failed", "rolled-back", "succeeded")), None))
    assert device["state"] == "failed", device
    assert answer(up.devices["a"]) == serving
    until("the engines before", lambda: engines(up.devices["a"]) == pids)
    return device["error"]


def test_an_adapter_of_another_base_is_refused_when_it_is_published(up):
    other = os.path.join(MODELS, "smollm2-ops-lora.gguf")
    code, out, err = up.cli(
        "release", "create", "tiny@7", "--base", "tiny@1", "--adapter", other,
        "--golden", up.golden["site"], "--sign-with", up.key, check=False)
    assert code != 0 and "error[model.adapter]" in err and out == "", err
    assert up.cli("release", "get", "tiny@7", check=False)[0] != 0
    # Its prompts are made of the base with the adapter.
    made = up.ask("release", "create", "tiny@8", "--base", "tiny@1",
                  "--adapter", SITE, "--prompts",
                  os.path.join(up.dir, "prompts.txt"), "--sign-with", up.key)
    assert made["number"] > 1


def test_an_adapter_of_another_base_ends_in_its_probe(up):
    other = os.path.join(MODELS, "smollm2-ops-lora.gguf")
    publish(up, "tiny@5", other, up.golden["site"])
    assert failed(up, "tiny@5")["id"] == "model.adapter"


def test_an_adapter_that_kills_its_engine_kills_a_probe_alone(up):
    device = up.devices["a"]
    serving = engines(device)

    def kill():
        candidate = until("a candidate", lambda: [
            pid for pid in engines(device) if pid not in serving])
        os.kill(candidate[0], signal.SIGSEGV)
    publish(up, "tiny@6", with_bytes(os.path.join(up.dir, "six.gguf"), SITE,
                                     -4, 1), long_probe(up.dir, up.golden["site"]))
    assert failed(up, "tiny@6", kill)["id"] == "engine.crash"
    digest = up.ask("release", "get", "tiny@6")["digest"]
    until("the denial", lambda: any(digest in m["denied"] for m in
          up.ask("device", "get", "a")["models"]))


def test_the_base_serves_again_in_the_same_engine(up):
    device = up.devices["a"]
    up.publish("other@1", "tiny-v1.Q4_0.gguf", up.golden["base"])
    up.roll("other@1")
    up.ask("release", "create", "other@2", "--base", "other@1", "--adapter",
           SITE + ":0.5", "--golden", golden(up, "half.json", "--lora",
                                             SITE + ":0.5"),
           "--sign-with", up.key, "--publish", "--skip-play")
    up.roll("other@2")
    half = expected(up, "--lora", SITE + ":0.5")
    assert device.ask(PROMPTS[0], "other", max_tokens=24)[:2] == (half,
                                                                  "other@2")
    pids, files = set(engines_when(device, 2)), blobs(device)
    up.cli("rollout", "rollback", "--release", "other@2", "--to", "other@1",
           "--everywhere", "--confirm", "other@2", "--wait")
    assert device.ask(PROMPTS[0], "other", max_tokens=24)[:2] == (
        expected(up), "other@1")
    until("the same engines", lambda: same(set(engines(device)), pids))
    assert set(blobs(device)) <= set(files)


def test_an_agent_that_starts_again_serves_base_and_adapter(up):
    device = up.devices["a"]
    before = answer(device)
    device.stop()
    device.start()
    assert until("an answer", lambda: served(device)) == before


def served(device):
    try:
        return answer(device)
    except (OSError, F.Failed, http.client.HTTPException):
        return None


# The probe computes the same bits. A length in floats is 1 to some 1e-7, so the
# product of the vector and itself may be a millionth below 1.
COSINE_MIN_PPM = 999999


def near(up, name, expected):
    """A text whose vector is this one, as a golden file; options of release
    create."""
    path = os.path.join(up.dir, name)
    with open(path + ".f32", "wb") as file:
        file.write(struct.pack("<%df" % len(expected), *expected))
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"format": "flotilla-golden-2", "cases": [
            {"id": "near", "text": TEXT, "expect": [
                {"cosine_min_ppm": COSINE_MIN_PPM, "vector": "near.f32"}]}]}, file)
    return path, "--file", "near.f32=" + path + ".f32"


def test_an_adapter_release_of_an_encoder_is_probed_by_its_vectors(up):
    device = up.devices["a"]
    plain = vector_of(up, ENCODER)
    right = vector_of(up, ENCODER, "--lora", ENCODER_LORA)
    assert plain != right
    up.publish("near@1", ENCODER, *near(up, "plain.json", plain))
    up.roll("near@1")
    assert vector(device, "near") == plain
    publish(up, "near@2", ENCODER_LORA, *near(up, "right.json", right),
            base="near@1")
    up.roll("near@2")
    until("the engine before is gone", lambda: same(len(engines(device)), 3))
    assert vector(device, "near") == right
    publish(up, "near@3", ENCODER_LORA[:-1] + "3", *near(up, "wrong.json", right),
            base="near@1")
    assert failed(up, "near@3")["id"] == "probe.golden"
    assert vector(device, "near") == right
    up.cli("rollout", "rollback", "--release", "near@2", "--to", "near@1",
           "--everywhere", "--confirm", "near@2", "--wait")
    assert vector(device, "near") == plain
