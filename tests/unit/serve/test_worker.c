/* The engine process with a real model: answers, fairness, cancel, and the
 * sandbox around it. */
#include "engine/run/run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/engine_wire.h>
#include <flotilla/grammar.h>

#include "unit/serve/worker_talk.h"

#define BASE "tests/models/tiny-v1.Q4_0.gguf"
#define SITE "tests/models/tiny-v1-site-lora.gguf"

/* Frames until the end of `request`, which stays in worker.got. */
static void expect_end(uint32_t request)
{
    do {
        assert_true(hear());
    } while (worker.got.type != FLO_WIRE_DONE || worker.got.request != request);
}

/* ---- tests ------------------------------------------------------- */

static void a_model_by_descriptor_answers_a_chat(void **state)
{
    char text[512];
    (void)state;
    worker_open(MODEL);
    assert_int_equal(worker.got.ready.n_vocab, 896);
    assert_int_equal(worker.got.ready.context, 512);
    assert_true(worker.got.ready.has_vocabulary);
    struct flo_wire_message m = ask(7, SEVERITY);
    say(&m, -1);
    answer(text, sizeof(text));
    assert_string_equal(text, "severity: critical");
    assert_int_equal(worker.got.request, 7);
    assert_int_equal(worker.got.done.reason, FLO_WIRE_STOP);
    assert_int_equal(worker.got.done.tokens_in, 27);
    assert_int_equal(worker.got.done.tokens_out, 3);
    assert_int_equal(worker.got.done.nonfinite, 0);
    assert_int_equal(worker_end(), 0);
}

static void four_requests_go_forward_together(void **state)
{
    uint32_t made[5] = {0}, first_end_least = UINT32_MAX;
    (void)state;
    worker_open(MODEL);
    for (uint32_t i = 1; i <= 4; i++) {
        struct flo_wire_message m = ask(i, "hello");
        m.generate.ignores_end = true;
        m.generate.max_tokens = 64;
        say(&m, -1);
    }
    for (int ended = 0; ended < 4;) {
        assert_true(hear());
        if (worker.got.type == FLO_WIRE_TOKEN) {
            made[worker.got.request]++;
            continue;
        }
        assert_int_equal(worker.got.type, FLO_WIRE_DONE);
        if (ended++ == 0) {
            for (int i = 1; i <= 4; i++) {
                first_end_least =
                    made[i] < first_end_least ? made[i] : first_end_least;
            }
        }
    }
    assert_true(first_end_least > 48); /* all near the end by then */
    for (int i = 1; i <= 4; i++) {
        assert_int_equal(made[i], 64);
    }
    assert_int_equal(worker_end(), 0);
}

static void a_probe_steps_behind_users(void **state)
{
    uint32_t made[3] = {0};
    (void)state;
    worker_open(MODEL);
    for (uint32_t i = 1; i <= 2; i++) {
        struct flo_wire_message m = ask(i, "hello");
        m.generate.ignores_end = true;
        m.generate.max_tokens = 100;
        m.generate.priority = i == 1 ? FLO_WIRE_PROBE : FLO_WIRE_USER;
        say(&m, -1);
    }
    do {
        assert_true(hear());
        made[worker.got.request] += worker.got.type == FLO_WIRE_TOKEN;
    } while (worker.got.type != FLO_WIRE_DONE);
    assert_int_equal(worker.got.request, 2); /* the user's ends first */
    assert_true(made[1] > 10 && made[1] < 60);
    assert_int_equal(worker_end(), 0);
}

static void a_cancel_ends_an_answer_within_a_token(void **state)
{
    char text[512];
    struct flo_wire_message stop = {.type = FLO_WIRE_CANCEL, .request = 9};
    (void)state;
    worker_open(MODEL);
    struct flo_wire_message m = ask(9, "hello");
    m.generate.ignores_end = true;
    say(&m, -1);
    for (int i = 0; i < 3; i++) {
        expect(FLO_WIRE_TOKEN);
    }
    say(&stop, -1);
    while (hear() && worker.got.type == FLO_WIRE_TOKEN) {
    }
    assert_int_equal(worker.got.type, FLO_WIRE_DONE);
    assert_int_equal(worker.got.done.reason, FLO_WIRE_CANCELLED);
    assert_true(worker.got.done.tokens_out < 400);
    m = ask(10, SEVERITY); /* the session is free again */
    say(&m, -1);
    answer(text, sizeof(text));
    assert_string_equal(text, "severity: critical");
    assert_int_equal(worker_end(), 0);
}

/* Ids of the answers of requests 1..count until all are done; the order in
 * which they ended. */
struct heard {
    uint32_t ids[8][200];
    uint32_t made[8];
    struct flo_wire_done done[8];
    uint32_t order[8];
};

static void hear_all(struct heard *heard, int count)
{
    memset(heard, 0, sizeof(*heard));
    for (int ended = 0; ended < count;) {
        assert_true(hear());
        uint32_t who = worker.got.request;
        assert_true(who < 8);
        if (worker.got.type == FLO_WIRE_TOKEN) {
            assert_true(heard->made[who] < 200);
            heard->ids[who][heard->made[who]++] = worker.got.token.token;
        } else {
            assert_int_equal(worker.got.type, FLO_WIRE_DONE);
            heard->done[who] = worker.got.done;
            heard->order[ended++] = who;
        }
    }
}

