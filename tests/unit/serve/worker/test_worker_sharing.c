/* Requests that share an engine process: who goes first, and that nobody's
 * answer depends on the others. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/grammar.h>
#include <flotilla/prefix.h>

#include "tests/unit/waits.h"
#include "unit/serve/worker/worker_talk.h"

#define LONG_MODEL "tests/oracle/tiny/llama32-S-q4_0.gguf" /* context 4096 */

/* The process stands still, so that it meets all that is said at once. */
static void hold(void)
{
    waits_stop(worker.pid);
}

static void let_go(void)
{
    assert_int_equal(kill(worker.pid, SIGCONT), 0);
}

static void four_requests_go_forward_together(void **state)
{
    uint32_t made[5] = {0}, first_end_least = UINT32_MAX;
    (void)state;
    worker_open(MODEL);
    hold();
    for (uint32_t i = 1; i <= 4; i++) {
        struct flo_wire_message m = ask(i, "hello");
        m.generate.ignores_end = true;
        m.generate.max_tokens = 64;
        say(&m, -1);
    }
    let_go();
    for (int ended = 0; ended < 4;) {
        assert_true(hear());
        if (worker.got.type == FLO_WIRE_TOKEN) {
            made[worker.got.request]++;
            continue;
        }
        assert_int_equal(worker.got.type, FLO_WIRE_DONE);
        if (ended++ == 0) {
            for (int i = 1; i <= 4; i++) {
                first_end_least = made[i] < first_end_least ? made[i] : first_end_least;
            }
        }
    }
    assert_true(first_end_least > 48); /* all near the end by then */
    for (int i = 1; i <= 4; i++) {
        assert_int_equal(made[i], 64);
    }
    assert_int_equal(worker_end(), 0);
}

static void a_form_is_filled_next_to_an_older_prompt(void **state)
{
    static char words[401];
    struct flo_wire_message prompt = ask(1, words);
    struct flo_wire_message form = ask(2, "hello");
    (void)state;
    for (size_t i = 0; i + 1 < sizeof(words); i++) {
        words[i] = "7~^q"[i % 4];
    }
    prompt.generate.messages[0].content = TEXT(words);
    form.generate.grammar_kind = FLO_GRAMMAR_GBNF;
    form.generate.grammar = TEXT("root ::= [a-z] \"~^~^~^\" [a-z] \"~^~^~^\" [a-z]");
    worker_open(MODEL);
    say(&form, -1); /* its prompt is known then */
    expect_end(2);
    hold();
    say(&prompt, -1);
    say(&form, -1);
    let_go();
    do {
        assert_true(hear());
        assert_int_equal(worker.got.request, 2);
    } while (worker.got.type != FLO_WIRE_DONE);
    expect_end(1);
    assert_true(worker.got.done.tokens_in > 400);
    assert_int_equal(worker_end(), 0);
}

/* A prompt of the same letter again and again, which ends with another. */
static struct flo_wire_message long_ask(uint32_t request, size_t bytes)
{
    static char texts[8][4001];
    assert_in_range(bytes, 1, sizeof(texts[0]) - 1);
    for (size_t i = 0; i < bytes; i++) {
        texts[request][i] = "7~^q"[(i + request) % 4];
    }
    struct flo_wire_message m = {.type = FLO_WIRE_GENERATE, .request = request};
    m.generate.prompt = TEXT(texts[request]);
    m.generate.max_tokens = 2;
    m.generate.ignores_end = true;
    return m;
}

/* PONG comes just before their first pass: the process may have said much
 * before that nobody has read. */
static void say_both(const struct flo_wire_message *first, const struct flo_wire_message *second)
{
    const struct flo_wire_message ping = {.type = FLO_WIRE_PING};
    hold();
    say(&ping, -1);
    say(first, -1);
    say(second, -1);
    let_go();
    do {
        assert_true(hear());
    } while (worker.got.type == FLO_WIRE_TOKEN);
    assert_int_equal(worker.got.type, FLO_WIRE_PONG);
}

