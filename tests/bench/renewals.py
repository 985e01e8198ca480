#!/usr/bin/env python3
"""Renewals: N devices enrol, then all renew, a few connections at a time.

Each renewal is a connection of its own with the device's certificate, as an
agent's is.  Prints the controller's processor time for each, times as clients
see them, and what one device gets that asks twelve times at once.

usage: renewals.py [--devices N] [--connections K]"""
import argparse
import http.client
import json
import multiprocessing
import os
import ssl
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))
import controller_parts  # noqa: E402


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def call(where, context, path, body):
    connection = http.client.HTTPSConnection(*where, context=context,
                                             timeout=60)
    connection.request("POST", path, json.dumps(body),
                       {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text)


def pair_of(folder, i):
    return os.path.join(folder, "%d.pem" % i)


def enrol(part):
    numbers, where, ca, token, csr, key, folder = part
    context = ssl.create_default_context(cafile=ca)
    for i in numbers:
        status, said = call(where, context, "/v1/enroll", {
            "token": token, "csr": csr, "name": "d%d" % i, "labels": {},
            "profile": {"arch": "x86_64", "cpus": 2}})
        assert status == 201, said
        with open(pair_of(folder, i), "w") as file:
            file.write(said["certificate"] + key)


def renew(part):
    numbers, where, ca, csr, folder = part
    times = []
    for i in numbers:
        begin = time.monotonic()
        context = ssl.create_default_context(cafile=ca)
        context.load_cert_chain(pair_of(folder, i))
        status, said = call(where, context, "/v1/enroll/renew",
                            {"v": 1, "csr": csr})
        assert status == 201, said
        times.append(time.monotonic() - begin)
    return times


def flood(where, ca, csr, folder):
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(pair_of(folder, 0))
    return [call(where, context, "/v1/enroll/renew", {"v": 1, "csr": csr})[0]
            for _ in range(12)]


def measure(controller, folder, devices, connections):
    run = controller_parts.run
    key = run("openssl", "ecparam", "-name", "prime256v1", "-genkey",
              "-noout").decode()
    path = os.path.join(folder, "key")
    with open(path, "w") as file:
        file.write(key)
    csr = run("openssl", "req", "-new", "-key", path, "-subj",
              "/CN=another").decode()
    token = controller.enrol_token(uses=devices)
    where = controller.facts["devices"].split("//")[1].split(":")
    ca, pid = controller.ca, controller.process.pid
    parts = [range(k, devices, connections) for k in range(connections)]
    with multiprocessing.Pool(connections) as pool:
        pool.map(enrol, [(p, where, ca, token, csr, key, folder)
                         for p in parts])
        begin, before = time.monotonic(), cpu_seconds(pid)
        done = pool.map(renew, [(p, where, ca, csr, folder) for p in parts])
        took, used = time.monotonic() - begin, cpu_seconds(pid) - before
    times = sorted(one for part in done for one in part)
    print("%d renewals in %.1f s: %.2f ms of the controller's processor each, "
          "p50 %.0f ms, p99 %.0f ms" % (
              devices, took, used / devices * 1000,
              times[devices // 2] * 1000, times[devices * 99 // 100] * 1000))
    print("one that asks twelve times: %s" % flood(where, ca, csr, folder))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=5000)
    parser.add_argument("--connections", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        controller = controller_parts.Controller(folder).start()
        try:
            measure(controller, folder, options.devices, options.connections)
        finally:
            controller.stop()


if __name__ == "__main__":
    main()