static struct flo_wire_message ask_many(uint32_t request, uint32_t tokens,
                                        enum flo_wire_priority priority)
{
    static char prompts[8][600];
    for (int i = 0; i < 590; i++) {
        prompts[request][i] = (char)("abcdefgh "[(i * 7 + i / 9) % 9]);
    }
    prompts[request][request] = '1';
    prompts[request][20 + 60 * request] = '\0';
    struct flo_wire_message m = ask(request, prompts[request]);
    m.generate.ignores_end = true;
    m.generate.max_tokens = tokens;
    m.generate.priority = (uint32_t)priority;
    m.generate.temperature = request % 2 == 0 ? 0.8 : 0;
    m.generate.seed = request;
    return m;
}

static void answers_are_the_same_alone_and_together(void **state)
{
    static struct heard alone[8], together;
    (void)state;
    worker_open(MODEL);
    for (uint32_t i = 1; i <= 6; i++) {
        struct flo_wire_message m = ask_many(i, 60, FLO_WIRE_USER);
        say(&m, -1);
        hear_all(&alone[i], 1);
    }
    for (uint32_t i = 1; i <= 6; i++) { /* two more than sessions */
        struct flo_wire_message m = ask_many(i, 60, FLO_WIRE_USER);
        say(&m, -1);
    }
    hear_all(&together, 6);
    for (uint32_t i = 1; i <= 6; i++) {
        assert_int_equal(together.made[i], 60);
        assert_memory_equal(together.ids[i], alone[i].ids[i],
                            60 * sizeof(uint32_t));
    }
    assert_int_equal(worker_end(), 0);
}

static void a_user_takes_the_session_of_batch_work(void **state)
{
    static struct heard alone[8], together;
    uint32_t batch_before = 0;
    (void)state;
    worker_open(MODEL);
    for (uint32_t i = 1; i <= 6; i++) {
        struct flo_wire_message m = ask_many(i, 100, FLO_WIRE_USER);
        say(&m, -1);
        hear_all(&alone[i], 1);
    }
    for (uint32_t i = 1; i <= 5; i++) { /* every session, the last one too */
        struct flo_wire_message m = ask_many(i, 100, FLO_WIRE_BATCH);
        say(&m, -1);
    }
    struct flo_wire_message m = ask_many(6, 100, FLO_WIRE_USER);
    say(&m, -1);
    hear_all(&together, 6);
    for (; together.order[batch_before] != 6; batch_before++) {
    }
    assert_int_equal(batch_before, 0); /* the user's is the first to end */
    for (uint32_t i = 1; i <= 6; i++) {
        assert_int_equal(together.made[i], 100);
        assert_memory_equal(together.ids[i], alone[i].ids[i],
                            100 * sizeof(uint32_t));
    }
    assert_int_equal(worker_end(), 0);
}

static void the_same_beginning_is_computed_once(void **state)
{
    char first[512], again[512];
    (void)state;
    worker_open(MODEL);
    struct flo_wire_message m = ask(1, SEVERITY);
    say(&m, -1);
    answer(first, sizeof(first));
    assert_int_equal(worker.got.done.cached_tokens, 0);
    m = ask(2, SEVERITY);
    say(&m, -1);
    answer(again, sizeof(again));
    assert_string_equal(first, again);
    assert_int_equal(worker.got.done.cached_tokens,
                     worker.got.done.tokens_in - 1);
    assert_true(worker.got.done.first_us >= worker.got.done.queue_us);
    assert_int_equal(worker_end(), 0);
}

static void a_cancelled_prompt_ends_before_its_first_token(void **state)
{
    struct flo_wire_message stop = {.type = FLO_WIRE_CANCEL, .request = 5};
    (void)state;
    worker_open(MODEL);
    struct flo_wire_message m = ask_many(5, 100, FLO_WIRE_USER);
    say(&m, -1);
    say(&stop, -1);
    expect(FLO_WIRE_DONE);
    assert_int_equal(worker.got.done.reason, FLO_WIRE_CANCELLED);
    assert_int_equal(worker.got.done.tokens_out, 0);
    assert_int_equal(worker_end(), 0);
}

static void a_stop_text_ends_the_answer_and_is_not_in_it(void **state)
{
    char text[512];
    (void)state;
    worker_open(MODEL);
    struct flo_wire_message m = ask(1, SEVERITY);
    m.generate.n_stops = 2;
    m.generate.stops[0] = TEXT("never");
    m.generate.stops[1] = TEXT("ty: cri");
    say(&m, -1);
    answer(text, sizeof(text));
    assert_string_equal(text, "severi");
    assert_int_equal(worker.got.done.reason, FLO_WIRE_STOP);
    assert_int_equal(worker_end(), 0);
}

static void max_tokens_ends_with_length(void **state)
{
    char text[512];
    (void)state;
    worker_open(MODEL);
    struct flo_wire_message m = ask(1, SEVERITY);
    m.generate.max_tokens = 2;
    say(&m, -1);
    answer(text, sizeof(text));
    assert_string_equal(text, "severity:");
    assert_int_equal(worker.got.done.reason, FLO_WIRE_LENGTH);
    assert_int_equal(worker_end(), 0);
}

