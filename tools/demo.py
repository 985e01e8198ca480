#!/usr/bin/env python3
"""The story: a fleet gets a model, a small update, five bad releases, and an
operator who takes an update back.  Everything in it is the shipped programs;
a step that is not observed ends it with exit code 1.

  demo.py [--once] [--real [--model FILE.gguf]] [--bin DIR] [--dir DIR]
"""
import argparse
import json
import os
import shutil
import signal
import sys
import threading
import time
import webbrowser

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fleet as F  # noqa: E402
import demo_parts as parts  # noqa: E402
from waits import Seen, until  # noqa: E402

COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def paint(code, text):
    return "\033[%sm%s\033[0m" % (code, text) if COLOUR else text


def say(text="", end="\n"):
    print(text, end=end, flush=True)


def step(mark, title):
    say("\n  %s %s" % (paint("1;36", mark), paint("1", title)))


def fact(text):
    say("     " + text)


def good(text):
    say("     %s %s" % (paint("32", "✓"), text))


def size(count):
    if count < 1024:
        return "%d B" % count
    return "%.0f KiB" % (count / 1024) if count < 1 << 20 \
        else "%.2f MiB" % (count / (1 << 20))


def opened(url):
    """Only for a person in front of a screen."""
    has_screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(sys.stdout.isatty() and has_screen and webbrowser.open(url))


def only_engine(device):
    engines = device.children("flotilla-engine")
    return engines if len(engines) == 1 else Seen(engines)


