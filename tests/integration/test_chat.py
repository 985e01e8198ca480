"""A person talks to a model in a terminal: `flotilla-engine run`, with a file and with a served name."""
import contextlib
import fcntl
import http.server
import json
import os
import pty
import re
import select
import signal
import socketserver
import struct
import subprocess
import termios
import threading

import pytest

from test_local_api import MODEL, NAME, Server
from waits import HANG_S, Seen, until

FIRST = "Rate this log line: 20:25 gateway-42 link lost temp=94C"
SECOND = "And this: 20:26 pump-9 ok"
RATED = "severity: critical"
PROMPT, MORE = ">>> ", "... "
REPLACED = "\N{REPLACEMENT CHARACTER}"


class Chat:
    """`flotilla-engine run` on a terminal of its own."""

    def __init__(self, bin_dir, *words, env=None, waits=True):
        self.fd, inside = pty.openpty()
        variables = dict(os.environ, TERM="xterm", NO_COLOR="")
        variables.update(env or {})

        def take_terminal():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [os.path.join(bin_dir, "flotilla-engine"), "run", *words],
            stdin=inside, stdout=inside, stderr=inside, env=variables,
            start_new_session=True, preexec_fn=take_terminal)
        os.close(inside)
        self.begin = self.until(PROMPT) if waits else ""

    def read(self):
        """The next piece; "" when the other side has gone."""
        assert select.select([self.fd], [], [], HANG_S)[0], "nothing comes"
        with contextlib.suppress(OSError):  # EIO: it has ended
            return os.read(self.fd, 65536)
        return b""

    def until(self, *ends):
        """All that is shown until one of these is the end of it."""
        seen = b""
        while not seen.decode(errors="replace").endswith(ends):
            piece = self.read()
            assert piece, "it ended: %r" % seen
            seen += piece
        return seen.decode().replace("\r\n", "\n")

    def type(self, text):
        os.write(self.fd, text.encode())

    def say(self, text, *ends):
        """The answer to this line, without echo and prompt."""
        self.type(text + "\n")
        shown = self.until(*ends or (PROMPT,))
        echo = text.replace("\x1b", "^[") + "\n"
        assert shown.startswith(echo), shown
        return shown[len(echo):-len(PROMPT)]

    def leave(self, text="\x04"):
        """Its exit code."""
        self.type(text)
        while self.read():
            pass
        os.close(self.fd)
        return self.process.wait(HANG_S)


def once(bin_dir, *words, piped=None):
    done = subprocess.run(
        [os.path.join(bin_dir, "flotilla-engine"), "run", *words],
        input=piped, stdin=subprocess.DEVNULL if piped is None else None,
        capture_output=True, timeout=HANG_S)
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.fixture(scope="module")
def server(bin_dir, folder):
    one = Server(bin_dir, folder, options=("--context", "128"))
    yield one
    one.close()


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def kept_of(shown):
    """Tokens of the last prompt: computed, kept."""
    found = re.search(r"of the prompt (\d+) computed, (\d+) kept", shown)
    return int(found[1]), int(found[2])


def test_turns_are_remembered_and_not_computed_again(bin_dir):
    alone = once(bin_dir, MODEL, SECOND)[1].decode()
    chat = Chat(bin_dir, MODEL)
    assert "model     flotilla-tiny, llama, " in chat.begin
    assert chat.say(FIRST) == RATED + "\n"
    assert kept_of(chat.say("/show")) == (30, 0)
    answer = chat.say(SECOND)
    assert answer != alone, "the first turn did not count"
    shown = chat.say("/show")
    assert kept_of(shown) == (25, 33), shown  # the first turn with its answer
    assert "of 512 tokens, 4 turns" in shown
    assert chat.say("/clear") == ""
    assert chat.say(SECOND) == alone
    assert chat.leave() == 0


def test_an_answer_is_that_of_the_local_api(bin_dir, server):
    said = [{"role": "user", "content": FIRST},
            {"role": "assistant", "content": RATED},
            {"role": "user", "content": SECOND}]
    wanted = server.chat(messages=said)[2]["choices"][0]["message"]["content"]
    for words in ((MODEL, "--ctx", "128"),
                  (NAME, "--api", server.socket),
                  (NAME, "--api", "http://127.0.0.1:%d" % server.port,
                   "--token-file", server.token_file)):
        chat = Chat(bin_dir, *words)
        assert chat.say(FIRST) == RATED + "\n"
        assert chat.say(SECOND) == wanted + "\n"
        assert kept_of(chat.say("/show"))[1] > 0
        assert chat.leave("/bye\n") == 0