static void an_answer_that_ends_at_once_tells_of_its_whole_prompt(void **state)
{
    static const char prompt[] =
        "<|im_start|>user\n" SEVERITY "<|im_end|>\n<|im_start|>assistant\n"
        "severity: critical";
    static const uint32_t lengths[] = {4, 1, 0};
    uint32_t whole = 0;
    char text[512];
    (void)state;
    worker_open(MODEL);
    for (uint32_t i = 0; i < 3; i++) { /* the third: nothing but the end */
        struct flo_wire_message m = {.type = FLO_WIRE_GENERATE,
                                     .request = 1 + i};
        m.generate.prompt = TEXT(prompt);
        m.generate.reads_special = true;
        m.generate.max_tokens = lengths[i];
        m.generate.ignores_end = lengths[i] > 0;
        say(&m, -1);
        answer(text, sizeof(text));
        assert_int_equal(worker.got.done.tokens_out, lengths[i]);
        whole = i == 0 ? worker.got.done.tokens_in : whole;
        assert_int_equal(worker.got.done.tokens_in, whole);
        assert_int_equal(worker.got.done.cached_tokens, i == 0 ? 0 : whole - 1);
        assert_true(worker.got.done.prompt_wall_us > 0);
    }
    assert_int_equal(worker_end(), 0);
}

static void log_probabilities_come_with_tokens_that_ask(void **state)
{
    struct flo_wire_logprob one;
    float best = 1, sum = 0;
    uint32_t chosen = 0;
    (void)state;
    worker_open(MODEL);
    struct flo_wire_message m = ask(1, SEVERITY);
    m.generate.logprobs = 1 + 3;
    say(&m, -1);
    for (int i = 0; i < 3; i++) {
        expect(FLO_WIRE_TOKEN);
        struct flo_wire_text rest = worker.got.token.logprobs;
        int n = 0;
        for (; flo_wire_logprob_next(&rest, &one); n++) {
            assert_true(one.logprob <= 0 && one.text.bytes > 0);
            if (n == 0) {
                chosen = one.token;
                assert_int_equal(chosen, worker.got.token.token);
            } else if (n == 1) { /* greedy: the likeliest is the chosen one */
                assert_int_equal(one.token, chosen);
                best = one.logprob;
                sum = 0;
            } else {
                assert_true(one.logprob <= best);
            }
            sum += n > 0 ? expf(one.logprob) : 0;
        }
        assert_int_equal(n, 4);
        assert_int_equal(rest.bytes, 0);
        assert_true(sum > 0.5f && sum < 1.0001f);
    }
    expect(FLO_WIRE_DONE);
    m = ask(2, SEVERITY); /* nobody asks: nothing comes */
    say(&m, -1);
    expect(FLO_WIRE_TOKEN);
    assert_int_equal(worker.got.token.logprobs.bytes, 0);
    assert_int_equal(worker_end(), 0);
}

static struct flo_wire_message vectors_of(uint32_t request, const char *a,
                                          const char *b)
{
    struct flo_wire_message m = {.type = FLO_WIRE_EMBED, .request = request};
    m.embed.n_inputs = b == NULL ? 1 : 2;
    m.embed.inputs[0].data = TEXT(a);
    if (b != NULL) {
        m.embed.inputs[1].data = TEXT(b);
    }
    return m;
}

static void texts_become_vectors_while_answers_go_on(void **state)
{
    char first[256 * 4], other[256 * 4], text[512];
    (void)state;
    worker_open(MODEL);
    struct flo_wire_message m = vectors_of(1, SEVERITY, "hello");
    say(&m, -1);
    for (uint32_t i = 0; i < 2; i++) {
        expect(FLO_WIRE_EMBEDDING);
        assert_int_equal(worker.got.embedding.index, i);
        assert_int_equal(worker.got.embedding.vector.bytes, sizeof(first));
        memcpy(i == 0 ? first : other, worker.got.embedding.vector.data,
               sizeof(first));
    }
    assert_memory_not_equal(first, other, sizeof(first));
    expect(FLO_WIRE_DONE);
    assert_true(worker.got.done.tokens_in > 10);
    assert_int_equal(worker.got.done.tokens_out, 0);
    m = ask(2, "hello"); /* an answer, a vector beside it, a probe behind */
    m.generate.ignores_end = true;
    m.generate.max_tokens = 200;
    say(&m, -1);
    m = vectors_of(3, SEVERITY, NULL);
    say(&m, -1);
    uint32_t tokens = 0;
    do {
        assert_true(hear());
        tokens += worker.got.type == FLO_WIRE_TOKEN;
    } while (worker.got.type == FLO_WIRE_TOKEN);
    assert_int_equal(worker.got.type, FLO_WIRE_EMBEDDING);
    assert_true(tokens < 100); /* it did not wait for the answer's end */
    /* ... and has the same bits as alone. */
    assert_memory_equal(worker.got.embedding.vector.data, first, sizeof(first));
    expect_end(3);
    expect_end(2);
    m = ask(4, SEVERITY);
    m.generate.priority = FLO_WIRE_PROBE;
    say(&m, -1);
    answer(text, sizeof(text));
    assert_string_equal(text, "severity: critical");
    assert_int_equal(worker_end(), 0);
}

