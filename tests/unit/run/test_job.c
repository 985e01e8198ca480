/* One request: guesses, pauses, a full context, what it takes from others. */
#include "engine/run/run.h"

#include "engine/model/session.h"
#include "engine/publish/draft/table_make.h"
#include "engine/token/vocab/vocab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MODEL "tests/models/tiny-v2.Q4_0.gguf"
#define HYBRID "tests/oracle/tiny/granite4-h-moe-q8_0.gguf"
#define TEXT(t) ((struct flo_wire_text){t, strlen(t)})

enum { CONTEXT = 128, IDS_MAX = 512 };

/* Guesses cost nothing, so they are always tried. */
static struct flo_drafting free_guesses = {
    .costs = {.single_us = 1000, .row_share = 0.01f, .prompt_row_us = 10}};

struct world {
    struct flo_engine *engine;
    struct flo_session *sessions[3];
    struct flo_sampler *samplers[3];
};

static struct world world_of_model(const char *model, uint32_t context, const char *chat_template)
{
    static const struct flo_sampling greedy;
    const struct flo_engine_options options = {.context = context,
                                               .sessions = 3,
                                               .threads = 2,
                                               .adapter_bytes = 4u << 20,
                                               .chat_template = chat_template};
    struct world world = {0};
    struct flo_err err = {0};

    if (flo_engine_open(model, &options, &world.engine, &err) < 0) {
        fail_msg("%s", err.what);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(flo_session_open(world.engine, &world.sessions[i], NULL), 0);
        assert_int_equal(flo_sampler_open(world.engine, &greedy, &world.samplers[i], NULL), 0);
    }
    return world;
}

static struct world world_with(uint32_t context, const char *chat_template)
{
    return world_of_model(MODEL, context, chat_template);
}

static struct world world_of(uint32_t context)
{
    return world_with(context, NULL);
}

static struct world world_open(void)
{
    return world_of(CONTEXT);
}

static void world_close(struct world *world)
{
    for (int i = 0; i < 3; i++) {
        flo_session_close(world->sessions[i]);
        flo_sampler_close(world->samplers[i]);
    }
    flo_engine_close(world->engine);
}

static struct flo_wire_message ask(const char *prompt, uint32_t max_tokens)
{
    struct flo_wire_message m = {.type = FLO_WIRE_GENERATE, .request = 1};

    m.generate.n_messages = 1;
    m.generate.messages[0].role = TEXT("user");
    m.generate.messages[0].content = TEXT(prompt);
    m.generate.max_tokens = max_tokens;
    m.generate.ignores_end = true;
    return m;
}

static struct flo_job *job_of(const struct world *world, const struct flo_wire_message *message)
{
    struct flo_job *job = NULL;
    struct flo_err err = {0};

    if (flo_job_new(world->engine, message, &job, &err) < 0) {
        fail_msg("%s", err.what);
    }
    return job;
}

static void start(const struct world *world, struct flo_job *job, int slot, int from)
{
    uint32_t common = flo_job_common(job, world->sessions[from]);
    assert_int_equal(flo_job_start(job, world->sessions[slot], world->sessions[from], common,
                                   world->samplers[slot], NULL),
                     0);
}

/* Up to `passes` passes; false: the job has ended. */
static bool go_on(const struct world *world, struct flo_job *job, struct flo_drafting *drafting,
                  struct flo_buf *out, int passes)
{
    for (int i = 0; i < passes; i++) {
        struct flo_step step;
        uint32_t pending = flo_job_pending(job);

        flo_job_prepare(job, pending < 20 ? pending : 20, drafting, out, &step);
        assert_int_equal(flo_engine_step(world->engine, &step, 1, NULL, NULL, NULL), 0);
        if (flo_job_finish(job)) {
            return false;
        }
    }
    return true;
}

struct answer {
    uint32_t ids[IDS_MAX];
    size_t count;
    struct flo_wire_done done;
};