/* An answer that streams has one token of every pass: it counts them. */
static void a_short_prompt_passes_a_long_one_in_few_passes(void **state)
{
    enum { CLOCK = 1, LONG, SHORT }; /* requests */
    uint32_t passes = 0, at[SHORT + 1] = {0};
    struct flo_wire_done done[SHORT + 1] = {{0}};
    struct flo_wire_message clock = ask(CLOCK, "hello");
    struct flo_wire_message first = long_ask(LONG, 1400);
    struct flo_wire_message second = long_ask(SHORT, 30);
    struct flo_wire_message stop = {.type = FLO_WIRE_CANCEL, .request = CLOCK};
    (void)state;
    clock.generate.ignores_end = true;
    clock.generate.shifts = true;
    clock.generate.max_tokens = UINT32_MAX; /* until it is cancelled */
    worker_open(LONG_MODEL);
    say(&clock, -1);
    expect(FLO_WIRE_TOKEN);
    say_both(&first, &second);
    for (int ended = 0; ended < 2;) {
        assert_true(hear());
        if (worker.got.type == FLO_WIRE_FAILED) {
            fail_msg("%u: %.*s", worker.got.request, (int)worker.got.failed.what.bytes,
                     worker.got.failed.what.data);
        }
        uint32_t request = worker.got.request;
        passes += request == CLOCK && worker.got.type == FLO_WIRE_TOKEN;
        if (worker.got.type == FLO_WIRE_TOKEN && at[request] == 0) {
            at[request] = passes;
        }
        if (worker.got.type == FLO_WIRE_DONE) {
            done[request] = worker.got.done;
            ended++;
        }
    }
    say(&stop, -1);
    expect_end(CLOCK);
    print_message("%u tokens: %u passes; %u tokens: %u passes\n", done[LONG].tokens_in, at[LONG],
                  done[SHORT].tokens_in, at[SHORT]);
    assert_in_range(done[LONG].tokens_in, 1390, 1410);
    assert_in_range(done[SHORT].tokens_in, 28, 32);
    assert_in_range(at[LONG], 1400 / 32, 1400 / 8);
    assert_in_range(at[SHORT], 1, 4);
    assert_int_equal(worker_end(), 0);
}

static void a_probe_steps_behind_users(void **state)
{
    uint32_t made[3] = {0};
    (void)state;
    worker_open(MODEL);
    hold();
    for (uint32_t i = 1; i <= 2; i++) {
        struct flo_wire_message m = ask(i, "hello");
        m.generate.ignores_end = true;
        m.generate.max_tokens = 100;
        m.generate.priority = i == 1 ? FLO_WIRE_PROBE : FLO_WIRE_USER;
        say(&m, -1);
    }
    let_go();
    do {
        assert_true(hear());
        made[worker.got.request] += worker.got.type == FLO_WIRE_TOKEN;
    } while (worker.got.type != FLO_WIRE_DONE);
    assert_int_equal(worker.got.request, 2); /* the user's ends first */
    assert_true(made[1] > 10 && made[1] < 60);
    assert_int_equal(worker_end(), 0);
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
        assert_memory_equal(together.ids[i], alone[i].ids[i], 60 * sizeof(uint32_t));
    }
    assert_int_equal(worker_end(), 0);
}

/* The next frame, of answers without an end: their first `most` tokens. */
static void hear_first(struct heard *heard, uint32_t most)
{
    assert_true(hear());
    uint32_t who = worker.got.request;
    if (worker.got.type == FLO_WIRE_TOKEN) {
        uint32_t at = heard->made[who]++;
        if (at < most) {
            heard->ids[who][at] = worker.got.token.token;
        }
    }
}

/* The least, and the most, of what requests 1 to 5 have made since then. */
static void made_since(const struct heard *heard, const uint32_t since[8], uint32_t *least,
                       uint32_t *most)
{
    *least = UINT32_MAX;
    *most = 0;
    for (uint32_t i = 1; i <= 5; i++) {
        uint32_t made = heard->made[i] - since[i];
        *least = made < *least ? made : *least;
        *most = made > *most ? made : *most;
    }
}

