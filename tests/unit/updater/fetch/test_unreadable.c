/* Sectors that the disk does not give back: what lay there is fetched again. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "blobs.h"
#include "stage_world.h"

/* One byte of one file; no file: the disk is whole. */
static struct {
    ino_t file;
    off_t at;
} bad;

static bool is_bad(int fd, size_t bytes, off_t at)
{
    struct stat st;

    return bad.file != 0 && at <= bad.at && bad.at < at + (off_t)bytes && fstat(fd, &st) == 0 &&
           st.st_ino == bad.file;
}

/* In place of the C library's. */
ssize_t pread(int fd, void *data, size_t bytes, off_t at)
{
    if (is_bad(fd, bytes, at)) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_pread64, fd, data, bytes, at);
}

/* A disk puts another sector in place of a bad one that is written. */
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at)
{
    if (is_bad(fd, bytes, at)) {
        bad.file = 0;
    }
    return syscall(SYS_pwrite64, fd, data, bytes, at);
}

static void spoil(struct world *world, const struct flo_digest *blob, off_t at)
{
    char path[256];
    struct stat st;

    blob_path(world->store, blob, path, sizeof(path));
    assert_int_equal(stat(path, &st), 0);
    bad.file = st.st_ino;
    bad.at = at;
}

/* The worker in a child of this program, which has the bad disk. */
static void stage_here(struct world *world, const struct flo_digest *release)
{
    char line[4096];
    int pair[2];

    stage_job_line(world, release, NULL, line);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        _exit(flo_worker_run(pair[1]));
    }
    close(pair[1]);
    assert_int_equal(send(pair[0], line, strlen(line), MSG_NOSIGNAL), strlen(line));
    stage_finish(world, pid, pair[0]);
    bad.file = 0;
}

static void a_model_that_cannot_be_read_costs_one_chunk(void **state)
{
    struct world *world = *state;
    struct flo_release release = two_files(world, NEW);
    struct flo_digest model = release.files[0].digest;
    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);

    stage(world, &digest, NULL);
    assert_staged(world, &digest);
    spoil(world, &model, 1500000);
    world->mirror.sent_bytes = 0;

    stage_here(world, &digest);

    assert_staged(world, &digest);
    assert_int_equal(world->mirror.sent_bytes, 1734464 - (1 << 20));
}

static void a_base_that_cannot_be_read_falls_back_to_the_full_file(void **state)
{
    struct world *world = *state;
    struct flo_digest base;
    struct flo_digest digest = offer_patch(world, &base);

    spoil(world, &base, 1000000);

    stage_here(world, &digest);

    assert_staged(world, &digest);
    assert_event(world, "{\"event\":\"fallback\",\"from\":\"bsdiff40\","
                        "\"to\":\"raw\",\"error\":{\"id\":\"io.read\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_world(a_model_that_cannot_be_read_costs_one_chunk),
        with_world(a_base_that_cannot_be_read_falls_back_to_the_full_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