static struct answer read_answer(struct flo_buf *out)
{
    struct flo_wire_message got;
    struct answer answer = {0};
    size_t at = 0;

    while (at < out->bytes) {
        ptrdiff_t n = flo_wire_read(out->data + at, out->bytes - at, &got, NULL);

        assert_true(n > 0);
        at += (size_t)n;
        if (got.type == FLO_WIRE_DONE) {
            answer.done = got.done;
        } else {
            assert_int_equal(got.type, FLO_WIRE_TOKEN);
            assert_true(answer.count < IDS_MAX);
            answer.ids[answer.count++] = got.token.token;
        }
    }
    flo_buf_deinit(out);
    return answer;
}

static struct answer run(const struct world *world, const struct flo_wire_message *message,
                         int slot, int from, struct flo_drafting *drafting)
{
    struct flo_job *job = job_of(world, message);
    struct flo_buf out = {0};

    start(world, job, slot, from);
    assert_false(go_on(world, job, drafting, &out, 10000));
    flo_job_free(job);
    return read_answer(&out);
}

static void expect_same(const struct answer *a, const struct answer *b)
{
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->ids, b->ids, a->count * sizeof(a->ids[0]));
    assert_int_equal(a->done.reason, b->done.reason);
    assert_int_equal(a->done.tokens_in, b->done.tokens_in);
    assert_int_equal(a->done.tokens_out, b->done.tokens_out);
}

/* ---- tests ---- */

/* `biases` make few tokens likely, so that an answer repeats itself. */
static void expect_answers_of_one(struct world *world, struct flo_wire_text biases)
{
    static const double temperatures[] = {0, 0.3, 0.8, 1.5};
    uint32_t right = 0;

    for (size_t t = 0; t < FLO_COUNT(temperatures); t++) {
        for (uint64_t seed = 1; seed <= 2; seed++) {
            struct flo_wire_message m = ask("abc abc abc abc 1 2 3 1 2 3 1 2", 48);

            m.generate.temperature = temperatures[t];
            m.generate.repeat_penalty = seed % 2 == 0 ? 1.1 : 0;
            m.generate.frequency_penalty = seed % 2 == 0 ? 0 : 0.2;
            m.generate.top_k = 40;
            m.generate.seed = seed;
            m.generate.biases = biases;
            struct answer plain = run(world, &m, 0, 0, NULL);
            struct answer guessed = run(world, &m, 1, 1, &free_guesses);
            expect_same(&plain, &guessed);
            assert_int_equal(plain.count, 48);
            assert_int_equal(plain.done.guessed, 0);
            assert_true(guessed.done.guessed >= guessed.done.guessed_right);
            right += guessed.done.guessed_right;
            m.generate.no_drafts = true;
            guessed = run(world, &m, 2, 2, &free_guesses);
            assert_int_equal(guessed.done.guessed, 0);
        }
    }
    assert_true(right > 8); /* else this would prove nothing */
}

static void guesses_change_no_answer(void **state)
{
    struct world world = world_open();

    (void)state;
    expect_answers_of_one(&world, (struct flo_wire_text){0});
    world_close(&world);
}

/* A wrong guess leaves a state that has seen it. */
static void guesses_change_no_answer_of_a_recurrent_model(void **state)
{
    struct world world = world_of_model(HYBRID, CONTEXT, NULL);
    struct flo_buf biases = {0};

    (void)state;
    for (int32_t token = 40; token < 43; token++) {
        flo_wire_bias_add(&biases, token, 40);
    }
    expect_answers_of_one(&world, (struct flo_wire_text){biases.data, biases.bytes});
    flo_buf_deinit(&biases);
    world_close(&world);
}

/* ---- draft files ---- */

