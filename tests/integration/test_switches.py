"""Each API of the local API may be left out, and listen where Ollama does."""
import json
import os
import signal
import socket
import subprocess

import pytest

from test_local_api import MODEL, SEVERITY, Server, client_of
from waits import HANG_S, until

OLLAMA = ("127.0.0.1", 11434)
MESSAGE = {"messages": [{"role": "user", "content": SEVERITY}],
           "max_tokens": 3}


def statuses(call):
    """Status and body of a path or two of each API."""
    got = {name: call(method, path, body)
           for name, method, path, body in (
               ("openai", "POST", "/v1/chat/completions", MESSAGE),
               ("anthropic", "POST", "/v1/messages", MESSAGE),
               ("count", "POST", "/v1/messages/count_tokens", MESSAGE),
               ("ollama", "POST", "/api/chat", dict(MESSAGE, stream=False)),
               ("tags", "GET", "/api/tags", None),
               ("delete", "DELETE", "/api/delete", {}))}
    return {name: (answer[0], answer[2]) for name, answer in got.items()}


def test_an_api_that_is_switched_off_has_no_paths(bin_dir, folder):
    own = os.path.join(folder, "off")
    os.mkdir(own)
    one = Server(bin_dir, own, options=("--no-ollama", "--no-anthropic"))
    try:
        got = statuses(one.call)
    finally:
        one.close()
    assert {name: status for name, (status, _) in got.items()} == dict(
        openai=200, anthropic=404, count=404, ollama=404, tags=404, delete=404)
    # Each in the form of its own API.
    assert isinstance(got["ollama"][1]["error"], str)
    assert isinstance(got["tags"][1]["error"], str)
    assert got["anthropic"][1]["type"] == "error"
    assert got["anthropic"][1]["error"]["type"] == "not_found_error"


@pytest.mark.parametrize("line, off", [
    ("", []), ("ollama: false\n", ["ollama", "tags", "delete"]),
    ("anthropic: false\n", ["anthropic", "count"])])
def test_a_running_agent_leaves_out_what_its_file_says(bin_dir, tmp_path,
                                                       line, off):
    config, api = tmp_path / "agent.yaml", tmp_path / "api.sock"
    config.write_text("state_dir: %s\nlisten: [\"unix:%s\"]\nhold: 1ms\n%s" % (
        tmp_path / "state", api, line))
    (tmp_path / "state").mkdir(mode=0o700)
    process = subprocess.Popen(
        [os.path.join(bin_dir, "flotilla-agent"), "--config", str(config)],
        stderr=subprocess.DEVNULL)

    def call(method, path, body):
        one = until("the agent listens", lambda: client_of(api))
        one.request(method, path, json.dumps(body))
        answer = one.getresponse()
        text = answer.read()
        one.close()
        return answer.status, None, json.loads(text)
    try:
        # Without a model the others have an error of their own.
        assert [name for name, (_, body) in statuses(call).items()
                if "no path" in str(body)] == off
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=HANG_S) == 0


def serve(bin_dir, folder, *options):
    return [os.path.join(bin_dir, "flotilla-agent"), "serve", "--model", MODEL,
            "--listen", "unix:" + os.path.join(folder, "at.sock"), *options]


def test_where_ollama_listens_another_program_may_be(bin_dir, folder):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(OLLAMA)
            other.listen()
        except OSError:
            pass  # it is there already
        got = subprocess.run(serve(bin_dir, folder, "--ollama"), text=True,
                             capture_output=True, timeout=HANG_S)
    assert got.returncode == 5
    assert "error[net.port_in_use]: 127.0.0.1:11434 is in use" in got.stderr


def test_a_flag_and_its_contrary_are_refused(bin_dir, folder):
    got = subprocess.run(
        serve(bin_dir, folder, "--ollama", "--no-ollama"), text=True,
        capture_output=True, timeout=HANG_S)
    assert got.returncode == 2
    assert "--ollama contradicts --no-ollama" in got.stderr


def test_it_listens_where_ollama_does(bin_dir, folder):
    """In a network of its own: no test has a port that another one wants."""
    alone = ["unshare", "--map-root-user", "--net", "sh", "-c",
             'ip link set lo up && exec "$@"', "sh"]
    if subprocess.run(alone + ["true"], check=False,
                      stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("no network of its own can be had here")
    process = subprocess.Popen(
        alone + serve(bin_dir, folder, "--ollama"), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        seen = ""
        while "serving " not in seen:
            line = process.stdout.readline()
            assert line, "it ended: " + seen
            seen += line
        assert "listening on 127.0.0.1:11434" in seen
        with open("/proc/%d/net/tcp" % process.pid) as file:
            assert any(line.split()[1:4:2] == ["0100007F:2CAA", "0A"]
                       for line in file)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=HANG_S) == 0