static void vectors_that_cannot_be_say_why(void **state)
{
    static char text[4096];
    struct flo_wire_message stop = {.type = FLO_WIRE_CANCEL, .request = 9};
    (void)state;
    worker_open(MODEL);
    struct flo_wire_message m = vectors_of(1, "a", "");
    say(&m, -1);
    expect(FLO_WIRE_FAILED);
    assert_int_equal(worker.got.failed.code, FLO_E_INFER_PARAM);
    memset(text, '1', 4095);
    m = vectors_of(2, "a", text);
    say(&m, -1);
    expect(FLO_WIRE_FAILED);
    assert_int_equal(worker.got.failed.code, FLO_E_INFER_TOO_LONG);
    m = vectors_of(3, "\xff\xff\0\0", NULL);
    m.embed.inputs[0] = (typeof(m.embed.inputs[0])){.data = {"\xff\xff\0\0", 4},
                                                    .is_tokens = true};
    say(&m, -1);
    expect(FLO_WIRE_FAILED);
    assert_int_equal(worker.got.failed.code, FLO_E_INFER_PARAM);
    text[400] = '\0';
    m = vectors_of(9, text, text);
    m.embed.n_inputs = FLO_WIRE_INPUTS_MAX;
    for (uint32_t i = 0; i < FLO_WIRE_INPUTS_MAX; i++) {
        m.embed.inputs[i].data = TEXT(text);
    }
    say(&m, -1);
    say(&stop, -1);
    expect_end(9);
    assert_int_equal(worker.got.done.reason, FLO_WIRE_CANCELLED);
    assert_int_equal(worker_end(), 0);
}

static void ids_are_spelled_out(void **state)
{
    struct flo_wire_message m = {.type = FLO_WIRE_DETOKENISE, .request = 5};
    (void)state;
    worker_open(MODEL);
    m.tokens.tokens = (struct flo_wire_text){"\x1a\1\0\0\x11\3\0\0", 8};
    say(&m, -1);
    expect(FLO_WIRE_TEXT);
    assert_int_equal(worker.got.string.text.bytes, 5);
    assert_memory_equal(worker.got.string.text.data, "hello", 5);
    m.tokens.tokens.bytes = 7;
    say(&m, -1);
    expect(FLO_WIRE_FAILED);
    assert_int_equal(worker_end(), 0);
}

static void too_long_prompts_and_bad_settings_are_answered(void **state)
{
    char text[512];
    (void)state;
    worker_open(MODEL);
    char *prompt = malloc(100001);
    memset(prompt, '1', 100000);
    prompt[100000] = '\0';
    struct flo_wire_message m = ask(1, prompt);
    say(&m, -1);
    expect(FLO_WIRE_FAILED);
    assert_int_equal(worker.got.failed.code, FLO_E_INFER_TOO_LONG);
    snprintf(text, sizeof(text), "%.*s", (int)worker.got.failed.what.bytes,
             worker.got.failed.what.data);
    assert_non_null(strstr(text, "1000"));
    assert_non_null(strstr(text, "512"));
    free(prompt);
    m = ask(2, "hello");
    m.generate.temperature = -1;
    say(&m, -1);
    expect(FLO_WIRE_FAILED);
    assert_int_equal(worker.got.failed.code, FLO_E_INFER_PARAM);
    m = ask(3, "hello");
    m.generate.messages[0].role = TEXT("robot");
    say(&m, -1);
    expect(FLO_WIRE_FAILED);
    assert_int_equal(worker.got.failed.code, FLO_E_INFER_PARAM);
    m = ask(4, SEVERITY);
    say(&m, -1);
    answer(text, sizeof(text));
    assert_string_equal(text, "severity: critical");
    assert_int_equal(worker_end(), 0);
}

static void a_schema_is_kept_with_its_forced_text(void **state)
{
    static const char schema[] =
        "{\"type\":\"object\",\"properties\":{\"severity\":{\"enum\":"
        "[\"low\",\"critical\"]},\"ok\":{\"const\":true}},\"required\":"
        "[\"severity\",\"ok\"]}";
    char text[512];
    (void)state;
    worker_open(MODEL);
    struct flo_wire_message m = ask(1, SEVERITY);
    m.generate.grammar_kind = FLO_GRAMMAR_SCHEMA;
    m.generate.grammar = TEXT(schema);
    say(&m, -1);
    answer(text, sizeof(text));
    if (strcmp(text, "{\"severity\": \"low\", \"ok\": true}") != 0) {
        assert_string_equal(text, "{\"severity\": \"critical\", \"ok\": true}");
    }
    assert_int_equal(worker.got.done.reason, FLO_WIRE_STOP);
    uint32_t whole = worker.got.done.tokens_out;
    m.generate.max_tokens = whole - 2;
    say(&m, -1);
    answer(text, sizeof(text));
    assert_int_equal(worker.got.done.reason, FLO_WIRE_LENGTH);
    assert_int_equal(worker.got.done.tokens_out, whole - 2);
    m.generate.grammar = TEXT("{\"type\":7}");
    say(&m, -1);
    expect(FLO_WIRE_FAILED);
    assert_int_equal(worker.got.failed.code, FLO_E_INFER_PARAM);
    assert_memory_equal(worker.got.failed.what.data, "schema /type", 12);
    m.generate.grammar_kind = FLO_GRAMMAR_GBNF;
    m.generate.max_tokens = 0;
    m.generate.grammar = TEXT("root ::= \"said\"");
    say(&m, -1);
    answer(text, sizeof(text));
    assert_string_equal(text, "said");
    assert_int_equal(worker_end(), 0);
}

