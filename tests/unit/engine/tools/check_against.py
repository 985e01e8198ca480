#!/usr/bin/env python3
"""`flotilla-model check` compares a folder with a command: the right ids pass, one wrong id
is found, and a command that dies, hangs or prints something else is an error.

usage: check_against.py BIN_DIR   (from the root folder)
"""
import json
import os
import shlex
import subprocess
import sys
import tempfile

MODEL = os.path.join(sys.argv[1], "flotilla-model")
FOLDER = "tests/models/lfm2-folder"
# The command under test is this script: it answers by `tokenize` and `render`.
ME = os.path.abspath(__file__)


def answer(kind, work):
    """The command: reads lines of JSON, and prints one for each."""
    lines = [json.loads(line) for line in sys.stdin]
    path = os.path.join(work, "m.gguf")
    if kind == "renders":
        for messages in lines[:3]:
            done = subprocess.run(
                [MODEL, "render", "--model", path], check=True, capture_output=True,
                input=json.dumps({"messages": messages, "add_generation_prompt": True}).encode())
            print(json.dumps(done.stdout.decode()))
        for messages in lines[3:]:
            print(json.dumps(""))
        return
    framed = b"".join(b"%d\n%s" % (len(line.encode()), line.encode()) for line in lines)
    done = subprocess.run([MODEL, "tokenize", "--model", path, "--special", "--framed"],
                          input=framed, check=True, capture_output=True)
    for i, line in enumerate(done.stdout.decode().split("\n")[:-1]):
        ids = [int(word) for word in line.split()]
        if kind == "wrong" and i >= 1998:
            ids[2] += 1
        if kind != "few" or i < 12:
            print(json.dumps(ids))


def check(command, *words):
    done = subprocess.run([MODEL, "check", FOLDER, "--against", command, *words],
                          capture_output=True, text=True, check=False)
    assert done.returncode >= 0, done.stderr
    return done


def main():
    with tempfile.TemporaryDirectory() as work:
        subprocess.run([MODEL, "import", FOLDER, "--type", "f32", "--to",
                        os.path.join(work, "m.gguf")], check=True, capture_output=True)

        def me(kind):
            return shlex.join([sys.executable, ME, sys.argv[1], kind, work])

        done = check(me("right"))
        assert done.returncode == 0, done.stderr
        assert done.stdout == "2000 of 2000 texts are the same\n", done.stdout
        done = check(me("wrong"))
        assert done.returncode != 0 and done.stderr.startswith("error[model.folder]"), done.stderr
        assert done.stdout.startswith("text 1999: ") and "token 3\n" in done.stdout, done.stdout
        assert "1998 of 2000 texts are the same" in done.stdout, done.stdout
        done = check(me("renders"), "--render")
        assert "3 of 2000 texts are the same" in done.stdout, done.stdout + done.stderr
        assert done.stdout.startswith("text 4: ") and "byte 0\n" in done.stdout, done.stdout
        for command, wanted in (
                ("exit 3", "exit code 3"), ("no-such-program", "exit code 127"),
                ("kill -9 $$", "exit code 137"), ("true", "only 0 lines for 2000"),
                (me("few"), "only 12 lines for 2000"), ("yes '[1]'", "exit code "),
                ("yes '[1]' | head -2001", "more than 2000 lines"),
                ("cat", "line 1 of the command is no JSON list"),
                ("printf '[1]\\n[2\\n'", "line 2 of the command is no JSON list: [2"),
                ("printf '\\033[31m\\0'", "only 0 lines"), ("yes ''", "exit code ")):
            done = check(command)
            assert done.returncode != 0 and wanted in done.stderr, (command, done.stderr)
            assert "error[process.failed]" in done.stderr, (command, done.stderr)
        done = check("sleep 600", "--limit", "1")
        assert "longer than --limit" in done.stderr, done.stderr
        done = check("cat", "--render")
        assert "line 1 of the command is no JSON text" in done.stderr, done.stderr


if len(sys.argv) == 4:
    answer(*sys.argv[2:])
else:
    main()