def test_texts_of_many_lines(bin_dir):
    wanted = once(bin_dir, MODEL, "--prompt", "two\nlines")[1].decode()
    chat = Chat(bin_dir, MODEL)
    chat.say('"""', MORE)
    chat.say("two", MORE)
    assert chat.say('lines"""') == wanted
    chat.say("/clear")
    chat.say("two\\", MORE)
    assert chat.say("lines") == wanted
    chat.say("/clear")
    chat.say("three\\", MORE)
    chat.type("\x03")  # forgets it
    assert "(Ctrl-D or /bye leaves)" in chat.until(PROMPT)
    assert chat.say("two\x1b[A\\", MORE) == ""  # an arrow key is no text
    assert chat.say("lines") == wanted
    assert chat.leave() == 0


def test_ctrl_c_stops_the_answer_and_keeps_what_was_said(bin_dir, folder):
    endless = write(folder, "endless.gbnf", "root ::= [ab] root\n")
    chat = Chat(bin_dir, MODEL, "--grammar", endless, "--ctx", "1048576")
    chat.type("talk\n")
    chat.until("a", "b")
    chat.type("\x03")
    shown = chat.until(PROMPT)
    assert "[stopped; what was said is kept]\n" in shown
    assert "of 1048576 tokens, 2 turns" in chat.say("/show")
    for _ in range(2):
        chat.type("\x03")
        assert chat.until(PROMPT).endswith(
            "\n(Ctrl-D or /bye leaves)\n" + PROMPT)
    chat.say("/set max_tokens 3")
    assert re.fullmatch(r"[ab]{3}\n\[max_tokens: 3 of 3\]\n",
                        chat.say("go on"))
    assert chat.leave() == 0


def test_values_are_set_within_their_ranges(bin_dir):
    chat = Chat(bin_dir, MODEL, "--top-k", "40", "--system", "Be brief.")
    assert chat.say("/set temperature 0.5") == "temperature 0.5\n"
    assert chat.say("/set temperature 3") == \
        "temperature is '3', must be from 0 to 2\n"
    assert chat.say("/set temprature 1") == \
        "there is no value `temprature`; did you mean `temperature`?\n"
    assert chat.say("/shwo") == \
        "there is no command `/shwo`; did you mean `/show`?\n"
    shown = chat.say("/show")
    assert "values    temperature 0.5, top_p 1, top_k 40," in shown
    assert "system    Be brief.\n" in shown
    assert "template  model (/show template)\n" in shown
    assert "<|im_start|>" in chat.say("/show template")
    assert "/clear" in chat.say("/help")
    assert "from 0 to 1048576" in chat.say("/set")
    # The same seed, the same answer.
    chat.say("/set temperature 2")
    answers = []
    for seed in ("7", "8", "7"):
        chat.say("/clear")
        chat.say("/set seed " + seed)
        answers.append(chat.say(FIRST))
    assert answers[0] == answers[2]
    assert chat.leave() == 0
    code, out, err = once(bin_dir, MODEL, "x", "--top-p", "7")
    assert (code, out) == (2, b"")
    assert "--top-p is '7', must be from 0 to 1" in err


THINKS = """{% for m in messages %}<|im_start|>{{ m.role }}
{% if m.reasoning_content %}<think>
{{ m.reasoning_content }}
</think>

{% endif %}{{ m.content }}<|im_end|>
{% endfor %}<|im_start|>assistant
{% if enable_thinking is not defined or enable_thinking %}<think>
{% else %}<think>

</think>

{% endif %}"""


def test_thoughts_are_dim_where_colours_are(bin_dir, folder):
    words = (MODEL, "--template", write(folder, "thinks.jinja", THINKS),
             "--n", "4")
    chat = Chat(bin_dir, *words)
    thought = chat.say(FIRST)
    assert re.match("\033\\[2m[^\033]+\033\\[0m\n", thought), repr(thought)
    assert "<think>" not in thought
    assert "2 turns" in chat.say("/show")
    chat.say("/set thinking off")
    assert "\033" not in chat.say(FIRST)
    assert chat.leave() == 0
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        chat = Chat(bin_dir, *words, env=env)
        shown = chat.begin + chat.say(FIRST)
        assert "\033" not in shown, shown
        assert "<think>" in shown and "</think>\n" in shown, shown
        assert chat.leave() == 0
    out = once(bin_dir, FIRST, "--model", *words)[1]
    assert out.startswith(b"<think>") and out.endswith(b"</think>\n"), out


