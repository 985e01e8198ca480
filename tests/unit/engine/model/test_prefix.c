/* Prefixes in files: the same bits after them, and nothing that does not
 * fit. */
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/adapter.h>
#include <flotilla/errors/infer.h>
#include <flotilla/errors/model.h>
#include <flotilla/prefix.h>

enum { COUNT = 60, KEPT = 32, HEAD_BYTES = 144 };

static const char tiny[] = "tests/oracle/tiny/smollm2-S-q4_1.gguf";
static int32_t tokens[COUNT];

static struct flo_engine *open_with(const char *path, struct flo_engine_options options)
{
    struct flo_engine *engine = NULL;
    struct flo_err err = {0};

    options.sessions = 2;
    options.context = options.context == 0 ? COUNT + 20 : options.context;
    options.vocabulary = FLO_VOCABULARY_NONE;
    if (flo_engine_open(path, &options, &engine, &err) < 0) {
        fail_msg("%s: %s", path, err.what);
    }
    for (int i = 0; i < COUNT; i++) {
        tokens[i] = (int32_t)((uint32_t)(i * 37 + 3) % flo_engine_info(engine)->n_vocab);
    }
    return engine;
}

static struct flo_engine *open_tiny(void)
{
    return open_with(tiny, (struct flo_engine_options){.threads = 1});
}

static struct flo_session *session_with(struct flo_engine *engine, size_t count)
{
    struct flo_session *session = NULL;

    assert_int_equal(flo_session_open(engine, &session, NULL), 0);
    if (count > 0) {
        assert_int_equal(flo_session_decode(session, tokens, count, FLO_LOGITS_LAST, NULL), 0);
    }
    return session;
}

static int file_of(uint64_t bytes)
{
    int fd = memfd_create("prefix", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    return fd;
}

/* The file of a session's first tokens. */
static int written(struct flo_engine *engine, const struct flo_session *session, uint32_t count)
{
    int fd = file_of(flo_prefix_bytes(engine, count));
    struct flo_err err = {0};

    if (flo_prefix_write(session, count, 0, fd, NULL, NULL, &err) < 0) {
        fail_msg("%s", err.what);
    }
    return fd;
}

static int written_by(struct flo_engine *engine, uint32_t count)
{
    struct flo_session *session = session_with(engine, count);
    int fd = written(engine, session, count);

    flo_session_close(session);
    return fd;
}

/* All of a file; the caller frees. */
static uint8_t *bytes_of(int fd, size_t *bytes)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    *bytes = (size_t)st.st_size;
    uint8_t *data = malloc(*bytes + 1);
    assert_non_null(data);
    assert_int_equal(flo_fd_pread_all(fd, data, *bytes, 0, NULL), 0);
    return data;
}

/* The session is empty and computes as a fresh one. */
static void expect_refused(struct flo_session *session, int fd, int code)
{
    struct flo_err err = {0};
    int rv = flo_prefix_read(session, fd, NULL, &err);

    if (rv != code) {
        fail_msg("%s, not %s: %s", flo_error_id(rv), flo_error_id(code), err.what);
    }
    assert_int_equal(flo_session_position(session), 0);
    assert_null(flo_session_logits(session));
}

/* Both have the same bits after each of the next tokens. */
static void expect_same(struct flo_engine *engine, struct flo_session *a, struct flo_session *b,
                        size_t from)
{
    size_t bytes = flo_engine_info(engine)->n_vocab * sizeof(float);

    for (size_t i = from; i < COUNT; i += 7) {
        size_t left = COUNT - i, here = left < 7 ? left : 7;

        assert_int_equal(flo_session_decode(a, tokens + i, here, FLO_LOGITS_LAST, NULL), 0);
        assert_int_equal(flo_session_decode(b, tokens + i, here, FLO_LOGITS_LAST, NULL), 0);
        assert_memory_equal(flo_session_logits(a), flo_session_logits(b), bytes);
    }
}

/* ---- the same bits ---- */

static void go_on_after_a_file(const char *path, enum flo_kv_type kind, uint32_t count)
{
    struct flo_engine_options options = {.threads = 2, .kv_type = kind};
    struct flo_engine *first = open_with(path, options);
    int fd = written_by(first, count);
    flo_engine_close(first);
    options.threads = 1;
    options.context = COUNT + 64;
    struct flo_engine *engine = open_with(path, options);
    struct flo_session *computed = session_with(engine, count);
    struct flo_session *restored = session_with(engine, 0);
    struct flo_err err = {0};

    if (flo_prefix_read(restored, fd, NULL, &err) < 0) {
        fail_msg("%s: %s", path, err.what);
    }
    assert_int_equal(flo_session_position(restored), count - count % 16);
    assert_int_equal(flo_session_common(restored, tokens, COUNT), count - count % 16);
    assert_null(flo_session_logits(restored));
    flo_session_truncate(computed, count - count % 16);

    expect_same(engine, computed, restored, count - count % 16);
    flo_session_close(computed);
    flo_session_close(restored);
    flo_engine_close(engine);
    close(fd);
}

