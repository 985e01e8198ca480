#!/usr/bin/env python3
"""A device of a fleet, by docs/internals/contracts.md alone; signed.py has its pure functions.

    device.py enrol STATE https://HOST:PORT TOKEN-FILE NAME
    device.py run STATE [RUNTIME [CHECK]]
It keeps releases of RUNTIME and points STATE/serving/MODEL at the one that serves.  CHECK gets a
candidate's folder and refuses it by its exit status.  Left out: typed deltas (it takes bsdiff40 or
whole files), the emergency lane, removals, reports from afar, telemetry, hours and surroundings.
"""
import base64, os, platform, random, ssl, subprocess, sys, time, urllib.parse, uuid
import paho.mqtt.client as mqtt

from signed import (
    ENDS, LEAP, SUBJECT, WRONG, Refused, certified, checked, compact, contents, covers, digest_of,
    files_for, first_statement, identity, keys_of, known, now_ms, opened, parsed, patched, pems_of,
    pinned, prover, refusal, release_of, request, successor, ways_to, write)

def enrol(state, url, token_file, name):
    """Nothing is sent before the server's authority is the one that the token names (7)."""
    os.makedirs(state, 0o700, exist_ok=True)
    token = contents(token_file).strip()
    context = ssl.create_default_context(cadata=pinned(url, token.split(".")[2]))
    given, text = certified(url, context, "/v1/enroll", {
        "token": token, "name": name, "labels": {}, "profile": {}})
    trust, body = first_statement(given["trust"], given["fleet"])
    write(state + "/device.pem", text)
    write(state + "/ca.pem", "".join(trust.get("ca", ())) or given["ca"])
    write(state + "/record.json", compact({
        **{k: given[k] for k in ("device", "fleet", "mqtt", "api", "groups")}, "name": name,
        "trust": trust, "body": digest_of(body), "renewals": 1, "taken_ms": now_ms(), "top": 0,
        "numbers": {}, "denied": {}, "models": {}, "heartbeat_ms": 60_000, "proof": 0, "seq": 0,
        "boot": str(uuid.uuid4()), "events": [], "attempts": {}}))

