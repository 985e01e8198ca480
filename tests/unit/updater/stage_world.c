/* See stage_world.h. */
#include "stage_world.h"

#include "blobs.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/remove_tree.h"
#include "updater/store/store.h"

int stage_set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    snprintf(world->dir, sizeof(world->dir), "/tmp/flo-worker-XXXXXX");
    if (mkdtemp(world->dir) == NULL) {
        return -1;
    }
    snprintf(world->state_dir, sizeof(world->state_dir), "%s/state", world->dir);
    snprintf(world->mirror_dir, sizeof(world->mirror_dir), "%s/mirror", world->dir);
    if (mkdir(world->mirror_dir, 0700) < 0 ||
        flo_store_open(world->state_dir, true, &world->store, NULL) < 0) {
        return -1;
    }
    publisher_open(&world->publisher, world->mirror_dir);
    mirror_open(&world->mirror, world->mirror_dir);
    *state = world;
    return 0;
}

int stage_tear_down(void **state)
{
    struct world *world = *state;

    mirror_close(&world->mirror);
    publisher_close(&world->publisher);
    flo_store_close(world->store);
    assert_int_equal(remove_tree(world->dir), 0);
    free(world);
    return 0;
}

/* ---- running it ---- */

pid_t stage_start(const char *line, size_t bytes, int *fd)
{
    char path[4096];
    int pair[2];
    pid_t pid = -1;

    assert_true(flo_process_sibling("flotilla-updater", path, sizeof(path)));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    const char *argv[] = {path, "worker", NULL};
    assert_int_equal(flo_process_spawn(argv, pair[1], &pid, NULL), 0);
    close(pair[1]);
    assert_int_equal(send(pair[0], line, bytes, MSG_NOSIGNAL), bytes);
    *fd = pair[0];
    return pid;
}

void stage_finish(struct world *world, pid_t pid, int fd)
{
    int status = 0;

    world->events_bytes = 0;
    for (;;) {
        ssize_t got = read(fd, world->events + world->events_bytes,
                           sizeof(world->events) - 1 - world->events_bytes);
        if (got <= 0) {
            break;
        }
        world->events_bytes += (size_t)got;
    }
    world->events[world->events_bytes] = '\0';
    close(fd);
    assert_int_equal(wait4(pid, &status, 0, &world->usage), pid);
    assert_true(WIFEXITED(status));
    world->exit_code = WEXITSTATUS(status);
}

void stage_job_line(const struct world *world, const struct flo_digest *release, const char *bundle,
                    char out[4096])
{
    char digest[FLO_DIGEST_TEXT];
    char quoted[300] = "null";

    flo_digest_text(release, digest);
    if (bundle != NULL) {
        snprintf(quoted, sizeof(quoted), "\"%s\"", bundle);
    }
    snprintf(out, 4096,
             "{\"v\":1,\"job\":\"stage\",\"state_dir\":\"%s\",\"urls\":[\"%s\"],"
             "\"release\":\"%s\",\"trust_file\":\"%s\",\"fleet\":\"demo\","
             "\"profile\":{\"arch\":\"x86_64\",\"prefix_bytes\":8192,"
             "\"runtimes\":[{\"name\":\"onnx\"}]},\"have\":[],"
             "\"bundle\":%s,"
             "\"rate_bytes_per_s\":0,\"memory_bytes_max\":33554432,"
             "\"sandbox\":\"preferred\","
             "\"pause_ms_min\":1,\"pause_ms_max\":5}\n",
             world->state_dir, world->mirror.url, digest, world->publisher.trust_file, quoted);
}

void stage(struct world *world, const struct flo_digest *release, const char *bundle)
{
    char line[4096];
    int fd = -1;

    stage_job_line(world, release, bundle, line);
    pid_t pid = stage_start(line, strlen(line), &fd);
    stage_finish(world, pid, fd);
}

static int count_entry(void *context, const char *name)
{
    (void)name;
    (*(int *)context)++;
    return 0;
}

int count_partials(const struct world *world)
{
    int count = 0;

    (void)flo_store_each_name(world->store->partial_fd, count_entry, &count);
    return count;
}

/* ---- releases ---- */

void put_blob_of(struct world *world, const char *path)
{
    FLO_CLEANUP(flo_free_cleanup) char *data = NULL;
    struct flo_digest digest;
    size_t bytes = 0;

    assert_int_equal(flo_file_read(path, 64 << 20, &data, &bytes, NULL), 0);
    assert_int_equal(flo_store_blob_put(world->store, data, bytes, &digest, NULL), 0);
}

/* A byte of a blob is another one. */
void rot(struct world *world, const struct flo_digest *blob, off_t at)
{
    char path[256];

    blob_path(world->store, blob, path, sizeof(path));
    assert_int_equal(chmod(path, 0600), 0);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "x", 1, at), 1);
    close(fd);
}

struct flo_release two_files(struct world *world, const char *model)
{
    struct flo_release release = publisher_begin("2.1.0", 3);

    publisher_add(&world->publisher, &release, "model.gguf", "model", model);
    publisher_add(&world->publisher, &release, "golden.json", "golden", GOLDEN);
    return release;
}

struct flo_digest offer_patch(struct world *world, struct flo_digest *base)
{
    struct flo_release release = two_files(world, NEW);

    publisher_add_way(&world->publisher, &release, 0, "bsdiff40", OLD);
    *base = release.files[0].ways[1].base;
    put_blob_of(world, OLD);
    return publisher_sign(&world->publisher, world->publisher.key, &release);
}

void assert_staged(struct world *world, const struct flo_digest *release)
{
    struct flo_release document;
    struct flo_err err = {0};

    assert_event(world, "{\"event\":\"staged\"");
    assert_int_equal(world->exit_code, 0);
    assert_int_equal(flo_store_release_load(world->store, release, &document, &err), 0);
    for (uint32_t i = 0; i < document.file_count; i++) {
        int fd = -1;
        assert_int_equal(
            flo_store_blob_open_verified(world->store, &document.files[i].digest, &fd, NULL, &err),
            0);
        close(fd);
    }
    assert_int_equal(flo_store_release_variant(world->store, release, &document), 0);
    flo_release_deinit(&document);
    assert_int_equal(count_partials(world), 0);
}
