/* The engine process and a draft file: answers stay the same, whatever the file
 * holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit/serve/worker/worker_talk.h"

#define SLOW "tests/models/tiny-v4-slow.Q4_0.gguf"    /* its draft says the same */
#define OTHER "tests/oracle/tiny/llama32-S-q4_0.gguf" /* of another vocabulary */
#define RECURRENT "tests/oracle/tiny/granite4-h-moe-q8_0.gguf"

static const char *const prompts[] = {
    SEVERITY,
    "Summarise: 23:45 oven-95 voltage drop temp=35C",
    "Repeat: the pump is hot, the pump is hot, the pump is hot",
};

static int file_of(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* A process that serves the slow model, with this draft file (closed; -1:
 * none) and budget, until it is READY. */
static void open_with(int draft, uint64_t memory_bytes_max)
{
    struct flo_wire_message m = {.type = FLO_WIRE_OPEN, .request = 1};
    int fds[2] = {file_of(SLOW), draft};
    m.open.threads = 1;
    m.open.sessions = 2;
    m.open.context = 256;
    m.open.memory_bytes_max = memory_bytes_max;
    m.open.has_draft = draft >= 0;
    worker_spawn(bin("flotilla-engine"));
    say_with(&m, fds, draft >= 0 ? 2 : 1);
    close(fds[0]);
    if (draft >= 0) {
        close(draft);
    }
    expect(FLO_WIRE_READY);
}

/* Plays the prompts, greedily and at a temperature.  Adds up the guesses. */
static struct flo_wire_done play(char texts[][512])
{
    struct flo_wire_done sum = {0};
    for (uint32_t i = 0; i < 2 * FLO_COUNT(prompts); i++) {
        struct flo_wire_message m = ask(10 + i, prompts[i / 2]);
        m.generate.max_tokens = 60;
        m.generate.temperature = i % 2 == 0 ? 0 : 0.8;
        m.generate.seed = 7;
        say(&m, -1);
        answer(texts[i], sizeof(texts[i]));
        sum.guessed += worker.got.done.guessed;
        sum.guessed_right += worker.got.done.guessed_right;
        sum.tokens_out += worker.got.done.tokens_out;
    }
    return sum;
}

static char plain[2 * FLO_COUNT(prompts)][512], texts[2 * FLO_COUNT(prompts)][512];

static int play_plain(void **state)
{
    (void)state;
    open_with(-1, 0);
    play(plain);
    return worker_end();
}

static void expect_same_answers(void)
{
    struct flo_wire_done sum = play(texts);
    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        assert_string_equal(texts[i], plain[i]);
    }
    assert_true(sum.guessed_right <= sum.guessed);
    assert_int_equal(worker_end(), 0);
}

/* A file of these bytes, in memory. */
static int bytes_of(const void *data, size_t bytes)
{
    int fd = memfd_create("draft", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, bytes), bytes);
    return fd;
}

static void expect_left_out(const char *why)
{
    const struct flo_wire_ready *ready = &worker.got.ready;
    char text[512];
    snprintf(text, sizeof(text), "%.*s", (int)ready->draft_why.bytes, ready->draft_why.data);
    assert_int_equal(ready->draft.bytes, 0);
    assert_int_equal(ready->draft_bytes, 0);
    if (strstr(text, why) == NULL) {
        fail_msg("%s", text);
    }
    expect_same_answers();
}

static void a_smaller_model_guesses_and_changes_no_answer(void **state)
{
    (void)state;
    open_with(file_of(MODEL), 0);
    assert_int_equal(worker.got.ready.draft.bytes, 5);
    assert_memory_equal(worker.got.ready.draft.data, "model", 5);
    assert_true(worker.got.ready.draft_bytes > 1u << 20);
    assert_int_equal(worker.got.ready.draft_why.bytes, 0);
    expect_same_answers();
}

static void a_model_of_another_vocabulary_is_left_out(void **state)
{
    (void)state;
    open_with(file_of(OTHER), 0);
    expect_left_out("vocabulary");
}

static void a_model_that_cannot_drop_tokens_is_left_out(void **state)
{
    (void)state;
    open_with(file_of(RECURRENT), 0);
    expect_left_out("");
}

static void what_is_no_draft_file_is_left_out(void **state)
{
    (void)state;
    open_with(bytes_of("PK\3\4 not a draft", 16), 0);
    expect_left_out("neither FLODRAFT");
    open_with(bytes_of("", 0), 0);
    expect_left_out("neither FLODRAFT");
    open_with(bytes_of("FLODRAFT", 8), 0);
    expect_left_out("");
    open_with(bytes_of("GGUF\3\0\0\0", 8), 0);
    expect_left_out("");
}

static void a_draft_that_exceeds_the_budget_is_left_out(void **state)
{
    const struct flo_wire_ready *ready = &worker.got.ready;
    (void)state;
    open_with(-1, 0);
    uint64_t needed = ready->weights_bytes + ready->kv_bytes + ready->scratch_bytes +
                      ready->vocabulary_bytes + ready->request_bytes;
    assert_int_equal(worker_end(), 0);
    open_with(file_of(MODEL), needed + 4096);
    expect_left_out("bytes needed");
}

static uint64_t planned_with(int draft)
{
    struct flo_wire_message m = {.type = FLO_WIRE_PLAN, .request = 1};
    int fds[2] = {file_of(SLOW), draft};
    m.open.threads = 1;
    m.open.sessions = 2;
    m.open.has_draft = draft >= 0;
    say_with(&m, fds, draft >= 0 ? 2 : 1);
    close(fds[0]);
    if (draft >= 0) {
        close(draft);
    }
    expect(FLO_WIRE_PLANNED);
    return worker.got.planned.private_bytes;
}

static void a_plan_counts_the_draft(void **state)
{
    (void)state;
    worker_spawn(bin("flotilla-engine"));
    uint64_t alone = planned_with(-1);
    assert_true(planned_with(file_of(MODEL)) > alone + (1u << 20));
    assert_int_equal(planned_with(bytes_of("no draft", 8)), alone);
    assert_int_equal(worker_end(), 0);
}

static void a_draft_without_its_descriptor_is_a_fault_of_the_agent(void **state)
{
    struct flo_wire_message m = {.type = FLO_WIRE_OPEN, .request = 1};
    int fd = file_of(SLOW);
    (void)state;
    m.open.has_draft = true;
    worker_spawn(bin("flotilla-engine"));
    say(&m, fd);
    close(fd);
    assert_false(hear());
    assert_int_equal(worker_end(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_smaller_model_guesses_and_changes_no_answer),
        cmocka_unit_test(a_model_of_another_vocabulary_is_left_out),
        cmocka_unit_test(a_model_that_cannot_drop_tokens_is_left_out),
        cmocka_unit_test(what_is_no_draft_file_is_left_out),
        cmocka_unit_test(a_draft_that_exceeds_the_budget_is_left_out),
        cmocka_unit_test(a_plan_counts_the_draft),
        cmocka_unit_test(a_draft_without_its_descriptor_is_a_fault_of_the_agent),
    };

    return cmocka_run_group_tests(tests, play_plain, NULL);
}
