"""Login from another machine: HTTPS on another address than the default, by the
fleet's own authority."""
import os
import shutil
import socket
import subprocess
import tempfile

import pytest

import sets
from controller_parts import BIN, Controller
from waits import HANG_S

HOST = "127.0.0.2"


class Tls(Controller):
    def ask(self, *args, context=None, **more):
        import ssl
        if context is None and self.rest.startswith("https:"):
            context = ssl.create_default_context(cafile=self.ca)
        return super().ask(*args, context=context, **more)


@pytest.fixture(scope="module")
def controller():
    folder = tempfile.mkdtemp(prefix="flo-l-", dir="/tmp")
    one = Tls(folder).start("--listen", HOST + ":0", "--tls")
    yield one
    one.stop()
    shutil.rmtree(folder, ignore_errors=True)


def flotilla(home, *words, more={}):
    env = {"XDG_CONFIG_HOME": str(home), "PATH": os.environ["PATH"], **more}
    done = subprocess.run([os.path.join(BIN, "flotilla"), *words], env=env,
                          capture_output=True, text=True, timeout=HANG_S)
    return done.returncode, done.stdout, done.stderr


def login(controller, home, *more):
    return flotilla(home, "login", controller.rest, "--token-file",
                    controller.facts["token"], *more)


def test_without_the_authority_nothing_is_sent_and_the_way_is_said(
        controller, tmp_path):
    assert controller.rest.startswith("https://%s:" % HOST)
    code, _, err = login(controller, tmp_path)
    assert code == 6 and "error[net.tls]" in err, (code, err)
    assert "--ca" in err and "--fingerprint" in err, err
    assert not os.path.exists(tmp_path / "flotilla")


def test_no_token_leaves_without_tls_but_to_this_machine(
        controller, tmp_path):
    """Whoever names the address: a flag, a variable, a context."""
    token = controller.facts["token"]
    with socket.create_server((HOST, 0)) as server:
        server.setblocking(False)
        url = "http://%s:%d" % (HOST, server.getsockname()[1])
        folder = tmp_path / "flotilla"
        folder.mkdir(mode=0o700)
        (folder / "plain.context").write_text(url + "\n")
        (folder / "plain.token").write_text(open(token).read())
        for words, env in (
                (["login", url, "--token-file", token], {}),
                (["device", "list", "--controller", url, "--token-file",
                  token], {}),
                (["device", "list"], {"FLOTILLA_CONTROLLER": url,
                                      "FLOTILLA_TOKEN_FILE": token}),
                (["device", "list", "--context", "plain"], {}),
                (["doctor", "--controller", url, "--token-file", token], {})):
            code, out, err = flotilla(tmp_path, *words, more=env)
            assert code == 2, (words, code, out, err)
            assert "without TLS only to this machine" in out + err, out + err
        with pytest.raises(BlockingIOError):
            server.accept()
    assert sets.names(folder) == ["plain.context", "plain.token"]


def test_by_the_authoritys_file_and_each_later_call_by_the_copy(
        controller, tmp_path):
    copy = tmp_path / "ca.pem"
    shutil.copy(controller.ca, copy)
    code, out, err = login(controller, tmp_path, "--ca", str(copy))
    assert code == 0, err
    copy.unlink()
    code, out, err = flotilla(tmp_path, "device", "list")
    assert code == 0, err
    # the copy is what is trusted: with another authority nothing goes on
    mine = tmp_path / "flotilla" / "default.ca"
    assert oct(mine.stat().st_mode & 0o777) == "0o600"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
                    "/CN=other", "-keyout", str(tmp_path / "k"), "-out",
                    str(mine)], check=True, capture_output=True)
    code, _, err = flotilla(tmp_path, "device", "list")
    assert code == 6 and "error[net.tls]" in err, (code, err)


def test_by_the_fingerprint_that_the_controller_prints(controller, tmp_path):
    shown = controller.facts["ca"]
    said = subprocess.run(
        [os.path.join(BIN, "flotilla-controller"), "--data", controller.dir,
         "--fingerprint"], capture_output=True, text=True, timeout=HANG_S)
    assert said.stdout.strip() == shown and len(shown) == 64
    typed = ":".join(shown[i:i + 2] for i in range(0, 64, 2)).upper()
    code, _, err = login(controller, tmp_path, "--fingerprint", typed)
    assert code == 0, err
    assert flotilla(tmp_path, "device", "list")[0] == 0
    code, out, _ = flotilla(tmp_path, "context", "view")
    assert shown in out
    # another one: refused, and what login remembered stays
    other = ("0" if shown[0] != "0" else "1") + shown[1:]
    code, _, err = login(controller, tmp_path, "--fingerprint", other)
    assert code == 6 and "error[net.tls]" in err, (code, err)
    assert flotilla(tmp_path, "device", "list")[0] == 0
    kept = tmp_path / "flotilla" / "default.context"
    kept.write_text(kept.read_text().replace(shown, other))
    code, _, err = flotilla(tmp_path, "device", "list")
    assert code == 6 and "error[net.tls]" in err, (code, err)


def test_a_fingerprint_or_file_that_is_none_is_refused(controller, tmp_path):
    for more in (["--fingerprint", "abc"], ["--fingerprint", "g" * 64],
                 ["--fingerprint", "0" * 65],
                 ["--fingerprint", "0" * 64, "--ca", controller.ca]):
        code, _, err = login(controller, tmp_path, *more)
        assert code == 2, (more, code, err)
    for file in (controller.facts["token"], "/nonexistent"):
        code, _, err = login(controller, tmp_path, "--ca", file)
        assert code != 0 and "--ca" in err, (code, err)
    assert not os.path.exists(tmp_path / "flotilla")