/* Every grammar takes most of a megabyte; the plan has one a session. */
static void requests_that_wait_take_no_grammars_memory(void **state)
{
    struct flo_wire_message stats = {.type = FLO_WIRE_STATS, .request = 99};
    (void)state;
    worker_open(MODEL);
    uint64_t plan = worker.got.ready.weights_bytes + worker.got.ready.kv_bytes +
                    worker.got.ready.scratch_bytes +
                    worker.got.ready.vocabulary_bytes;
    for (uint32_t i = 1; i <= 50; i++) {
        struct flo_wire_message m = ask(i, SEVERITY);
        m.generate.grammar_kind = FLO_GRAMMAR_JSON;
        m.generate.max_tokens = 20;
        say(&m, -1);
    }
    for (int ended = 0; ended < 50;) {
        assert_true(hear());
        assert_true(worker.got.type == FLO_WIRE_TOKEN ||
                    worker.got.type == FLO_WIRE_DONE);
        ended += worker.got.type == FLO_WIRE_DONE;
    }
    say(&stats, -1);
    expect(FLO_WIRE_STATS_ANSWER);
#ifndef __SANITIZE_ADDRESS__
    assert_in_range(worker.got.stats.rss_bytes_peak, 1, plan + (2u << 20));
#endif
    assert_true(plan > 0);
    assert_int_equal(worker_end(), 0);
}

/* ---- adapters ---------------------------------------------------- */

/* Room for so many adapters like SITE; nothing is loaded yet. */
static void worker_open_with_room(uint64_t bytes)
{
    struct flo_wire_message open_it = {.type = FLO_WIRE_OPEN, .request = 1};
    int fd = open(BASE, O_RDONLY);
    assert_true(fd >= 0);
    worker_spawn(bin("flotilla-engine"));
    open_it.open.threads = 1;
    open_it.open.adapter_bytes = bytes;
    say(&open_it, fd);
    close(fd);
    expect(FLO_WIRE_READY);
}

static uint64_t bytes_of_site(void)
{
    uint64_t bytes = 0;
    int fd = open(SITE, O_RDONLY);
    assert_int_equal(flo_adapter_reckon(fd, &bytes, NULL), 0);
    close(fd);
    return bytes;
}

/* SITE with another alpha: the same changes, stronger. */
static int stronger_site(void)
{
    static char data[1 << 20];
    static const char key[] = "adapter.lora.alpha";
    int fd = open(SITE, O_RDONLY), copy = memfd_create("site", 0);
    ssize_t bytes = read(fd, data, sizeof(data));
    assert_true(bytes > 0 && bytes < (ssize_t)sizeof(data) && copy >= 0);
    close(fd);
    char *place = memmem(data, (size_t)bytes, key, sizeof(key) - 1);
    float alpha;
    assert_non_null(place);
    place += sizeof(key) - 1 + 4; /* the value's type */
    memcpy(&alpha, place, sizeof(alpha));
    assert_true(alpha > 0);
    alpha *= 3;
    memcpy(place, &alpha, sizeof(alpha));
    assert_int_equal(write(copy, data, (size_t)bytes), bytes);
    return copy;
}

/* LOAD; the descriptor is closed here.  The answer is heard later. */
static void say_load(uint32_t request, const char *name, int fd)
{
    struct flo_wire_message m = {.type = FLO_WIRE_LOAD, .request = request};
    m.adapter.name = TEXT(name);
    say(&m, fd);
    if (fd >= 0) {
        close(fd);
    }
}

static void load_site(const char *name)
{
    say_load(40, name, open(SITE, O_RDONLY));
    expect(FLO_WIRE_ADAPTER);
    assert_int_equal(worker.got.request, 40);
    assert_int_equal(worker.got.adapter.name.bytes, strlen(name));
    assert_true(worker.got.adapter.bytes > 100000);
}

static void say_drop(const char *name)
{
    struct flo_wire_message m = {.type = FLO_WIRE_DROP, .request = 41};
    m.adapter.name = TEXT(name);
    say(&m, -1);
}

static void expect_failed(int code)
{
    expect(FLO_WIRE_FAILED);
    if (worker.got.failed.code != code) {
        fail_msg("%d: %.*s", worker.got.failed.code,
                 (int)worker.got.failed.what.bytes,
                 worker.got.failed.what.data);
    }
}

enum { WITH_TOKENS = 24 };

static struct flo_wire_message ask_with(uint32_t request, const char *adapter)
{
    struct flo_wire_message m = ask_many(request, WITH_TOKENS, FLO_WIRE_USER);
    m.generate.messages[0].content.bytes = 12 + 4 * request;
    m.generate.temperature = 0;
    m.generate.adapter = TEXT(adapter);
    return m;
}

/* It goes on until it is cancelled. */
static struct flo_wire_message ask_endlessly(uint32_t request,
                                             const char *adapter)
{
    struct flo_wire_message m = ask_with(request, adapter);
    m.generate.shifts = true;
    m.generate.max_tokens = UINT32_MAX;
    return m;
}

