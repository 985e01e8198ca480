"""What `flotilla` says and how it ends, against a real controller."""
import json
import os
import shutil
import sqlite3
import subprocess
import tempfile

import pytest

from controller_parts import BIN, Controller


@pytest.fixture(scope="module")
def folder():
    path = tempfile.mkdtemp(prefix="flo-c-", dir="/tmp")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def controller(folder):
    one = Controller(folder).start()
    yield one
    one.stop()


def begin(controller, *words):
    return subprocess.Popen(
        [os.path.join(BIN, "flotilla"), *words, "--controller",
         controller.rest, "--token-file", controller.facts["token"]],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def cli(controller, *words):
    process = begin(controller, *words)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def test_the_uses_that_a_token_has_left_are_listed(controller):
    made = controller.ask("POST", "/v1/tokens", {"kind": "enroll", "uses": 7})
    code, out, _ = cli(controller, "token", "list")
    assert code == 0
    row = [line.split() for line in out.split("\n")
           if line.startswith(made.json["id"])][0]
    assert row[-1] == "7", out


def test_a_broken_audit_chain_ends_with_seven(controller):
    assert cli(controller, "audit", "verify")[0] == 0
    controller.stop()
    with sqlite3.connect(os.path.join(controller.dir, "control.db")) as base:
        base.execute("UPDATE audit SET who = 'nobody' WHERE n = 2")
    base.close()
    controller.start()
    code, out, err = cli(controller, "audit", "verify")
    assert code == 7
    assert json.loads(out)["ok"] is False
    assert "error[audit.chain]: audit record 2 was changed" in err
