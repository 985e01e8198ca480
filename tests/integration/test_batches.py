"""/v1/files and /v1/batches: bad lines, apps, a full disk, and kill -9."""
import http.client
import json
import os
import subprocess
import sys

import pytest

import sets
from batch_parts import BatchServer, lines_of, request
from test_apps import GUARD, SECRETS, write, write_rules
from test_failing_disk import fail_as, preload
from test_faults import full_disk
from test_local_api import NAME, SEVERITY, Server
from waits import HANG, until


@pytest.fixture(scope="module")
def server(bin_dir, folder):
    one = BatchServer(bin_dir, folder)
    yield one
    one.close()


def ids(lines):
    return [line["custom_id"] for line in lines]


def test_a_batch_is_answered_in_order_and_bad_lines_apart(server):
    batch = server.batch([request(0), "{half", request(1, temperature=9), "",
                          request(2, stream=True), request(3),
                          request(4, "/v1/embeddings")],
                         metadata={"night": "1"})
    seen = server.ended(batch)
    assert seen["status"] == "completed", seen
    assert seen["request_counts"] == {"total": 6, "completed": 2, "failed": 4}
    assert seen["metadata"] == {"night": "1"}
    assert seen["created_at"] <= seen["in_progress_at"] <= seen["completed_at"]
    output = server.content(seen["output_file_id"])
    assert ids(output) == ["r0", "r3"]
    assert output[0]["response"]["status_code"] == 200
    assert output[0]["response"]["body"]["object"] == "chat.completion"
    errors = server.content(seen["error_file_id"])
    assert ids(errors) == [None, "r1", "r2", "r4"]
    assert errors[0]["error"]["line"] == 2
    assert errors[1]["response"]["body"]["error"]["param"] == "temperature"
    assert "stream" in errors[2]["error"]["message"]
    assert "endpoint" in errors[3]["error"]["message"]


def test_files_are_the_owners_alone(server):
    assert os.stat(server.folder).st_mode & 0o777 == 0o700
    for name, one in sets.stats(server.folder).items():
        assert one.st_mode & 0o777 == 0o600, name


def test_a_folder_that_others_may_enter_is_refused(bin_dir, tmp_path):
    os.makedirs(os.path.join(str(tmp_path), "batches"), 0o755)
    os.chmod(os.path.join(str(tmp_path), "batches"), 0o755)
    with pytest.raises(AssertionError):
        BatchServer(bin_dir, str(tmp_path))


def test_a_custom_id_on_two_lines_fails_the_batch_with_both(server):
    seen = server.ended(server.batch([request(0), request(1), request(0)]))
    assert seen["status"] == "failed"
    (error,) = seen["errors"]["data"]
    assert error["code"] == "batch.custom_id_twice"
    assert "on line 1 and on line 3" in error["message"]
    assert seen["output_file_id"] is None


def test_lines_of_any_bytes_get_an_answer_each(server):
    """Windows' line ends, NULs, and lines beyond their limit."""
    twice = json.dumps(request(5)).replace('"r5"', '"r\\u0000%d"')
    seen = server.ended(server.batch([
        json.dumps(request(0)) + "\r", "\0", "\r", json.dumps(request(1))
        + "\0", "x" * (2 << 20), '{"custom_id":"' + "r" * 1_050_000 + '"}',
        twice % 1, twice % 2, "\ufeff" + json.dumps(request(2)),
        json.dumps(request(3)) + " " * 1_000_000]))
    assert seen["status"] == "completed", seen
    assert seen["request_counts"] == {"total": 9, "completed": 2, "failed": 7}
    assert ids(server.content(seen["output_file_id"])) == ["r0", "r3"]
    errors = server.content(seen["error_file_id"])
    assert [(line["error"]["line"], line["error"]["code"])
            for line in errors] == [
        (2, "rest.schema"), (4, "rest.schema"), (5, "rest.too_large"),
        (6, "infer.param"), (7, "rest.schema"), (8, "rest.schema"),
        (9, "rest.schema")]


@pytest.mark.parametrize("id", [
    "..%2f..%2fetc%2fpasswd", "..", "lock", "file-%00", "%ff%fe", "f" * 3000,
    "file-" + "0" * 24 + ".json", "batch-" + "0" * 24])