/* A table of the model's own answer to this request. */
static int table_of(const struct world *world, const struct flo_wire_message *message,
                    const struct answer *said)
{
    struct flo_job *job = job_of(world, message);
    uint32_t n_vocab = flo_engine_info(world->engine)->n_vocab, n_prompt = job->n_prompt;
    struct flo_draft_maker *maker = NULL;
    struct flo_buf file = {0};
    int32_t tokens[IDS_MAX];
    int fd = memfd_create("draft", MFD_CLOEXEC);

    memcpy(tokens, job->tokens, n_prompt * sizeof(*tokens));
    memcpy(tokens + n_prompt, said->ids, said->count * sizeof(*tokens));
    flo_job_free(job);
    assert_int_equal(flo_draft_maker_open(4, n_vocab, 1000, &maker, NULL), 0);
    assert_int_equal(
        flo_draft_maker_add(maker, tokens, n_prompt, n_prompt + (uint32_t)said->count, NULL), 0);
    assert_int_equal(
        flo_draft_maker_write(maker, flo_vocabulary_checksum(world->engine), &file, NULL), 0);
    flo_draft_maker_close(maker);
    assert_int_equal(write(fd, file.data, file.bytes), file.bytes);
    flo_buf_deinit(&file);
    return fd;
}

/* Answers with this draft file (closed), whose guesses cost next to nothing:
 * they are the same as without it, and most of their tokens were guessed. */
static void expect_drafted(const struct world *world, const struct flo_wire_message *message,
                           const struct answer *plain, int fd)
{
    struct flo_drafting drafting = {
        .costs = {.single_us = 1e9f, .row_share = 0.01f, .prompt_row_us = 1e7f}};
    const struct flo_drafter_options options = {.threads = 1};
    struct flo_err err = {0};

    if (flo_drafter_open_fd(fd, world->engine, &options, &drafting.drafter, &err) < 0) {
        fail_msg("%s", err.what);
    }
    close(fd);
    for (int turn = 0; turn < 2; turn++) { /* the second goes on where the first ended */
        struct answer drafted = run(world, message, 1, 1, &drafting);
        expect_same(plain, &drafted);
        assert_true(drafted.done.guessed_right * 2 > drafted.count);
    }
    flo_drafter_close(drafting.drafter);
}

static void a_draft_model_keeps_nothing_for_the_next_client(void **state)
{
    static const int32_t tokens[] = {5, 6, 7, 8};
    const struct flo_drafter_options options = {.threads = 1};
    struct world world = world_open();
    struct flo_drafter *drafter = NULL;
    int32_t guess;
    int fd = open(MODEL, O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(flo_drafter_open_fd(fd, world.engine, &options, &drafter, NULL), 0);
    close(fd);
    assert_int_equal(flo_drafter_lag(drafter, 0, tokens, 4), 4);
    assert_int_equal(flo_drafter_guess(drafter, 0, tokens, 4, &guess, 1), 1);
    assert_int_equal(flo_drafter_lag(drafter, 0, tokens, 4), 1);
    flo_drafter_forget(drafter, 0);
    assert_int_equal(flo_drafter_lag(drafter, 0, tokens, 4), 4);
    flo_drafter_close(drafter);
    world_close(&world);
}

static void a_draft_file_guesses_most_of_an_answer(void **state)
{
    struct flo_wire_message m = ask("What should I do about smoke?", 40);
    struct world world = world_open();

    (void)state;
    m.generate.ignores_end = true;
    struct answer plain = run(&world, &m, 0, 0, NULL);
    assert_int_equal(plain.count, 40);
    expect_drafted(&world, &m, &plain, table_of(&world, &m, &plain));
    expect_drafted(&world, &m, &plain, open(MODEL, O_RDONLY | O_CLOEXEC));
    world_close(&world);
}

static void a_stop_text_ends_an_answer_inside_a_guess(void **state)
{
    struct world world = world_open();
    struct flo_wire_message m = ask("Classify: 23:45 oven-95 voltage drop", 40);

    (void)state;
    m.generate.ignores_end = false;
    m.generate.n_stops = 2;
    m.generate.stops[0] = TEXT("never");
    m.generate.stops[1] = TEXT("Worst: oven");
    struct answer plain = run(&world, &m, 0, 0, NULL);
    struct answer guessed = run(&world, &m, 1, 1, &free_guesses);
    expect_same(&plain, &guessed);
    assert_int_equal(plain.done.reason, FLO_WIRE_STOP);
    assert_int_equal(plain.done.stop, 2);
    m.generate.n_stops = 1;
    assert_int_equal(run(&world, &m, 0, 0, NULL).done.stop, 0);
    world_close(&world);
}

static void a_template_is_told_the_date_of_the_request(void **state)
{
    static const struct {
        uint64_t now_ms;
        const char *text;
    } rows[] = {{0, "2026-01-01"}, {86400000, "1970-01-02"}};
    struct world world = world_with(CONTEXT, "{{ strftime_now('%Y-%m-%d') }}{% for m in messages %}"
                                             "{{ m.content }}{% endfor %}");
    struct flo_wire_message m = ask("", 1);

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_buf text = {0};
        m.generate.now_ms = rows[i].now_ms;
        struct flo_job *job = job_of(&world, &m);
        assert_int_equal(
            flo_engine_detokenise(world.engine, job->tokens, job->n_prompt, false, &text, NULL), 0);
        flo_buf_add(&text, "", 1);
        assert_string_equal(text.data, rows[i].text);
        flo_buf_deinit(&text);
        flo_job_free(job);
    }
    world_close(&world);
}