static void what_follows_a_restored_prefix_has_the_same_bits(void **state)
{
    static const enum flo_kv_type kinds[] = {FLO_KV_F16, FLO_KV_F32, FLO_KV_Q8_0, FLO_KV_Q4_0};

    (void)state;
    for (size_t k = 0; k < FLO_COUNT(kinds); k++) {
        go_on_after_a_file(tiny, kinds[k], KEPT);
        go_on_after_a_file(tiny, kinds[k], KEPT + 9);
    }
}

static void every_family_goes_on_after_a_file(void **state)
{
    static const char *const paths[] = {
        "tests/oracle/tiny/gemma2-S-q4_1.gguf", "tests/oracle/tiny/gemma3-S-q4_0.gguf",
        "tests/oracle/tiny/phi2-S-q4_1.gguf",   "tests/oracle/tiny/phi3-S-q4_0.gguf",
        "tests/oracle/tiny/qwen3-S-q4_1.gguf",  "tests/oracle/tiny/llamayarn-S-q4_0.gguf",
        "tests/oracle/tiny/qwen3_5-q8_0.gguf",  "tests/oracle/tiny/granite4-h-moe-q8_0.gguf",
        "tests/oracle/tiny/lfm2_moe-q8_0.gguf", "tests/oracle/tiny/falcon_h1-q8_0.gguf",
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(paths); i++) {
        go_on_after_a_file(paths[i], FLO_KV_F16, 48);
    }
}

static void a_part_of_a_restored_prefix_can_be_used(void **state)
{
    struct flo_engine *engine = open_tiny();
    int fd = written_by(engine, KEPT);
    struct flo_session *computed = session_with(engine, 21);
    struct flo_session *restored = session_with(engine, 0);

    (void)state;
    assert_int_equal(flo_prefix_read(restored, fd, NULL, NULL), 0);
    flo_session_truncate(restored, 21);

    expect_same(engine, computed, restored, 21);
    flo_session_close(computed);
    flo_session_close(restored);
    flo_engine_close(engine);
    close(fd);
}

/* ---- what is in the file ---- */

static void nothing_of_later_tokens_is_in_the_file(void **state)
{
    struct flo_engine *engine = open_tiny();
    struct flo_session *session = session_with(engine, KEPT);
    int before = written(engine, session, KEPT);
    size_t bytes, other_bytes;
    uint8_t *data = bytes_of(before, &bytes);

    (void)state;
    assert_int_equal(flo_session_decode(session, tokens + KEPT, 20, FLO_LOGITS_NONE, NULL), 0);
    int after = written(engine, session, KEPT + 15);
    uint8_t *other = bytes_of(after, &other_bytes);

    assert_int_equal(bytes, flo_prefix_bytes(engine, KEPT));
    assert_int_equal(bytes, other_bytes);
    assert_memory_equal(data, other, bytes);
    assert_int_equal(flo_session_position(session), KEPT + 20);
    free(data);
    free(other);
    flo_session_close(session);
    flo_engine_close(engine);
    close(before);
    close(after);
}

static void a_file_may_be_longer_than_its_prefix(void **state)
{
    struct flo_engine *engine = open_tiny();
    struct flo_session *session = session_with(engine, KEPT);
    int fd = file_of((3u << 20) + 5);

    (void)state;
    assert_int_equal(flo_prefix_write(session, KEPT, 0, fd, NULL, NULL, NULL), 0);
    flo_session_reset(session);

    assert_int_equal(flo_prefix_read(session, fd, NULL, NULL), 0);
    assert_int_equal(flo_session_position(session), KEPT);
    flo_session_close(session);
    flo_engine_close(engine);
    close(fd);
}

static bool count_down(void *context)
{
    uint32_t *left = context;

    return (*left)-- == 0;
}