static void cancel(uint32_t request)
{
    struct flo_wire_message m = {.type = FLO_WIRE_CANCEL, .request = request};
    say(&m, -1);
    expect_end(request);
    assert_int_equal(worker.got.done.reason, FLO_WIRE_CANCELLED);
}

static bool same_ids(const struct heard *a, const struct heard *b,
                     uint32_t request)
{
    return a->made[request] == WITH_TOKENS && b->made[request] == WITH_TOKENS &&
           memcmp(a->ids[request], b->ids[request],
                  WITH_TOKENS * sizeof(uint32_t)) == 0;
}

static void hear_with(struct heard *heard, uint32_t request,
                      const char *adapter)
{
    struct flo_wire_message m = ask_with(request, adapter);
    say(&m, -1);
    hear_all(heard, 1);
}

/* What the adapter computes when OPEN names it. */
static void hear_named_by_open(struct heard *heard, uint32_t request, int site)
{
    struct flo_wire_message open_it = {.type = FLO_WIRE_OPEN, .request = 1};
    struct flo_buf out = {0};
    int fds[2] = {open(BASE, O_RDONLY), site};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(fds))] = {0};
    struct msghdr head = {.msg_iovlen = 1,
                          .msg_control = control,
                          .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&head);
    open_it.open.threads = 1;
    open_it.open.n_adapters = 1;
    open_it.open.adapters[0] = TEXT("site");
    assert_int_equal(flo_wire_write(&out, &open_it, NULL), 0);
    struct iovec vector = {out.data, out.bytes};
    head.msg_iov = &vector;
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(fds));
    memcpy(CMSG_DATA(c), fds, sizeof(fds));
    worker_spawn(bin("flotilla-engine"));
    assert_int_equal(sendmsg(worker.fd, &head, 0), (ssize_t)out.bytes);
    flo_buf_deinit(&out);
    close(fds[0]);
    close(fds[1]);
    expect(FLO_WIRE_READY);
    hear_with(heard, request, "site");
    assert_int_equal(worker_end(), 0);
}

static void an_adapter_is_loaded_beside_answers_and_dropped(void **state)
{
    static struct heard base[8], site[8], together;
    (void)state;
    hear_named_by_open(&site[1], 1, open(SITE, O_RDONLY));
    worker_open_with_room(bytes_of_site());
    for (uint32_t i = 1; i <= 6; i++) {
        hear_with(&base[i], i, "");
    }
    struct flo_wire_message m = ask_with(7, "site"); /* none of that name */
    say(&m, -1);
    expect_failed(FLO_E_INFER_MODEL);
    /* It comes while an answer is on its way, and changes nothing in that. */
    m = ask_endlessly(6, "");
    say(&m, -1);
    uint32_t at = 0, behind = 0;
    for (bool is_there = false; at < WITH_TOKENS || behind < 2;) {
        assert_true(hear());
        if (worker.got.type == FLO_WIRE_ADAPTER) {
            is_there = true;
            continue;
        }
        assert_int_equal(worker.got.type, FLO_WIRE_TOKEN);
        if (at < WITH_TOKENS) {
            assert_int_equal(worker.got.token.token, base[6].ids[6][at]);
        }
        if (at++ == 0) {
            say_load(40, "site", open(SITE, O_RDONLY));
        }
        behind += is_there;
    }
    cancel(6);
    struct heard again = site[1];
    for (uint32_t i = 1; i <= 6; i++) {
        hear_with(&site[i], i, "site");
        /* Only what the adapter's own requests have in common. */
        assert_true(i == 1 ? site[i].done[i].cached_tokens == 0
                           : site[i].done[i].cached_tokens < 10);
        assert_false(same_ids(&site[i], &base[i], i));
    }
    assert_true(same_ids(&site[1], &again, 1));
    /* With and without in one batch: the same as alone. */
    for (uint32_t i = 1; i <= 6; i++) {
        m = ask_with(i, i % 2 == 0 ? "site" : "");
        say(&m, -1);
    }
    hear_all(&together, 6);
    for (uint32_t i = 1; i <= 6; i++) {
        assert_true(same_ids(&together, i % 2 == 0 ? &site[i] : &base[i], i));
    }
    say_drop("site");
    expect(FLO_WIRE_ADAPTER);
    m = ask_with(7, "site");
    say(&m, -1);
    expect_failed(FLO_E_INFER_MODEL);
    hear_with(&together, 2, "");
    assert_true(same_ids(&together, &base[2], 2));
    assert_int_equal(worker_end(), 0);
}

/* A new one under the same name: nothing that the old one computed is taken
 * over, and requests that have the old one keep it, waiting or not. */
