/* The engine process and the file in which it keeps what requests share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit/serve/worker/worker_talk.h"
#include "unit/waits.h"

/* With a file for a prefix and, if it is not NULL, an adapter "site". */
static void worker_open_keeping(const char *model, const char *lora, int kept)
{
    struct flo_wire_message m = {.type = FLO_WIRE_OPEN, .request = 1};
    int fds[3] = {open(model, O_RDONLY)};
    size_t n = 1;
    m.open.threads = 1;
    m.open.keeps_prefix = true;
    if (lora != NULL) {
        m.open.n_adapters = 1;
        m.open.adapters[0] = TEXT("site");
        fds[n++] = open(lora, O_RDONLY);
    }
    fds[n++] = kept;
    worker_spawn(bin("flotilla-engine"));
    say_with(&m, fds, n);
    expect(FLO_WIRE_READY);
    for (size_t i = 0; i + 1 < n; i++) {
        close(fds[i]);
    }
}

static uint32_t cached_of(uint32_t request, const char *prompt, const char *adapter)
{
    char text[512];
    struct flo_wire_message m = ask(request, prompt);
    m.generate.max_tokens = 4;
    m.generate.adapter = TEXT(adapter);
    say(&m, -1);
    answer(text, sizeof(text));
    return worker.got.done.cached_tokens;
}

/* Until the engine, which has nothing to do but to say that it lives, has
 * written a prefix. */
static void wait_for_prefix(int kept)
{
    const struct flo_wire_message ping = {.type = FLO_WIRE_PING};
    char head[8] = {0};
    WAIT_TURNING(memcmp(head, "FLOPREF\n", 8) == 0, {
        struct pollfd quiet = {.fd = worker.fd, .events = POLLIN};
        assert_int_equal(poll(&quiet, 1, 5), 0);
        say(&ping, -1);
        expect(FLO_WIRE_PONG);
        assert_int_equal(flo_fd_pread_all(kept, head, 8, 0, NULL), 0);
    });
}

static int room_for_prefix(void)
{
    int kept = memfd_create("prefix", MFD_CLOEXEC);
    assert_true(kept >= 0);
    assert_int_equal(ftruncate(kept, 2 << 20), 0);
    return kept;
}

static void a_shared_beginning_is_kept_for_the_next_process(void **state)
{
    int kept = room_for_prefix();
    uint8_t byte = 0x55;
    (void)state;
    for (int round = 0; round < 2; round++) {
        /* Given nothing (or, then, something damaged) in the file */
        worker_open_keeping(MODEL, NULL, kept);
        assert_int_equal(worker.got.ready.prefix_tokens, 0);
        assert_int_equal(cached_of(1, SEVERITY, ""), 0);
        assert_int_equal(cached_of(2, SEVERITY, ""), 26);
        wait_for_prefix(kept);
        kill(worker.pid, SIGKILL);
        (void)worker_end();

        worker_open_keeping(MODEL, NULL, kept);
        assert_int_equal(worker.got.ready.prefix_tokens, 16);
        /* Another one, with less in common, leaves it as it is. */
        assert_in_range(cached_of(6, "Else", ""), 1, 15);
        char text[512];
        struct flo_wire_message m = ask(7, SEVERITY);
        say(&m, -1);
        answer(text, sizeof(text));
        assert_string_equal(text, "severity: critical");
        assert_int_equal(worker.got.done.cached_tokens, 16);
        assert_int_equal(worker_end(), 0);

        assert_int_equal(flo_fd_pwrite_all(kept, &byte, 1, 999, NULL), 0);
        worker_open_keeping(MODEL, NULL, kept);
        assert_int_equal(worker.got.ready.prefix_tokens, 0);
        assert_int_equal(worker_end(), 0);
        assert_int_equal(flo_fd_pwrite_all(kept, "\0\0\0\0\0\0\0", 8, 0, NULL), 0);
    }
    close(kept);
}

