"""How long people wait at the leader after its database is gone: a relay between
both holds everything back, and lets no new connection through.

    python3 tests/bench/database_loss.py [ROUNDS]

Reads and writes go over a new connection each, and over one that is kept.  Each
waits for its own answer, whatever that is.  Prints the time from the loss to
the first refusal, and the longest wait.  FLOTILLA_BIN: another build."""
import http.client
import json
import os
import shutil
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tools"),
                os.path.join(ROOT, "tests", "integration")]

import fleet as F  # noqa: E402
from test_controllers import Pair  # noqa: E402
from test_postgresql import Server  # noqa: E402

BIN = os.environ.get("FLOTILLA_BIN", os.path.join(ROOT, "build", "bin"))


class AnyBuild(Pair):
    """Older programs know no --name."""

    def spawn(self, command, *more, **named):
        if os.environ.get("OLDER") and "--name" in command:
            at = command.index("--name")
            command = command[:at] + command[at + 2:]
        return super().spawn(command, *more, **named)


def ask(connection, token, is_write):
    body = json.dumps({"kind": "enroll", "uses": 1}) if is_write else None
    connection.request("POST" if is_write else "GET", "/v1/tokens"
                       if is_write else "/v1/rollouts", body,
                       {"Authorization": "Bearer " + token})
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, json.loads(text).get("code", "")


class Asker(threading.Thread):
    """Asks again and again; (begin, end, status, code) of each."""

    def __init__(self, port, token, is_write, is_kept):
        super().__init__(daemon=True)
        self.port, self.token = port, token
        self.is_write, self.is_kept = is_write, is_kept
        self.ends, self.found, self.kept = False, [], None

    def run(self):
        while not self.ends:
            begin = time.monotonic()
            if self.kept is None:
                self.kept = http.client.HTTPConnection(
                    "127.0.0.1", self.port, timeout=60)
            try:
                self.found.append((begin, *self.measure()))
            except (OSError, http.client.HTTPException, ValueError):
                self.kept = None
            if not self.is_kept and self.kept is not None:
                self.kept.close()
                self.kept = None
            time.sleep(0.05)

    def measure(self):
        status, code = ask(self.kept, self.token, self.is_write)
        return time.monotonic(), status, code


def one_round(pair, token, number):
    kinds = [(w, k) for w in (False, True) for k in (False, True)]
    askers = [Asker(pair.ports["a"][0], token, w, k) for w, k in kinds
              for _ in range(2)]
    for one in askers:
        one.start()
    time.sleep(1 + 0.13 * number)
    lost = time.monotonic()
    pair.cut.is_cut = True
    time.sleep(12)
    for one in askers:
        one.ends = True
    pair.cut.is_cut = False
    for one in askers:
        one.join(60)
    found = {}
    for kind in kinds:
        first, longest, codes = 99, 0, set()
        for one in askers:
            if (one.is_write, one.is_kept) != kind:
                continue
            for begin, end, status, code in one.found:
                # Until the others lead.
                if end > lost and begin < lost + 5:
                    longest = max(longest, end - max(begin, lost))
                    if status == 503:
                        first = min(first, end - lost)
                        codes.add(code)
        found[kind] = (first, longest, codes)
    return found


def recover(pair):
    """`a` leads again."""
    pair.until_said("a", "stands by", 60)
    pair.mark("a")
    pair.running["b"].terminate()
    pair.running["b"].wait(60)
    pair.until_said("a", "connected to", 60)
    pair.start("b")
    pair.until_said("b", "stands by", 60)
    F.wait_until("REST", 60, lambda: pair.try_through(
        "a", "rollout", "list") is not None)
    pair.mark("a")


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    folder = tempfile.mkdtemp(prefix="flo-loss-")
    os.mkdir(os.path.join(folder, "cut"))
    server = Server().start()
    pair = AnyBuild(folder, BIN, name="test")
    try:
        pair.begin(server)
        token = open(pair.admin_token, encoding="utf-8").read().strip()
        for number in range(rounds):
            found = one_round(pair, token, number)
            for (is_write, is_kept), (first, longest, codes) in found.items():
                print("round %d  %-5s %-4s  first 503 after %4.1f s, longest "
                      "wait %4.1f s  %s" % (
                          number, "write" if is_write else "read",
                          "kept" if is_kept else "new", first, longest,
                          " ".join(sorted(codes))), flush=True)
            recover(pair)
    finally:
        pair.cut.is_cut = False
        pair.close()
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


main()
