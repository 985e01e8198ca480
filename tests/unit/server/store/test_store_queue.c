/* The queue of commits, over both engines: their order, what is promised when,
 * and a disk that is slow or fails. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <flotilla/errors/db.h>

#include "base/host/db.h"

#include "unit/server/store/store.h"
#include "unit/waits.h"

/* An engine's calls, of which those of the disk wait and fail as told. */
static struct {
    const struct flo_store_ops *real;
    struct flo_store_ops ops;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool is_shut; /* syncs wait */
    bool is_slow; /* tidying waits */
    int syncs;    /* that began */
    int fail;     /* so many of the next ones */
    int settle_fail;
    int woken;
    int tidied;
    int tidy_ended;
} disk = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void set(int *what, int value)
{
    pthread_mutex_lock(&disk.mutex);
    *what = value;
    pthread_cond_broadcast(&disk.changed);
    pthread_mutex_unlock(&disk.mutex);
}

static void shut(bool is_shut)
{
    pthread_mutex_lock(&disk.mutex);
    disk.is_shut = is_shut;
    pthread_cond_broadcast(&disk.changed);
    pthread_mutex_unlock(&disk.mutex);
}

static int look(const int *what)
{
    pthread_mutex_lock(&disk.mutex);
    int value = *what;
    pthread_mutex_unlock(&disk.mutex);
    return value;
}

static void await(const int *what, int at_least)
{
    WAIT_UNTIL(look(what) >= at_least);
}

static bool fails(int *left)
{
    pthread_mutex_lock(&disk.mutex);
    bool now = *left > 0;
    *left -= now;
    pthread_mutex_unlock(&disk.mutex);
    return now;
}

static int slow_sync(struct flo_store_engine *engine, struct flo_err *err)
{
    pthread_mutex_lock(&disk.mutex);
    disk.syncs++;
    pthread_cond_broadcast(&disk.changed);
    while (disk.is_shut) {
        pthread_cond_wait(&disk.changed, &disk.mutex);
    }
    pthread_mutex_unlock(&disk.mutex);
    if (fails(&disk.fail)) {
        return flo_fail(err, FLO_E_DB, "the disk");
    }
    return disk.real->sync != NULL ? disk.real->sync(engine, err) : 0;
}

static int slow_settle(struct flo_store_engine *engine, struct flo_err *err)
{
    if (fails(&disk.settle_fail)) {
        return flo_fail(err, FLO_E_DB, "still");
    }
    return disk.real->settle != NULL ? disk.real->settle(engine, err) : 0;
}

static void slow_tidy(struct flo_store_engine *engine)
{
    pthread_mutex_lock(&disk.mutex);
    disk.tidied++;
    pthread_cond_broadcast(&disk.changed);
    while (disk.is_slow) {
        pthread_cond_wait(&disk.changed, &disk.mutex);
    }
    pthread_mutex_unlock(&disk.mutex);
    if (disk.real->tidy != NULL) {
        disk.real->tidy(engine);
    }
    pthread_mutex_lock(&disk.mutex);
    disk.tidy_ended++;
    pthread_cond_broadcast(&disk.changed);
    pthread_mutex_unlock(&disk.mutex);
}

static void wake(void *context)
{
    (void)context;
    pthread_mutex_lock(&disk.mutex);
    disk.woken++;
    pthread_cond_broadcast(&disk.changed);
    pthread_mutex_unlock(&disk.mutex);
}

static struct flo_fleet_store *start(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};

    disk.real = store->engine->ops;
    disk.ops = *disk.real;
    disk.ops.sync = slow_sync;
    disk.ops.settle = slow_settle;
    disk.ops.tidy = slow_tidy;
    store->engine->ops = &disk.ops;
    disk.is_shut = false;
    disk.syncs = disk.fail = disk.settle_fail = disk.woken = 0;
    disk.tidied = disk.tidy_ended = 0;
    if (flo_fleet_queue_start(store, wake, NULL, &err) < 0) {
        fail_msg("%s", err.what);
    }
    return store;
}

static int put(struct flo_fleet_store *store, const char *value)
{
    struct flo_err err = {0};

    if (flo_fleet_begin(store, &err) < 0) {
        return err.code;
    }
    assert_int_equal(flo_fleet_setting_set(store, "name", value, &err), 0);
    return flo_fleet_commit(store, &err);
}

static void is_set(struct flo_fleet_store *store, const char *value)
{
    char text[64];

    assert_int_equal(flo_fleet_setting_get(store, "name", text, sizeof(text), NULL), 0);
    assert_string_equal(text, value);
}