static void a_paused_answer_goes_on_as_if_nothing_was(void **state)
{
    struct world world = world_open();
    struct flo_wire_message m = ask("hello", 32);

    (void)state;
    m.generate.temperature = 0.9;
    m.generate.repeat_penalty = 1.1;
    m.generate.seed = 7;
    struct answer whole = run(&world, &m, 0, 0, NULL);
    for (int passes = 1; passes < 30; passes += 9) {
        struct flo_job *job = job_of(&world, &m);
        struct flo_buf out = {0};

        flo_session_reset(world.sessions[0]);
        start(&world, job, 0, 0);
        assert_true(go_on(&world, job, NULL, &out, passes));
        flo_job_pause(job);
        /* Another one took the session; nothing of ours is left there. */
        flo_session_reset(world.sessions[0]);
        flo_session_reset(world.sessions[1]);
        start(&world, job, 1, 1);
        assert_false(go_on(&world, job, NULL, &out, 1000));
        flo_job_free(job);
        struct answer paused = read_answer(&out);
        expect_same(&whole, &paused);
    }
    world_close(&world);
}

static void a_shifted_answer_that_was_paused_has_the_same_penalties(void **state)
{
    struct world world = world_open();
    struct flo_wire_message m = ask("hello", 200);

    (void)state;
    m.generate.temperature = 0.9;
    m.generate.repeat_penalty = 1.3;
    m.generate.repeat_last = 120;
    m.generate.presence_penalty = 0.5;
    m.generate.frequency_penalty = 0.1;
    m.generate.seed = 7;
    m.generate.shifts = true;
    struct answer whole = run(&world, &m, 0, 0, NULL);
    assert_int_equal(whole.count, 200);
    for (int passes = 120; passes < 150; passes += 5) {
        struct flo_job *job = job_of(&world, &m);
        struct flo_buf out = {0};

        start(&world, job, 0, 0);
        assert_true(go_on(&world, job, NULL, &out, passes));
        flo_job_pause(job);
        start(&world, job, 1, 0);
        assert_false(go_on(&world, job, NULL, &out, 1000));
        flo_job_free(job);
        struct answer paused = read_answer(&out);
        expect_same(&whole, &paused);
    }
    world_close(&world);
}