static void a_writing_that_was_ended_leaves_nothing_that_is_read(void **state)
{
    /* Given a prefix of several mappings, over an older one */
    struct flo_engine *engine =
        open_with("tests/models/tiny-v1.F16.gguf",
                  (struct flo_engine_options){.threads = 2, .context = 512, .kv_type = FLO_KV_F32});
    struct flo_session *session = session_with(engine, COUNT);
    struct flo_session *other = session_with(engine, 0);
    uint32_t rounds = 0;

    (void)state;
    while (flo_session_position(session) + COUNT <= 512) {
        assert_int_equal(flo_session_decode(session, tokens, COUNT, FLO_LOGITS_NONE, NULL), 0);
    }
    uint32_t count = flo_session_position(session);
    uint64_t bytes = flo_prefix_bytes(engine, count);
    int fd = file_of(bytes);
    assert_int_equal(flo_prefix_write(session, KEPT, 0, fd, NULL, NULL, NULL), 0);

    for (;; rounds++) {
        uint32_t left = rounds;
        int rv = flo_prefix_write(session, count, 0, fd, count_down, &left, NULL);
        if (rv == 0) {
            break;
        }
        assert_int_equal(rv, FLO_E_INFER_CANCELLED);
        if (rounds == 0) { /* the older one is still there, whole */
            assert_int_equal(flo_prefix_read(other, fd, NULL, NULL), 0);
            flo_session_reset(other);
        } else {
            expect_refused(other, fd, FLO_E_ABSENT);
        }
    }

    assert_int_equal(rounds, (bytes + (1u << 20) - 1) >> 20);
    assert_true(rounds > 1);
    assert_int_equal(flo_prefix_read(other, fd, NULL, NULL), 0);
    assert_int_equal(flo_session_position(other), count - count % 16);
    flo_session_close(session);
    flo_session_close(other);
    flo_engine_close(engine);
    close(fd);
}

/* ---- what is refused ---- */

/* A file of the first tokens, and an empty session that could read it. */
struct kept {
    struct flo_engine *engine;
    struct flo_session *session;
    int fd;
    uint8_t *data; /* of the file */
    size_t bytes;
};

static struct kept keep(void)
{
    struct kept k = {.engine = open_tiny()};

    k.fd = written_by(k.engine, KEPT);
    k.session = session_with(k.engine, 0);
    k.data = bytes_of(k.fd, &k.bytes);
    return k;
}

static void forget(struct kept *k)
{
    free(k->data);
    flo_session_close(k->session);
    flo_engine_close(k->engine);
    close(k->fd);
}

static void every_truncation_is_refused(void **state)
{
    struct kept k = keep();

    (void)state;
    for (size_t cut = k.bytes; cut-- > 0;) {
        assert_int_equal(ftruncate(k.fd, (off_t)cut), 0);
        expect_refused(k.session, k.fd,
                       cut == 0           ? FLO_E_ABSENT
                       : cut < HEAD_BYTES ? FLO_E_USAGE
                                          : FLO_E_PREFIX);
    }
    forget(&k);
}

static void every_bit_of_the_head_counts(void **state)
{
    struct kept k = keep();

    (void)state;
    for (size_t bit = 0; bit < (size_t)HEAD_BYTES * 8; bit++) {
        uint8_t byte = (uint8_t)(k.data[bit / 8] ^ (1u << bit % 8));

        assert_int_equal(flo_fd_pwrite_all(k.fd, &byte, 1, bit / 8, NULL), 0);
        expect_refused(k.session, k.fd, bit < 64 ? FLO_E_USAGE : FLO_E_PREFIX);
        assert_int_equal(flo_fd_pwrite_all(k.fd, &k.data[bit / 8], 1, bit / 8, NULL), 0);
    }
    assert_int_equal(flo_prefix_read(k.session, k.fd, NULL, NULL), 0);
    forget(&k);
}

static void every_byte_of_the_rest_is_checked(void **state)
{
    struct kept k = keep();

    (void)state;
    for (size_t at = HEAD_BYTES; at < k.bytes; at++) {
        uint8_t byte = (uint8_t)(k.data[at] ^ (1u << at % 8));

        assert_int_equal(flo_fd_pwrite_all(k.fd, &byte, 1, at, NULL), 0);
        expect_refused(k.session, k.fd, FLO_E_PREFIX);
        assert_int_equal(flo_fd_pwrite_all(k.fd, &k.data[at], 1, at, NULL), 0);
    }
    assert_int_equal(flo_prefix_read(k.session, k.fd, NULL, NULL), 0);
    forget(&k);
}