static void a_commit_is_read_at_once_and_durable_after_its_sync(void **state)
{
    struct flo_fleet_store *store = start(state);
    uint64_t before = flo_fleet_committed(store);
    struct flo_err err = {0};

    shut(true);
    assert_int_equal(put(store, "one"), 0);
    await(&disk.syncs, 1);

    is_set(store, "one");
    assert_int_equal(flo_fleet_committed(store), before + 1);
    assert_int_equal(flo_fleet_durable(store, &err), before);
    assert_int_equal(err.code, 0);
    assert_int_equal(disk.woken, 0);
    shut(false);
    await(&disk.woken, 1);
    assert_int_equal(flo_fleet_durable(store, &err), before + 1);
}

static void one_sync_makes_all_durable_that_waited_for_it(void **state)
{
    struct flo_fleet_store *store = start(state);
    uint64_t before = flo_fleet_committed(store);

    shut(true);
    assert_int_equal(put(store, "first"), 0);
    await(&disk.syncs, 1);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(put(store, "more"), 0);
    }
    assert_int_equal(flo_fleet_durable(store, NULL), before);
    shut(false);
    await(&disk.woken, 2);
    assert_int_equal(flo_fleet_durable(store, NULL), before + 11);
    assert_int_equal(disk.syncs, 2);
}

/* A disk that stands still costs no commit and no thread. */
static void nobody_waits_for_a_sync_that_does_not_end(void **state)
{
    struct flo_fleet_store *store = start(state);
    struct flo_err err = {0};
    int rv = 0;

    shut(true);
    for (int i = 0; rv == 0; i++) {
        rv = put(store, "more");
        assert_true(i < 100);
    }
    assert_int_equal(rv, FLO_E_DB_SLOW);
    assert_true(flo_fleet_sync_ms(store) >= FLO_FLEET_SLOW_MS);
    assert_int_equal(flo_fleet_flush(store, &err), FLO_E_DB_SLOW);
    shut(false);
    await(&disk.woken, 1); /* it has ended */
    assert_int_equal(flo_fleet_flush(store, &err), 0);
    assert_int_equal(flo_fleet_durable(store, NULL), flo_fleet_committed(store));
    assert_int_equal(put(store, "after"), 0);
}

static void a_commit_that_changed_nothing_waits_for_nobody(void **state)
{
    struct flo_fleet_store *store = start(state);
    uint64_t before = flo_fleet_committed(store);

    begin(store);
    is_set(store, "");
    commit(store);
    assert_int_equal(flo_fleet_committed(store), before);
    assert_int_equal(flo_fleet_durable(store, NULL), before);
    assert_int_equal(disk.syncs, 0);
}

static void what_is_taken_back_gets_no_number(void **state)
{
    struct flo_fleet_store *store = start(state);
    uint64_t before = flo_fleet_committed(store);

    begin(store);
    assert_int_equal(flo_fleet_setting_set(store, "name", "x", NULL), 0);
    flo_fleet_roll_back(store);
    is_set(store, "");
    assert_int_equal(flo_fleet_committed(store), before);
}

static void a_sync_that_fails_is_told_and_makes_nothing_durable(void **state)
{
    struct flo_fleet_store *store = start(state);
    uint64_t before = flo_fleet_committed(store);
    struct flo_err err = {0};

    set(&disk.fail, 1);
    set(&disk.settle_fail, 1);
    assert_int_equal(put(store, "one"), 0);
    await(&disk.woken, 1);
    assert_int_equal(flo_fleet_durable(store, &err), before);
    assert_int_equal(err.code, FLO_E_DB);

    /* It is refused while that cannot be settled, and nothing is lost. */
    assert_int_equal(put(store, "two"), FLO_E_DB);
    assert_int_equal(flo_fleet_durable(store, &err), before);
    is_set(store, "one");
    assert_int_equal(put(store, "two"), 0);
    assert_int_equal(flo_fleet_flush(store, &err), 0);
    is_set(store, "two");
    assert_int_equal(flo_fleet_durable(store, &err), before + 2);
    assert_int_equal(err.code, 0);
}

static bool sleeps(pid_t thread)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    char path[64];
    size_t bytes;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)thread);
    assert_int_equal(flo_file_read(path, 4096, &text, &bytes, NULL), 0);
    const char *end = strrchr(text, ')'); /* of its name */
    return end != NULL && strncmp(end, ") S", 3) == 0;
}

/* Not before the other thread stands still. */
static void *open_then(void *context)
{
    pid_t thread = *(pid_t *)context;

    WAIT_UNTIL(sleeps(thread));
    shut(false);
    return NULL;
}