def test_an_id_is_no_path(server, id):
    for method, path in (("GET", "/v1/files/%s"), ("DELETE", "/v1/files/%s"),
                         ("GET", "/v1/files/%s/content"),
                         ("GET", "/v1/batches/%s"),
                         ("POST", "/v1/batches/%s/cancel")):
        status, _, answer = server.call(method, path % id)
        assert status in (400, 404, 414), (path, answer)
        assert "error" in answer, answer
    assert os.path.exists(os.path.join(server.folder, "lock"))


def test_a_file_without_a_line_fails_the_batch(server):
    seen = server.ended(server.batch(["", "  "]))
    assert seen["errors"]["data"][0]["message"] == "the file has no line"


@pytest.mark.parametrize("fields, param", [
    ({"endpoint": "/v1/models"}, "endpoint must be"),
    ({"completion_window": "1h"}, "completion_window must be 24h"),
    ({"input_file_id": 7}, "input_file_id must be"),
    ({"metadata": {"a": 1}}, "metadata must be"),
    ({"output_expires_after": {"anchor": "created_at", "seconds": 1}},
     "output_expires_after must have"),
])
def test_a_wrong_field_of_a_batch_is_named(server, fields, param):
    status, _, answer = server.call("POST", "/v1/batches", {
        "input_file_id": "file-0", "endpoint": "/v1/chat/completions",
        "completion_window": "24h", **fields})
    assert status == 400 and answer["error"]["message"].startswith(param)


def test_a_wrong_form_is_refused(server):
    assert server.upload("x", purpose="fine-tune")[0] == 400
    status, _, answer = server.upload("")
    assert status == 400 and answer["error"]["message"] == "file is empty"
    assert server.upload("x", **{"expires_after[anchor]": "created_at",
                                 "expires_after[seconds]": "60"})[0] == 400
    status, _, answer = server.call(
        "POST", "/v1/files", b"--b\r\nhalf",
        {"Content-Type": "multipart/form-data; boundary=b"})
    assert status == 400 and "end is missing" in answer["error"]["message"]
    status, _, answer = server.call(
        "POST", "/v1/files", b'--b\r\nContent-Disposition: form-data; name="file"; '
        b'filename="a\0.txt"\r\n\r\nx\r\n--b--\r\n',
        {"Content-Type": "multipart/form-data; boundary=b"})
    assert status == 400 and "NUL" in answer["error"]["message"]
    status, _, file = server.upload("x\n", **{
        "expires_after[anchor]": "created_at",
        "expires_after[seconds]": "3600"})
    assert status == 200
    assert file["expires_at"] == file["created_at"] + 3600


def test_a_file_can_be_listed_fetched_and_deleted(server):
    text = lines_of([request(0)])
    file = server.file([request(0)])
    seen = server.call("GET", "/v1/files/" + file)[2]
    assert seen["bytes"] == len(text) and seen["filename"] == "in.jsonl"
    listed = server.call("GET", "/v1/files?limit=1")[2]
    assert [one["id"] for one in listed["data"]] == [file]
    assert listed["has_more"] is True
    after = server.call("GET", "/v1/files?limit=1&after=" + file)[2]
    assert after["data"][0]["id"] != file
    assert server.call("GET", "/v1/files/%s/content" % file)[2] == text
    assert server.call("GET", "/v1/files?limit=0")[0] == 400
    assert server.call("GET", "/v1/files?order=up")[0] == 400
    assert server.call("GET", "/v1/batches?limit=100")[0] == 200
    assert server.call("GET", "/v1/batches?limit=101")[0] == 400
    assert server.call("DELETE", "/v1/files/" + file)[2] == {
        "id": file, "object": "file", "deleted": True}
    assert server.call("GET", "/v1/files/" + file)[0] == 404
    assert not os.path.exists(os.path.join(server.folder, file))


def test_a_large_file_passes_through_in_pieces(server):
    """Far more than the server holds of it at one time."""
    text = json.dumps(request(0)) + " " * 30_000_000 + "\n"
    status, _, file = server.upload(text)
    assert status == 200 and file["bytes"] == len(text)
    assert server.call("GET", "/v1/files/%s/content" % file["id"])[2] == text
    server.call("DELETE", "/v1/files/" + file["id"])