class Story:
    def __init__(self, args):
        self.args = args
        self.cast = parts.real(args) if args.real else parts.tiny()
        self.fleet = F.Fleet(args.dir, args.bin)
        self.names = ["gw-1", "gw-2", "gw-3"]
        self.streamers = []
        self.has_asked = False
        self.key = os.path.join(args.dir, "keys", "publisher.key")
        self.begin = time.monotonic()

    # ---- pieces ----

    def answers(self, names=None):
        """The one question to each device; returns {name: (text, release)}."""
        out = {}
        for name in names or self.names:
            text, release, _ = self.fleet.devices[name].ask(
                self.cast.question, self.cast.model, system=self.cast.system)
            out[name] = (text, release)
        return out

    def show_answers(self, when):
        if not self.has_asked:
            fact("asked on every device: %s" % paint("1", self.cast.question))
            self.has_asked = True
        got = self.answers()
        groups = {}
        for name, pair in got.items():
            groups.setdefault(pair, []).append(name)
        for (text, release), names in groups.items():
            fact("%s, %s on %s: %s" % (when, release, ", ".join(names),
                                       paint("33", text)))
        return got

    def publish(self, release, file, golden, *more):
        begin = time.monotonic()
        made = self.fleet.ask(
            "release", "create", release, "--model-file", file, "--golden",
            golden, "--sign-with", self.key, "--publish", *more)
        full = os.path.getsize(file)
        deltas = [w for w in made.get("ways", [])
                  if w.get("base") and w["kept"]]
        return made, full, deltas, time.monotonic() - begin

    def roll_out(self, release, *more, expect="completed"):
        begin = time.monotonic()
        started = self.fleet.ask("rollout", "start", release, "--soak",
                                 self.cast.soak, *more)
        code, out, err = self.fleet.cli(
            "rollout", "wait", started["id"], "--for", expect, "-q", "-o",
            "json", check=False)
        if code != 0:
            raise F.Failed("rollout %s of %s: exit %d\n%s%s" % (
                started["id"], release, code, out[:2000], err))
        return json.loads(out), time.monotonic() - begin

    def expect_all(self, release, answer=None, names=None):
        until("every device serves " + release,
              lambda: self.fleet.serving(release, names))
        for name, (text, got) in self.answers(names).items():
            if got != release:
                raise F.Failed("%s answers with %s, not %s" % (name, got,
                                                               release))
            if answer is not None and answer not in text:
                raise F.Failed("%s: `%s` instead of `%s`" % (name, text,
                                                             answer))

    # ---- chapters ----

    def bring_up(self):
        begin = time.monotonic()
        fleet = self.fleet
        fleet.start_controller()
        fleet.login()
        step("⓪", "a fleet")
        fact("controller   %s   devices %s" % (fleet.url, fleet.devices_url))
        fleet.cli("key", "create", "publisher", "--to",
                  os.path.dirname(self.key))
        fleet.cli("key", "trust", self.key[:-4] + ".pub")
        token = os.path.join(self.args.dir, "enroll.token")
        fleet.cli("token", "create", "--kind", "enroll", "--uses",
                  str(len(self.names)), "--ttl", "1h", "--to", token, "-q")
        for name in self.names:
            fleet.add_device(name, token)
        until("three devices online", lambda: len(
            [d for d in fleet.ask("device", "list")
             if d["state"] == "online"]) == len(self.names))
        code, _, _ = fleet.program(
            "flotilla-agent", "enroll", "--controller", fleet.devices_url,
            "--token-file", token, "--state-dir",
            os.path.join(self.args.dir, "thief"), "--name", "thief",
            check=False)
        if code == 0:
            raise F.Failed("a used-up enrolment token enrolled a device")
        good("3 agents enrolled and online, the used token refused (exit %d)  "
             "%.1f s" % (code, time.monotonic() - begin))

    def first_model(self):
        cast = self.cast
        step("①", "%s: the first model" % cast.first)
        _, full, _, took = self.publish(cast.first, cast.first_file,
                                        cast.first_golden)
        fact("published %s, %s, signed  %.1f s" % (cast.first, size(full),
                                                   took))
        _, took = self.roll_out(cast.first, "--phase", "100%", "--reason",
                                "first model")
        self.expect_all(cast.first, cast.first_answer)
        good("3/3 devices serve %s  %.1f s" % (cast.first, took))
        self.show_answers("answer")

    def start_clients(self):
        # One agent serves four streaming clients from here to the end. Three
        # ask for long answers one after the other, so that a swap always
        # meets an open stream.
        cast = self.cast
        lengths = [cast.long_tokens, cast.long_tokens * 5 // 6,
                   cast.long_tokens * 2 // 3, cast.max_tokens]
        self.streamers = [
            F.Streamer(self.fleet.devices["gw-1"], cast.model,
                       cast.prompts[i:] + cast.prompts[:i], length,
                       0 if i < 3 else cast.pause, i < 3)
            for i, length in enumerate(lengths)]
        for streamer in self.streamers:
            streamer.start()

    def check_swap(self, old, new, since):
        until("streams of %s" % new, lambda: any(
            s[3] == new and s[1] > since
            for one in self.streamers for s in one.spans))
        # A stream is counted when it has ended.
        open_streams = until(
            "a stream of %s that was open when %s took over" % (old, new),
            lambda: F.overlaps(self.streamers, old, new, since))
        failed = [f for one in self.streamers for f in one.failed]
        if failed:
            raise F.Failed("failed requests: %s" % failed[:3])
        good("gw-1 swapped under 4 streaming clients: %d streams were open, "
             "0 failed" % open_streams)

    def update(self):
        cast = self.cast
        step("②", "%s: %s" % (cast.second, cast.second_about))
        self.before_update()
        _, full, deltas, took = self.publish(
            cast.second, cast.second_file, cast.second_golden)
        if not deltas:
            raise F.Failed("no delta was worth keeping for " + cast.second)
        delta = min(deltas, key=lambda w: w["bytes"])
        if delta["bytes"] > cast.delta_share_max * full:
            raise F.Failed("delta has %d of %d bytes" % (delta["bytes"], full))
        fact("delta %s (%s) instead of %s: %.1f %%, made in %.1f s" % (
            size(delta["bytes"]), delta["codec"], size(full),
            100 * delta["bytes"] / full, took))
        begin = time.monotonic()
        rollout, took = self.roll_out(cast.second, "--phase", "1", "--phase",
                                      "100%", "--reason", "severity codes")
        for device in rollout["devices"]:
            if device.get("codec") != delta["codec"]:
                raise F.Failed("%s fetched %s" % (device["name"],
                                                  device.get("codec")))
            fact("%s  %s  %s in %.1f s" % (
                device["name"], device["codec"], size(device["bytes"]),
                device["took_ms"] / 1000))
        self.merged_bytes = max(d["bytes"] for d in rollout["devices"])
        self.expect_all(cast.second, cast.second_answer)
        good("canary 1 → 100 %%: 3/3 devices serve %s  %.1f s" % (cast.second,
                                                                took))
        self.check_swap(cast.first, cast.second, begin)
        self.show_answers("answer")
        self.after_update()

    def before_update(self):
        if self.args.real:
            score = parts.score(parts.held_out(self.fleet.devices["gw-3"],
                                               self.cast), self.cast)
            fact("exact answers on %d held-out prompts: %d" % (
                len(self.cast.eval), score))
            if score > 0.1 * len(self.cast.eval):
                raise F.Failed("the base already knows the task")

    def after_update(self):
        if self.args.real:
            self.merged = parts.held_out(self.fleet.devices["gw-3"], self.cast)
            score = parts.score(self.merged, self.cast)
            if score < 0.95 * len(self.cast.eval):
                raise F.Failed("only %d of %d exact answers" % (
                    score, len(self.cast.eval)))
            good("exact answers on %d held-out prompts: %d" % (
                len(self.cast.eval), score))

    def bad_releases(self):
        cast = self.cast
        step("③", "releases that must not get through")
        for bad in cast.bad:
            release = "%s@%s" % (cast.model, bad.version)
            self.publish(release, bad.file, bad.golden, "--delta-from", "none",
                         "--skip-scan", "--skip-play")
            rollout, took = self.roll_out(
                release, "--phase", "1", "--phase", "100%", "--reason",
                bad.about, expect="halted")
            touched = [d for d in rollout["devices"]
                       if d["state"] not in ("queued", "cancelled")]
            if len(touched) != 1 or touched[0]["phase"] != 1:
                raise F.Failed("%s touched %s" % (release, touched))
            error = touched[0].get("error") or {}
            if error.get("id") not in bad.errors:
                raise F.Failed("%s was stopped by %s" % (release, error))
            if touched[0]["state"] != "failed":
                raise F.Failed("%s served before it was stopped: %s" % (
                    release, touched[0]["state"]))
            self.expect_all(cast.second, cast.second_answer)
            say("     %s %-11s %-16s %s" % (
                paint("31", "✗"), bad.version, paint("35", error["id"]),
                error.get("what", "")[:88]))
            fact("  stopped on canary %s in %.1f s before it served; all on "
                 "%s, the others never touched" % (touched[0]["name"], took,
                                                   cast.second))
        self.show_answers("answer")

    def kills(self):
        cast = self.cast
        step("④", "one agent and one engine die by kill -9")
        for name in self.names:
            device = self.fleet.devices[name]
            # That of a candidate ends a moment after its refusal.
            engines = until("one engine on " + name,
                            lambda d=device: only_engine(d))
            fact("%s  flotilla-agent %d  flotilla-engine %d" % (
                name, device.process.pid, engines[0]))
        begin = time.monotonic()
        engine = self.fleet.devices["gw-2"].children("flotilla-engine")[0]
        os.kill(engine, signal.SIGKILL)
        self.answers(["gw-2"])
        good("gw-2 lost its engine and answered %.1f s later" % (
            time.monotonic() - begin))
        device = self.fleet.devices["gw-3"]
        begin = time.monotonic()
        device.process.kill()
        device.process.wait()
        device.start()
        until("gw-3 answers again", lambda: self.try_answer(
            "gw-3") == cast.second)
        good("gw-3 lost its agent, was started again and answered %.1f s later"
             % (time.monotonic() - begin))
        until("three devices online", lambda: len(
            [d for d in self.fleet.ask("device", "list")
             if d["state"] == "online"]) == 3)

    def try_answer(self, name):
        try:
            return self.answers([name])[name][1]
        except (OSError, F.Failed):
            return None

    def emergency(self):
        cast = self.cast
        step("⑤", "03:07: the operator takes %s back everywhere" % cast.second)
        seen = {}

        def watch(name):
            while name not in seen:
                if self.try_answer(name) == cast.first:
                    seen[name] = time.monotonic()

        watchers = [threading.Thread(target=watch, args=(n,), daemon=True)
                    for n in self.names]
        for watcher in watchers:
            watcher.start()
        begin = time.monotonic()
        fact("$ flotilla rollout rollback --release %s --everywhere --confirm "
             "%s --wait" % (cast.second, cast.second))
        self.fleet.cli("rollout", "rollback", "--release", cast.second,
                       "--everywhere", "--confirm", cast.second, "--wait",
                       "--reason", "drill", "-q")
        until("the old release answers on all",
              lambda: len(seen) == len(self.names))
        last = max(seen.values()) - begin
        self.expect_all(cast.first, cast.first_answer)
        good("%.2f s from Enter to the first answer of %s on the last of 3 "
             "devices, nothing downloaded" % (last, cast.first))
        self.check_swap(cast.second, cast.first, begin)
        self.show_answers("answer")
        code, _, err = self.fleet.cli("rollout", "start", cast.second,
                                      check=False)
        if code == 0:
            raise F.Failed("a yanked release could be rolled out again")
        fact("rolling %s out again: %s" % (cast.second,
                                           err.strip().split("\n")[0]))

    def adapter_release(self):
        if not self.args.real:
            return
        cast = self.cast
        step("⑥", "%s: the same adapter, not merged" % cast.adapter_release)
        self.fleet.cli("release", "create", cast.adapter_release, "--base",
                       cast.first, "--adapter", cast.adapter, "--golden",
                       cast.second_golden, "--skip-play", "--sign-with",
                       self.key, "--publish")
        begin = time.monotonic()
        rollout, took = self.roll_out(cast.adapter_release, "--phase", "100%",
                                      "--reason", "adapter alone")
        most = max(d["bytes"] for d in rollout["devices"])
        fact("bytes on the wire for a device: %s, merged: %s as a delta, %s "
             "whole" % (size(most), size(self.merged_bytes),
                        size(os.path.getsize(cast.second_file))))
        if most > os.path.getsize(cast.second_file) / 10:
            raise F.Failed("the adapter came as %d bytes" % most)
        self.expect_all(cast.adapter_release, cast.second_answer)
        self.check_swap(cast.first, cast.adapter_release, begin)
        texts = parts.held_out(self.fleet.devices["gw-3"], cast)
        score = parts.score(texts, cast)
        alike = sum(a == b for a, b in zip(texts, self.merged))
        if score < 0.95 * len(texts) or alike < 0.95 * len(texts):
            raise F.Failed("%d of %d exact, %d as the merged release" % (
                score, len(texts), alike))
        good("3/3 devices serve %s  %.1f s: %d of %d exact answers, %d the "
             "same as merged" % (cast.adapter_release, took, score, len(texts),
                                 alike))
        begin = time.monotonic()
        self.fleet.cli("rollout", "rollback", "--release",
                       cast.adapter_release, "--everywhere", "--confirm",
                       cast.adapter_release, "--wait", "--reason", "drill",
                       "-q")
        self.expect_all(cast.first, cast.first_answer)
        good("taken back in %.2f s, nothing downloaded: the route goes back, "
             "the adapter is dropped" % (time.monotonic() - begin))
        self.check_swap(cast.adapter_release, cast.first, begin)

    def trained_again(self):
        if self.args.real:
            return
        step("⑥", "a release trained again: each weight has moved")
        files = parts.retrained()
        self.publish("retrained@1", files[0], files[1])
        _, full, deltas, _ = self.publish("retrained@2", files[2], files[3])
        if not deltas or deltas[0]["bytes"] >= full:
            raise F.Failed("no delta was kept: %s" % deltas)
        good("the delta has %.0f %% of the file (%s instead of %s): it knows "
             "what a model is" % (100 * deltas[0]["ratio"],
                                  size(deltas[0]["bytes"]), size(full)))

    def end(self):
        for streamer in self.streamers:
            streamer.stop()
        spans = [s for one in self.streamers for s in one.spans]
        failed = [f for one in self.streamers for f in one.failed]
        if failed:
            raise F.Failed("%d requests failed: %s" % (len(failed),
                                                       failed[:3]))
        say("\n  %s requests by 4 streaming clients during the story: "
            "%s failed, longest wait for a first token %.2f s" % (
                paint("1", str(len(spans))), paint("1;32", "0"),
                max(s[1] - s[0] for s in spans)))

    def play(self):
        self.bring_up()
        self.first_model()
        self.start_clients()
        self.update()
        self.bad_releases()
        self.kills()
        self.emergency()
        self.adapter_release()
        self.trained_again()
        self.end()
        say("  demo is done: %.0f s, %d devices, %d rollouts\n" % (
            time.monotonic() - self.begin, len(self.names),
            len(self.fleet.ask("rollout", "list"))))

    def stay(self):
        fleet = self.fleet
        device = fleet.devices["gw-1"]
        env = os.path.join(self.args.dir, "env")
        with open(env, "w", encoding="utf-8") as out:
            out.write("export XDG_CONFIG_HOME='%s'\nexport PATH=\"%s:$PATH\"\n"
                      % (fleet.env["XDG_CONFIG_HOME"], fleet.bin))
        say("  now you:\n"
            "    . '%s' && flotilla device list\n"
            "    the page: %s   (token: cat '%s')%s\n"
            "    curl -N --unix-socket %s http://localhost/v1/chat/completions "
            "-d '{\"model\":\"%s\",\"stream\":true,\"messages\":"
            "[{\"role\":\"user\",\"content\":\"%s\"}]}'\n"
            "  Ctrl-C stops everything; `make demo-clean` removes it." % (
                env, fleet.url, fleet.admin_token,
                ", opened in a browser" if opened(fleet.url) else "",
                device.api,
                self.cast.model, self.cast.question))
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            say("\n  stopping")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--model")
    parser.add_argument("--bin", default=os.path.join(F.ROOT, "build/bin"))
    parser.add_argument("--dir")
    args = parser.parse_args()
    args.dir = os.path.abspath(args.dir or os.path.join(
        F.ROOT, "build/demo-real" if args.real else "build/demo"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    shutil.rmtree(args.dir, ignore_errors=True)
    try:
        story = Story(args)
    except F.Failed as error:
        say("error: %s" % error)
        return 1
    try:
        story.play()
        if args.once:
            say("  what now: `make demo` stays, opens the page and lets you "
                "ask; \"First steps\" in README.md\n  makes a fleet by hand; "
                "docs/publishing.md brings a model of your own.")
        else:
            story.stay()
        return 0
    except F.Failed as error:
        say("\n  %s %s" % (paint("1;31", "the story broke:"), error))
        say("  logs: %s/controller.log %s/devices/*/agent.log" % (args.dir,
                                                                  args.dir))
        return 1
    except KeyboardInterrupt:
        say("\n  stopped")
        return 130
    finally:
        for streamer in story.streamers:
            streamer.done.set()
        story.fleet.close()


if __name__ == "__main__":
    sys.exit(main())