static pthread_t open_behind_me(pid_t *me)
{
    pthread_t thread;

    *me = (pid_t)syscall(SYS_gettid);
    assert_int_equal(pthread_create(&thread, NULL, open_then, me), 0);
    return thread;
}

static void behind_64_commits_a_transaction_waits_for_the_disk(void **state)
{
    struct flo_fleet_store *store = start(state);
    uint64_t before = flo_fleet_committed(store);
    pid_t me;

    shut(true);
    for (int i = 0; i < 64; i++) {
        assert_int_equal(put(store, "more"), 0);
    }
    assert_int_equal(flo_fleet_durable(store, NULL), before);
    pthread_t thread = open_behind_me(&me);
    assert_int_equal(put(store, "last"), 0);
    assert_true(flo_fleet_durable(store, NULL) > before);
    pthread_join(thread, NULL);
}

static void stopping_waits_for_the_disk_and_commits_wait_again(void **state)
{
    struct flo_fleet_store *store = start(state);
    struct flo_err err = {0};
    pid_t me;

    shut(true);
    assert_int_equal(put(store, "one"), 0);
    pthread_t thread = open_behind_me(&me);
    assert_int_equal(flo_fleet_queue_stop(store, &err), 0);
    assert_int_equal(flo_fleet_durable(store, NULL), flo_fleet_committed(store));
    pthread_join(thread, NULL);
    assert_int_equal(put(store, "two"), 0);
    assert_int_equal(flo_fleet_durable(store, NULL), flo_fleet_committed(store));
    assert_int_equal(disk.syncs, 1);
    assert_int_equal(flo_fleet_queue_start(store, wake, NULL, &err), 0);
}

static void no_commit_waits_until_the_engine_is_tidied(void **state)
{
    struct flo_fleet_store *store = start(state);
    struct flo_err err = {0};

    pthread_mutex_lock(&disk.mutex);
    disk.is_slow = true;
    pthread_mutex_unlock(&disk.mutex);
    assert_int_equal(put(store, "one"), 0);
    await(&disk.tidied, 1);
    assert_int_equal(put(store, "two"), 0);
    await(&disk.woken, 2);
    assert_int_equal(flo_fleet_durable(store, NULL), flo_fleet_committed(store));
    assert_int_equal(flo_fleet_flush(store, &err), 0);
    assert_int_equal(disk.tidied, 1);
    pthread_mutex_lock(&disk.mutex);
    disk.is_slow = false;
    pthread_cond_broadcast(&disk.changed);
    pthread_mutex_unlock(&disk.mutex);
    await(&disk.tidied, 2);
}

/* ---- SQLite ---- */

#define MIB 1048576

static void the_log_of_sqlite_stays_bounded_without_a_pause(void **state)
{
    struct flo_fleet_store *store = start(state);
    const struct fixture *fixture = *state;
    char *text = malloc(MIB + 1);
    char path[128];
    struct stat seen;

    assert_non_null(text);
    text[MIB] = '\0';
    snprintf(path, sizeof(path), "%s/control.db-wal", fixture->dir);
    for (int i = 0; i < 150; i++) {
        memset(text, 'a' + i % 26, MIB); /* equal pages are not written */
        assert_int_equal(put(store, text), 0);
    }
    assert_int_equal(stat(path, &seen), 0);
    print_message("the log: %lld bytes\n", (long long)seen.st_size);
    assert_true(seen.st_size < 80 * (off_t)MIB);
    free(text);
}

static void what_was_settled_is_there_after_a_restart(void **state)
{
    struct flo_fleet_store *store = start(state);
    struct fixture *fixture = *state;
    struct flo_err err = {0};

    set(&disk.fail, 1);
    assert_int_equal(put(store, "one"), 0);
    await(&disk.woken, 1);
    assert_int_equal(flo_fleet_flush(store, &err), 0);
    flo_fleet_close(store);
    assert_int_equal(flo_fleet_open(fixture->dir, 0, &fixture->store, &err), 0);
    is_set(fixture->store, "one");
}

/* In place of the system's: syncs of a log are counted. */
static atomic_int log_syncs;
static atomic_bool is_file_bad; /* no sync of control.db succeeds */

int fdatasync(int fd)
{
    char path[64];
    char name[4096] = "";

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (readlink(path, name, sizeof(name) - 1) < 4) {
        return -1;
    }
    const char *end = name + strlen(name);
    if (strcmp(end - 4, "-wal") == 0) {
        log_syncs++;
    } else if (is_file_bad && strcmp(end - 3, ".db") == 0) {
        errno = EIO;
        return -1;
    }
    return 0; /* as in no_sync.c */
}

