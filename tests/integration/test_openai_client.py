"""OpenAI's own Python client, unmodified, against `flotilla-agent serve`.

Runs where `openai` can be imported: from the system, or from build/openai,
where `deploy/install-deps.sh --optional` puts it.  Otherwise skipped."""
import json
import math
import os
import signal
import sys
import threading

import pytest

import sets
from batch_parts import BatchServer, lines_of, request
from test_local_api import NAME, ROOT, SEVERITY, TOKEN, Server
from waits import HANG_S, Seen, joined, same, stopped, until

try:
    import openai
except ImportError:
    sys.path += sets.fitting(os.path.join(ROOT, "build", "openai", "lib",
                                       "python3*", "site-packages"))
    try:
        import openai
    except ImportError:
        pytest.skip("no python package 'openai': "
                    "deploy/install-deps.sh --optional",
                    allow_module_level=True)
# The HTTP library that the client came with: its name differs by version.
httpx = sys.modules.get("httpx2") or sys.modules["httpx"]

CHAT = [{"role": "user", "content": SEVERITY}]
ANSWER = "severity: critical"


@pytest.fixture(scope="module")
def server(bin_dir, folder):
    one = Server(bin_dir, folder)
    yield one
    one.close()


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url="http://127.0.0.1:%d/v1" % server.port,
                       api_key=TOKEN, max_retries=0, timeout=HANG_S) as one:
        yield one


def chat(client, **fields):
    fields.setdefault("messages", CHAT)
    fields.setdefault("temperature", 0)
    return client.chat.completions.create(model=NAME, **fields)


def test_models_are_listed_and_found(client):
    (model,) = client.models.list()
    assert model.id == NAME and model.parent is None
    assert client.models.retrieve(NAME).owned_by == "flotilla"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("none")


def test_a_chat_is_answered(client):
    answer = chat(client)
    (choice,) = answer.choices
    assert choice.message.content == ANSWER
    assert choice.message.role == "assistant"
    assert choice.finish_reason == "stop" and choice.logprobs is None
    assert answer.usage.prompt_tokens == 27
    assert answer.usage.completion_tokens == 3
    assert answer.model == NAME + "@local"