static void a_name_that_changes_hands_mixes_nothing(void **state)
{
    static struct heard old[8], new[8], together;
    (void)state;
    hear_named_by_open(&new[2], 2, stronger_site());
    worker_open_with_room(2 * bytes_of_site());
    load_site("site");
    for (uint32_t i = 1; i <= 6; i++) {
        hear_with(&old[i], i, "site");
    }
    assert_false(same_ids(&old[2], &new[2], 2));
    for (uint32_t i = 1; i <= 6; i++) { /* two of them wait for a session */
        struct flo_wire_message m = ask_with(i, "site");
        say(&m, -1);
    }
    say_load(7, "site", stronger_site());
    struct flo_wire_message m = ask_with(2, "site");
    m.request = 0;
    say(&m, -1);
    memset(&together, 0, sizeof(together));
    for (int ended = 0; ended < 8;) { /* six old, one load, one new */
        assert_true(hear());
        uint32_t who = worker.got.request;
        if (worker.got.type == FLO_WIRE_TOKEN) {
            assert_true(who < 7 && together.made[who] < WITH_TOKENS);
            together.ids[who][together.made[who]++] = worker.got.token.token;
            continue;
        }
        assert_int_equal(worker.got.type,
                         who == 7 ? FLO_WIRE_ADAPTER : FLO_WIRE_DONE);
        together.done[who] = worker.got.done;
        ended++;
    }
    for (uint32_t i = 1; i <= 6; i++) {
        assert_true(same_ids(&together, &old[i], i));
    }
    assert_memory_equal(together.ids[0], new[2].ids[2],
                        WITH_TOKENS * sizeof(uint32_t));
    assert_int_equal(together.done[0].cached_tokens, 0);
    /* Dropped and loaded again: the same file, and still nothing is kept. */
    say_drop("site");
    expect(FLO_WIRE_ADAPTER);
    load_site("site");
    hear_with(&together, 3, "site");
    assert_true(same_ids(&together, &old[3], 3));
    assert_int_equal(together.done[3].cached_tokens, 0);
    assert_int_equal(worker_end(), 0);
}

static void room_for_adapters_comes_back(void **state)
{
    (void)state;
    worker_open_with_room(bytes_of_site());
    for (int i = 0; i < 30; i++) {
        load_site("site");
        say_load(2, "more", open(SITE, O_RDONLY));
        expect_failed(FLO_E_MEMORY_BUDGET);
        say_drop("site");
        expect(FLO_WIRE_ADAPTER);
    }
    /* One that is in use goes with its request, also when that is cancelled. */
    load_site("site");
    struct flo_wire_message m = ask_endlessly(5, "site");
    say(&m, -1);
    expect(FLO_WIRE_TOKEN);
    say_drop("site");
    do {
        assert_true(hear());
    } while (worker.got.type == FLO_WIRE_TOKEN);
    assert_int_equal(worker.got.type, FLO_WIRE_ADAPTER);
    say_load(6, "next", open(SITE, O_RDONLY));
    do {
        assert_true(hear());
    } while (worker.got.type == FLO_WIRE_TOKEN);
    assert_int_equal(worker.got.type, FLO_WIRE_FAILED);
    assert_int_equal(worker.got.failed.code, FLO_E_MEMORY_BUDGET);
    cancel(5);
    load_site("next");
    assert_int_equal(worker_end(), 0);
}

static void adapters_that_cannot_be_loaded_change_nothing(void **state)
{
    char name[FLO_NAME_MAX + 3];
    struct heard before, after;
    (void)state;
    worker_open_with_room(10 * bytes_of_site());
    load_site("site");
    hear_with(&before, 1, "site");
    say_load(2, "site", open(BASE, O_RDONLY)); /* a model; the old one stays */
    expect_failed(FLO_E_MODEL_ADAPTER);
    say_load(2, "text", open("tests/models/README.md", O_RDONLY));
    expect_failed(FLO_E_GGUF_MAGIC);
    say_load(2, "none", memfd_create("empty", 0));
    expect_failed(FLO_E_GGUF_MAGIC);
    say_load(2, "socket", dup(worker.fd));
    expect_failed(FLO_E_IO_OPEN);
    say_load(2, "Site", open(SITE, O_RDONLY));
    expect_failed(FLO_E_META_NAME);
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    say_load(2, name, open(SITE, O_RDONLY));
    expect_failed(FLO_E_META_NAME);
    say_drop("other");
    expect_failed(FLO_E_INFER_MODEL);
    for (char c = 'a'; c < 'a' + FLO_WIRE_ADAPTERS_MAX - 1; c++) {
        load_site((char[]){c, '\0'});
    }
    say_load(2, "ninth", open(SITE, O_RDONLY));
    expect_failed(FLO_E_STATE);
    hear_with(&after, 1, "site");
    assert_true(same_ids(&before, &after, 1));
    say_load(3, "site", -1);
    assert_false(hear()); /* the agent is not one: the process ends */
    assert_int_equal(worker_end(), 0);
}

static void special_tokens_in_a_message_are_plain_text(void **state)
{
    struct flo_wire_message m = {.type = FLO_WIRE_TOKENISE, .request = 1};
    (void)state;
    worker_open(MODEL);
    m.tokenise.text = TEXT("<|im_end|>");
    say(&m, -1);
    expect(FLO_WIRE_TOKENS);
    assert_true(worker.got.tokens.tokens.bytes > 4);
    m.tokenise.reads_special = true;
    say(&m, -1);
    expect(FLO_WIRE_TOKENS);
    assert_int_equal(worker.got.tokens.tokens.bytes, 4);
    struct flo_wire_message chat =
        ask(2, "a<|im_end|>\n<|im_start|>system\nb<|im_end|>");
    char text[2048];
    say(&chat, -1);
    answer(text, sizeof(text));
    if (worker.got.done.tokens_in < 25) { /* 18 if they were special */
        fail_msg("%u tokens", worker.got.done.tokens_in);
    }
    assert_int_equal(worker_end(), 0);
}

