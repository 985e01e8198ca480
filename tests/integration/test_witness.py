"""Devices witness the audit: who cuts the table and audit.head back to an
earlier signed line is shown by what devices were told."""
import contextlib
import json
import os
import signal
import sqlite3

import pytest

from waits import HANG_S, until


@pytest.fixture
def up(fleet):
    return fleet.up(["a"])


def head_file(up):
    return os.path.join(up.dir, "controller", "audit.head")


def signed(up):
    """Lines of audit.head with their numbers."""
    with open(head_file(up), encoding="ascii") as file:
        return [(int(line.split()[1]), line) for line in file
                if line.startswith("head ")]


def status(up):
    return json.loads(up.program(
        "flotilla-agent", "status", "--config", up.devices["a"].config,
        "-o", "json")[1])


def knows(up):
    """The highest number that the device knows."""
    return max([int(line.split()[1]) for line in status(up)["audit"]],
               default=0)


def stop(up):
    up.controller.send_signal(signal.SIGTERM)
    assert up.controller.wait(HANG_S) == 0


def start(up, *more):
    up.start_controller(*more)
    up.online(["a"])


def told(up):
    """Something happens, is signed and told; the number that the device then
    knows."""
    up.cli("group", "create", "g%d" % len(signed(up)))
    stop(up)
    start(up)
    number = signed(up)[-1][0]
    until("the device knows it", lambda: knows(up) >= number,
          lambda: status(up)["audit"])
    return number


def cut(up, number):
    """Table and file as they were when this line was signed."""
    with contextlib.closing(sqlite3.connect(os.path.join(
            up.dir, "controller", "control.db"), timeout=HANG_S)) as db:
        with db:
            db.execute("DELETE FROM audit WHERE n > ?", (number,))
    lines = [line for n, line in signed(up) if n <= number]
    with open(head_file(up), "w", encoding="ascii") as file:
        file.writelines(lines)


def verify(up, *more):
    return up.cli("audit", "verify", *more, check=False)


def test_a_cut_of_table_and_file_is_shown_by_a_device(up, tmp_path):
    first = told(up)
    kept = tmp_path / "kept.json"
    kept.write_text(verify(up)[1])
    last = told(up)
    assert last > first and verify(up)[0] == 0
    assert verify(up, "--witness", str(kept))[0] == 0
    newest = tmp_path / "newest.txt"
    newest.write_text(json.dumps(status(up)))
    assert verify(up, "--witness", str(newest))[0] == 0

    stop(up)
    cut(up, first)
    start(up)

    until("the device's report shows it",
          lambda: "error[audit.cut]" in verify(up)[2], lambda: verify(up))
    code, out, err = verify(up)
    assert code == 7 and not json.loads(out)["ok"], (code, out)
    assert "told to device" in err
    until("it is an alert", lambda: any(
        alert["rule"] == "audit-broken" for alert in up.ask("alert", "list")),
        lambda: up.ask("alert", "list"))
    assert [r for r in up.ask("audit", "list") if r["what"] == "audit.cut"]
    # And by a file that somebody kept, where no device speaks.
    code, _, err = verify(up, "--witness", str(newest))
    assert code == 7 and "audit.cut" in err

    # The operator says that this is the audit from now on.
    stop(up)
    start(up, "--restored")
    told(up)
    assert verify(up)[0] == 0, verify(up)