static void a_common_beginning_is_not_computed_again(void **state)
{
    static const char before[] = "You are a careful assistant. One: ";
    struct world world = world_open();
    struct flo_wire_message first = ask(before, 10);
    struct flo_wire_message next = ask("You are a careful assistant. Two", 10);

    (void)state;
    struct answer cold = run(&world, &next, 0, 0, NULL);
    assert_int_equal(cold.done.cached_tokens, 0);
    flo_session_reset(world.sessions[0]);
    struct answer other = run(&world, &first, 1, 1, NULL);
    assert_int_equal(other.done.cached_tokens, 0);

    struct answer copied = run(&world, &next, 0, 1, NULL);
    struct answer again = run(&world, &next, 0, 0, NULL);

    expect_same(&cold, &copied);
    expect_same(&cold, &again);
    assert_true(copied.done.cached_tokens >= 8);
    assert_true(copied.done.cached_tokens < copied.done.tokens_in);
    assert_int_equal(again.done.cached_tokens, again.done.tokens_in - 1);
    world_close(&world);
}

static void a_beginning_is_not_shared_by_jobs_of_other_adapters(void **state)
{
    struct world world = world_open();
    struct flo_wire_message message = ask("temp=71C level=WARN", 6);
    struct flo_adapter *adapter = NULL;
    struct flo_err err = {0};
    struct flo_buf out = {0};

    (void)state;
    if (flo_adapter_open(world.engine, "tests/models/tiny-v1-site-lora.gguf", &adapter, &err) < 0) {
        fail_msg("%s", err.what);
    }
    struct flo_job *base = job_of(&world, &message);
    struct flo_job *site = job_of(&world, &message);
    struct flo_job *half = job_of(&world, &message);
    site->adapter = half->adapter = adapter;
    site->adapter_scale = 1;
    half->adapter_scale = 0.5f;
    start(&world, base, 0, 0);
    assert_false(go_on(&world, base, NULL, &out, 100));

    /* The base's computations do not help the others, nor the reverse. */
    assert_true(flo_job_common(base, world.sessions[0]) > 8);
    assert_int_equal(flo_job_common(site, world.sessions[0]), 0);
    start(&world, site, 1, 0);
    assert_false(go_on(&world, site, NULL, &out, 100));
    assert_true(flo_session_has_adapter(world.sessions[1], adapter, 1));
    assert_true(flo_job_common(site, world.sessions[1]) > 8);
    assert_int_equal(flo_job_common(base, world.sessions[1]), 0);
    assert_int_equal(flo_job_common(half, world.sessions[1]), 0);
    /* A session that had one is the base's for a job without. */
    struct flo_job *again = job_of(&world, &message);
    start(&world, again, 1, 0);
    assert_true(flo_session_has_adapter(world.sessions[1], NULL, 0));
    assert_true(flo_session_position(world.sessions[1]) > 8);

    flo_job_free(base);
    flo_job_free(site);
    flo_job_free(half);
    flo_job_free(again);
    flo_buf_deinit(&out);
    flo_adapter_close(adapter);
    world_close(&world);
}

/* The same with the engine's plain calls: all is computed again after a shift.
 */
static size_t shifted_answer(const struct world *world, const int32_t *prompt, size_t count,
                             size_t kept, size_t wanted, uint32_t *ids)
{
    int32_t tokens[CONTEXT];
    struct flo_sampler *sampler = world->samplers[2];
    struct flo_session *session = world->sessions[2];
    size_t made = 0;

    memcpy(tokens, prompt, count * sizeof(*tokens));
    flo_session_reset(session);
    while (made < wanted) {
        struct flo_sample sample;

        uint32_t at = flo_session_position(session);
        assert_int_equal(
            flo_session_decode(session, tokens + at, count - at, FLO_LOGITS_LAST, NULL), 0);
        flo_sampler_sample(sampler, flo_session_logits(session), &sample);
        tokens[count++] = sample.token;
        ids[made++] = (uint32_t)sample.token;
        if (count == CONTEXT) {
            size_t dropped = (count - kept + 1) / 2;
            memmove(tokens + kept, tokens + kept + dropped,
                    (count - kept - dropped) * sizeof(*tokens));
            count -= dropped;
            flo_session_reset(session);
        }
    }
    return made;
}

