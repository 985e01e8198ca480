/* Parts of the outbox's tests: a folder for each test, and what was told. */
#ifndef FLOTILLA_TESTS_OUTBOX_PARTS_H
#define FLOTILLA_TESTS_OUTBOX_PARTS_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/shell/outbox/outbox_state.h"
#include "tests/unit/remove_tree.h"

static char dir[64];

static inline int begin(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/flo-outbox-XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static inline int end(void **state)
{
    (void)state;
    return remove_tree(dir);
}

static inline struct flo_outbox_db *open_db(uint64_t bytes_max)
{
    struct flo_outbox_db *db = NULL;
    struct flo_err err = {0};

    assert_int_equal(flo_outbox_db_open(dir, bytes_max, &db, &err), 0);
    return db;
}

static inline void note(struct flo_outbox_db *db, const char *what)
{
    flo_events_add(db, FLO_EVENT_NOTE, json_pack("{s:s, s:s}", "type", "note", "what", what), NULL);
}

static inline unsigned told(struct flo_outbox_db *db, const char *text)
{
    unsigned count = 0;
    uint64_t sequence;

    for (sequence = 1; sequence <= flo_events_outbox(db)->last; sequence++) {
        char *event = flo_events_text(db, sequence);
        count += strstr(event, text) != NULL;
        free(event);
    }
    return count;
}

static inline char *path_of(const char *name)
{
    static char path[160];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

/* The disk takes nothing (RLIMIT_FSIZE), or everything again. */
static inline void let_disk_fail(bool fails)
{
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = fails ? 0 : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* In a process that is killed without a chance to close anything. */
static inline void in_a_killed_process(void (*work)(struct flo_outbox_db *db))
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        struct flo_outbox_db *db = NULL;
        if (flo_outbox_db_open(dir, 1 << 20, &db, NULL) == 0) {
            work(db);
        }
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

#endif