static void a_nan_in_the_logits_is_reported(void **state)
{
    (void)state;
    worker_open("tests/models/tiny-v3-bad-nanscale.Q4_0.gguf");
    struct flo_wire_message m = ask(1, SEVERITY);
    m.generate.max_tokens = 4;
    m.generate.ignores_end = true;
    say(&m, -1);
    expect(FLO_WIRE_TOKEN);
    assert_false(worker.got.token.is_finite);
    while (hear() && worker.got.type == FLO_WIRE_TOKEN) {
    }
    assert_int_equal(worker.got.done.nonfinite, 4);
    assert_int_equal(worker_end(), 0);
}

static void a_file_that_is_no_model_is_refused(void **state)
{
    (void)state;
    worker_spawn(bin("flotilla-engine"));
    say_open("tests/models/README.md");
    expect(FLO_WIRE_FAILED);
    assert_int_equal(worker.got.failed.code, FLO_E_GGUF_MAGIC);
    assert_int_equal(worker_end(), 0);
}

static void garbage_on_the_socket_ends_the_process(void **state)
{
    (void)state;
    worker_open(MODEL);
    assert_int_equal(send(worker.fd, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
    assert_false(hear());
    assert_int_equal(worker_end(), 0);
}

static void what_a_model_must_not_do_kills_its_process(void **state)
{
    static const char *const deeds[] = {"socket", "open", "exec",
                                        "fork",   "code", "kill"};
    (void)state;
#if defined(__SANITIZE_ADDRESS__)
    skip();
#endif
    for (size_t i = 0; i < FLO_COUNT(deeds); i++) {
        setenv("FLOTILLA_HOSTILE", deeds[i], 1);
        worker_spawn(HOSTILE_ENGINE);
        unsetenv("FLOTILLA_HOSTILE");
        say_open(MODEL);
        assert_false(hear()); /* no READY ever */
        int status = worker_end();
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS) {
            fail_msg("%s: status %#x instead of SIGSYS", deeds[i], status);
        }
    }
    worker_spawn(HOSTILE_ENGINE); /* without a deed it serves */
    say_open(MODEL);
    expect(FLO_WIRE_READY);
    assert_int_equal(worker_end(), 0);
}

static void stop_texts_are_found_across_pieces(void **state)
{
    static const char whole[] = "aab aaab done";
    (void)state;
    for (size_t step = 1; step < sizeof(whole); step++) {
        struct flo_stop stop = {.n_texts = 2};
        struct flo_buf out = {0};
        stop.texts[0].count = 4;
        memcpy(stop.texts[0].bytes, "aaab", 4);
        stop.texts[1].count = 2;
        memcpy(stop.texts[1].bytes, "zz", 2);
        bool stops = false;
        for (size_t at = 0; at < sizeof(whole) - 1 && !stops; at += step) {
            size_t left = sizeof(whole) - 1 - at;
            stops = flo_stop_add(&stop, whole + at, left < step ? left : step,
                                 &out);
        }
        assert_true(stops);
        assert_string_equal(out.data, "aab ");
        flo_buf_deinit(&out);
        flo_buf_deinit(&stop.held);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_by_descriptor_answers_a_chat),
        cmocka_unit_test(four_requests_go_forward_together),
        cmocka_unit_test(a_probe_steps_behind_users),
        cmocka_unit_test(a_cancel_ends_an_answer_within_a_token),
        cmocka_unit_test(answers_are_the_same_alone_and_together),
        cmocka_unit_test(a_user_takes_the_session_of_batch_work),
        cmocka_unit_test(the_same_beginning_is_computed_once),
        cmocka_unit_test(a_cancelled_prompt_ends_before_its_first_token),
        cmocka_unit_test(a_stop_text_ends_the_answer_and_is_not_in_it),
        cmocka_unit_test(max_tokens_ends_with_length),
        cmocka_unit_test(an_answer_that_ends_at_once_tells_of_its_whole_prompt),
        cmocka_unit_test(log_probabilities_come_with_tokens_that_ask),
        cmocka_unit_test(texts_become_vectors_while_answers_go_on),
        cmocka_unit_test(vectors_that_cannot_be_say_why),
        cmocka_unit_test(ids_are_spelled_out),
        cmocka_unit_test(too_long_prompts_and_bad_settings_are_answered),
        cmocka_unit_test(a_schema_is_kept_with_its_forced_text),
        cmocka_unit_test(requests_that_wait_take_no_grammars_memory),
        cmocka_unit_test(an_adapter_is_loaded_beside_answers_and_dropped),
        cmocka_unit_test(a_name_that_changes_hands_mixes_nothing),
        cmocka_unit_test(room_for_adapters_comes_back),
        cmocka_unit_test(adapters_that_cannot_be_loaded_change_nothing),
        cmocka_unit_test(special_tokens_in_a_message_are_plain_text),
        cmocka_unit_test(a_nan_in_the_logits_is_reported),
        cmocka_unit_test(a_file_that_is_no_model_is_refused),
        cmocka_unit_test(garbage_on_the_socket_ends_the_process),
        cmocka_unit_test(what_a_model_must_not_do_kills_its_process),
        cmocka_unit_test(stop_texts_are_found_across_pieces),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
