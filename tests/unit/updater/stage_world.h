/* A device's store, a publisher and its mirror, and the worker between them:
 * for tests of staging. */
#ifndef TESTS_STAGE_WORLD_H
#define TESTS_STAGE_WORLD_H

#include <sys/resource.h>
#include <sys/types.h>

#include <flotilla/updater.h>

#include "mirror.h"
#include "publisher.h"

#define OLD "tests/models/tiny-v2.Q4_0.gguf"
#define NEW "tests/models/tiny-v2.1.Q4_0.gguf"
#define NAN_MODEL "tests/models/tiny-v3-bad-nan.Q4_0.gguf"
#define GOLDEN "tests/models/golden-tiny-v2.1.json"

struct world {
    char dir[64];
    char state_dir[96];
    char mirror_dir[96];
    struct flo_store *store;
    struct publisher publisher;
    struct mirror mirror;
    /* Results of the last run. */
    char events[1 << 16];
    size_t events_bytes;
    int exit_code;
    struct rusage usage;
};

/* cmocka's set-up and tear-down; *state is a struct world. */
int stage_set_up(void **state);
int stage_tear_down(void **state);
#define with_world(test) cmocka_unit_test_setup_teardown(test, stage_set_up, stage_tear_down)

/* Run the shipped program with one job line, to its end. */
void stage(struct world *world, const struct flo_digest *release, const char *bundle);
/* The same in steps: `line` of stage_job_line(); what it says until it ends
 * goes to `events`. */
void stage_job_line(const struct world *world, const struct flo_digest *release, const char *bundle,
                    char out[4096]);
pid_t stage_start(const char *line, size_t bytes, int *fd);
void stage_finish(struct world *world, pid_t pid, int fd);

#define assert_event(world, text)                                                                  \
    do {                                                                                           \
        if (strstr((world)->events, (text)) == NULL) {                                             \
            fail_msg("no %s in:\n%s", (text), (world)->events);                                    \
        }                                                                                          \
    } while (0)

int count_partials(const struct world *world);
/* That file is a blob of the device. */
void put_blob_of(struct world *world, const char *path);
/* A byte of a blob is another one. */
void rot(struct world *world, const struct flo_digest *blob, off_t at);
/* A model, and the golden answers. */
struct flo_release two_files(struct world *world, const char *model);
/* Those of NEW with a patch; its base, OLD, is a blob.  Gives the release. */
struct flo_digest offer_patch(struct world *world, struct flo_digest *base);
/* The worker said so, and all files of the release are blobs. */
void assert_staged(struct world *world, const struct flo_digest *release);

#endif