def test_a_terminal_is_safe_from_the_models_text(bin_dir, folder):
    evil = write(folder, "evil.gbnf",
                 'root ::= "a\\x1b[2Jb\\x07\\n" [\\u009b] "31m"\n')
    chat = Chat(bin_dir, MODEL, "--grammar", evil)
    assert chat.say("hi") == "a%s[2Jb%s\n%s31m\n" % ((REPLACED,) * 3)
    assert chat.leave() == 0
    chat = Chat(bin_dir, MODEL, "hi", "--grammar", evil, waits=False)
    assert chat.until("31m\r\n", "31m\n") == \
        "a%s[2Jb%s\n%s31m\n" % ((REPLACED,) * 3)
    assert chat.leave("") == 0
    # A file gets the bytes as they are.
    assert once(bin_dir, MODEL, "hi", "--grammar", evil)[1] == \
        b"a\x1b[2Jb\x07\n\xc2\x9b31m\n"


def test_a_resized_window_changes_nothing(bin_dir):
    chat = Chat(bin_dir, MODEL)
    chat.type(FIRST[:20])
    for rows, columns in ((5, 10), (100, 300)):
        fcntl.ioctl(chat.fd, termios.TIOCSWINSZ,
                    struct.pack("HHHH", rows, columns, 0, 0))
        os.kill(chat.process.pid, signal.SIGWINCH)
    chat.type(FIRST[20:] + "\n")
    assert RATED + "\n" + PROMPT in chat.until(PROMPT)
    assert chat.leave() == 0


def test_a_full_context_leaves_out_the_older_half(bin_dir, server):
    for words in ((MODEL, "--ctx", "128"), (NAME, "--api", server.socket)):
        chat = Chat(bin_dir, *words)
        seen = ""
        while "left out" not in seen:
            seen = chat.say(FIRST)
            assert seen.startswith(RATED + "\n")
        assert re.search(r"\[the context was full \(.*128.*\): the oldest \d+ "
                         r"of \d+ turns are left out; /clear leaves out all\]",
                         seen), seen
        # A text that never fits changes nothing.
        before = re.search(r"\d+ turns", chat.say("/show"))[0]
        assert "128" in chat.say("x " * 200)
        assert before in chat.say("/show")
        assert chat.say(FIRST).startswith(RATED + "\n")
        assert chat.leave() == 0


def test_one_text_comes_from_words_and_pipes(bin_dir, folder):
    wanted = b"severity: critical\n"
    assert once(bin_dir, MODEL, FIRST) == (0, wanted, "")
    assert once(bin_dir, MODEL, piped=FIRST.encode() + b"\n")[1] == wanted
    assert once(bin_dir, "--model", MODEL, "--prompt", FIRST,
                piped=b"nobody reads this")[1] == wanted
    head, tail = FIRST.split(": ", 1)
    both = once(bin_dir, MODEL, head, piped=tail.encode())[1]
    assert both == once(bin_dir, MODEL, head + "\n\n" + tail)[1]
    for words, piped, code, told in (
            ((), b"x", 2, "needs MODEL"),
            ((MODEL,), b"", 2, "stdin is empty"),
            ((MODEL,), b"a\0b", 2, "byte 1 of it is 0"),
            ((MODEL, "a", "b"), b"", 2, "`b` is too much"),
            ((MODEL, "a", "--prompt", "b"), b"", 2, "exclude each other"),
            (("./none.gguf", "a"), b"", 3, "none.gguf"),
            (("none", "a"), b"", 3, "there is no file 'none', and"),
            (("No Name", "a"), b"", 3, "no served model has the name"),
            (("none", "a", "--ctx", "9"), b"", 2, "for a model's file"),
            ((MODEL, "a", "--token-file", "t"), b"", 2, "for a served model"),
            (("x", "a", "--api", "http://10.0.0.1:80"), b"", 2,
             "of this machine"),
            (("x", "a", "--api", "https://127.0.0.1:80"), b"", 2,
             "of this machine"),
            (("x", "a", "--api", "/" + 200 * "x"), b"", 2, "107"),
            (("x", "a", "--api", os.path.join(folder, "none")), b"", 6,
             "No such file")):
        got, out, err = once(bin_dir, *words, piped=piped)
        assert (got, out) == (code, b"") and told in err, (words, got, err)