/* A text that begins as others do, computed as it stands. */
static uint32_t cached_as_it_stands(uint32_t request, const char *prompt)
{
    char text[512];
    struct flo_wire_message m = ask(request, "");
    m.generate.n_messages = 0;
    m.generate.prompt = TEXT(prompt);
    m.generate.max_tokens = 4;
    say(&m, -1);
    answer(text, sizeof(text));
    return worker.got.done.cached_tokens;
}

/* Their file has the state, or the windows, at the end of what is shared. */
static void models_with_states_or_windows_keep_beginnings(void **state)
{
    static const char *const models[] = {"tests/oracle/tiny/qwen3_5-q8_0.gguf",
                                         "tests/oracle/tiny/lfm2_moe-q8_0.gguf",
                                         "tests/oracle/tiny/gemma4-e-q8_0.gguf"};
    static const char *const prompts[] = {
        "A valve opens and closes a pipe, or leaves it half open: tell more about its wheel.",
        "A valve opens and closes a pipe, or leaves it half open: who made the very first one?",
        "A valve opens and closes a pipe, or leaves it half open: say when it must be changed."};
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(models); i++) {
        int kept = room_for_prefix();
        worker_open_keeping(models[i], NULL, kept);
        (void)cached_as_it_stands(1, prompts[0]);
        (void)cached_as_it_stands(2, prompts[1]);
        wait_for_prefix(kept);
        kill(worker.pid, SIGKILL);
        (void)worker_end();

        worker_open_keeping(models[i], NULL, kept);
        uint32_t tokens = worker.got.ready.prefix_tokens;
        assert_true(tokens >= 16);
        assert_int_equal(cached_as_it_stands(3, prompts[2]), tokens);
        assert_true(cached_as_it_stands(4, prompts[1]) >= tokens);
        assert_int_equal(worker_end(), 0);
        close(kept);
    }
}

static void what_an_adapter_computed_is_not_kept(void **state)
{
    static const char plain[] = "Tell me in a few words what a valve is, and "
                                "where it is used in a plant";
    int kept = room_for_prefix();
    (void)state;
    worker_open_keeping("tests/models/tiny-v1.F16.gguf", "tests/models/tiny-v1-site-lora.gguf",
                        kept);
    for (uint32_t i = 0; i < 4; i++) {
        (void)cached_of(i, SEVERITY, "site");
    }
    (void)cached_of(5, plain, "");
    (void)cached_of(6, plain, "");
    wait_for_prefix(kept);
    assert_int_equal(worker_end(), 0);

    worker_open_keeping("tests/models/tiny-v1.F16.gguf", "tests/models/tiny-v1-site-lora.gguf",
                        kept);
    uint32_t tokens = worker.got.ready.prefix_tokens;
    assert_true(tokens >= 16);
    assert_int_equal(cached_of(1, SEVERITY, "site"), 0);
    assert_int_equal(cached_of(2, plain, ""), tokens);
    assert_int_equal(worker_end(), 0);
    close(kept);
}

static void a_file_that_is_no_prefix_is_no_harm(void **state)
{
    int pair[2], kept = memfd_create("other", MFD_CLOEXEC);
    (void)state;
    assert_int_equal(flo_fd_write_all(kept, "something else", 14, NULL), 0);
    worker_open_keeping(MODEL, NULL, kept);
    assert_int_equal(worker.got.ready.prefix_tokens, 0);
    assert_int_equal(cached_of(1, SEVERITY, ""), 0);
    assert_int_equal(worker_end(), 0);
    assert_int_equal(pipe(pair), 0);
    worker_open_keeping(MODEL, NULL, pair[0]);
    assert_int_equal(worker.got.ready.prefix_tokens, 0);
    assert_int_equal(worker_end(), 0);
    close(pair[0]);
    close(pair[1]);
    close(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shared_beginning_is_kept_for_the_next_process),
        cmocka_unit_test(models_with_states_or_windows_keep_beginnings),
        cmocka_unit_test(what_an_adapter_computed_is_not_kept),
        cmocka_unit_test(a_file_that_is_no_prefix_is_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