def test_a_chat_streams_with_its_usage(client):
    chunks = list(chat(client, stream=True,
                       stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks
                   if chunk.choices) == ANSWER
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks
            if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens == 30


def test_the_unix_socket_needs_no_key(server):
    transport = httpx.HTTPTransport(uds=server.socket)
    with openai.OpenAI(base_url="http://localhost/v1", api_key="none",
                       http_client=httpx.Client(transport=transport)) as one:
        assert chat(one).choices[0].message.content == ANSWER


def test_completions_whole_and_streamed(client):
    fields = dict(model=NAME, prompt="What should I do about", max_tokens=6,
                  temperature=0)
    whole = client.completions.create(**fields).choices[0]
    assert whole.finish_reason == "length" and whole.text
    pieces = client.completions.create(stream=True, **fields)
    assert "".join(piece.choices[0].text for piece in pieces) == whole.text


def test_several_answers_and_prompts(client):
    answer = chat(client, n=2)
    assert [one.message.content for one in answer.choices] == [ANSWER] * 2
    assert answer.usage.prompt_tokens == 27
    assert answer.usage.completion_tokens == 6
    ends = [choice.index for chunk in chat(client, n=3, stream=True)
            for choice in chunk.choices if choice.finish_reason]
    assert sorted(ends) == [0, 1, 2]
    prompts = ["What should I do about", "oven-95"]
    fields = dict(model=NAME, max_tokens=6, temperature=0)
    texts = [one.text for one in client.completions.create(
        prompt=prompts, **fields).choices]
    assert texts == [client.completions.create(
        prompt=prompt, **fields).choices[0].text for prompt in prompts]


def test_stop_and_seed(client):
    choice = chat(client, stop=["ty: cri"]).choices[0]
    assert choice.message.content == "severi"

    def text(seed):
        return chat(client, messages=[{"role": "user", "content": "a b c"}],
                    temperature=2, seed=seed,
                    max_tokens=30).choices[0].message.content
    assert text(7) == text(7)
    assert len({text(seed) for seed in range(5)}) > 1


def test_penalties_and_biases(client, server):
    ids = server.call("POST", "/tokenize", {"content": ANSWER})[2]["tokens"]
    banned = chat(client, logit_bias={ids[0]: -100}).choices[0]
    assert not banned.message.content.startswith(ANSWER[:3])
    liked = chat(client, logit_bias={ids[0]: 100}, max_tokens=3).choices[0]
    assert liked.message.content == 3 * ANSWER[:len(
        liked.message.content) // 3]

    def tokens(**penalties):
        text = chat(client, max_tokens=40, extra_body={"ignore_eos": True},
                    **penalties).choices[0].message.content
        return server.call("POST", "/tokenize", {"content": text})[2]["tokens"]
    plain = tokens()
    for penalties in ({"presence_penalty": 2}, {"frequency_penalty": 2}):
        assert len(set(tokens(**penalties))) > len(set(plain)), penalties
    with pytest.raises(openai.BadRequestError) as error:
        chat(client, logit_bias={10 ** 6: 1})
    assert "logit_bias names token 1000000" in error.value.message


def test_log_probabilities_of_a_chat(client):
    entries = chat(client, logprobs=True,
                   top_logprobs=5).choices[0].logprobs.content
    assert b"".join(bytes(entry.bytes) for entry in entries).decode() == ANSWER
    for entry in entries:
        assert len(entry.top_logprobs) == 5
        best = entry.top_logprobs[0]
        assert (best.token, best.logprob) == (entry.token, entry.logprob)
        likely = [other.logprob for other in entry.top_logprobs]
        assert likely == sorted(likely, reverse=True) and likely[0] <= 0
        assert math.fsum(map(math.exp, likely)) <= 1 + 1e-6
    streamed = [entry for chunk in chat(client, logprobs=True, top_logprobs=5,
                                        stream=True)
                if chunk.choices[0].logprobs
                for entry in chunk.choices[0].logprobs.content]
    assert streamed == entries
    plain = chat(client, logprobs=True).choices[0].logprobs.content
    assert [entry.top_logprobs for entry in plain] == [[]] * len(entries)


def test_log_probabilities_of_a_completion(client):
    fields = dict(model=NAME, prompt="What should I do about", max_tokens=6,
                  temperature=0, logprobs=2)
    choice = client.completions.create(**fields).choices[0]
    told = choice.logprobs
    assert "".join(told.tokens) == choice.text
    assert told.text_offset == [len("".join(told.tokens[:i]))
                                for i in range(len(told.tokens))]
    for token, logprob, top in zip(told.tokens, told.token_logprobs,
                                   told.top_logprobs):
        assert len(top) <= 2 and top[token] == logprob == max(top.values())
    streamed = [piece.choices[0].logprobs for piece in
                client.completions.create(stream=True, **fields)]
    streamed = [one for one in streamed if one]
    assert [t for one in streamed for t in one.tokens] == told.tokens
    assert [o for one in streamed for o in one.text_offset] == \
        told.text_offset
    none = client.completions.create(**dict(fields, logprobs=0))
    assert none.choices[0].logprobs.top_logprobs is None


def test_embeddings_of_texts_and_tokens(client, server):
    def vectors(value, **more):
        answer = client.embeddings.create(model=NAME, input=value, **more)
        assert [one.index for one in answer.data] == \
            list(range(len(answer.data)))
        return [one.embedding for one in answer.data], answer.usage
    (one, other), usage = vectors(["hello", "oven-95 smoke"])
    assert len(one) == 256 and one != other
    assert abs(math.fsum(x * x for x in one) - 1) < 1e-5
    ids = server.call("POST", "/tokenize", {"content": "hello",
                                            "parse_special": True})[2]
    assert usage.prompt_tokens == usage.total_tokens > ids["count"]
    # Alone, in a list, as ids, as floats or base64: the same vector.
    assert vectors("hello")[0] == [one]
    assert vectors(ids["tokens"])[0] == [one]
    assert vectors([ids["tokens"], ids["tokens"]])[0] == [one, one]
    (floats,), _ = vectors("hello", encoding_format="float")
    assert max(abs(a - b) for a, b in zip(floats, one)) < 1e-7
    with pytest.raises(openai.BadRequestError):
        vectors("")
    with pytest.raises(openai.BadRequestError) as error:
        vectors("1 " * 2000)
    assert error.value.code == "context_length_exceeded"


def test_vectors_of_fewer_dimensions(client):
    def vector(**more):
        return client.embeddings.create(model=NAME, input="oven-95 smoke",
                                        **more).data[0].embedding
    whole = vector()
    length = math.sqrt(math.fsum(x * x for x in whole[:64]))
    for more in ({}, {"encoding_format": "float"}):
        short = vector(dimensions=64, **more)
        assert max(abs(a - b / length) for a, b in zip(short, whole)) < 1e-6
        assert len(short) == 64
    assert vector(dimensions=len(whole)) == whole
    with pytest.raises(openai.BadRequestError) as error:
        vector(dimensions=257)
    assert error.value.param == "dimensions"
    assert "have 256" in error.value.message


def test_an_answer_that_was_begun_goes_on(client):
    begun = CHAT + [{"role": "assistant", "content": "severity:"}]
    assert chat(client, messages=begun).choices[0].message.content == \
        ANSWER[len("severity:"):]


def test_a_tier_says_who_waits(client, server):
    def batch():
        return server.metric("flotilla_batch_token_seconds_count")
    before = batch()
    for tier in ("auto", "default", "priority"):
        chat(client, service_tier=tier)
    assert batch() == before
    chat(client, service_tier="flex")
    until("its tokens are counted", lambda: batch() > before)
    with pytest.raises(openai.BadRequestError) as error:
        chat(client, extra_body={"service_tier": "gold"})
    assert error.value.param == "service_tier"


FORMS = [
    {"type": "object", "properties": {
        "device": {"type": "string"}, "steps": {
            "type": "array", "items": {"type": "string"}, "minItems": 2},
        "n": {"type": "integer"}}, "required": ["device", "steps", "n"]},
    {"type": "array", "items": {"anyOf": [
        {"type": "number"}, {"type": "object", "required": ["why"],
                             "properties": {"why": {"type": "string"}}}]}},
    {"$ref": "#/$defs/tree", "$defs": {"tree": {
        "type": "object", "properties": {"name": {"type": "string"}, "kids": {
            "type": "array", "items": {"$ref": "#/$defs/tree"}}},
        "required": ["name", "kids"]}}}]


@pytest.mark.parametrize("schema", FORMS, ids=["object", "list", "tree"])
def test_an_answer_of_a_form_ends_inside_its_tokens(client, schema):
    """Whatever the model would have said: here it says nearly anything."""
    ends = set()
    for tokens in range(50, 110, 4):
        answer = chat(client, max_tokens=tokens, temperature=2, seed=tokens,
                      response_format={"type": "json_schema", "json_schema": {
                          "name": "a", "schema": schema}})
        choice = answer.choices[0]
        document = json.loads(choice.message.content)
        assert isinstance(document, list if "items" in schema else dict)
        for name in schema.get("required", []):
            assert name in document
        assert answer.usage.completion_tokens <= tokens
        ends.add(choice.finish_reason)
    assert "length" in ends


def test_an_answer_keeps_a_json_schema(client):
    schema = {"type": "object", "additionalProperties": False,
              "properties": {"device": {"type": "string", "maxLength": 12},
                             "severity": {"enum": ["info", "critical"]}},
              "required": ["device", "severity"]}
    answer = chat(client, max_tokens=100, response_format={
        "type": "json_schema",
        "json_schema": {"name": "alert", "strict": True, "schema": schema}})
    value = json.loads(answer.choices[0].message.content)
    assert set(value) == {"device", "severity"}
    assert value["severity"] in ("info", "critical")


def test_errors_become_the_clients_exceptions(client, server):
    with pytest.raises(openai.BadRequestError) as error:
        chat(client, max_tokens=-1)
    assert error.value.param == "max_tokens"
    assert error.value.code == "infer.param"
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gpt-4", messages=CHAT)
    with pytest.raises(openai.AuthenticationError):
        chat(client.with_options(api_key="wrong"))
    with pytest.raises(openai.BadRequestError):
        chat(client, messages=[{"role": "user", "content": "1 " * 2000}])
    with pytest.raises(openai.APIConnectionError):
        chat(client.with_options(base_url="http://127.0.0.1:1/v1"))


def test_a_timeout_and_a_full_queue_are_told(client, server):
    cancelled = "flotilla_requests_cancelled_total"
    before = server.metric(cancelled)
    stopped(server.engine())
    answers = []
    try:
        with pytest.raises(openai.APITimeoutError):
            chat(client.with_options(timeout=httpx.Timeout(HANG_S, read=0.3)))
        until("it is cancelled", lambda: same(
            server.metric(cancelled), before + 1))
        until("none runs", lambda: same(
            server.metric("flotilla_requests_running"), 0))
        threads = [threading.Thread(target=lambda: answers.append(
            chat(client).choices[0].message.content)) for _ in range(64)]
        for thread in threads:
            thread.start()
        until("a full queue", lambda: same(
            server.metric("flotilla_requests_running"), 64))
        with pytest.raises(openai.InternalServerError) as error:
            chat(client)
        assert error.value.status_code == 503
        assert error.value.response.headers["Retry-After"] == "1"
        assert error.value.code == "infer.busy"
    finally:
        os.kill(server.engine(), signal.SIGCONT)
    for thread in threads:
        joined(thread)
    assert answers == [ANSWER] * 64


def test_closing_a_stream_frees_its_session(client, server):
    engine = server.engine()

    def running():
        return server.metric("flotilla_requests_running")

    def stream_with_more_to_come():
        stream = chat(client, stream=True, extra_body={"ignore_eos": True},
                      messages=[{"role": "user", "content": "a"}])
        next(iter(stream))
        stopped(engine)
        running()  # the next one comes behind all that the engine has said
        if running() == 1:
            return stream
        os.kill(engine, signal.SIGCONT)
        return stream.close()

    try:
        stream = until("a stream with more to come", stream_with_more_to_come)
        before = server.metric("flotilla_requests_cancelled_total")
        stream.close()
        until("it is cancelled", lambda: same(server.metric(
            "flotilla_requests_cancelled_total"), before + 1))
        until("none runs", lambda: same(running(), 0))
    finally:
        os.kill(engine, signal.SIGCONT)
    made = server.metric("flotilla_tokens_out_total")
    assert chat(client).choices[0].message.content == ANSWER
    assert server.metric("flotilla_tokens_out_total") == made + 3


def test_timings_are_apart(client, server):
    names = ["flotilla_%s_seconds" % name for name in (
        "queue", "prompt", "ttft", "token", "request")]
    before = {name: server.metric(name + "_count") for name in names}
    chat(client)
    after = {name: server.metric(name + "_count") for name in names}
    for name in names:
        more = 2 if "token" in name else 1  # three tokens have two gaps
        assert after[name] == before[name] + more
        assert server.metric(name + '_bucket{le="+Inf"}') == after[name]
        assert server.metric(name + "_sum") > 0 or "queue" in name


def test_a_batch_goes_up_works_and_comes_back(bin_dir, tmp_path):
    one = BatchServer(bin_dir, str(tmp_path))
    with openai.OpenAI(base_url="http://127.0.0.1:%d/v1" % one.port,
                       api_key=TOKEN, max_retries=0, timeout=HANG_S) as client:
        file = client.files.create(
            file=("night.jsonl", lines_of(
                [request(i) for i in range(5)] + ["{half"]).encode()),
            purpose="batch",
            expires_after={"anchor": "created_at", "seconds": 3600})
        assert file.purpose == "batch" and file.filename == "night.jsonl"
        assert file.expires_at == file.created_at + 3600
        assert client.files.retrieve(file.id).bytes == file.bytes
        assert [f.id for f in client.files.list(purpose="batch")] == [file.id]
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions",
            completion_window="24h", metadata={"night": "1"})
        assert batch.status == "validating" and batch.object == "batch"

        def look():
            seen = client.batches.retrieve(batch.id)
            return seen.status == "completed" and seen or Seen(seen)
        done = until("the batch", look)
        assert done.request_counts.total == 6
        assert done.request_counts.completed == 5
        assert done.request_counts.failed == 1
        assert [b.id for b in client.batches.list(limit=1)] == [batch.id]
        lines = client.files.content(done.output_file_id).text.splitlines()
        assert [json.loads(line)["custom_id"] for line in lines] == [
            "r%d" % i for i in range(5)]
        errors = client.files.content(done.error_file_id).text
        assert json.loads(errors)["error"]["line"] == 6
        assert client.files.delete(file.id).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(file.id)
        with pytest.raises(openai.ConflictError):
            client.batches.cancel(batch.id)
    one.close()
