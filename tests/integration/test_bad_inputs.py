"""Bad files, row by row: a typed error with its fix, and nothing else happens.

The shipped programs against one real fleet.  Row numbers (GG02, PA12, ...) are
those of the project's table of bad inputs.  After every test the device must
serve what it served, by the same process, and the controller be alive.
"""
import base64
import concurrent.futures
import hashlib
import json
import os
import re
import subprocess

import bad_files as bad
from bad_parts import (GOLDEN, NEW, OLD, ORDER, RELEASE, expect,  # noqa: F401
    refused, rest, scratch, unharmed, up)
from conftest import MODELS
from controller_parts import ORDER_P256, canonical, sign
from waits import HANG_S

# ---- models ----

def test_damaged_models_are_refused_by_the_engine(up):
    for row, ids, data in bad.bad_models(OLD):
        path = scratch(up, "bad.gguf", data)
        try:
            refused(up, (7, 10), ids, "flotilla-engine", "run", "--model",
                    path, "--prompt", "x", "--n", "1")
        except AssertionError as error:
            raise AssertionError(row) from error


def test_a_context_of_2_to_the_31_is_clamped_or_refused_with_numbers(up):
    path = scratch(up, "context.gguf", bad.Gguf(OLD).value(
        "llama.context_length", "<I", 2 ** 31))
    code, _, _ = up.program("flotilla-engine", "run", "--model", path,
                            "--prompt", "x", "--n", "1")
    assert code == 0
    code, out, err = up.program(
        "flotilla-engine", "plan", "--model", path, "--ctx", str(2 ** 30),
        "--json", check=False)
    assert code in (0, 2, 7, 10), err
    assert re.search(r"\d{9,}", out + err), (out, err)


def inspect(fleet, path):
    done = fleet.program("flotilla-engine", "run", "--model", path, "--prompt",
                         "x", "--n", "1", check=False, timeout=HANG_S)
    assert done[0] in (0, 7, 10), (path, done)
    if done[0] != 0:
        expect(done, (7, 10), ("gguf.", "model.", "memory.", "not.", "probe."))
    return done[0]