static void a_user_takes_the_session_of_batch_work(void **state)
{
    enum { TOKENS = 100, USER = 6 };
    const struct flo_wire_message ping = {.type = FLO_WIRE_PING};
    static struct heard alone[8], together;
    uint32_t since[8] = {0}, least = 0, most = 0;
    (void)state;
    worker_open(MODEL);
    for (uint32_t i = 1; i <= 6; i++) {
        struct flo_wire_message m = ask_many(i, TOKENS, FLO_WIRE_USER);
        say(&m, -1);
        hear_all(&alone[i], 1);
    }
    memset(&together, 0, sizeof(together));
    hold();
    for (uint32_t i = 1; i <= 5; i++) { /* every session, the last one too */
        struct flo_wire_message m = ask_many(i, UINT32_MAX, FLO_WIRE_BATCH);
        m.generate.shifts = true; /* they go on to the test's end */
        say(&m, -1);
    }
    let_go();
    while (least == 0) { /* each has its session */
        hear_first(&together, TOKENS);
        assert_int_equal(worker.got.type, FLO_WIRE_TOKEN);
        made_since(&together, since, &least, &most);
    }
    hold();
    struct flo_wire_message m = ask_many(USER, TOKENS, FLO_WIRE_USER);
    say(&ping, -1);
    say(&m, -1);
    let_go();
    do { /* what the process said before */
        hear_first(&together, TOKENS);
    } while (worker.got.type == FLO_WIRE_TOKEN);
    assert_int_equal(worker.got.type, FLO_WIRE_PONG);
    memcpy(since, together.made, sizeof(since));
    do {
        hear_first(&together, TOKENS);
        made_since(&together, since, &least, &most);
        assert_true(most < TOKENS); /* it does not wait for their ends */
    } while (worker.got.type == FLO_WIRE_TOKEN);
    assert_int_equal(worker.got.type, FLO_WIRE_DONE);
    assert_int_equal(worker.got.request, USER);
    assert_int_equal(together.made[USER], TOKENS);
    assert_int_equal(least, 0); /* one of them gave way */
    while (least < TOKENS) {    /* the one that gave way too */
        hear_first(&together, TOKENS);
        assert_int_equal(worker.got.type, FLO_WIRE_TOKEN);
        made_since(&together, since, &least, &most);
    }
    for (uint32_t i = 1; i <= 6; i++) {
        assert_memory_equal(together.ids[i], alone[i].ids[i], TOKENS * sizeof(uint32_t));
    }
    assert_int_equal(worker_end(), 0);
}

static void say_embed(uint32_t request, uint32_t n_inputs)
{
    static struct flo_wire_message m;
    m = (struct flo_wire_message){.type = FLO_WIRE_EMBED, .request = request};
    for (m.embed.n_inputs = 0; m.embed.n_inputs < n_inputs;) {
        m.embed.inputs[m.embed.n_inputs++].data = TEXT(SEVERITY);
    }
    say(&m, -1);
}

static void vectors_do_not_wait_for_batch_work_between_two_inputs(void **state)
{
    enum { ANSWERS = 4, EMBED = 6, LATE = 7 }; /* requests */
    uint32_t vectors = 0;
    (void)state;
    worker_open(MODEL);
    for (uint32_t i = 1; i <= ANSWERS; i++) { /* only the last one is left */
        struct flo_wire_message m = ask_many(i, 200, FLO_WIRE_BATCH);
        say(&m, -1);
    }
    expect(FLO_WIRE_TOKEN);
    say_embed(EMBED, 20);
    do {
        assert_true(hear());
        assert_int_not_equal(worker.got.request, LATE);
        if (worker.got.type == FLO_WIRE_EMBEDDING && vectors++ == 0) {
            struct flo_wire_message m = ask_many(LATE, 50, FLO_WIRE_BATCH);
            say(&m, -1);
        }
    } while (worker.got.type != FLO_WIRE_DONE);
    assert_int_equal(worker.got.request, EMBED);
    assert_int_equal(vectors, 20);
    expect_end(LATE);
    assert_int_equal(worker.got.type, FLO_WIRE_DONE);
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
    assert_int_equal(worker.got.done.cached_tokens, worker.got.done.tokens_in - 1);
    assert_true(worker.got.done.first_us >= worker.got.done.queue_us);
    assert_int_equal(worker_end(), 0);
}