/* A process is killed between a commit and its sync.  The next one reads that
 * commit, and tells of it. */
static void a_log_that_nobody_synced_is_synced_when_it_is_opened(void **state)
{
    struct fixture *fixture = *state;
    struct flo_err err = {0};
    int status;

    flo_fleet_close(fixture->store);
    pid_t child = fork();
    if (child == 0) {
        if (flo_fleet_open(fixture->dir, 0, &fixture->store, &err) == 0) {
            start(state);
            shut(true);
            _exit(put(fixture->store, "one") == 0 ? 0 : 1);
        }
        _exit(2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    log_syncs = 0;
    assert_int_equal(flo_fleet_open(fixture->dir, 0, &fixture->store, &err), 0);
    is_set(fixture->store, "one");
    assert_int_equal(log_syncs, 1);
}

static struct flo_db *reader_of(const struct fixture *fixture)
{
    struct flo_db *reader = NULL;
    struct flo_err err = {0};
    char path[128];

    snprintf(path, sizeof(path), "%s/control.db", fixture->dir);
    if (flo_db_open(path, FLO_DB_SYNC_FULL, 5000, &reader, &err) < 0) {
        fail_msg("%s", err.what);
    }
    return reader;
}

/* Each sync tries to move the log.  A line each would fill what room is left.
 * A reader keeps every other move from its end, where the file is synced. */
static void a_log_that_cannot_be_moved_is_told_once(void **state)
{
    struct flo_fleet_store *store = start(state);
    struct flo_db *reader = reader_of(*state);
    struct flo_err err = {0};
    char *text = malloc(11 * MIB + 1);
    char said[4096] = "";
    FILE *file = tmpfile();
    int before = dup(STDERR_FILENO);
    size_t count = 0;

    assert_true(text != NULL && file != NULL && before >= 0);
    text[11 * MIB] = '\0';
    is_file_bad = true;
    dup2(fileno(file), STDERR_FILENO);
    for (int i = 0; i < 4; i++) {
        memset(text, 'a' + i, 11 * MIB);
        if (i % 2 == 1) {
            assert_int_equal(flo_db_exec(reader, "BEGIN; SELECT * FROM sqlite_schema", &err), 0);
        }
        assert_int_equal(put(store, text), 0);
        assert_int_equal(flo_fleet_flush(store, &err), 0);
        await(&disk.tidy_ended, i + 1);
        flo_db_roll_back(reader);
    }
    flo_db_close(reader);
    assert_int_equal(flo_fleet_queue_stop(store, &err), 0);
    dup2(before, STDERR_FILENO);
    close(before);
    is_file_bad = false;
    rewind(file);
    while (fgets(said, sizeof(said), file) != NULL) {
        count += strstr(said, "checkpoint") != NULL ? 1 : 0;
    }
    assert_int_equal(count, 1);
    fclose(file);
    free(text);
}

/* A failed test left it shut. */
static int open_and_close(void **state)
{
    shut(false);
    return close_store(state);
}
#define close_store open_and_close

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_ENGINES(a_commit_is_read_at_once_and_durable_after_its_sync),
        OVER_ENGINES(one_sync_makes_all_durable_that_waited_for_it),
        OVER_ENGINES(nobody_waits_for_a_sync_that_does_not_end),
        OVER_ENGINES(a_commit_that_changed_nothing_waits_for_nobody),
        OVER_ENGINES(what_is_taken_back_gets_no_number),
        OVER_ENGINES(a_sync_that_fails_is_told_and_makes_nothing_durable),
        OVER_ENGINES(behind_64_commits_a_transaction_waits_for_the_disk),
        OVER_ENGINES(stopping_waits_for_the_disk_and_commits_wait_again),
        OVER_ENGINES(no_commit_waits_until_the_engine_is_tidied),
        cmocka_unit_test_setup_teardown(the_log_of_sqlite_stays_bounded_without_a_pause, in_sqlite,
                                        close_store),
        cmocka_unit_test_setup_teardown(what_was_settled_is_there_after_a_restart, in_sqlite,
                                        close_store),
        cmocka_unit_test_setup_teardown(a_log_that_cannot_be_moved_is_told_once, in_sqlite,
                                        close_store),
        cmocka_unit_test_setup_teardown(a_log_that_nobody_synced_is_synced_when_it_is_opened,
                                        in_sqlite, close_store),
    };

    return run_over_all("store", tests, FLO_COUNT(tests));
}