def test_a_model_cut_anywhere_is_refused(up):
    data = open(OLD, "rb").read()
    head = bad.Gguf(OLD).head
    cuts = sorted({0, 1, 3, 4, 7, 8, 15, 23, 24, 25, head - 1, head,
                   head + 31, len(data) // 2, len(data) - 32, len(data) - 1} |
                  {head * i // 40 for i in range(40)})

    def one(cut):
        return inspect(up, scratch(up, "cut-%d.gguf" % cut, data[:cut]))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert set(pool.map(one, cuts)) == {7}


def test_no_flipped_bit_of_a_models_head_kills_the_engine(up):
    data = open(OLD, "rb").read()
    head = bad.Gguf(OLD).head
    # every bit of the first 32 bytes, then a spread over all of the head
    bits = list(range(0, 256, 3)) + list(range(256, head * 8, head * 8 // 250))

    def one(bit):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        path = scratch(up, "flip-%d.gguf" % bit, broken)
        code = inspect(up, path)
        os.unlink(path)
        return code
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        codes = list(pool.map(one, bits))
    assert codes.count(7) > 60


def test_a_publisher_is_told_about_a_damaged_model(up):
    data = open(OLD, "rb").read()
    for cut in (0, 100, 30000, len(data) - 1):
        path = scratch(up, "cut.gguf", data[:cut])
        refused(up, 7, "gguf.", "flotilla", "model", "import", path)
        refused(up, 7, "gguf.", "flotilla", "release", "create", "tiny@90",
                "--model-file", path, "--golden", GOLDEN, "--sign-with",
                up.key)
    refused(up, 7, "model.nonfinite", "flotilla", "model", "import",
            os.path.join(MODELS, "tiny-v3-bad-nan.Q4_0.gguf"))
    refused(up, 3, "release.absent", "flotilla", "release", "get", "tiny@90")


# ---- patches ----

def test_damaged_patches_write_nothing(up):
    good = os.path.join(up.scratch, "good.patch")
    up.program("flotilla-updater", "delta", "create", OLD, NEW, good,
               "--codec", "bsdiff")
    out = os.path.join(up.scratch, "out.gguf")
    data = open(good, "rb").read()
    wanted = "sha256:" + hashlib.sha256(open(NEW, "rb").read()).hexdigest()
    for row, ids, patch in bad.bad_patches(open(OLD, "rb").read(), data):
        path = scratch(up, "bad.patch", patch)
        more = ["--expect", wanted] if row == "no patch" else []
        try:
            refused(up, 7, ("target.hash",) if more else ids,
                    "flotilla-updater", "delta", "apply", OLD, path, out,
                    *more)
        except AssertionError as error:
            raise AssertionError(row) from error
        assert not os.path.exists(out), row
    base = "sha256:" + hashlib.sha256(open(OLD, "rb").read()).hexdigest()
    refused(up, 7, "patch.base_mismatch", "flotilla-updater", "delta", "apply",
            NEW, good, out, "--base", base)  # PA08
    refused(up, 7, "target.hash", "flotilla-updater", "delta", "apply", NEW,
            good, out, "--expect", wanted)
    refused(up, 7, "patch.limit", "flotilla-updater", "delta", "apply", OLD,
            good, out, "--max-memory", "1M")  # PA14
    assert not os.path.exists(out)
    up.program("flotilla-updater", "delta", "apply", OLD, good, out,
               "--expect", wanted)


# ---- bundles ----

def test_damaged_bundles_are_refused_by_the_tool_and_by_the_device(up):
    device = up.devices["a"]
    for number, (row, ids, data) in enumerate(bad.bad_bundles(up.bundle)):
        path = scratch(up, "bad.tar", data)
        try:
            refused(up, 7, ids, "flotilla-updater", "bundle", "verify", path,
                    "--trust", up.trust)
            if number % 3 == 0:
                refused(up, 7, ids, "flotilla-agent", "update", "--bundle",
                        path, "--config", device.config, "-q")
        except AssertionError as error:
            raise AssertionError(row) from error
    assert not os.path.exists("/tmp/flotilla-bad-input")
    assert not os.path.exists(os.path.join(device.state, "..", "outside"))


def test_no_flipped_bit_of_a_bundle_passes(up):
    data = open(up.bundle, "rb").read()
    passed = []
    places = [i * len(data) * 8 // 60 + 5 for i in range(60)]
    names = {entry[0] for entry in bad.entries(up.bundle)}
    assert len(names) == 4
    for bit in places:
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        done = up.program("flotilla-updater", "bundle", "verify",
                          scratch(up, "flip.tar", broken), "--trust", up.trust,
                          check=False)
        if done[0] == 0:
            passed.append(bit // 8)
        else:
            expect(done, 7, ("bundle.", "target.", "sig.", "meta."))
    # only what stands after the last entry may differ
    assert all(byte > len(data) - 10240 for byte in passed), passed


def test_things_that_are_no_files_are_refused_at_once(up):
    fifo = os.path.join(up.scratch, "fifo")
    os.mkfifo(fifo)
    gone = os.path.join(up.scratch, "gone")
    config = up.devices["a"].config
    for path, code, ids in ((fifo, 1, "io.open"), ("/dev/zero", 1, "io.open"),
                            (up.scratch, 1, "io.open"),
                            (gone, (1, 3), ("absent", "io.open"))):
        for args in (
                ("flotilla", "model", "import", path),
                ("flotilla", "release", "create", "x@1", "--model-file", path,
                 "--golden", GOLDEN, "--sign-with", up.key),
                ("flotilla", "release", "create", "x@1", "--model-file", OLD,
                 "--golden", path, "--sign-with", up.key),
                ("flotilla", "key", "trust", path),
                ("flotilla", "login", up.url, "--token-file", path),
                ("flotilla-updater", "bundle", "verify", path, "--trust",
                 up.trust),
                ("flotilla-updater", "release", "verify", path, "--trust",
                 up.trust),
                ("flotilla-updater", "delta", "apply", path, OLD, gone),
                ("flotilla-engine", "run", "--model", path, "--prompt", "x"),
                ("flotilla-engine", "inspect", path),
                ("flotilla-agent", "update", "--bundle", path, "--config",
                 config),
                ("flotilla-agent", "--config", path, "--check-config"),
                ("flotilla-agent", "serve", "--model", path, "--listen",
                 "unix:" + gone)):
            if args[4:6] == ("--model-file", up.scratch):  # a folder may be a model
                refused(up, 7, "model.folder", *args)
            else:
                refused(up, code, ids, *args)
    assert not os.path.exists(gone)


# ---- release documents ----

def body_of(fleet):
    """A document that is good in all but name and number."""
    body = fleet.ask("release", "get", "tiny@2")["document"]
    body.update(version="90", number=90)
    return body


def changed(body, **fields):
    body = json.loads(json.dumps(body))
    for path, value in fields.items():
        at = body
        *way, last = [int(w) if w.isdigit() else w for w in path.split("__")]
        for word in way:
            at = at[word]
        at[last] = value
    return body


def rewrapped(good):
    """The same signed body in other envelopes: none may pass for another."""
    text = canonical(good).decode()
    first = good["signatures"][0]
    raw = base64.b64decode(first["sig"])
    high = raw[:32] + (ORDER_P256 - int.from_bytes(raw[32:], "big")).to_bytes(
        32, "big")

    def with_signatures(*signatures):
        return canonical(dict(good, signatures=list(signatures))).decode()
    yield "blank", "sig.format", text.replace(",", ", ")
    yield "line break", "sig.format", text + "\n"
    yield "other order", "sig.format", json.dumps(
        {k: good[k] for k in reversed(sorted(good))}, separators=(",", ":"))
    yield "escape", "sig.format", text.replace("vnd.", "vnd\\u002e")
    yield "other key", "sig.format", text[:-1] + ',"x":1}'
    yield "MD09 keyid twice", "sig.format", with_signatures(first, first)
    yield "not sorted", "sig.format", with_signatures(
        first, dict(first, keyid="0" * 64))
    yield "n - s", "sig.format", with_signatures(
        dict(first, sig=base64.b64encode(high).decode()))


def bad_documents(fleet):
    """(row, ids, envelope): what publisher, controller and device refuse."""
    body = body_of(fleet)

    def envelope(**fields):
        return json.loads(sign(changed(body, **fields), fleet.key, RELEASE))

    def shown(tree):
        return canonical(tree).decode()

    good = envelope()
    first = good["signatures"][0]
    other = os.path.join(fleet.scratch, "other.key")
    if not os.path.exists(other):
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1",
                        "-genkey", "-noout", "-out", other], check=True)

    def signed(**more):
        return shown(dict(good, signatures=[dict(first, **more)]))
    flipped = first["sig"][:20] + ("A" if first["sig"][20] != "A" else "B") + \
        first["sig"][21:]
    yield "MD02", "sig.missing", shown(dict(good, signatures=[]))
    yield "MD03", "sig.unknown_key", sign(body, other, RELEASE).decode()
    yield "MD05", "sig.bad", signed(sig=flipped)
    yield "MD06", "sig.bad", signed(sig="A" * 86 + "==")
    yield "MD08", "sig.format", signed(sig="A" * 65536)
    yield "MD15", "meta.wrong_type", sign(body, fleet.key, ORDER).decode()
    yield "MD32", "meta.schema", shown(envelope(files__0__bytes=-1))
    yield "MD32", "meta.schema", shown(
        envelope(files__0__bytes=2 ** 63 - 1))
    yield "MD32 2^63", "meta.schema", sign(json.dumps(body).replace(
        '"bytes": ', '"bytes": 9223372036854775808, "x": ', 1).encode(),
        fleet.key, RELEASE).decode()
    for digest in ("0" * 63, "0" * 65, "G" * 64, "A" * 64):
        yield "MD33", "meta.schema", shown(
            envelope(files__0__digest="sha256:" + digest))
    deep = "[" * 100000 + "]" * 100000
    yield "MD35", "meta.json_depth", deep
    text = shown(good)
    yield "MD36 BOM", "meta.json", "\ufeff" + text
    yield "MD36 NUL", "meta.json", text[:-1] + ',"a":"\\u0000"}'
    yield "MD36 surrogate", "meta.json", text[:-1] + ',"a":"\\ud800"}'
    yield "MD36 twice", "meta.json", text[:-1] + ',"payload":"x"}'
    yield "MD38", "meta.json", text + "x"
    for name in ("../../etc/passwd", "a\n", "x" * 4096, "Tiny", ""):
        yield "MD41", "meta.name", shown(
            envelope(model=name))
    yield "MD44", "meta.fleet", shown(envelope(fleet="other"))
    yield "DV15", "meta.schema", shown(envelope(crit_licence=1))
    yield from rewrapped(good)
    for cut in (0, 1, 20, len(text) // 2, len(text) - 1):
        yield "cut at %d" % cut, "meta.json", text[:cut]
    yield "payload changed", "sig.bad", shown(dict(
        good, payload=good["payload"][:40] + "AAAA" + good["payload"][44:]))


def test_bad_release_documents_are_refused_here_and_there(up):
    known = up.ask("release", "list")
    for row, ids, envelope in bad_documents(up):
        path = scratch(up, "release.json", envelope.encode())
        try:
            refused(up, 7, ids, "flotilla-updater", "release", "verify", path,
                    "--trust", up.trust)
            status, answer = rest(up, "POST", "/v1/releases",
                                  envelope.encode())
            assert 400 <= status < 500, (status, answer)
            code = answer["code"]
            assert any(code.startswith(i) for i in (
                [ids] if isinstance(ids, str) else list(ids))) or \
                code.startswith("rest."), (ids, answer)
            assert answer["fix"]
        except AssertionError as error:
            raise AssertionError(row) from error
    assert up.ask("release", "list") == known