/* A long prompt; all of them begin with the same words. */
static const char *conversation(char letter)
{
    static char text[300] = "You see to a plant. ";
    for (size_t i = 20; i < sizeof(text) - 1; i++) {
        text[i] = i % 7 == 0 ? ' ' : (char)(letter + i % 5);
    }
    return text;
}

/* Its answer is over; tokens that were there already. */
static uint32_t cached_as(uint32_t priority, uint32_t request, const char *prompt)
{
    struct flo_wire_message m = ask(request, prompt);
    m.generate.priority = priority;
    m.generate.max_tokens = 4;
    say(&m, -1);
    expect_end(request);
    return worker.got.done.cached_tokens;
}

static uint32_t cached_of(uint32_t request, const char *prompt)
{
    return cached_as(FLO_WIRE_USER, request, prompt);
}

/* READY, or the error, with so much memory; sessions 0: what fits. */
static uint32_t sessions_in(uint64_t bytes, uint32_t sessions)
{
    struct flo_wire_message m = {.type = FLO_WIRE_OPEN, .request = 1};
    uint32_t got = 0;
    m.open.threads = 1;
    m.open.sessions = sessions;
    m.open.memory_bytes_max = bytes;
    worker_spawn(bin("flotilla-engine"));
    int fd = open("tests/models/tiny-v1.F16.gguf", O_RDONLY);
    assert_true(fd >= 0);
    say(&m, fd);
    close(fd);
    assert_true(hear());
    if (worker.got.type == FLO_WIRE_READY) {
        got = worker.got.ready.sessions;
        const struct flo_wire_ready *r = &worker.got.ready;
        assert_true(bytes == 0 || r->weights_bytes + r->kv_bytes + r->scratch_bytes +
                                          r->vocabulary_bytes + r->request_bytes <=
                                      bytes);
    }
    worker_end();
    return got;
}

static void a_small_budget_gives_fewer_sessions(void **state)
{
    uint64_t four = 0, one = 0;
    (void)state;
    assert_int_equal(sessions_in(0, 0), 4);
    assert_int_equal(sessions_in(0, 16), 16);
    /* The least memory for four; a little less is room for two or one. */
    for (uint64_t mib = 1; mib < 64 && four == 0; mib++) {
        uint32_t got = sessions_in(mib << 20, 0);
        one = one == 0 && got > 0 ? mib : one;
        four = got == 4 ? mib : 0;
    }
    assert_true(one > 0 && one < four);
    assert_int_equal(sessions_in((four - 1) << 20, 4), 0); /* asked for */
}

/* Neither by cached_tokens nor by the time that they stand for. */
static void no_client_learns_what_another_one_asked(void **state)
{
    (void)state;
    worker_open(MODEL);
    for (uint32_t client = 1; client <= 5; client++) { /* more than sessions */
        for (uint32_t again = 0; again < 2; again++) {
            struct flo_wire_message m = ask(2 * client + again, SEVERITY);
            m.generate.client = client;
            m.generate.max_tokens = 4;
            say(&m, -1);
            expect_end(2 * client + again);
            assert_int_equal(worker.got.done.cached_tokens,
                             again == 0 ? 0 : worker.got.done.tokens_in - 1);
        }
    }
    assert_int_equal(worker_end(), 0);
}

/* A system message of `public_bytes` public bytes, and a question.  Returns how
 * many tokens count as reused. */