/* A file with a right checksum over tokens that there are none of. */
static void a_token_outside_the_vocabulary_is_refused(void **state)
{
    struct kept k = keep();

    (void)state;
    for (int i = 0; i < 2; i++) {
        flo_put_u32(k.data + HEAD_BYTES + 4 * 31,
                    i == 0 ? flo_engine_info(k.engine)->n_vocab : UINT32_MAX);
        flo_put_u32(k.data + 24, flo_crc32c(0, k.data + HEAD_BYTES, k.bytes - HEAD_BYTES));
        flo_put_u32(k.data + 28, 0);
        flo_put_u32(k.data + 28, flo_crc32c(0, k.data, HEAD_BYTES));
        assert_int_equal(flo_fd_pwrite_all(k.fd, k.data, k.bytes, 0, NULL), 0);
        expect_refused(k.session, k.fd, FLO_E_PREFIX);
    }
    forget(&k);
}

static void another_setting_is_refused(void **state)
{
    static const struct flo_engine_options others[] = {
        {.kernel = "ref"}, {.kv_type = FLO_KV_F32}, {.kv_type = FLO_KV_Q8_0}};
    struct flo_engine *engine = open_tiny();
    int fd = written_by(engine, KEPT);
    char kernel[16];

    (void)state;
    snprintf(kernel, sizeof(kernel), "%s", flo_engine_info(engine)->kernel);
    flo_engine_close(engine);
    for (size_t i = 0; i < FLO_COUNT(others); i++) {
        engine = open_with(tiny, others[i]);
        struct flo_session *session = session_with(engine, 0);
        bool is_same = i == 0 && strcmp(kernel, "ref") == 0;

        if (!is_same) {
            expect_refused(session, fd, FLO_E_PREFIX);
        }
        flo_session_close(session);
        flo_engine_close(engine);
    }
    close(fd);
}

static void a_context_that_turns_otherwise_is_refused(void **state)
{
    /* phi3 has other factors for contexts above the original one */
    static const char phi3[] = "tests/oracle/tiny/phi3long-S-q4_1.gguf";
    struct flo_engine_plan plan;
    struct flo_engine *engine = open_with(phi3, (struct flo_engine_options){.threads = 1});
    int fd = written_by(engine, KEPT);

    (void)state;
    flo_engine_close(engine);
    assert_int_equal(flo_engine_plan(phi3, NULL, &plan, NULL), 0);
    engine = open_with(phi3, (struct flo_engine_options){.context = plan.context_trained});
    struct flo_session *session = session_with(engine, 0);

    expect_refused(session, fd, FLO_E_PREFIX);
    flo_session_close(session);
    flo_engine_close(engine);
    close(fd);
}

static void copy_file(const char *from, const char *to)
{
    char *data;
    size_t bytes;

    assert_int_equal(flo_file_read(from, 16u << 20, &data, &bytes, NULL), 0);
    assert_int_equal(flo_file_write(to, data, bytes, 0600, NULL), 0);
    free(data);
}

static void another_models_prefix_is_refused(void **state)
{
    /* Given two models of one shape and size, one after the other under one
     * name */
    char path[] = "/tmp/flotilla-prefix-XXXXXX";
    int model = mkstemp(path);
    const struct flo_engine_options options = {.threads = 1};

    (void)state;
    assert_true(model >= 0);
    close(model);
    copy_file("tests/models/tiny-v2.Q4_0.gguf", path);
    struct flo_engine *engine = open_with(path, options);
    int fd = written_by(engine, KEPT);
    flo_engine_close(engine);
    copy_file("tests/models/tiny-v2.1.Q4_0.gguf", path);
    engine = open_with(path, options);
    struct flo_session *session = session_with(engine, 0);

    expect_refused(session, fd, FLO_E_PREFIX);
    flo_session_close(session);
    flo_engine_close(engine);
    close(fd);
    unlink(path);
}

static void a_prefix_longer_than_the_context_is_refused(void **state)
{
    struct flo_engine *engine = open_tiny();
    int fd = written_by(engine, COUNT);

    (void)state;
    flo_engine_close(engine);
    engine = open_with(tiny, (struct flo_engine_options){.context = 40});
    struct flo_session *session = session_with(engine, 0);

    expect_refused(session, fd, FLO_E_INFER_TOO_LONG);
    flo_session_close(session);
    flo_engine_close(engine);
    close(fd);
}