static void a_full_context_is_shifted_if_asked_for(void **state)
{
    static const struct flo_sampling greedy;
    struct world world = world_open();
    struct flo_wire_message m = ask("hello", 200);
    int32_t prompt[CONTEXT];
    uint32_t expected[200];
    size_t count = 0, kept = 0;

    (void)state;
    m.generate.n_messages = 2;
    m.generate.messages[1] = m.generate.messages[0];
    m.generate.messages[0].role = TEXT("system");
    m.generate.messages[0].content = TEXT("Be short.");
    const struct flo_engine_message said[2] = {{.role = "system", .text = "Be short.", .bytes = 9},
                                               {.role = "user", .text = "hello", .bytes = 5}};
    const struct flo_engine_message nothing[2] = {
        {.role = "system", .text = "Be short.", .bytes = 9},
        {.role = "user", .text = "", .bytes = 0}};
    int32_t head[CONTEXT];
    size_t head_count = 0;
    assert_int_equal(flo_engine_chat(world.engine, said, 2, prompt, CONTEXT, &count, NULL), 0);
    assert_int_equal(flo_engine_chat(world.engine, nothing, 2, head, CONTEXT, &head_count, NULL),
                     0);
    while (kept < head_count && head[kept] == prompt[kept]) {
        kept++;
    }
    assert_true(kept > 4);
    struct answer cut = run(&world, &m, 0, 0, NULL);
    assert_int_equal(cut.done.reason, FLO_WIRE_LENGTH);
    assert_int_equal(cut.count, CONTEXT - count);

    m.generate.shifts = true;
    struct answer plain = run(&world, &m, 0, 0, NULL);
    struct answer guessed = run(&world, &m, 1, 1, &free_guesses);

    assert_int_equal(plain.count, 200);
    assert_int_equal(plain.done.tokens_in, count);
    expect_same(&plain, &guessed);
    assert_int_equal(flo_sampler_reset(world.samplers[2], &greedy, NULL), 0);
    shifted_answer(&world, prompt, count, kept, 200, expected);
    assert_memory_equal(plain.ids, expected, sizeof(expected));
    world_close(&world);
}

static void a_context_without_room_for_a_shift_ends_the_answer(void **state)
{
    static const char token[4] = {5};

    (void)state;
    for (uint32_t context = 2; context <= 3; context++) {
        struct world world = world_of(context);
        struct flo_wire_message m = {.type = FLO_WIRE_GENERATE};

        m.generate.tokens = (struct flo_wire_text){token, sizeof(token)};
        m.generate.max_tokens = 20;
        m.generate.ignores_end = m.generate.shifts = true;
        struct answer answer = run(&world, &m, 0, 0, NULL);
        assert_int_equal(answer.done.reason, FLO_WIRE_LENGTH);
        assert_int_equal(answer.count, context == 2 ? 1 : 20);
        world_close(&world);
    }
}

/* A grammar whose beginning would fill the context before the prompt is
 * computed: the shift comes after it. */
static void a_forced_beginning_is_told_whole_before_a_shift(void **state)
{
    struct world world = world_open();
    struct flo_wire_message m = ask("Classify: 23:45 oven-95 voltage drop", 140);
    char grammar[256] = "root ::= \"";
    struct flo_buf text = {0};

    (void)state;
    for (size_t i = 0; i < 110; i++) {
        strcat(grammar, i % 2 == 0 ? "~" : "^");
    }
    strcat(grammar, "\" [a-z]*");
    m.generate.shifts = true;
    m.generate.grammar_kind = FLO_GRAMMAR_GBNF;
    m.generate.grammar = TEXT(grammar);
    struct answer answer = run(&world, &m, 0, 0, NULL);

    assert_true(answer.count > 110);
    assert_int_equal(
        flo_engine_detokenise(world.engine, (int32_t *)answer.ids, 110, true, &text, NULL), 0);
    assert_int_equal(text.bytes, 110);
    assert_memory_equal(text.data, strchr(grammar, '"') + 1, 110);
    flo_buf_deinit(&text);
    world_close(&world);
}