def test_answers_that_were_fetched_go_soon(server):
    seen = server.ended(server.batch([request(0)]))
    file = server.call("GET", "/v1/files/" + seen["output_file_id"])[2]
    assert file["expires_at"] == file["created_at"] + 7 * 86400
    server.content(seen["output_file_id"])
    for one in (seen["output_file_id"], seen["input_file_id"]):
        file = server.call("GET", "/v1/files/" + one)[2]
        assert file["expires_at"] < file["created_at"] + 86400


def test_a_cancelled_batch_delivers_what_it_has(server):
    batch = server.batch([request(i) for i in range(2000)])
    server.wait(batch, lambda seen: seen["request_counts"]["completed"] > 0)
    assert server.call("POST", "/v1/batches/%s/cancel" % batch)[2][
        "status"] == "cancelling"
    seen = server.ended(batch)
    assert seen["status"] == "cancelled"
    done = seen["request_counts"]["completed"]
    assert 0 < done < 2000
    assert ids(server.content(seen["output_file_id"])) == [
        "r%d" % i for i in range(done)]
    assert server.call("POST", "/v1/batches/%s/cancel" % batch)[0] == 409


def test_a_user_goes_first(server):
    batch = server.batch([request(i, max_tokens=64, ignore_eos=True)
                          for i in range(400)])
    server.wait(batch, lambda seen: seen["request_counts"]["completed"] > 0)
    for _ in range(5):
        assert server.chat(max_tokens=4)[0] == 200
    assert server.look(batch)["status"] == "in_progress"
    server.call("POST", "/v1/batches/%s/cancel" % batch)
    server.ended(batch)


