"""Swaps on one device that carries a native model, an adapter model and a
model behind a runtime, while clients stream from all three."""
import bisect
import itertools
import math
import os

import fleet as F
import test_adapter_releases as adapters
import test_runtimes as runtime
from conftest import MODELS
from runtime_parts import Runtimes
from waits import moment

SOAK = 0.05
TOKENS = 16
BACK = " back"  # to the release before, which the device keeps
FETCHED = " back, not kept"  # soaks for 10 s, as each such order does
ALIASES = {"tiny": "plain", "site": "adapted", "desk": "clerk"}
CONFIG = "models: {%s}\n" % ", ".join(
    "%s: {alias: [%s]}" % pair for pair in ALIASES.items())
PROMPTS = {"tiny": adapters.PROMPTS, "site": adapters.PROMPTS,
           "desk": [runtime.QUESTION]}
KINDS = {"tiny": "model", "site": "adapter", "desk": "runtime"}
# The releases of each model in turn; site@1 is the base of the others.
TURNS = {"tiny": ("tiny@1", "tiny@2"),
         "site": ("site@1", "site@2", "site@3", "site@2", "site@3"),
         "desk": ("desk@1", "desk@2")}


class Swap:
    """One change: when it was ordered, when it was over."""

    def __init__(self, model, old, new, way):
        self.model, self.old, self.new = model, old, new
        self.kind = KINDS[model] + way
        self.begin, self.end = moment(), math.inf


class Swaps:
    """The device, its clients and the swaps that it has done."""

    def __init__(self, fleet, clients=2):
        self.fleet, self.clients = fleet, clients
        self.runtimes = Runtimes(fleet, config=CONFIG)
        self.device = self.runtimes.device
        self.streamers, self.swaps = {}, []
        self.serving, self.previous = dict.fromkeys(TURNS), {}
        self.turn = dict.fromkeys(TURNS, 0)
        self.texts = {}  # of each release, its answers to the prompts

    def publish(self):
        up = self.fleet
        for release, file in (("tiny@1", "tiny-v2.Q4_0.gguf"),
                              ("tiny@2", "tiny-v2.1.Q4_0.gguf"),
                              ("site@1", os.path.basename(adapters.BASE))):
            self.know(release, os.path.join(MODELS, file))
            up.publish_whole(release, file, adapters.golden(
                up, release + ".json", model=os.path.join(MODELS, file)))
        for release, strength in (("site@2", ""), ("site@3", ":0.5")):
            lora = adapters.SITE + strength
            self.know(release, adapters.BASE, "--lora", lora)
            up.ask("release", "create", release, "--base", "site@1",
                   "--adapter", lora, "--golden",
                   adapters.golden(up, release + ".json", "--lora", lora),
                   "--sign-with", up.key, "--skip-play", "--publish")
        runtime.fake(self.runtimes)
        for version, answer in (("1", "severity: low"),
                                ("2", "severity: high")):
            runtime.publish(self.runtimes, version, answer)
            self.texts["desk@" + version] = {answer}

    def know(self, release, model, *lora):
        """The answers of the engine alone, without an agent."""
        self.texts[release] = {
            self.fleet.program(
                "flotilla-engine", "run", "--model", model, "--prompt", prompt,
                "--n", str(TOKENS), *lora)[1].strip()
            for prompt in adapters.PROMPTS}

    def start(self):
        """The first releases are there, and clients ask by both names."""
        self.publish()
        for model in TURNS:
            self.swap(model)
        self.swaps.clear()
        for model, alias in ALIASES.items():
            self.streamers[model] = [
                F.Streamer(self.device, (model, alias)[n % 2], PROMPTS[model],
                           max_tokens=TOKENS, pause=0)
                for n in range(self.clients)]
            for streamer in self.streamers[model]:
                streamer.start()

    def swap(self, model, is_rollback=False):
        """To the next release of the model in its turn."""
        turns = TURNS[model]
        new = turns[self.turn[model] % len(turns)]
        self.turn[model] += 1
        way = "" if not is_rollback else (
            BACK if self.previous[model] == new else FETCHED)
        one = Swap(model, self.serving[model], new, way)
        self.swaps.append(one)
        if is_rollback:
            self.fleet.cli("rollout", "rollback", "--release", one.old, "--to",
                           new, "--everywhere", "--confirm", one.old, "--keep",
                           "--wait", "-q")
        else:
            started = self.fleet.ask(
                "rollout", "start", new, "--phase", "100%", "--soak",
                "%dms" % (SOAK * 1000), "--below-floor", "--lift")
            self.fleet.cli("rollout", "wait", started["id"], "-q")
        one.end = moment()
        self.previous[model], self.serving[model] = one.old, new

    def run(self, count):
        """Swaps in turn over the models; each third round takes back."""
        for number in range(count):
            round_number, at = divmod(number, len(TURNS))
            self.swap(list(TURNS)[at], is_rollback=round_number % 3 == 2)
            yield self.swaps[-1]

    def stop(self):
        assert all(s.is_alive() for s in self.all_streamers())
        for streamer in self.all_streamers():
            streamer.done.set()
        for streamer in self.all_streamers():
            streamer.stop()

    # ---- what the clients saw ----

    def all_streamers(self):
        return [s for some in self.streamers.values() for s in some]

    def spans(self, model):
        return sorted(span for s in self.streamers[model] for span in s.spans)

    def failed(self):
        return [fault for s in self.all_streamers() for fault in s.failed]

    def requests(self):
        return sum(len(s.spans) + len(s.failed) for s in self.all_streamers())

    def strangers(self):
        """Answers of a release that was not assigned while they were made."""
        found = []
        for model in TURNS:
            swaps = [s for s in self.swaps if s.model == model]
            first = swaps[0].old if swaps else self.serving[model]
            found += [span for span in self.spans(model) if span[3] not in
                      assigned(first, swaps, span[0], span[2])]
        return found

    def wrong(self):
        """Answers that are none of the release that they name."""
        return [(span[3], span[4]) for model in TURNS
                for span in self.spans(model)
                if span[4].strip() not in self.texts[span[3]]]

    def first_answers(self):
        """Seconds to the first piece of the first answer after each flip."""
        found = []
        for model in TURNS:
            spans = self.spans(model)
            for swap in (s for s in self.swaps if s.model == model):
                at = bisect.bisect(spans, (swap.begin,))
                one = next((s for s in itertools.islice(spans, at, None)
                            if s[3] == swap.new), None)
                if one:
                    found.append(one[1] - one[0])
        return found


def assigned(first, swaps, begin, end):
    """The releases that might answer a request of [begin, end]: ordered before its
    end and not yet left for good before its beginning."""
    allowed = {first}
    for swap in swaps:
        if swap.begin > end:
            break
        if swap.end <= begin:
            allowed = set()
        allowed.add(swap.new)
    return allowed