class Device:
    def __init__(self, state, runtime="native", check=None):
        self.state, self.runtime, self.check, self.moves, self.inbox = state, runtime, check, {}, []
        self.told, self.warned, self.rev, self.wait_ms, self.retired, self.client = {}, {}, 0, 500, False, None
        self.record = parsed(contents(state + "/record.json"))
        self.root = "flotilla/v1/%s/" % self.record["fleet"]
        self.mine = "%sd/%s/" % (self.root, self.record["device"])
        for folder in ("blobs", "trees", "serving"):
            os.makedirs(os.path.join(state, folder), exist_ok=True)

    def save(self):
        write(self.state + "/record.json", compact(self.record))

    def keys(self, role):
        return keys_of(k["pem"] for k in self.record["trust"]["keys"] if k["role"] == role)

    def revoked(self, what):
        return self.record["trust"].get("revoked", {}).get(what, ())

    def connect(self):
        """A new client each time, for key and certificate may be others."""
        if self.client:
            self.client.disconnect()  # the last will is for those who vanish
        key, self.serial, self.begin_ms, self.end_ms = identity(contents(self.state + "/device.pem"))
        self.prove = prover(key, next(iter(self.keys("order").values())))
        self.context = ssl.create_default_context(cafile=self.state + "/ca.pem")
        self.context.load_cert_chain(self.state + "/device.pem")
        version = [mqtt.CallbackAPIVersion.VERSION2] if hasattr(mqtt, "CallbackAPIVersion") else []
        self.client = mqtt.Client(*version, client_id=self.record["device"], protocol=mqtt.MQTTv5)
        self.client.tls_set_context(self.context)
        self.client.will_set(self.mine + "presence", '{"v":1,"online":false}', 1, True)
        self.client.on_connect = lambda *_: self.inbox.append((None, b""))
        self.client.on_message = lambda _, __, m: self.inbox.append((m.topic[len(self.root):], m.payload))
        where = urllib.parse.urlsplit(self.record["mqtt"])
        self.client.connect(where.hostname, where.port, 60)

    def say(self, channel, message, retain=False):
        """With its proof as the last member."""
        self.record["proof"] = max(self.record["proof"] + 1, now_ms() << 10)
        self.client.publish(self.mine + channel, self.prove(
            self.mine + channel, compact(message), self.record["proof"]), 1, retain)

    def arrived(self):
        lists = ["c/+"] + ["g/%s/order" % g for g in self.record["groups"] if g != "all"]
        self.client.subscribe([(self.root + one, 1) for one in lists] + [
            (self.mine + one, 1) for one in ("desired", "cmd")])
        self.say("presence", {"v": 1, "online": True}, True)
        self.report()
        self.tell(self.record["events"])

    def event(self, kind, **more):
        """Kept until the controller has it."""
        self.record["seq"] += 1
        self.record["events"].append(dict(more, seq=self.record["seq"], at_ms=now_ms(), type=kind))
        self.save()
        self.tell(self.record["events"][-1:])

    def tell(self, events):
        first = self.record["seq"] - len(self.record["events"]) + 1
        for one in events:
            self.say("event", {"v": 1, "boot": self.record["boot"], "from": first, **one})

    def warn(self, bad):
        """Strangers can cause these: one a minute for each error."""
        if self.warned.get(bad.args[0], 0) < now_ms() - 60_000:
            self.warned[bad.args[0]] = now_ms()
            self.event("security", error=bad.told())

    def report(self):
        r, models = self.record, []
        for name, model in r["models"].items():
            move = self.moves.get(name, {"state": None, "candidate": None})
            serving = move["candidate"] if move["state"] == "soaking" else model["current"]
            models.append({
                **model, "model": name, "state": "ready" if serving else "down", "serving": serving,
                "candidate": move["candidate"], "denied": self.denied(name),
                "execution": move["state"] and {k: move[k] for k in (
                    "id", "rollout", "release", "state", "since_at_ms")}})
        self.say("reported", {
            "v": 2, "device": r["device"], "name": r["name"], "agent": "device.py", "rev": self.rev,
            "at_ms": now_ms(), "groups": r["groups"], "top": r["top"], "epoch": r["trust"]["epoch"],
            "trust": r["trust"]["number"], "frozen": self.is_frozen(), "models": models,
            "events": {"boot": r["boot"], "last": r["seq"], "acked": r["seq"] - len(r["events"])},
            "certificate": {"serial": self.serial, "number": r["renewals"], "until_ms": self.end_ms},
            "profile": {"arch": platform.machine(), "cpus": os.cpu_count(), "runtimes": [
                {"name": self.runtime, "api": "none", "version": "1", "state": "ready"}]}}, True)

    def is_frozen(self):
        return self.record["numbers"].get("freeze", {}).get("op") == "freeze"

    def denied(self, name):
        return [release for release, (_, why) in self.record["denied"].get(name, {}).items() if why != "allowed"]

    def obey(self, envelope, is_listed=False):
        """One order and its answer; one that no trusted key signed gets none."""
        try:
            body = opened(envelope, "order.v1", self.keys("order"), 1, self.revoked("keys"))
            order = parsed(body)
        except WRONG as error:
            return self.warn(known(error))
        if order["fleet"] != self.record["fleet"] or not covers(
                order["scope"], self.record["device"], self.record["groups"]):
            return
        try:
            answer = self.judged(order, digest_of(body))
        except Refused as bad:
            answer = {"outcome": "refused", "error": bad.told()}
            if bad.args[0] in ("cmd.nonce_reused", "cmd.format"):
                self.warn(bad)
        if not is_listed or self.told.get(order["id"]) != answer:
            self.told[order["id"]] = answer
            self.say("ack", {"v": 1, "order": order["id"], **answer, "at_ms": now_ms()})

    def judged(self, order, digest):
        """The order with the highest number about a subject holds."""
        r, op, args, number = self.record, order["op"], order["args"], order["seq"]
        wrong = refusal(order, r["top"], r["trust"]["epoch"], now_ms())
        if not wrong and number > r["top"] + LEAP and number > parsed(request(
                r["api"], self.context, "/v1/trust/statements?after=0").read())["order_number"]:
            wrong = "cmd.leap"
        if wrong:
            raise Refused(wrong, "number %d, epoch %d" % (number, order["epoch"]))
        denied = r["denied"].setdefault(args.get("model", ""), {})
        for release in args["from"] if op == "rollback" else ():  # counts whatever the number
            if denied.get(release, [0])[0] < number:
                denied[release] = [number, "ordered"]
        kind = SUBJECT[op]
        subject = kind + ":" + args[kind] if kind in ("model", "rollout") else kind
        held = r["numbers"].get(subject, {"number": 0})
        if number < held["number"]:
            return {"outcome": "superseded", "by": {k: held[k] for k in ("number", "order")}}
        if number == held["number"] and digest != held["body"]:
            raise Refused("cmd.nonce_reused", "number %d with another body" % number)
        if number == held["number"] and (op != "deploy" or held["answer"]["outcome"] == "refused"):
            return held["answer"]
        r["top"] = max(r["top"], number)
        held = r["numbers"][subject] = {"number": number, "body": digest, "order": order["id"], "op": op}
        try:
            held["answer"] = getattr(self, "on_" + op, self.on_other)(order, args) or {"outcome": "done"}
        except Refused as bad:
            held["answer"] = {"outcome": "refused", "error": bad.told()}
        self.save()
        self.report()
        return held["answer"]

    def on_other(self, order, args):
        # a device without routes keeps its prompts anyway; the others stand in the record
        if SUBJECT[order["op"]] not in ("freeze", "rollout", "prompts"):
            raise Refused("not.built", "no %s here" % order["op"])

    def on_config(self, order, args):
        self.record["heartbeat_ms"] = args["heartbeat_ms"]

    def on_groups(self, order, args):
        self.record["groups"] = args["groups"]
        self.arrived()

    def on_rollback(self, order, args):
        name, move, is_hit = args["model"], self.moves.get(args["model"]), False
        model = self.record["models"].get(name, {"current": None})
        if move and move["release"] in args["from"]:
            is_hit, word = True, "rolled-back" if move["state"] == "soaking" else "cancelled"
            self.point(name, model["current"])
            self.enter(move, word, Refused("target.denied", args.get("reason", "")))
        if model["current"] and model["current"]["release"] in args["from"]:
            if not model["previous"] or model["previous"]["release"] in self.denied(name):
                raise Refused("cmd.target_revoked", "no other release is kept")
            model.update(current=model["previous"], previous=None)
            self.point(name, model["current"])
            self.event("serving", serving="rolled-back", model=name, **model["current"])
            is_hit = True
        return {"outcome": "done" if is_hit else "ignored"}

    def on_deploy(self, order, args):
        r, name, release, number = self.record, args["model"], args["release"], args["number"]
        model, move = r["models"].setdefault(name, {
            "current": None, "previous": None, "floor": 0, "floor_hard": 0}), self.moves.get(name)
        model["target"] = {"release": release, "number": number, "by": order["seq"], "order": order["id"]}
        stated, cause = r["denied"][name].get(release, (0, ""))
        if stated <= args.get("lift", 0) and cause == "ordered":
            r["denied"][name][release] = [args["lift"], "allowed"]
        if move and move["release"] == release:
            move["order"] = order["id"]
            return {"outcome": "running"}
        if move:
            self.enter(move, "superseded")
        r["attempts"][args["rollout"]] = attempt = r["attempts"].get(args["rollout"], 0) + 1
        move = self.moves[name] = {
            **{k: args[k] for k in ("rollout", "phase", "release", "version", "number", "model")},
            "id": "%s.%d" % (args["rollout"], attempt), "order": order["id"], "candidate": None,
            "state": "notified", "since_at_ms": now_ms(), "due": 0, "seq": order["seq"]}
        if model["current"] and model["current"]["release"] == release:
            return self.enter(move, "already-installed")
        floor = model["floor_hard" if args.get("below_floor") else "floor"]
        if release in self.denied(name) or number < floor:
            bad = Refused("target.floor" if number < floor else "target.denied", "number %d" % number)
            self.enter(move, "rejected", bad)
            raise bad
        move["begin"] = lambda: self.steps(move, model, args.get("policy", {}))
        move["steps"] = move["begin"]()
        return {"outcome": "running"}

    def enter(self, move, word, bad=None, **detail):
        move.update(state=word, since_at_ms=now_ms())
        if word in ENDS:
            del self.moves[move["model"]]
        more = {**({"error": bad.told()} if bad else {}), **({"detail": detail} if detail else {})}
        self.event("execution", execution=move["id"], state=word, end=word in ENDS, **more, **{
            k: move[k] for k in ("rollout", "phase", "order", "model", "release", "version")})
        self.report()

    def point(self, name, release):
        """New requests go to this release's files by one rename; to nothing without one."""
        link = "%s/serving/%s" % (self.state, name)
        os.symlink("../trees/" + release["release"].replace(":", "-") if release else "none", link + ".new")
        os.replace(link + ".new", link)

    def steps(self, move, model, policy):
        """An update: yields the seconds until its next step."""
        try:
            self.enter(move, "accepted")
            yield random.random() * policy.get("start_jitter_ms", 0) / 1000
            told = release_of(request(self.record["api"], self.context, "/v1/envelopes/" + move[
                "release"]).read(), move, self.record["fleet"], self.keys("release"), self.revoked("keys"))
            files = files_for(told, self.runtime)
            if move["release"] in self.revoked("releases"):
                raise Refused("target.revoked", "a trust statement names it")
            self.enter(move, "downloading")
            tree, ways = "%s/trees/%s" % (self.state, move["release"].replace(":", "-")), []
            for file in files:
                ways += filter(None, [(yield from self.fetched(file))])
                place = os.path.join(tree, file["name"])
                os.makedirs(os.path.dirname(place), exist_ok=True)
                if not os.path.lexists(place):
                    os.symlink(os.path.abspath(self.blob(file)), place)
            move["candidate"] = {k: move[k] for k in ("release", "version", "number")}
            self.enter(move, "staged", bytes=sum(way["bytes"] for way in ways), full_bytes=sum(
                file["bytes"] for file in files), codec=min([way["codec"] for way in ways] or ["raw"]))
            self.enter(move, "probing")
            yield 0
            if self.check and subprocess.run([self.check, tree], timeout=60).returncode:
                self.record["denied"][move["model"]][move["release"]] = [model["target"]["by"], "fault"]
                raise Refused("probe.golden", "%s refused the files" % self.check)
            self.enter(move, "activating")
            self.point(move["model"], move["candidate"])
            self.enter(move, "soaking")
            yield policy.get("soak_ms", 900_000) / 1000
            model.update(previous=model["current"], current=move["candidate"],
                         floor=max(model["floor"], move["number"]),
                         floor_hard=max(model["floor_hard"], told.get("floor", 0)))
            self.enter(move, "succeeded")
        except WRONG as error:
            bad = known(error)
            self.record["numbers"]["model:" + move["model"]]["answer"] = {
                "outcome": "refused", "error": bad.told()}
            self.enter(move, "rejected" if move["state"] == "accepted" else "failed", bad)

    def blob(self, file):
        return "%s/blobs/%s" % (self.state, file["digest"].replace(":", "-"))

    def fetched(self, file):
        """By a delta of a file that is here, else whole; it has its name when its bytes are right."""
        if os.path.exists(self.blob(file)):
            return None
        for way in ways_to(file, lambda digest: os.path.exists(self.blob({"digest": digest}))):
            try:
                made = yield from self.downloaded(way)
                if "base" in way:
                    base = contents(self.blob({"digest": way["base"]}), "rb")
                    made = checked(patched(base, made, file["bytes"]), file["digest"])
                write(self.blob(file), made)
                return way
            except WRONG:
                if "base" not in way:  # the whole file is the last way
                    raise

    def downloaded(self, way):
        answer, pieces = request(self.record["api"], self.context, "/v1/blobs/" + way["digest"]), []
        while piece := answer.read(1 << 20):
            pieces.append(piece)
            yield 0
        return checked(b"".join(pieces), way["digest"])

    def believe(self, envelope):
        held, new = self.record["trust"], successor(envelope, self.record["trust"], self.record["body"])
        if new is None:
            return
        if new["epoch"] != held["epoch"]:  # an era begins: all numbers count as 0
            for one in self.record["numbers"].values():
                one["number"] = 0
            for denied in self.record["denied"].values():
                denied.update((release, [0, why]) for release, (_, why) in denied.items())
            self.record["top"] = 0
        self.record.update(trust=new, body=digest_of(base64.b64decode(envelope["payload"])))
        if new.get("ca"):
            write(self.state + "/ca.pem", "".join(new["ca"]))
        self.event("trust", number=new["number"], epoch=new["epoch"])
        self.connect()  # with proofs to another order key

    def renew(self, why):
        believed = contents(self.state + "/ca.pem")
        given, text = certified(self.record["api"], self.context, "/v1/enroll/renew", {"v": 1},
                                self.record["device"], believed)
        write(self.state + "/device.pem", text)
        if not self.record["trust"].get("ca"):
            write(self.state + "/ca.pem", "".join(dict.fromkeys(pems_of(believed) + pems_of(given["ca"]))))
        self.record.update(renewals=self.record["renewals"] + 1, taken_ms=now_ms())
        self.connect()
        self.event("certificate", why=why, number=self.record["renewals"], until_ms=self.end_ms)

    def take(self, where, payload):
        if where is None:
            return self.arrived()
        self.retired |= where == self.mine[len(self.root):] + "desired" and not payload
        told = {"statements": [], "assignments": [], "orders": [], **parsed(payload or "{}")}
        self.rev, self.wait_ms = told.get("rev", self.rev), told.get("reconnect_ms", self.wait_ms)
        for envelope in [told[k] for k in ("groups", "order") if k in told] + told["orders"]:
            self.obey(envelope, "order" not in told)
        for envelope in told["statements"]:  # of desired: orders; of c/trust: on whom it trusts
            self.obey(envelope, True) if "rev" in told else self.believe(envelope)
        for one in told["assignments"]:
            self.obey(one["order"], True)
        if told.get("boot") == self.record["boot"]:
            self.record["events"] = [e for e in self.record["events"] if e["seq"] > told["ack"]]
        if told.get("op") == "renew":
            self.renew("asked")
        if told.get("op") == "report":
            self.report()

    def step(self):
        """Each update that is due, and that no freeze and no pause holds."""
        for move in list(self.moves.values()):
            stated = self.record["numbers"].get("rollout:" + move["rollout"], {"op": ""})
            is_held = self.is_frozen() or stated["op"] == "pause" and move["state"] == "accepted"
            if stated["op"] == "abort" and move["state"] != "soaking" and stated["number"] > move["seq"]:
                self.enter(move, "cancelled")
            elif now_ms() >= move["due"] and (move["state"] == "soaking" or not is_held):
                try:
                    move["due"] = now_ms() + 1000 * next(move["steps"], 0)
                except OSError:  # the network: begin again, with the files that are here
                    move.update(steps=move["begin"](), due=now_ms() + self.wait_ms)

    def run(self):
        beat, gone = 0, True
        while not self.retired:
            try:
                if gone:
                    self.connect()
                gone = self.client.loop(0.02) != mqtt.MQTT_ERR_SUCCESS
                while self.inbox:
                    self.take(*self.inbox.pop(0))
                self.step()
                if now_ms() > self.record["taken_ms"] + (self.end_ms - self.begin_ms) * 2 // 3:
                    self.renew("due")
            except WRONG as error:
                self.warn(known(error))
            except OSError as error:
                gone = print(error, flush=True) is None
            if gone:
                time.sleep(random.random() * self.wait_ms / 1000)
            elif now_ms() > beat + self.record["heartbeat_ms"]:
                beat = now_ms()
                self.tell(self.record["events"])
                self.report()

if __name__ == "__main__":
    {"enrol": enrol, "run": lambda *words: Device(*words).run()}[sys.argv[1]](*sys.argv[2:])
