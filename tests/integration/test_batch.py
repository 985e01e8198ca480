"""`flotilla-agent batch`: a file of requests to a file of answers, with kills."""
import contextlib
import json
import os
import signal
import subprocess

import pytest

from batch_parts import request
from test_local_api import NAME, Server
from waits import HANG_S, Seen, until


@pytest.fixture(scope="module")
def server(bin_dir, folder):
    one = Server(bin_dir, folder)
    yield one
    one.close()


def write(path, lines):
    with open(path, "w") as file:
        file.writelines((line if isinstance(line, str) else
                         json.dumps(line)) + "\n" for line in lines)
    return path


def read(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


class Command:
    """`flotilla-agent batch` on one pair of files."""

    def __init__(self, bin_dir, server, folder):
        self.program = os.path.join(bin_dir, "flotilla-agent")
        self.server = server
        self.input = os.path.join(folder, "in.jsonl")
        self.output = os.path.join(folder, "out.jsonl")

    def line(self, *flags):
        return [self.program, "batch", self.input, self.output, "--at",
                "unix:" + self.server.socket, *flags]

    def run(self, *flags):
        return subprocess.run(self.line(*flags), capture_output=True,
                              text=True, timeout=HANG_S)


@pytest.fixture
def command(bin_dir, server, tmp_path):
    return Command(bin_dir, server, str(tmp_path))


def test_line_n_of_out_answers_line_n_of_in(command):
    write(command.input, [
        request(0), request(1, temperature=9), "{half", "",
        request(2, stream=True),
        {**request(3, "/v1/embeddings"), "body": {"model": NAME,
                                                  "input": "a"}},
        {**request(4, "/v1/responses"), "body": {
            "model": NAME, "input": "a", "max_output_tokens": 8}}])
    done = command.run("-o", "json")
    assert done.returncode == 9, done.stderr
    told = json.loads(done.stdout)
    assert told["error"]["id"] == "batch.partly"
    assert {k: told[k] for k in ("lines", "completed", "failed")} == {
        "lines": 6, "completed": 3, "failed": 3}
    assert "batch: 6 of 6 lines, 3 failed\n" in done.stderr
    out = read(command.output)
    assert [line["custom_id"] for line in out] == ["r0", "r1", None, "r2",
                                                   "r3", "r4"]
    assert out[0]["response"]["status_code"] == 200
    assert out[0]["response"]["body"]["object"] == "chat.completion"
    assert out[1]["response"]["status_code"] == 400
    assert out[1]["response"]["body"]["error"]["param"] == "temperature"
    assert out[2]["response"] is None
    assert out[2]["error"]["code"] == "rest.schema"
    assert out[2]["error"]["line"] == 3
    assert "stream" in out[3]["error"]["message"]
    assert out[4]["response"]["body"]["object"] == "list"
    assert out[5]["response"]["body"]["object"] == "response"
    mode = os.stat(command.output).st_mode & 0o777
    assert mode == 0o600


def test_a_custom_id_on_two_lines_is_refused_with_both(command):
    write(command.input, [request(0), request(1), "", request(0)])
    done = command.run()
    assert done.returncode == 2
    assert 'custom_id "r0" stands on line 1 and on line 4' in done.stderr
    assert not os.path.exists(command.output + ".part")


def test_a_killed_command_goes_on_where_it_was(command):
    """After each kill whole answers are kept, a torn one is cut away."""
    write(command.input, [request(i) for i in range(120)])
    part = command.output + ".part"
    kept = b""
    for step in range(1, 4):
        process = subprocess.Popen(command.line("-q", "--parallel", "2"))

        def more():
            size = 0
            with contextlib.suppress(FileNotFoundError):  # it has its name
                size = os.path.getsize(part)
            return size > len(kept) or process.poll() is not None or Seen(size)
        until("an answer more", more)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if not os.path.exists(part):
            break  # it was done
        with open(part, "rb") as file:
            after = file.read()
        assert after.startswith(kept)
        kept = after[:after.rfind(b"\n") + 1]
        with open(part, "wb") as file:
            file.write(kept + b'{"id":"batch_req_' + b"9" * step)
    done = command.run()
    assert done.returncode == 0, done.stderr
    with open(command.output, "rb") as file:
        assert file.read().startswith(kept)
    assert [line["custom_id"] for line in read(command.output)] == [
        "r%d" % i for i in range(120)]
    assert not os.path.exists(part)
    again = command.run()
    assert again.returncode == 0
    assert "120 of 120 lines were answered before" in again.stderr


def test_a_file_that_is_no_answer_to_it_stays_as_it_is(command):
    write(command.input, [request(0)])
    for text in ("precious\n", json.dumps({
            "id": "batch_req_1", "custom_id": "other", "response":
            {"status_code": 200}, "error": None}) + "\n", ""):
        with open(command.output, "w") as file:
            file.write(text)
        done = command.run()
        assert done.returncode == 5, done.stderr
        with open(command.output) as file:
            assert file.read() == text


def test_without_an_agent_it_says_so(bin_dir, command, tmp_path):
    write(command.input, [request(0)])
    done = subprocess.run(
        [command.program, "batch", command.input, command.output, "--at",
         "unix:%s/none" % tmp_path], capture_output=True, text=True,
        timeout=HANG_S)
    assert done.returncode == 6
    assert "goes on where it was" in done.stderr


def test_a_wrong_token_ends_it_and_fails_no_line(command):
    write(command.input, [request(0)])
    done = subprocess.run(
        [command.program, "batch", command.input, command.output, "--at",
         "127.0.0.1:%d" % command.server.port], capture_output=True,
        text=True, timeout=HANG_S)
    assert done.returncode == 4
    assert "--token-file" in done.stderr
    flags = ("--at", "127.0.0.1:%d" % command.server.port, "--token-file",
             command.server.token_file)
    assert command.run(*flags).returncode == 0
