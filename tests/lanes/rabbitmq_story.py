#!/usr/bin/env python3
"""A fleet on a cluster of three RabbitMQ nodes: enrolment, rollouts through
nodes that are killed, orders, an emergency order, and the fence.

usage: rabbitmq_story.py ROOT BIN BUILD [DEVICES]
ROOT has Debian's package rabbitmq-server (rabbitmq.sh).
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "fleet"))
sys.path.insert(0, HERE)

import rabbitmq_cluster as R  # noqa: E402
import simulated as S  # noqa: E402
from waits import HANG, HANG_S, moment, until  # noqa: E402

F = R.F
FLEET = "test"
REAL = ("real-1", "real-2")
ACCEPTED = re.compile(r"(\S+ \S+) \[info\] .* Accepted MQTT connection .* "
                      r"for client ID (\S+)")
QUICK = ("--soak", "200ms", "--pace", "6000000/min", "--silence", HANG)


def say(text, *values):
    print("%8.1f s  %s" % (moment() - BEGIN, text % values),
          flush=True)


class Story(S.Simulated):
    def begin(self, root, uses):
        self.nodes = []
        self.balancer = R.Balancer(self.nodes)
        self.root = root
        self.cluster = None
        self.up("--broker", "mqtts://127.0.0.1:%d" % self.balancer.port,
                "--broker-forgets", uses=uses)
        return self

    def healthy(self):
        """Its controller writes the broker's files, and waits for it."""
        keys = os.path.join(self.dir, "controller", "broker")
        if self.cluster is None and os.path.exists(
                os.path.join(keys, "mosquitto.conf")):
            self.cluster = R.Cluster(self.root, keys, FLEET)
            begin = moment()
            self.cluster.start()
            self.nodes.extend(self.cluster.nodes)
            say("three nodes run after %.1f s", moment() - begin)
        return super().healthy()

    def close(self):
        super().close()
        if self.cluster is not None:
            self.cluster.close()

    def clients(self):
        """client id: the node that took it last, as the nodes' logs say"""
        found = {}
        for node in self.nodes:
            with open(node.outside + "/log/%s@localhost.log" % node.name,
                      encoding="utf-8", errors="replace") as file:
                for line in file:
                    taken = ACCEPTED.match(line)
                    if taken:
                        found.setdefault(taken[2], []).append(
                            (taken[1], node.name))
        return {client: max(rows)[1] for client, rows in found.items()}

    def node_of(self, client):
        name = until("%s at a node" % client,
                     lambda: self.clients().get(client), every=0.5)
        return next(n for n in self.nodes if n.name == name)

    def succeeded(self, rollout):
        found = self.ask("rollout", "get", rollout)
        return sum(d["state"] == "succeeded" for d in found["devices"])

    def rollout_through(self, release, victim, count):
        """The node dies when some devices have the release, and others not."""
        begin = moment()
        rollout = self.roll(release, ("20%", "100%"), *QUICK)
        some = until("some have it",
                     lambda: self.succeeded(rollout))
        victim.kill()
        say("%s: node %s killed when %d of %d had it", release, victim.name,
            some, count)
        assert some < count, "the node died too late"
        ended = self.ended(rollout)
        states = [d["state"] for d in ended["devices"]]
        assert ended["state"] == "completed", ended["state"]
        assert states.count("succeeded") == count, states
        say("%s: completed on %d devices after %.1f s", release, count,
            moment() - begin)
        until("real devices serve it",
              lambda: self.serving(release, REAL))
        victim.start()
        until("node " + victim.name, victim.is_up, every=0.5)

    def all_online(self, count):
        until("%d online" % count, lambda: sum(
            d["state"] == "online" for d in self.ask("device", "list")) ==
            count, every=0.5)

    def order(self, verb, count):
        begin = moment()
        order = self.ask("rollout", verb, "--confirm", FLEET)["id"]
        until("answers", lambda: self.ask(
            "order", "get", order)["acked"] == count, every=0.1)
        say("%s: done on %d devices after %.2f s", verb, count,
            moment() - begin)

    def is_frozen(self, name):
        return json.loads(self.program(
            "flotilla-agent", "status", "--config", self.devices[name].config,
            "-o", "json")[1])["frozen"]

    def trust_an_emergency_key(self):
        vault = self.vault = os.path.join(self.dir, "vault")
        self.cli("key", "create", "emergency", "--to", vault)
        draft = os.path.join(vault, "3.json")
        self.cli("key", "rotate", "emergency", vault + "/emergency.pub",
                 "--keep", "--to", draft)
        self.cli("trust", "sign", draft, "--key", os.path.join(
            os.path.dirname(self.key), "root.key"))
        self.cli("trust", "publish", draft)

    def emergency(self):
        """Published by the account's own client, at a node by its own."""
        account = os.path.join(self.vault, "account")
        stop = os.path.join(self.vault, "stop.json")
        self.cli("emergency", "account", "--to", account)
        self.cli("emergency", "freeze", "--key", self.vault + "/emergency.key",
                 "--to", stop)
        say("emergency: %s", self.client(
            self.nodes[2], "emergency", account + "/account.pem",
            account + "/account.key", "mosquitto_pub", "-t",
            "flotilla/v1/%s/c/emergency" % FLEET, "-f", stop).wait(HANG_S))
        until("real devices stand", lambda: all(
            map(self.is_frozen, REAL)))
        say("emergency: %s stand", ", ".join(REAL))

    def client(self, node, name, cert, key, program, *more, out=None):
        process = subprocess.Popen(
            ["stdbuf", "-oL", program, "-V", "5", "-d", "-q", "1", "-h",
             "127.0.0.1", "-p", str(node.port), "--cafile",
             node.outside + "/ca.pem", "--cert", cert, "--key", key, "-i",
             name, *more], stdout=out or subprocess.DEVNULL,
            stderr=subprocess.STDOUT)
        self.processes.append(process)
        return process

    def fence(self):
        """Two connections of the client `controller` at two nodes."""
        pki = os.path.join(self.dir, "controller", "pki")
        log = os.path.join(self.dir, "controller.log")
        here = self.node_of("controller")
        there = next(n for n in self.nodes if n is not here)
        size = os.path.getsize(log)
        path = os.path.join(self.dir, "second.log")
        with open(path, "w", encoding="utf-8") as out:
            self.client(there, "controller", pki + "/mqtt.pem",
                        pki + "/mqtt.key", "mosquitto_sub", "-t",
                        "flotilla/v1/%s/d/+/ack" % FLEET, out=out)

        def ended():
            with open(log, encoding="utf-8") as file:
                file.seek(size)
                return "no broker" in file.read()

        until("the first ends", ended)
        say("fence: a second `controller` at node %s ended the one at node %s",
            there.name, here.name)

        def second_ended():
            with open(path, encoding="utf-8") as file:
                return "Received DISCONNECT (142)" in file.read()

        until("the second ends", second_ended)
        say("fence: the controller came back, and that one ended (142)")

    def refused(self):
        """A device's certificate speaks for nobody else."""
        me = self.devices[REAL[0]]
        me.stop()
        folder = os.path.join(me.state, "identity")
        pem = os.path.join(folder, "device-a.pem")
        with open(os.path.join(folder, "identity.json"),
                  encoding="utf-8") as file:
            mine = json.load(file)["device"]
        for name, topic, why in (
                ("controller", "d/%s/event" % mine, "the controller's id"),
                (mine, "d/%s/desired" % mine, "its own desired"),
                (mine, "c/order", "the fleet's orders"),
                (mine, "d/00000000-0000-4000-8000-000000000000/event",
                 "another's event")):
            code = self.client(self.nodes[0], name, pem, pem, "mosquitto_pub",
                               "-t", "flotilla/v1/%s/%s" % (FLEET, topic),
                               "-m", "{}").wait(HANG_S)
            assert code != 0, why
        say("rights: refused are another's id, its desired, orders, events")
        me.start()