static uint32_t cached_with_system(uint32_t request, uint64_t client, uint32_t public_bytes)
{
    static const char system[] = "You see to a plant. Its code is 4711. Never tell the code.";
    struct flo_wire_message m = ask(request, SEVERITY);
    m.generate.messages[1] = m.generate.messages[0];
    m.generate.messages[0].role = TEXT("system");
    m.generate.messages[0].content = TEXT(system);
    m.generate.n_messages = 2;
    m.generate.public_bytes = public_bytes;
    m.generate.client = client;
    m.generate.max_tokens = 4;
    say(&m, -1);
    expect_end(request);
    return worker.got.done.cached_tokens;
}

/* It is computed once, and told to nobody. */
static void a_public_system_message_counts_for_nobody(void **state)
{
    (void)state;
    worker_open(MODEL);
    for (uint32_t client = 1; client <= 5; client++) {
        assert_int_equal(cached_with_system(client, client, 58), 0);
        assert_true(client == 1 ? worker.got.done.public_tokens == 0
                                : worker.got.done.public_tokens > 20);
    }
    /* A client is told of its own. */
    assert_true(cached_with_system(7, 5, 58) > 20);
    /* Another one shares none of what is not public. */
    assert_int_equal(cached_with_system(8, 6, 0), 0);
    assert_int_equal(worker.got.done.public_tokens, 0);
    uint32_t half = cached_with_system(9, 7, 20) + worker.got.done.public_tokens;
    assert_in_range(half, 1, 20);
    assert_int_equal(worker_end(), 0);
}

static void conversations_in_turn_keep_their_sessions(void **state)
{
    (void)state;
    worker_open(MODEL);
    assert_int_equal(cached_of(1, conversation('a')), 0);
    for (uint32_t i = 0; i < 3; i++) { /* as many as there are sessions */
        uint32_t cached = cached_of(10 + i, conversation((char)('b' + i)));
        assert_in_range(cached, 4, 40); /* how it begins, copied */
    }
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t cached = cached_of(20 + i, conversation((char)('a' + i)));
        assert_true(worker.got.done.tokens_in > 100);
        assert_int_equal(cached, worker.got.done.tokens_in - 1);
    }
    assert_int_equal(worker_end(), 0);
}

static void the_conversation_of_longest_ago_gives_way(void **state)
{
    (void)state;
    worker_open(MODEL);
    for (uint32_t i = 0; i < 5; i++) { /* one more than sessions */
        (void)cached_of(1 + i, conversation((char)('a' + i)));
    }
    uint32_t cached = cached_of(12, conversation('c'));
    assert_int_equal(cached, worker.got.done.tokens_in - 1);
    assert_in_range(cached_of(11, conversation('a')), 4, 40);
    assert_int_equal(worker_end(), 0);
}

static void batch_work_leaves_users_their_sessions(void **state)
{
    (void)state;
    worker_open(MODEL);
    (void)cached_of(1, conversation('a'));
    for (uint32_t i = 0; i < 8; i++) { /* more than sessions */
        (void)cached_as(FLO_WIRE_BATCH, 10 + i, conversation((char)('b' + i)));
    }
    uint32_t cached = cached_of(2, conversation('a'));
    assert_int_equal(cached, worker.got.done.tokens_in - 1);
    assert_int_equal(worker_end(), 0);
}

static void a_conversation_outlasts_requests_that_nobody_continues(void **state)
{
    (void)state;
    worker_open(MODEL);
    for (uint32_t i = 0; i < 2; i++) {
        (void)cached_of(1 + i, conversation('a'));
    }
    for (uint32_t i = 0; i < 8; i++) { /* more than sessions */
        (void)cached_of(10 + i, conversation((char)('b' + i)));
    }
    uint32_t cached = cached_of(3, conversation('a'));
    assert_int_equal(cached, worker.got.done.tokens_in - 1);
    assert_int_equal(worker_end(), 0);
}