def test_a_served_model_is_asked_by_its_name(bin_dir, server, folder):
    on_port = ("--api", "127.0.0.1:%d" % server.port)
    token = ("--token-file", server.token_file)
    assert once(bin_dir, NAME, FIRST, *on_port, *token)[1].decode() == \
        RATED + "\n"
    assert once(bin_dir, NAME + "@local", "--api", "unix:" + server.socket,
                piped=FIRST.encode())[1].decode() == RATED + "\n"
    code, _, err = once(bin_dir, "tiny", "a", "--api", server.socket)
    assert code == 3 and "serves no model 'tiny'; it serves " + NAME in err
    code, _, err = once(bin_dir, NAME, "a", *on_port)
    assert code == 4 and "local.auth" in err, err
    for text in ("", "two words\n", "line\nline\n", "\x80\n"):
        bad = write(folder, "bad-token", text)
        code, _, err = once(bin_dir, NAME, "a", *on_port, "--token-file", bad)
        assert code == 2 and "is a token" in err, err
    code, _, err = once(bin_dir, NAME, "x " * 300, "--api", server.socket)
    assert code == 2 and "infer.prompt_too_long" in err, err


class Endless(http.server.BaseHTTPRequestHandler):
    """A local API whose answers think, hide escapes and never end; one that is
    asked to `break` tells an error in its stream."""
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "a unix socket"

    def log_message(self, *words):
        pass

    def do_GET(self):
        self.send_response(200)
        body = b'{"id":"endless","context":99}'
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def event(self, **members):
        data = b"data: " + json.dumps(members).encode() + b"\n\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def do_POST(self):
        size = int(self.headers["Content-Length"])
        asked = json.loads(self.rfile.read(size))
        self.server.asked.append(asked)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

        def piece(**delta):
            self.event(choices=[{"delta": delta, "finish_reason": None}])
        try:
            piece(reasoning_content="Hm\033.")
            piece(content="One \033[2J")
            if asked["messages"][-1]["content"] == "break":
                self.event(error={"message": "the engine\033 died",
                                  "code": "engine.crash"})
            while True:
                piece(content="more ")
        except OSError:  # it went away
            self.server.gone.release()


@pytest.fixture
def endless(folder):
    class Unix(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True
    path = os.path.join(folder, "endless.sock")
    one = Unix(path, Endless)
    one.asked, one.gone = [], threading.Semaphore(0)
    thread = threading.Thread(target=one.serve_forever)
    thread.start()
    yield path, one
    one.shutdown()
    thread.join(HANG_S)
    one.server_close()
    os.unlink(path)


def test_ctrl_c_hangs_up_on_a_served_model(bin_dir, endless):
    path, api = endless
    chat = Chat(bin_dir, "endless", "--api", path)
    chat.type("talk\n")
    seen = chat.until("more ")
    chat.type("\x03")
    seen += chat.until(PROMPT)
    assert "\033[2mHm%s.\033[0m\n\nOne %s[2Jmore " % (
        REPLACED, REPLACED) in seen
    assert "[stopped; what was said is kept]" in seen
    assert api.gone.acquire(timeout=HANG_S)
    chat.say("/set thinking off")
    chat.say("/set system Be brief.")
    shown = chat.say("break")
    assert "the engine\\x1b died" in shown, shown
    asked = api.asked[1]
    assert asked["chat_template_kwargs"] == {"enable_thinking": False}
    said = asked["messages"]
    assert [one["role"] for one in said] == [
        "system", "user", "assistant", "user"]
    assert said[0]["content"] == "Be brief."
    assert said[2]["content"].startswith("One \033[2Jmore ")
    assert "2 turns" in chat.say("/show")  # the broken one does not count
    assert chat.leave() == 0


def test_ctrl_c_ends_a_command_with_one_text(bin_dir, endless):
    path, _ = endless
    chat = Chat(bin_dir, "endless", "talk", "--api", path, waits=False)
    chat.until("more ")
    chat.type("\x03")
    assert chat.leave("") == 130


def test_a_terminal_that_is_gone_ends_the_chat(bin_dir):
    chat = Chat(bin_dir, MODEL)
    os.close(chat.fd)
    until("its end", lambda: chat.process.poll() is not None or
          Seen("it runs"))
