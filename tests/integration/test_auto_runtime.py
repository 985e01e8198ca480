"""One release for GPUs, for our engine and for another runtime: each device
takes the first variant that fits, and tells why.  An idle device measures the
other ones, and the fastest serves.  The GPU is a faked /dev."""
import json
import os
import sys

import pytest

import fleet as F
from conftest import MODELS
from controller_parts import BIN
from runtime_parts import Runtimes, of_unknown_architecture
from waits import HANG, Seen, until

FAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                    "fake_runtime.py")
MODEL = os.path.join(MODELS, "tiny-v2.Q4_0.gguf")
QUESTION = "Classify: 23:45 oven-95 voltage drop temp=35C"
BY_ENGINE = "severity: critical"
BY_RUNTIME = "severity: critical, says another"

CASE = {"id": "classify", "prompt": QUESTION, "max_new_tokens": 16}
PLAYED = {"format": "flotilla-golden-1",
          "cases": [dict(CASE, must_contain=[BY_ENGINE])]}
UNPLAYED = {"format": "flotilla-golden-2",
            "cases": [dict(CASE, expect=[{"contains": BY_ENGINE}])]}

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="files of runtimes.d belong to root")


class Pair(Runtimes):
    """Two devices with the runtime `fake`: gw has a GPU, plain has none."""

    def __init__(self, fleet):
        gpu = os.path.join(fleet.dir, "gpu")
        none = os.path.join(fleet.dir, "none")
        os.makedirs(os.path.join(gpu, "dev"))
        os.makedirs(none)
        with open(os.path.join(gpu, "dev", "nvidia0"), "wb"):
            pass
        fleet.env["FLO_SENSORS"] = gpu
        super().__init__(fleet, config="benchmark_after: 0\n")
        fleet.env["FLO_SENSORS"] = none
        self.plain = F.Device(fleet, "plain")
        fleet.devices["plain"] = self.plain
        self.plain.enroll(fleet.token)
        self.configure(self.plain, "benchmark_after: 0\n")
        self.fake()
        self.plain.start()
        self.device.stop()
        fleet.env["FLO_SENSORS"] = gpu
        self.device.start()
        until("the runtime is reported", lambda: all(
            self.profile(name).get("runtimes") for name in ("gw", "plain")))

    def configure(self, device, text):
        device.write_config("sandbox: preferred\nruntimes_dir: %s\n%s" %
                            (json.dumps(self.folder), text))

    def measuring(self, device, folder):
        """The device measures as soon as it is idle."""
        device.stop()
        self.configure(device, "benchmark_after: 1s\nbundle_soak: 1s\n")
        self.fleet.env["FLO_SENSORS"] = os.path.join(self.fleet.dir, folder)
        device.start()
        until("its API", device.listens)

    def speeds(self, name):
        """Variant -> microseconds per token, as the device reports them."""
        return {row["variant"]: row["token_us"]
                for row in self.profile(name).get("speeds", [])}

    def fake(self, *fault):
        answers = os.path.join(self.fleet.dir, "answers.json")
        with open(answers, "w", encoding="utf-8") as file:
            json.dump({"answers": {QUESTION: BY_RUNTIME}}, file)
        self.write("fake", {
            "exec": [sys.executable, FAKE, "--tree", "{tree}", "--entry",
                     "{entry}", "--socket", "{socket}", "--answers", answers, *fault],
            "memory": "256MiB", "ready": HANG, "stop": "500ms",
            "context": 128, "abilities": ["cancel"],
            "read": [os.path.dirname(FAKE), sys.prefix, answers]})

    def profile(self, name):
        return self.fleet.ask("device", "get", name).get("profile") or {}

    def variant(self, name):
        models = self.fleet.ask("device", "get", name)["models"]
        return models[0].get("variant") if models else None

    def says_on(self, device):
        return device.ask(QUESTION, "desk", max_tokens=16)[:2]

    def create(self, release, model, golden, *words):
        """Creates a release; the lines that the command prints on stderr."""
        path = os.path.join(self.fleet.dir, "golden.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(golden, file)
        return self.fleet.program(
            "flotilla", "release", "create", release, "--model-file", model,
            "--golden", path, "--sign-with", self.fleet.key, "--publish",
            "--delta-from", "none", *words)[2]

    def planned(self, release):
        plan = self.fleet.ask("rollout", "start", release, "--dry-run",
                              "--phase", "100%")["plan"]
        return {item["name"]: (item.get("variant"), item.get("why"))
                for item in plan["items"]}


@pytest.fixture(scope="module")
def pair(fleet):
    return Pair(fleet)


def test_a_device_reports_the_gpu_whose_node_it_has(pair):
    assert pair.profile("gw")["accelerators"] == [{"kind": "cuda"}]
    assert not pair.profile("plain").get("accelerators")
    found = pair.fleet.ask("device", "list", "-l", "accelerator=cuda")
    assert [device["name"] for device in found] == ["gw"]


def test_each_device_takes_the_first_variant_that_fits(pair):
    said = pair.create("desk@1", MODEL, PLAYED, "--runtime", "auto:fake")
    assert "played: 1 of 1" in said
    assert "by gpu-cuda, gpu-rocm, gpu-vulkan, runtime: the device" in said
    assert pair.planned("desk@1") == {
        "gw": ("gpu-cuda", "the first variant"),
        "plain": ("native", "gpu-cuda needs accelerator cuda; gpu-rocm needs "
                  "accelerator rocm; gpu-vulkan needs accelerator vulkan")}
    shown = pair.fleet.cli("rollout", "start", "desk@1", "--dry-run",
                           "--phase", "100%")[1]
    assert "WHY THIS VARIANT" in shown and "needs accelerator rocm" in shown
    pair.fleet.roll("desk@1")
    until("both variants", lambda: (
        pair.variant("gw"), pair.variant("plain")) == ("gpu-cuda", "native") or
        Seen((pair.variant("gw"), pair.variant("plain"))))
    assert pair.says_on(pair.device) == (BY_RUNTIME, "desk@1")
    assert pair.says_on(pair.plain) == (BY_ENGINE, "desk@1")
    assert "variant native serves" in pair.fleet.program(
        "flotilla", "device", "get", "plain")[1]
    lines = "\n".join(pair.fleet.ask("device", "logs", "plain")["lines"])
    assert "desk@1: variant native is taken: gpu-cuda needs acc" in lines


def test_an_idle_device_measures_the_variants_and_the_fastest_serves(pair):
    pair.fake("--fault", "slow:200")
    pair.measuring(pair.device, "gpu")
    until("our engine", lambda: pair.variant("gw") == "native" or
          Seen((pair.variant("gw"), pair.speeds("gw"))))
    assert pair.says_on(pair.device) == (BY_ENGINE, "desk@1")
    until("all of them", lambda: sorted(pair.speeds("gw")) == [
        "gpu-cuda", "native", "runtime"] or Seen(pair.speeds("gw")))
    speeds = pair.speeds("gw")
    assert 2 * speeds["native"] < min(speeds["gpu-cuda"], speeds["runtime"])
    lines = "\n".join(pair.fleet.ask("device", "logs", "gw")["lines"])
    assert "desk@1: native takes " in lines
    assert not pair.fleet.ask("device", "list", "-l", "condition=failed")
    found = pair.fleet.ask("device", "list", "-l", "variant=native")
    assert sorted(device["name"] for device in found) == ["gw", "plain"]
    shown = pair.fleet.program("flotilla", "device", "get", "gw", "--profile")[1]
    assert "US PER TOKEN" in shown


def test_telemetry_compares_the_variants(pair):
    def requests():
        answer = pair.fleet.ask("telemetry", "query", "requests", "--by",
                                "variant", "--model", "desk")
        return {one["key"]["variant"]: one["sum"] for one in answer["series"]}

    until("both", lambda: all(requests().get(name) for name in (
        "gpu-cuda", "native")) or Seen(requests()))


def test_a_slower_variant_serves_nothing_and_nothing_fails(pair):
    pair.measuring(pair.plain, "none")
    until("it is measured", lambda: sorted(pair.speeds("plain")) == [
        "native", "runtime"] or Seen(pair.speeds("plain")))
    assert pair.variant("plain") == "native"
    assert pair.says_on(pair.plain) == (BY_ENGINE, "desk@1")


def test_the_next_release_is_planned_by_the_measured_speeds(pair):
    pair.create("desk@1.1", MODEL, PLAYED, "--runtime", "auto:fake")
    variant, why = pair.planned("desk@1.1")["gw"]
    assert variant == "native"
    assert why.startswith("gpu-cuda took ") and "per token here" in why
    pair.fleet.roll("desk@1.1")
    assert pair.says_on(pair.device) == (BY_ENGINE, "desk@1.1")


def test_a_choice_survives_a_start_and_a_changed_runtime_is_measured_again(pair):
    pair.measuring(pair.device, "gpu")
    assert pair.says_on(pair.device) == (BY_ENGINE, "desk@1.1")
    assert len(pair.speeds("gw")) == 3
    pair.fake("--fault", "slow:400")
    pair.measuring(pair.device, "gpu")
    until("measured again", lambda: pair.speeds("gw").get("runtime", 0) > 300000
          or Seen(pair.speeds("gw")))
    assert pair.variant("gw") == "native"


@pytest.mark.skipif(os.path.exists(os.path.join(BIN, "flotilla-engine-llama")),
                    reason="the library takes any architecture")
def test_a_device_whose_engine_lacks_the_architecture_takes_the_runtime(pair):
    pair.fake()
    model = of_unknown_architecture(MODEL, pair.fleet.dir)
    said = pair.create("desk@2", model, UNPLAYED, "--runtime", "auto:fake")
    assert "native, runtime (nothing here computes the model)" in said
    variant, why = pair.planned("desk@2")["plain"]
    assert variant == "runtime"
    assert why.endswith("accelerator vulkan; native needs engine mamba")
    pair.fleet.roll("desk@2")
    assert pair.says_on(pair.device) == (BY_RUNTIME, "desk@2")
    assert pair.says_on(pair.plain) == (BY_RUNTIME, "desk@2")
    until("the runtime", lambda: pair.variant("plain") == "runtime" or
          Seen(pair.variant("plain")))