static void a_session_in_use_and_too_few_tokens_are_refused(void **state)
{
    struct flo_engine *engine = open_tiny();
    struct flo_session *session = session_with(engine, 20);
    int fd = file_of(1u << 20);

    (void)state;
    assert_int_equal(flo_prefix_bytes(engine, 15), 0);
    assert_int_equal(flo_prefix_write(session, 15, 0, fd, NULL, NULL, NULL), FLO_E_INFER_PARAM);
    assert_int_equal(flo_prefix_write(session, 21, 0, fd, NULL, NULL, NULL), FLO_E_INFER_PARAM);
    assert_int_equal(flo_prefix_write(session, 20, 0, fd, NULL, NULL, NULL), 0);

    assert_int_equal(flo_prefix_read(session, fd, NULL, NULL), FLO_E_STATE);
    assert_int_equal(flo_session_position(session), 20);
    assert_non_null(flo_session_logits(session));
    flo_session_close(session);
    flo_engine_close(engine);
    close(fd);
}

static void a_prefix_under_an_adapter_is_not_written(void **state)
{
    struct flo_engine *engine =
        open_with("tests/models/tiny-v1.F16.gguf",
                  (struct flo_engine_options){.threads = 1, .adapter_bytes = 4u << 20});
    struct flo_session *session = session_with(engine, 0);
    struct flo_adapter *adapter = NULL;
    int fd = file_of(4u << 20);

    (void)state;
    assert_int_equal(
        flo_adapter_open(engine, "tests/models/tiny-v1-site-lora.gguf", &adapter, NULL), 0);
    assert_int_equal(flo_session_set_adapter(session, adapter, 1, NULL), 0);
    assert_int_equal(flo_session_decode(session, tokens, KEPT, FLO_LOGITS_NONE, NULL), 0);

    assert_int_equal(flo_prefix_write(session, KEPT, 0, fd, NULL, NULL, NULL), FLO_E_STATE);
    flo_session_reset(session);
    assert_int_equal(flo_prefix_read(session, fd, NULL, NULL), FLO_E_STATE);
    flo_session_close(session);
    flo_adapter_close(adapter);
    flo_engine_close(engine);
    close(fd);
}

/* A write to such a page would end the process. */
/* Emulation of another processor takes this advice and does nothing. */
static bool is_told_that_room_lacks(void)
{
    int fd = file_of(0);
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    assert_true(p != MAP_FAILED);
    bool is_told = madvise(p, 4096, MADV_POPULATE_WRITE) < 0 && errno == EFAULT;
    munmap(p, 4096);
    close(fd);
    return is_told;
}

static void a_file_without_room_for_it_is_an_error(void **state)
{
    if (!is_told_that_room_lacks()) {
        skip();
    }
    struct flo_engine *engine = open_tiny();
    struct flo_session *session = session_with(engine, COUNT);
    int fd = file_of(0);
    (void)state;

    assert_int_equal(flo_prefix_write(session, KEPT, 0, fd, NULL, NULL, NULL), FLO_E_IO_WRITE);
    close(fd);
    flo_session_close(session);
    flo_engine_close(engine);
}

static void nothing_is_allocated(void **state)
{
    struct flo_engine *engine = open_tiny();
    struct flo_session *session = session_with(engine, KEPT);
    int fd = file_of(flo_prefix_bytes(engine, KEPT));
    struct mallinfo2 before = mallinfo2();

    (void)state;
    assert_int_equal(flo_prefix_write(session, KEPT, 0, fd, NULL, NULL, NULL), 0);
    flo_session_reset(session);
    assert_int_equal(flo_prefix_read(session, fd, NULL, NULL), 0);

    struct mallinfo2 after = mallinfo2();
    assert_int_equal(before.uordblks, after.uordblks);
    flo_session_close(session);
    flo_engine_close(engine);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_follows_a_restored_prefix_has_the_same_bits),
        cmocka_unit_test(every_family_goes_on_after_a_file),
        cmocka_unit_test(a_part_of_a_restored_prefix_can_be_used),
        cmocka_unit_test(nothing_of_later_tokens_is_in_the_file),
        cmocka_unit_test(a_file_may_be_longer_than_its_prefix),
        cmocka_unit_test(a_writing_that_was_ended_leaves_nothing_that_is_read),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(a_file_without_room_for_it_is_an_error),
        cmocka_unit_test(every_bit_of_the_head_counts),
        cmocka_unit_test(every_byte_of_the_rest_is_checked),
        cmocka_unit_test(a_token_outside_the_vocabulary_is_refused),
        cmocka_unit_test(another_setting_is_refused),
        cmocka_unit_test(a_context_that_turns_otherwise_is_refused),
        cmocka_unit_test(another_models_prefix_is_refused),
        cmocka_unit_test(a_prefix_longer_than_the_context_is_refused),
        cmocka_unit_test(a_session_in_use_and_too_few_tokens_are_refused),
        cmocka_unit_test(a_prefix_under_an_adapter_is_not_written),
        cmocka_unit_test(nothing_is_allocated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
