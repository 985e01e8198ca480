"""Images of a client, through each front to a runtime that sees, and past no
other place.  The runtime is fake_runtime.py, which tells what it got."""
import base64
import hashlib
import json
import os
import random

import pytest

import sets
from responses_parts import ASKED, COMPLIANCE, PNG, check, complies
from responses_parts import read_stream, told
from runtime_parts import Runtimes
from test_runtimes import fake, publish

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="files of runtimes.d belong to root")
URL = "data:image/png;base64," + PNG
SEEN = "data:image/png;base64 " + hashlib.sha256(
    base64.b64decode(PNG)).hexdigest()[:8]


@pytest.fixture(scope="module")
def device(fleet):
    one = Runtimes(fleet, config="guards:\n  door: {command: [/bin/true], "
                   "models: [watched], stages: [prompt]}\n")
    fake(one, abilities=["cancel", "images", "tools"])
    one.fleet.roll(publish(one, "1", "severity: low", more={ASKED: {
        "calls": [["get_weather", '{"location": "San Francisco, CA"}']]}}))
    one.model = "watched"
    one.fleet.roll(publish(one, "1", "severity: low"))
    return one.device


def post(device, path, **body):
    status, text = device.post(path, {"model": "desk", **body})
    text = text.decode()
    return status, text if body.get("stream") else json.loads(text)


def part(url=URL, **more):
    return {"type": "image_url", "image_url": {"url": url, **more}}


def words(text):
    return {"type": "text", "text": text}


def chat(device, *parts, **more):
    return post(device, "/v1/chat/completions", messages=[
        {"role": "system", "content": "look"},
        {"role": "user", "content": list(parts)}], **more)


def content(answer):
    return answer["choices"][0]["message"]["content"]


def test_images_of_a_chat_arrive_among_their_texts(device):
    status, answer = chat(device, words("before"), part(), words("and"),
                          part(detail="low"), words("after"), words("end"))
    assert status == 200, answer
    assert content(answer) == " | ".join(
        ["before", SEEN, "and", SEEN + " low", "after\nend"])
    status, text = chat(device, part(), words("b"), stream=True)
    deltas = [json.loads(line[6:])["choices"][0]["delta"].get("content", "")
              for line in text.split("\n") if line.startswith("data: {")]
    assert "".join(deltas) == SEEN + " | b"


def test_images_of_anthropics_messages_arrive(device):
    status, answer = post(
        device, "/v1/messages", max_tokens=64, messages=[
            {"role": "user", "content": [
                words("what is"),
                {"type": "image", "source": {
                    "type": "base64", "media_type": "image/png",
                    "data": PNG}}]}])
    assert status == 200, answer
    assert answer["content"][0]["text"] == "what is | " + SEEN


def test_images_of_ollamas_calls_arrive(device):
    status, answer = post(device, "/api/chat", stream=False, messages=[
        {"role": "user", "content": "what is", "images": [PNG]}])
    assert status == 200, answer
    assert answer["message"]["content"] == SEEN + " | what is"
    status, answer = post(device, "/api/generate", stream=False,
                          prompt="what is", images=[PNG])
    assert status == 200 and answer["response"] == SEEN + " | what is"
    status, answer = post(device, "/api/show")
    assert "vision" in answer["capabilities"]


@pytest.mark.parametrize("name", COMPLIANCE)
def test_open_responses_compliance(device, name):
    answer = complies(name, *post(device, "/v1/responses",
                                  **COMPLIANCE[name]))
    if name == "image":
        assert SEEN in told(answer["output"][0])


def test_a_kept_response_keeps_its_image_for_the_next(device):
    asked = COMPLIANCE["image"]["input"]
    answer = check(post(device, "/v1/responses", input=asked, store=True)[1])
    path = "/v1/responses/" + answer["id"]
    items = json.loads(device.get(path + "/input_items")[1])["data"]
    assert items[0]["content"][1]["image_url"] == URL
    status, text = post(device, "/v1/responses", stream=True,
                        previous_response_id=answer["id"], input=[
                            {"role": "user", "content": "and now?"}])
    assert status == 200 and read_stream(text)[1]["status"] == "completed"


REFUSED = {
    "link": ({"image_url": "https://example.org/a.png"},
             "a device fetches nothing for a prompt"),
    "type": ({"image_url": "data:image/svg+xml;base64,PHN2Zz4="},
             "no base64 of image/png"),
    "bytes": ({"image_url": "data:image/jpeg;base64," + PNG},
              "says image/jpeg, and its bytes are image/png"),
    "cut": ({"image_url": URL[:-1]}, "base64 is broken")}


@pytest.mark.parametrize("name", REFUSED)
def test_an_image_that_is_none_is_refused_with_its_place(device, name):
    image, says = REFUSED[name]
    status, answer = chat(device, part(image["image_url"]))
    assert status == 400 and answer["error"]["param"] == "messages"
    assert answer["error"]["message"].startswith("messages[1] has an image")
    assert says in answer["error"]["message"]
    status, answer = post(device, "/v1/responses", instructions="look", input=[
        {"role": "user", "content": "a"},
        {"role": "user", "content": [{"type": "input_image", **image}]}])
    assert status == 400 and answer["error"]["param"] == "input"
    assert answer["error"]["message"].startswith("input[1] has an image")


def test_a_guard_lets_no_image_past(device):
    status, answer = chat(device, words("a"), part(), model="watched")
    assert status == 400 and answer["error"]["message"].startswith(
        'messages[1] has an image: a guard looks at the prompts of "watched"')


def test_images_have_a_number_and_a_size(device):
    status, answer = chat(device, *[part()] * 16)
    assert status == 200 and content(answer).count(SEEN) == 16
    status, answer = chat(device, *[part()] * 17)
    assert status == 400 and "16" in answer["error"]["message"]
    large = b"\x89PNG\r\n\x1a\n" + random.Random("large").randbytes(750000)
    digest = hashlib.sha256(large).hexdigest()[:8]
    head = "data:image/png;base64,"
    status, answer = chat(device, part(
        head + base64.b64encode(large).decode()))
    assert status == 200 and digest in content(answer), answer
    status, answer = chat(device, part(
        head + base64.b64encode(large + large).decode()))
    assert status == 413 and "1048576" in answer["error"]["message"]


def test_an_image_stands_on_no_disk_and_in_no_log(device):
    mark = base64.b64encode(b"\x89PNG\r\n\x1a\n" + random.Random(
        "mark").randbytes(3000)).decode()
    url = "data:image/png;base64," + mark
    assert chat(device, part(url))[0] == 200
    assert chat(device, part(url + "AAAA"))[0] == 400  # and a refused one
    assert post(device, "/v1/responses", store=True, input=[{
        "role": "user", "content": [{"type": "input_image",
                                     "image_url": url}]}])[0] == 200
    found, files = mark[100:140].encode(), 0
    for path, data in sets.files(device.fleet.dir):
        files += 1
        assert found not in data, path
    assert files > 10