static void times_are_told_apart(void **state)
{
    struct world world = world_open();
    struct flo_wire_message m = ask("hello", 20);
    struct answer answer = run(&world, &m, 0, 0, NULL);

    (void)state;
    assert_true(answer.done.prompt_wall_us > 0);
    assert_true(answer.done.first_us >= answer.done.queue_us + answer.done.prompt_wall_us);
    assert_true(answer.done.answer_us > 0);
    world_close(&world);
}

static void a_prompt_as_text_begins_as_the_file_says(void **state)
{
    static const char special[] = "a<|im_end|>";
    struct world world = world_open();
    struct flo_wire_message m = {.type = FLO_WIRE_GENERATE, .request = 1};
    struct flo_job *job;
    (void)state;

    world.engine->vocab->facts.adds_bos = true;
    m.generate.prompt = TEXT("a");
    job = job_of(&world, &m);
    assert_int_equal(job->n_prompt, 2);
    assert_int_equal(job->tokens[0], world.engine->vocab->facts.bos);
    flo_job_free(job);

    m.generate.prompt = TEXT(special);
    job = job_of(&world, &m);
    assert_true(job->n_prompt > 3); /* the mark is text */
    assert_int_equal(job->tokens[0], world.engine->vocab->facts.bos);
    flo_job_free(job);

    m.generate.reads_special = true;
    job = job_of(&world, &m);
    assert_int_equal(job->n_prompt, 3);
    assert_int_equal(job->tokens[0], world.engine->vocab->facts.bos);
    flo_job_free(job);
    world_close(&world);
}

static void only_a_golden_prompt_ends_as_the_file_says(void **state)
{
    struct world world = world_open();
    struct flo_wire_message m = {.type = FLO_WIRE_GENERATE, .request = 1};
    struct flo_job *job;
    (void)state;

    world.engine->vocab->facts.adds_eos = true;
    m.generate.prompt = TEXT("a");
    job = job_of(&world, &m);
    assert_int_equal(job->n_prompt, 1); /* it is to be gone on with */
    flo_job_free(job);

    m.generate.priority = FLO_WIRE_PROBE;
    job = job_of(&world, &m);
    assert_int_equal(job->n_prompt, 2);
    assert_int_equal(job->tokens[1], world.engine->vocab->facts.eos);
    flo_job_free(job);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guesses_change_no_answer),
        cmocka_unit_test(guesses_change_no_answer_of_a_recurrent_model),
        cmocka_unit_test(a_draft_file_guesses_most_of_an_answer),
        cmocka_unit_test(a_draft_model_keeps_nothing_for_the_next_client),
        cmocka_unit_test(a_stop_text_ends_an_answer_inside_a_guess),
        cmocka_unit_test(a_template_is_told_the_date_of_the_request),
        cmocka_unit_test(a_paused_answer_goes_on_as_if_nothing_was),
        cmocka_unit_test(a_shifted_answer_that_was_paused_has_the_same_penalties),
        cmocka_unit_test(a_common_beginning_is_not_computed_again),
        cmocka_unit_test(a_beginning_is_not_shared_by_jobs_of_other_adapters),
        cmocka_unit_test(a_full_context_is_shifted_if_asked_for),
        cmocka_unit_test(a_context_without_room_for_a_shift_ends_the_answer),
        cmocka_unit_test(a_forced_beginning_is_told_whole_before_a_shift),
        cmocka_unit_test(times_are_told_apart),
        cmocka_unit_test(a_prompt_as_text_begins_as_the_file_says),
        cmocka_unit_test(only_a_golden_prompt_ends_as_the_file_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
