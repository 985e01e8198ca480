/* An import that was killed goes on where it was, and ends in the same bytes. */
#include "tests/unit/engine/publish/import_llama.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#define TENSORS FLO_COUNT(tensors)

static char part[sizeof(folder) + 16];
static int syncs_left = -1; /* of a process that dies at the last of them; -1: it lives */

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
    if (syncs_left >= 0 && syncs_left-- == 0) {
        raise(SIGKILL);
    }
    return __real_fdatasync(fd);
}

static int make_part(void **state)
{
    int rv = make_folder(state);

    snprintf(part, sizeof(part), "%s/new.part", folder);
    return rv;
}

/* Imports to the file as the command does, with a note after each tensor. */
static int import_part(const char *type, struct flo_resume *resume)
{
    struct flo_import import = {0};
    struct flo_produce produce = {0};
    const struct flo_import_options options = {folder, flo_mix_find(type), 1};
    int fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    *resume = (struct flo_resume){.step_bytes = 1};
    int rv = flo_import_open(&import, &options, &produce, &err);
    rv = rv == 0 ? flo_import_write(&import, &produce, resume, fd, &err) : rv;
    flo_produce_close(&produce);
    flo_import_close(&import);
    close(fd);
    return rv;
}

/* Imports in a process that is killed at a sync, before the note after it. */
static void import_killed_at(const char *type, int sync)
{
    struct flo_resume resume;
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        syncs_left = sync;
        _exit(import_part(type, &resume) == 0 ? 0 : 1);
    }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Imports to the end.  Expects that `tensors` of an earlier run were taken, and
 * the bytes of a run that nobody ended. */
static void expect_end(const char *type, size_t taken)
{
    FLO_CLEANUP(flo_free_cleanup) char *got = NULL, *whole = NULL;
    size_t got_bytes, whole_bytes;
    struct flo_resume resume;

    assert_int_equal(import_part(type, &resume), 0);
    assert_int_equal(resume.tensors, taken);
    assert_int_equal(flo_file_read(part, 1 << 20, &got, &got_bytes, NULL), 0);
    unlink(part);
    assert_int_equal(import_part(type, &resume), 0);
    assert_int_equal(resume.tensors, 0);
    assert_int_equal(flo_file_read(part, 1 << 20, &whole, &whole_bytes, NULL), 0);
    unlink(part);
    assert_int_equal(got_bytes, whole_bytes);
    assert_memory_equal(got, whole, whole_bytes);
}

static void killed_at_any_tensor_it_goes_on_behind_the_last_note(void **state)
{
    (void)state;
    static const char *const types[] = {"f32", "f16", "bf16"};

    for (size_t t = 0; t < FLO_COUNT(types); t++) {
        for (int sync = 0; sync < (int)TENSORS; sync++) {
            import_killed_at(types[t], sync);
            expect_end(types[t], (size_t)sync);
        }
    }
}

static void killed_again_and_again_it_comes_to_its_end(void **state)
{
    (void)state;
    for (size_t i = 0; i + 1 < TENSORS; i++) {
        import_killed_at("f16", 1);
    }
    expect_end("f16", TENSORS - 1);
}

static void another_type_begins_again(void **state)
{
    (void)state;
    import_killed_at("f32", 5);
    expect_end("f16", 0);
}

static void another_folder_begins_again(void **state)
{
    (void)state;
    char path[sizeof(folder) + 32];
    const struct timespec times[] = {{1, 0}, {1, 0}};

    snprintf(path, sizeof(path), "%s/model.safetensors", folder);
    import_killed_at("f16", 5);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    expect_end("f16", 0);
    import_killed_at("f16", 5);
    make_text(folder, "tokenizer_config.json", "{\"bos_token\":\"<s>\",\"eos_token\":\"<s>\"}");
    expect_end("f16", 0);
}

/* Flips the bits of the byte at `at`, from the end if it is negative. */
static void damage(off_t at)
{
    uint8_t byte;
    int fd = open(part, O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    at = lseek(fd, at, at < 0 ? SEEK_END : SEEK_SET);
    assert_true(at >= 0 && pread(fd, &byte, 1, at) == 1);
    byte = (uint8_t)~byte;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void damage_begins_again(void **state)
{
    (void)state;
    struct flo_gguf *gguf = must_import("f16");
    off_t data_at = (off_t)flo_gguf_data_offset(gguf);
    flo_gguf_close(gguf);

    for (off_t at = -FLO_RESUME_RECORD_BYTES; at < 0; at++) {
        import_killed_at("f16", 3);
        damage(at);
        expect_end("f16", 0);
    }
    import_killed_at("f16", 3);
    damage(data_at);
    expect_end("f16", 0);
    /* the head is written again */
    import_killed_at("f16", 3);
    damage(40);
    expect_end("f16", 3);
}

static void a_file_of_something_else_is_replaced(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, FLO_RESUME_RECORD_BYTES, 4096, 1 << 18};
    static const char zeros[1 << 18];

    for (size_t i = 0; i < FLO_COUNT(sizes); i++) {
        make_file(folder, "new.part", zeros, sizes[i]);
        expect_end("f16", 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_part, remove_folder)
        TEST(killed_at_any_tensor_it_goes_on_behind_the_last_note),
        TEST(killed_again_and_again_it_comes_to_its_end),
        TEST(another_type_begins_again),
        TEST(another_folder_begins_again),
        TEST(damage_begins_again),
        TEST(a_file_of_something_else_is_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
