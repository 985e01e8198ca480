"""How long people wait at the leader after its database is gone: a relay between
both holds everything back, and lets no new connection through.

    python3 tests/bench/database_loss.py [ROUNDS [commit]]

`commit`: the loss comes with the next commit, before the server has it.

Reads and writes go over a new connection each, and over one that is kept.
Prints the time from the loss to the first refusal, the longest wait, and that
of requests which began 0.3 s after the loss or later.  FLOTILLA_BIN: another
build; OLDER=1: one without --name."""
import http.client
import json
import os
import re
import shutil
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tools"),
                os.path.join(ROOT, "tests", "integration")]

import test_controllers  # noqa: E402
from test_controllers import Cut, Pair  # noqa: E402
from test_postgresql import Server  # noqa: E402
from waits import until  # noqa: E402

BIN = os.environ.get("FLOTILLA_BIN", os.path.join(ROOT, "build", "bin"))
LATER_S = 0.3  # whoever comes then is not in the midst of a call


class CommitCut(Cut):
    """Once armed it cuts at a commit: libpq's name for that statement is in
    the message that prepares it."""
    is_armed, lost = False, 0

    def carry(self, source, target):
        names = set()

        class Watched:
            """The source, looked through."""

            def recv(_, size):
                data = source.recv(size)
                names.update(re.findall(rb"(s\d+)\0COMMIT\0", data))
                if self.is_armed and any(
                        b"\0" + name + b"\0" in data for name in names):
                    self.is_armed, self.is_cut = False, True
                    self.lost = time.monotonic()
                return data

            def shutdown(_, how):
                source.shutdown(how)
        super().carry(Watched(), target)


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
        while not self.ends and not self.is_kept:
            threading.Thread(target=self.once, daemon=True).start()
            time.sleep(0.25)
        while not self.ends:
            begin = time.monotonic()
            if self.kept is None:
                self.kept = http.client.HTTPConnection(
                    "127.0.0.1", self.port, timeout=60)
            try:
                self.found.append((begin, *self.measure()))
            except (OSError, http.client.HTTPException, ValueError):
                self.kept = None
            time.sleep(0.05)

    def once(self):
        """However long the one before waits."""
        begin = time.monotonic()
        one = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            self.found.append((begin, *self.measure(one)))
        except (OSError, http.client.HTTPException, ValueError):
            pass
        one.close()

    def measure(self, connection=None):
        status, code = ask(connection or self.kept, self.token, self.is_write)
        return time.monotonic(), status, code


def one_round(pair, token, number):
    kinds = [(w, k) for w in (False, True) for k in (False, True)]
    askers = [Asker(pair.ports["a"][0], token, w, k) for w, k in kinds
              for _ in range(2)]
    for one in askers:
        one.start()
    time.sleep(1 + 0.13 * number)
    lost = time.monotonic()
    if isinstance(pair.cut, CommitCut):
        pair.cut.is_armed = True
        until("a commit", lambda: pair.cut.is_cut)
        lost = pair.cut.lost
    pair.cut.is_cut = True
    time.sleep(14)
    for one in askers:
        one.ends = True
    pair.cut.is_cut = False
    for one in askers:
        one.join(60)
    found = {}
    for kind in kinds:
        first, longest, later, codes = 99, 0, 0, set()
        for one in askers:
            if (one.is_write, one.is_kept) != kind:
                continue
            for begin, end, status, code in one.found:
                # Until the others lead.
                if end > lost and begin < lost + 5:
                    longest = max(longest, end - max(begin, lost))
                    if begin > lost + LATER_S:
                        later = max(later, end - begin)
                    if status == 503:
                        first = min(first, end - lost)
                        codes.add(code)
        found[kind] = (first, longest, later, codes)
    return found


def recover(pair):
    """`a` leads again."""
    pair.until_said("a", "stands by")
    pair.mark("a")
    pair.running["b"].terminate()
    pair.running["b"].wait(60)
    pair.until_said("a", "connected to")
    pair.start("b")
    pair.until_said("b", "stands by")
    until("REST", lambda: pair.try_through(
        "a", "rollout", "list") is not None)
    pair.mark("a")


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    if "commit" in sys.argv[2:]:
        test_controllers.Cut = CommitCut
    folder = tempfile.mkdtemp(prefix="flo-loss-")
    server = Server().start()
    pair = AnyBuild(folder, BIN, name="test")
    try:
        pair.begin(server)
        token = open(pair.admin_token, encoding="utf-8").read().strip()
        for number in range(rounds):
            found = one_round(pair, token, number)
            for (is_write, is_kept), row in found.items():
                first, longest, later, codes = row
                print("round %d  %-5s %-4s  first 503 after %4.1f s, longest "
                      "wait %4.1f s, of those who came later %4.1f s  %s" % (
                          number, "write" if is_write else "read",
                          "kept" if is_kept else "new", first, longest, later,
                          " ".join(sorted(codes))), flush=True)
            recover(pair)
    finally:
        pair.cut.is_cut = False
        pair.close()
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


main()