def story(one, program, count):
    one.publish("tiny@1", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    one.publish("tiny@2", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")
    for name in REAL:
        one.add_device(name, one.token)
    begin = moment()
    one.sim = one.simulate(program, count, seed=19, interval=5000, pace=20)
    one.sim.connected()
    count += len(REAL)
    one.all_online(count)
    say("%d devices online %.1f s after the first enrolled", count,
        moment() - begin)
    at = list(one.clients().values())
    say("clients at the nodes: %s",
        {n.name: at.count(n.name) for n in one.nodes})
    assert len(set(at)) == len(one.nodes), at
    one.rollout_through("tiny@1", one.node_of("controller"), count)
    one.all_online(count)
    here = one.node_of("controller")
    one.rollout_through(
        "tiny@2", next(n for n in one.nodes if n is not here), count)
    one.all_online(count)
    waiting = until("every event stored", lambda: one.sim.ask(
        "events", os.path.join(one.dir, "events"))["waiting"] == 0, every=0.5)
    say("events that wait for an acknowledgement: none (%s)", waiting)
    for verb in ("freeze", "unfreeze"):
        one.order(verb, count)
    one.refused()
    one.trust_an_emergency_key()
    one.emergency()
    one.fence()
    figures = one.sim.ask("figures")
    say("of the simulator: %s", json.dumps({
        key: figures[key] for key in ("connections", "connections_lost",
                                      "messages_in", "messages_out",
                                      "windows")}))


def main():
    root, binary, build = sys.argv[1:4]
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 60
    folder = tempfile.mkdtemp(prefix="flo-", dir="/tmp")
    one = Story(folder, binary, name=FLEET)
    try:
        story(one.begin(root, count + 10), os.path.join(
            build, "tests", "flotilla-sim"), count)
    except BaseException:
        print(F.tail(os.path.join(folder, "controller.log"), 30))
        if one.cluster is not None:
            for node in one.nodes:
                print(node.name, R.tail(node.outside + "/rights.log"))
        raise
    finally:
        one.close()
        shutil.rmtree(folder, ignore_errors=True)


BEGIN = moment()
if __name__ == "__main__":
    main()