def test_after_kills_every_line_is_answered_once(bin_dir, tmp_path):
    """In the look through, between answers, and close to the end."""
    one = BatchServer(bin_dir, str(tmp_path))
    count = 300
    batch = one.batch([request(i) if i != 7 else request(7, temperature=9)
                       for i in range(count)])
    one.kill()
    for part in (1, count // 3, count - 20):
        one.wait(batch, lambda seen: seen["status"] not in (
            "validating", "in_progress") or
            seen["request_counts"]["completed"] >= part)
        one.kill()
    seen = one.ended(batch)
    assert seen["status"] == "completed", seen
    assert seen["request_counts"] == {"total": count, "completed": count - 1,
                                      "failed": 1}
    assert ids(one.content(seen["output_file_id"])) == [
        "r%d" % i for i in range(count) if i != 7]
    assert ids(one.content(seen["error_file_id"])) == ["r7"]
    one.kill()
    assert one.look(batch)["status"] == "completed"
    names = sets.names(one.folder)
    assert not [n for n in names if "progress" in n or "upload" in n], names
    one.close()


def test_what_a_kill_left_behind_is_swept_away(bin_dir, tmp_path):
    one = BatchServer(bin_dir, str(tmp_path))
    kept = one.file([request(0)])
    one.process.kill()
    one.process.wait()
    torn = {"upload-" + "a" * 24: b"half", "file-" + "b" * 24: b"no document",
            "batch-" + "c" * 24 + ".progress": b"of nobody",
            kept + ".json.tmp-0123abcd": b"{half",
            "file-" + "d" * 24 + ".json": b"{half"}
    for name, data in torn.items():
        with open(os.path.join(one.folder, name), "wb") as file:
            file.write(data)
    one.kill()
    names = sets.names(one.folder)
    assert not set(torn) & set(names), names
    assert one.call("GET", "/v1/files/" + kept)[0] == 200
    one.close()


def test_a_full_folder_refuses_a_file_with_the_numbers(bin_dir, tmp_path):
    one = BatchServer(bin_dir, str(tmp_path), ("--batch-limit", "1"))
    status, _, answer = one.upload("x" * 2_000_000)
    assert status in (413, 422)
    assert one.upload("x" * 900_000)[0] == 200
    status, _, answer = one.upload("x" * 900_000)
    assert status == 422, answer
    assert answer["error"]["code"] == "disk.full"
    assert "1048576" in answer["error"]["message"]
    # The desk's own thread removes what was refused.
    until("no upload is left", lambda: not [
        n for n in sets.names(one.folder) if n.startswith("upload")])
    one.close()


def test_answers_wait_for_room_and_lose_nothing(bin_dir, tmp_path):
    one = BatchServer(bin_dir, str(tmp_path), ("--batch-limit", "1"))
    big = one.upload("x" * 1_000_000)[2]["id"]
    count = 100
    batch = one.batch([request(i) for i in range(count)])
    waits = one.wait(batch, lambda seen: seen["waits_for"])
    assert "batch_limit" in waits["waits_for"]
    assert waits["status"] == "in_progress"
    one.call("DELETE", "/v1/files/" + big)
    one.kill()  # it need not wait for its next look
    seen = one.ended(batch)
    assert seen["status"] == "completed"
    assert ids(one.content(seen["output_file_id"])) == [
        "r%d" % i for i in range(count)]
    one.close()


def fill_disk(folder):
    """Write until there is no room; the server may write meanwhile."""
    with open(os.path.join(folder, "ballast"), "wb", buffering=0) as out:
        with pytest.raises(OSError, match="No space left"):
            while True:
                out.write(b"x" * 4096)


def test_a_full_disk_refuses_files_and_keeps_answers_waiting(
        bin_dir, tmp_path):
    """With a kill while it is full, and none of its answers torn."""
    folder = os.path.join(str(tmp_path), "batches")
    os.mkdir(folder, 0o700)
    if os.getuid() != 0 or not full_disk(folder, 2):
        pytest.skip("mounting a tmpfs needs root")
    try:
        os.chmod(folder, 0o700)
        one = BatchServer(bin_dir, str(tmp_path))
        count = 200
        batch = one.batch([request(i) for i in range(count)])
        one.wait(batch, lambda seen: seen["request_counts"]["completed"] > 0)
        fill_disk(folder)
        status, _, answer = one.upload("x" * 100_000)
        assert status == 422 and answer["error"]["code"] == "disk.full", answer
        assert "No space left" in answer["error"]["message"]
        for _ in range(2):
            seen = one.wait(batch, lambda seen: seen["waits_for"])
            assert seen["waits_for"].startswith("disk.full: "), seen
            assert seen["status"] == "in_progress"
            one.kill()
        until("no upload is left", lambda: not [
            n for n in sets.names(folder) if n.startswith("upload")])
        os.unlink(os.path.join(folder, "ballast"))
        one.kill()  # it need not wait for its next look
        seen = one.ended(batch)
        assert seen["status"] == "completed", seen
        assert ids(one.content(seen["output_file_id"])) == [
            "r%d" % i for i in range(count)]
        one.close()
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_that_fails_is_tried_again_from_what_it_has(
        bin_dir, tmp_path, monkeypatch):
    for name, value in preload(str(tmp_path)).items():
        monkeypatch.setenv(name, value)
    fails = os.environ["FLO_FAILS"]
    one = BatchServer(bin_dir, str(tmp_path))
    count = 60
    file = one.file([request(i) for i in range(count)])
    for call in ("fdatasync", "pwrite"):
        fail_as(fails, call, "batches/file-")
        batch = one.call("POST", "/v1/batches", {
            "input_file_id": file, "completion_window": "24h",
            "endpoint": "/v1/chat/completions"})[2]["id"]
        seen = one.wait(batch, lambda seen: seen["waits_for"], call)
        assert "Input/output error" in seen["waits_for"]
        os.unlink(fails)
        seen = one.ended(batch)
        assert seen["request_counts"] == {"total": count, "completed": count,
                                          "failed": 0}
        assert ids(one.content(seen["output_file_id"])) == [
            "r%d" % i for i in range(count)]
    one.close()


def test_an_app_sees_its_own_alone(bin_dir, tmp_path):
    tokens = {}
    for name in ("shop", "kiosk"):
        path = os.path.join(str(tmp_path), name)
        with open(path, "w") as file:
            file.write(name * 8)
        os.chmod(path, 0o600)
        tokens[name] = path
    rules = os.path.join(str(tmp_path), "rules.yaml")
    with open(rules, "w") as file:
        file.write("tokens:\n  shop: {file: %s, requests_per_day: 2}\n"
                   "  kiosk: %s\n" % (tokens["shop"], tokens["kiosk"]))
    one = BatchServer(bin_dir, str(tmp_path), ("--rules", rules))

    def call(app, method, path, body=None, headers={}):
        if isinstance(body, dict):
            body = json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", one.port)
        connection.request(method, path, body, {
            "Authorization": "Bearer " + app * 8, **headers})
        answer = connection.getresponse()
        return answer.status, answer.headers, json.loads(answer.read())

    unix, one.call = one.call, lambda *a: call("shop", *a)
    batch = one.batch([request(i) for i in range(4)])
    seen = one.wait(batch, lambda seen: seen["waits_for"] and
                    seen["request_counts"]["completed"] == 2)
    assert "app shop: 2 of 2 requests a day are used" in seen["waits_for"]
    for path in ("/v1/batches/" + batch, "/v1/files/" + seen["input_file_id"]):
        status, _, answer = call("kiosk", "GET", path)
        none = call("kiosk", "GET", path[:-4] + "0000")
        assert status == none[0] == 404
        assert answer["error"]["message"].replace(path[-4:], "0000") == \
            none[2]["error"]["message"]
        assert unix("GET", path)[0] == 200  # the device's owner
    listed = unix("GET", "/v1/files")[2]["data"]
    assert [(one["id"], one["app"]) for one in listed] == [
        (seen["input_file_id"], "shop")]
    assert call("kiosk", "GET", "/v1/batches")[2]["data"] == []
    assert call("kiosk", "POST", "/v1/batches/%s/cancel" % batch)[0] == 404
    one.call = unix
    one.close()


def says(number, text):
    return request(number, messages=[{"role": "user", "content": text}])


def test_each_line_passes_the_guards(bin_dir, tmp_path):
    """A program looks, and behind it a model."""
    script = write(os.path.join(str(tmp_path), "guard.py"), GUARD)
    rules = write_rules(str(tmp_path), guards={
        "desk": {"command": [sys.executable, script, os.devnull, "pass"],
                 "timeout": HANG},
        "judge": {"model": NAME, "stages": ["prompt"], "timeout": "10ms",
                  "pass": "severity: crit", "refuse": "severity: low"}})
    one = BatchServer(bin_dir, str(tmp_path), ("--rules", rules))
    seen = one.ended(one.batch([
        request(0), says(1, "refuse this"), says(2, "crash now"),
        says(3, "edit " + SEVERITY), says(4, "babble"), request(5)]))
    assert seen["request_counts"] == {"total": 6, "completed": 3, "failed": 3}
    assert ids(one.content(seen["output_file_id"])) == ["r0", "r3", "r5"]
    errors = one.content(seen["error_file_id"])
    assert [(line["custom_id"], line["response"]["status_code"],
             line["response"]["body"]["error"]["code"])
            for line in errors] == [
        ("r1", 400, "infer.guard"), ("r2", 503, "infer.guard_failed"),
        ("r4", 503, "infer.guard_failed")]
    assert errors[0]["response"]["body"]["error"]["message"] == \
        "guard desk: not on this device"
    assert one.metric('flotilla_guard_verdicts_total{guard="desk",'
                      'verdict="failed"}') == 6  # three tries each
    one.close()


def test_a_response_that_a_line_keeps_is_no_other_apps(bin_dir, tmp_path):
    """A batch of who may use all, and apps with the first numbers."""
    apps = ("shop", "night", "free")
    rules = write_rules(str(tmp_path), tokens={name: {} for name in apps})
    one = BatchServer(bin_dir, str(tmp_path), ("--rules", rules))
    seen = one.ended(one.batch([
        {**request(0, "/v1/responses"), "body": {
            "model": NAME, "input": SEVERITY, "store": True}}],
        endpoint="/v1/responses"))
    body = one.content(seen["output_file_id"])[0]["response"]["body"]
    assert body["store"] is True
    for app in apps:
        assert one.tcp("Authorization: Bearer %s\r\nHost: localhost\r\n"
                       % SECRETS[app], "/v1/responses/" + body["id"]) == 404
    one.close()


def test_two_processes_never_share_a_folder(bin_dir, server, tmp_path):
    other = os.path.join(str(tmp_path), "o")
    os.mkdir(other)
    with pytest.raises(AssertionError):
        Server(bin_dir, other, options=(
            "--batch-folder", server.folder))


def test_without_a_folder_there_are_no_batches(bin_dir, tmp_path):
    one = Server(bin_dir, str(tmp_path))
    for method, path in (("GET", "/v1/files"), ("POST", "/v1/batches")):
        status, _, answer = one.call(method, path, "{}")
        assert status == 404 and "off" in answer["error"]["message"]
        assert "batch_folder" in answer["error"]["fix"]
    one.close()