static void conversations_that_ended_do_not_keep_sessions_for_ever(void **state)
{
    (void)state;
    worker_open(MODEL);
    for (uint32_t i = 0; i < 8; i++) { /* all sessions, two turns each */
        (void)cached_of(1 + i, conversation((char)('a' + i / 2)));
    }
    for (uint32_t i = 0; i < 80; i++) { /* two in turn */
        (void)cached_of(10 + i, conversation((char)('e' + i % 2)));
    }
    uint32_t cached = cached_of(100, conversation('e'));
    assert_int_equal(cached, worker.got.done.tokens_in - 1);
    assert_int_equal(worker_end(), 0);
}

/* A prompt that begins as others do, for `common` bytes. */
static uint32_t cached_behind(uint32_t request, size_t common, size_t bytes, char end)
{
    char text[64];
    struct flo_wire_message m = long_ask(0, bytes);
    char *prompt = (char *)(uintptr_t)m.generate.prompt.data;
    m.request = request;
    m.generate.prompt.bytes = bytes;
    for (size_t i = common; i < bytes; i++) {
        prompt[i] = (char)(i == common ? end : prompt[i - 1] == end ? 'x' : end);
    }
    say(&m, -1);
    answer(text, sizeof(text));
    return worker.got.done.cached_tokens;
}

/* The state of the first prompt is far behind its beginning.  The second one
 * leaves a copy where both part. */
static void a_recurrent_beginning_is_kept_where_requests_part(void **state)
{
    (void)state;
    worker_open("tests/oracle/tiny/qwen3_5-q8_0.gguf");
    assert_int_equal(cached_behind(1, 90, 240, 'a'), 0);
    assert_int_equal(cached_behind(2, 90, 240, 'b'), 0);
    uint32_t cached = cached_behind(3, 90, 240, 'c');
    assert_true(cached >= FLO_PREFIX_TOKENS && cached % FLO_PREFIX_TOKENS == 0);
    assert_int_equal(cached_behind(4, 90, 240, 'd'), cached);
    assert_int_equal(worker_end(), 0);
}

/* Layers with a window have only the end of a long prompt: what they no longer
 * hold counts as computed. */
static void a_window_that_is_gone_is_not_called_cached(void **state)
{
    (void)state;
    worker_open("tests/oracle/tiny/gemma4-e-q8_0.gguf");
    assert_int_equal(cached_behind(1, 90, 1600, 'a'), 0);
    assert_in_range(worker.got.done.tokens_in, 400, 1800);
    assert_int_equal(cached_behind(2, 90, 200, 'b'), 0);
    assert_true(cached_behind(3, 90, 200, 'c') > 8); /* of the short one */
    assert_int_equal(worker_end(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_requests_go_forward_together),
        cmocka_unit_test(a_form_is_filled_next_to_an_older_prompt),
        cmocka_unit_test(a_short_prompt_passes_a_long_one_in_few_passes),
        cmocka_unit_test(a_probe_steps_behind_users),
        cmocka_unit_test(answers_are_the_same_alone_and_together),
        cmocka_unit_test(a_user_takes_the_session_of_batch_work),
        cmocka_unit_test(vectors_do_not_wait_for_batch_work_between_two_inputs),
        cmocka_unit_test(the_same_beginning_is_computed_once),
        cmocka_unit_test(a_small_budget_gives_fewer_sessions),
        cmocka_unit_test(no_client_learns_what_another_one_asked),
        cmocka_unit_test(a_public_system_message_counts_for_nobody),
        cmocka_unit_test(conversations_in_turn_keep_their_sessions),
        cmocka_unit_test(the_conversation_of_longest_ago_gives_way),
        cmocka_unit_test(batch_work_leaves_users_their_sessions),
        cmocka_unit_test(a_conversation_outlasts_requests_that_nobody_continues),
        cmocka_unit_test(conversations_that_ended_do_not_keep_sessions_for_ever),
        cmocka_unit_test(a_recurrent_beginning_is_kept_where_requests_part),
        cmocka_unit_test(a_window_that_is_gone_is_not_called_cached),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
