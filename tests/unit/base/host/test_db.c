/* Database: statements, transactions, migrations, damaged files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include <flotilla/errors/db.h>

#include "base/host/db.h"
#include "unit/remove_tree.h"

static char folder[64];
static char path[100];

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/flo-db-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/db", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)umount2(folder, MNT_DETACH); /* of the test that has a disk */
    return remove_tree(folder);
}

static struct flo_db *opened(void)
{
    struct flo_db *db = NULL;
    assert_int_equal(flo_db_open(path, FLO_DB_SYNC_FULL, 0, &db, NULL), 0);
    return db;
}

static int open_and_check(struct flo_db **out, struct flo_err *err)
{
    struct flo_db *db = NULL;
    int rv = flo_db_open(path, FLO_DB_SYNC_NORMAL, 0, &db, err);
    if (rv == 0 && (rv = flo_db_check(db, err)) < 0) {
        flo_db_close(db);
    } else if (rv == 0) {
        *out = db;
    }
    return rv;
}

static int64_t number_of(struct flo_db *db, const char *sql)
{
    struct flo_db_statement *statement;
    bool has_row = false;
    assert_int_equal(flo_db_query(db, sql, FLO_DB_NONE, &statement, NULL), 0);
    assert_int_equal(flo_db_step(statement, &has_row, NULL), 0);
    assert_true(has_row);
    int64_t number = flo_db_column_i64(statement, 0);
    flo_db_reset(statement);
    return number;
}

static void what_was_bound_comes_back(void **state)
{
    FLO_CLEANUP(flo_db_cleanup) struct flo_db *db = opened();
    struct flo_db_statement *statement;
    bool has_row = false;
    size_t bytes = 0;
    (void)state;
    assert_int_equal(flo_db_exec(db, "CREATE TABLE t(a,b,c,d,e); CREATE INDEX i ON t(a)", NULL), 0);

    assert_int_equal(flo_db_run(db, "INSERT INTO t VALUES(?,?,?,?,?)",
                                FLO_DB_VALUES(flo_db_text("it's"), flo_db_number(INT64_MIN),
                                              flo_db_blob("a\0b", 3), flo_db_text(NULL)),
                                NULL),
                     0);
    assert_int_equal(flo_db_changes(db), 1);

    assert_int_equal(flo_db_query(db, "SELECT * FROM t", FLO_DB_NONE, &statement, NULL), 0);
    assert_int_equal(flo_db_step(statement, &has_row, NULL), 0);
    assert_true(has_row);
    assert_string_equal(flo_db_column_text(statement, 0), "it's");
    assert_true(flo_db_column_i64(statement, 1) == INT64_MIN);
    assert_memory_equal(flo_db_column_blob(statement, 2, &bytes), "a\0b", 3);
    assert_int_equal(bytes, 3);
    assert_string_equal(flo_db_column_text(statement, 3), "");
    assert_string_equal(flo_db_column_text(statement, 4), "");
    assert_int_equal(flo_db_step(statement, &has_row, NULL), 0);
    assert_false(has_row);
}

static void a_statement_is_prepared_once_and_comes_back_clean(void **state)
{
    FLO_CLEANUP(flo_db_cleanup) struct flo_db *db = opened();
    struct flo_db_statement *a;
    struct flo_db_statement *b;
    bool has_row;
    (void)state;

    assert_int_equal(flo_db_query(db, "SELECT ?1 ;\n", FLO_DB_VALUES(flo_db_number(5)), &a, NULL),
                     0);
    assert_int_equal(flo_db_step(a, &has_row, NULL), 0);
    assert_int_equal(flo_db_query(db, "SELECT ?1 ;\n", FLO_DB_NONE, &b, NULL), 0);

    assert_ptr_equal(a, b);
    assert_int_equal(flo_db_step(b, &has_row, NULL), 0);
    assert_string_equal(flo_db_column_text(b, 0), "");
    flo_db_reset(b);
    flo_db_reset(NULL);
}

static void a_wrong_statement_or_index_is_an_error(void **state)
{
    FLO_CLEANUP(flo_db_cleanup) struct flo_db *db = opened();
    struct flo_db_statement *statement;
    struct flo_err err = {0};
    (void)state;

    assert_int_equal(flo_db_query(db, "SELEC 1", FLO_DB_NONE, &statement, &err), FLO_E_DB);
    assert_int_equal(flo_db_query(db, "", FLO_DB_NONE, &statement, &err), FLO_E_INTERNAL);
    assert_int_equal(flo_db_query(db, "SELECT 1; SELECT 2", FLO_DB_NONE, &statement, &err),
                     FLO_E_INTERNAL);
    assert_int_equal(flo_db_query(db, "SELECT ?", FLO_DB_VALUES(flo_db_number(1), flo_db_number(1)),
                                  &statement, &err),
                     FLO_E_DB);
    assert_int_equal(flo_db_exec(db, "SELECT * FROM none", &err), FLO_E_DB);
    assert_non_null(strstr(err.what, "no such table"));
}

static void a_transaction_is_whole_or_not_at_all(void **state)
{
    FLO_CLEANUP(flo_db_cleanup) struct flo_db *db = opened();
    (void)state;
    assert_int_equal(flo_db_exec(db, "CREATE TABLE t(a)", NULL), 0);

    assert_int_equal(flo_db_begin(db, NULL), 0);
    assert_int_equal(flo_db_exec(db, "INSERT INTO t VALUES(1)", NULL), 0);
    flo_db_roll_back(db);
    assert_int_equal(number_of(db, "SELECT count(*) FROM t"), 0);
    flo_db_roll_back(db);

    assert_int_equal(flo_db_begin(db, NULL), 0);
    assert_int_equal(flo_db_exec(db, "INSERT INTO t VALUES(1)", NULL), 0);
    assert_int_equal(flo_db_commit(db, NULL), 0);
    assert_int_equal(number_of(db, "SELECT count(*) FROM t"), 1);
}

static void a_second_writer_is_refused_in_time(void **state)
{
    FLO_CLEANUP(flo_db_cleanup) struct flo_db *one = opened();
    FLO_CLEANUP(flo_db_cleanup) struct flo_db *two = opened();
    struct flo_err err = {0};
    (void)state;

    assert_int_equal(flo_db_begin(one, NULL), 0);
    assert_int_equal(flo_db_begin(two, &err), FLO_E_DB);
    assert_non_null(strstr(err.what, "locked"));
    assert_int_equal(flo_db_commit(one, NULL), 0);
    assert_int_equal(flo_db_begin(two, NULL), 0);
}

static void migrations_run_once_and_in_order(void **state)
{
    static const char *const scripts[] = {
        "CREATE TABLE t(a); INSERT INTO t VALUES(1)",
        "UPDATE t SET a = a + 10",
        "INSERT INTO t SELECT a * 2 FROM t",
    };
    FLO_CLEANUP(flo_db_cleanup) struct flo_db *db = opened();
    (void)state;

    assert_int_equal(flo_db_migrate(db, scripts, 1, NULL), 0);
    assert_int_equal(flo_db_migrate(db, scripts, 3, NULL), 0);
    assert_int_equal(flo_db_migrate(db, scripts, 3, NULL), 0);

    assert_int_equal(number_of(db, "SELECT sum(a) FROM t"), 33);
    assert_int_equal(number_of(db, "PRAGMA user_version"), 3);
    assert_int_equal(flo_db_migrate(db, scripts, 2, NULL), FLO_E_DB_NEWER);
}

static void a_failed_migration_leaves_the_version_before(void **state)
{
    static const char *const scripts[] = {
        "CREATE TABLE t(a)",
        "INSERT INTO t VALUES(1); INSERT INTO none VALUES(1)",
    };
    FLO_CLEANUP(flo_db_cleanup) struct flo_db *db = opened();
    struct flo_err err = {0};
    (void)state;

    assert_int_equal(flo_db_migrate(db, scripts, 2, &err), FLO_E_DB);

    assert_non_null(strstr(err.what, "schema version 2"));
    assert_int_equal(number_of(db, "PRAGMA user_version"), 1);
    assert_int_equal(number_of(db, "SELECT count(*) FROM t"), 0);
}

static void the_file_is_ours_alone_and_in_wal_mode(void **state)
{
    FLO_CLEANUP(flo_db_cleanup) struct flo_db *db = opened();
    struct stat st;
    (void)state;

    assert_int_equal(flo_db_exec(db, "CREATE TABLE t(a)", NULL), 0);

    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    char wal[120];
    snprintf(wal, sizeof(wal), "%s-wal", path);
    assert_int_equal(stat(wal, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(number_of(db, "PRAGMA foreign_keys"), 1);
    assert_int_equal(number_of(db, "PRAGMA synchronous"), 2);
}

static void a_damaged_file_is_an_error_and_no_crash(void **state)
{
    char *good = NULL;
    size_t bytes = 0;
    size_t refused = 0;
    (void)state;
    struct flo_db *db = opened();
    assert_int_equal(flo_db_exec(db,
                                 "CREATE TABLE t(a, b); CREATE INDEX i ON t(a);"
                                 "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 "
                                 "FROM n WHERE x < 500) INSERT INTO t SELECT x, "
                                 "hex(zeroblob(20)) FROM n",
                                 NULL),
                     0);
    flo_db_close(db);
    assert_int_equal(flo_file_read(path, 1 << 20, &good, &bytes, NULL), 0);
    assert_true(bytes > 20000);

    /* A hole of zeros or noise anywhere, and every length. */
    for (size_t at = 0; at < bytes; at += 1021) {
        char *bad = malloc(bytes);
        memcpy(bad, good, bytes);
        for (size_t i = at; i < at + 600 && i < bytes; i++) {
            bad[i] = at % 2 != 0 ? 0 : (char)(bad[i] ^ 0x5a);
        }
        assert_int_equal(flo_file_write(path, bad, bytes, 0600, NULL), 0);
        free(bad);
        struct flo_err err = {0};
        int rv = open_and_check(&db, &err);
        assert_true(rv == 0 || rv == FLO_E_DB_DAMAGED);
        if (rv == 0) {
            flo_db_close(db);
        } else {
            assert_non_null(strstr(err.what, path));
            refused++;
        }
        assert_int_equal(flo_file_write(path, good, at, 0600, NULL), 0);
        rv = open_and_check(&db, NULL);
        assert_true(rv == 0 || rv == FLO_E_DB_DAMAGED);
        if (rv == 0) {
            flo_db_close(db);
        }
    }
    /* Damage of text inside a row cannot be seen; of structure it is. */
    assert_true(refused > 3);
    assert_int_equal(flo_file_write(path,
                                    "this is no database at all, it is "
                                    "a text that somebody put here",
                                    63, 0600, NULL),
                     0);
    assert_int_equal(flo_db_open(path, FLO_DB_SYNC_FULL, 0, &db, NULL), FLO_E_DB_DAMAGED);
    assert_int_equal(flo_db_open(folder, FLO_DB_SYNC_FULL, 0, &db, NULL), FLO_E_DB);
    free(good);
}

/* As sqlite3 or cp of an operator: another process reads and leaves. */
static void somebody_reads(void)
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        sqlite3 *reader = NULL;
        bool can = sqlite3_open(path, &reader) == SQLITE_OK &&
                   sqlite3_exec(reader, "SELECT count(*) FROM t", NULL, NULL, NULL) == SQLITE_OK &&
                   sqlite3_close(reader) == SQLITE_OK;
        _exit(can ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* So many locks of this process on the file, as the kernel sees it. */
static int locks_of_ours(void)
{
    struct stat facts;
    char line[256], want[64];
    int count = 0;
    FILE *file = fopen("/proc/locks", "re");

    assert_int_equal(stat(path, &facts), 0);
    snprintf(want, sizeof(want), ":%lu ", (unsigned long)facts.st_ino);
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        int pid = 0;
        count += strstr(line, want) != NULL && sscanf(line, "%*s %*s %*s %*s %d", &pid) == 1 &&
                 pid == (int)getpid();
    }
    fclose(file);
    return count;
}

static void a_reader_takes_nothing_along(void **state)
{
    FLO_CLEANUP(flo_db_cleanup) struct flo_db *db = opened();
    struct flo_db *second;

    (void)state;
    assert_int_equal(flo_db_exec(db, "CREATE TABLE t(a)", NULL), 0);
    second = opened();
    assert_true(locks_of_ours() > 0);
    somebody_reads();
    flo_db_close(second);
    assert_true(locks_of_ours() > 0);
    somebody_reads();
    assert_int_equal(flo_db_exec(db, "INSERT INTO t VALUES (1)", NULL), 0);
    flo_db_close(db);
    db = opened();
    assert_int_equal(number_of(db, "SELECT count(*) FROM t"), 1);
}

static void a_copy_has_what_was_committed_and_disturbs_nobody(void **state)
{
    FLO_CLEANUP(flo_db_cleanup) struct flo_db *db = opened();
    FLO_CLEANUP(flo_db_cleanup) struct flo_db *copy = NULL;
    struct flo_db *reads = opened();
    char to[120];

    (void)state;
    snprintf(to, sizeof(to), "%s.copy", path);
    assert_int_equal(flo_db_exec(db,
                                 "CREATE TABLE t(a); INSERT INTO t VALUES (1);"
                                 "PRAGMA user_version=7; BEGIN IMMEDIATE;"
                                 "INSERT INTO t VALUES (2)",
                                 NULL),
                     0);
    assert_int_equal(flo_db_copy(reads, to, NULL), 0);
    assert_int_equal(flo_db_exec(db, "COMMIT", NULL), 0);
    flo_db_close(reads);
    assert_true(locks_of_ours() > 0);
    assert_int_equal(flo_db_open(to, FLO_DB_SYNC_FULL, 0, &copy, NULL), 0);
    assert_int_equal(number_of(copy, "SELECT sum(a) FROM t"), 1);
    assert_int_equal(number_of(copy, "PRAGMA user_version"), 7);
    assert_int_equal(number_of(db, "SELECT sum(a) FROM t"), 3);
}

static void a_copy_that_fails_leaves_no_file_and_takes_none(void **state)
{
    FLO_CLEANUP(flo_db_cleanup) struct flo_db *db = opened();
    struct flo_err err = {0};
    char to[120];

    (void)state;
    assert_int_equal(flo_db_exec(db, "CREATE TABLE t(a)", NULL), 0);
    assert_int_equal(flo_db_copy(db, path, &err), FLO_E_IO_OPEN);
    assert_int_equal(number_of(db, "SELECT count(*) FROM t"), 0);
    snprintf(to, sizeof(to), "%s/none/copy", folder);
    assert_int_equal(flo_db_copy(db, to, &err), FLO_E_IO_OPEN);
}

/* Pages after the first cannot be read; SQLite reads one way or the other. */
static ssize_t read_start(int fd, void *out, size_t bytes)
{
    if (lseek(fd, 0, SEEK_CUR) >= 4096) {
        errno = EIO;
        return -1;
    }
    return read(fd, out, bytes);
}

static ssize_t pread_start(int fd, void *out, size_t bytes, off_t at)
{
    if (at >= 4096) {
        errno = EIO;
        return -1;
    }
    return pread(fd, out, bytes, at);
}

static void a_disk_that_cannot_be_read_is_no_damage(void **state)
{
    sqlite3_vfs *disk = sqlite3_vfs_find(NULL);
    struct flo_db *db = opened();
    struct flo_err err = {0};
    (void)state;
    assert_int_equal(flo_db_exec(db, "CREATE TABLE t(a); INSERT INTO t VALUES(7)", NULL), 0);
    flo_db_close(db);

    disk->xSetSystemCall(disk, "read", (sqlite3_syscall_ptr)read_start);
    disk->xSetSystemCall(disk, "pread", (sqlite3_syscall_ptr)pread_start);
    disk->xSetSystemCall(disk, "pread64", (sqlite3_syscall_ptr)pread_start);
    int rv = open_and_check(&db, &err);
    disk->xSetSystemCall(disk, NULL, NULL);

    assert_int_equal(rv, FLO_E_DB);
    assert_non_null(strstr(err.what, ": Input/output error"));
    assert_non_null(strstr(err.fix, "check the disk"));
    db = opened();
    assert_int_equal(number_of(db, "SELECT a FROM t"), 7);
    flo_db_close(db);
}

static void a_page_that_the_disk_no_longer_gives_is_no_damage(void **state)
{
    sqlite3_vfs *disk = sqlite3_vfs_find(NULL);
    struct flo_db *db = opened();
    struct flo_err err = {0};
    (void)state;
    assert_int_equal(flo_db_exec(db, "CREATE TABLE t(a); INSERT INTO t VALUES(7)", NULL), 0);
    flo_db_close(db);
    db = opened();

    disk->xSetSystemCall(disk, "read", (sqlite3_syscall_ptr)read_start);
    disk->xSetSystemCall(disk, "pread", (sqlite3_syscall_ptr)pread_start);
    disk->xSetSystemCall(disk, "pread64", (sqlite3_syscall_ptr)pread_start);
    int rv = flo_db_exec(db, "SELECT a FROM t", &err);
    disk->xSetSystemCall(disk, NULL, NULL);

    assert_int_equal(rv, FLO_E_DB);
    assert_false(flo_db_is_damaged(db));
    assert_null(strstr(err.what, "malformed"));
    assert_non_null(strstr(err.fix, "mount it again"));
    assert_int_equal(number_of(db, "SELECT a FROM t"), 7);
    flo_db_close(db);
}

static int write_errno;

static ssize_t pwrite_never(int fd, const void *bytes, size_t count, off_t at)
{
    (void)fd, (void)bytes, (void)count, (void)at;
    errno = write_errno;
    return -1;
}

static ssize_t write_never(int fd, const void *bytes, size_t count)
{
    return pwrite_never(fd, bytes, count, 0);
}

/* Flash dies so: the kernel makes the file system read-only under the file. */
static void a_disk_that_cannot_be_written_says_why(void **state)
{
    static const struct {
        int number, code;
        const char *what;
    } rows[] = {
        {EROFS, FLO_E_DB, ": Read-only file system"},
        {EIO, FLO_E_DB, ": Input/output error"},
        {EDQUOT, FLO_E_DISK_FULL, ": Disk quota exceeded"},
    };
    sqlite3_vfs *disk = sqlite3_vfs_find(NULL);
    struct flo_db *db = opened();
    (void)state;
    assert_int_equal(flo_db_exec(db, "CREATE TABLE t(a)", NULL), 0);

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_err err = {0};
        write_errno = rows[i].number;
        disk->xSetSystemCall(disk, "write", (sqlite3_syscall_ptr)write_never);
        disk->xSetSystemCall(disk, "pwrite", (sqlite3_syscall_ptr)pwrite_never);
        disk->xSetSystemCall(disk, "pwrite64", (sqlite3_syscall_ptr)pwrite_never);
        int rv = flo_db_exec(db, "INSERT INTO t VALUES(7)", &err);
        disk->xSetSystemCall(disk, NULL, NULL);
        assert_int_equal(rv, rows[i].code);
        assert_non_null(strstr(err.what, rows[i].what));
    }
    flo_db_close(db);
}

static void a_file_on_a_read_only_file_system_is_told_as_such(void **state)
{
    struct flo_db *db = NULL;
    struct flo_err err = {0};
    (void)state;
    if (mount("tmpfs", folder, "tmpfs", 0, "size=256k") != 0) {
        skip(); /* only root may */
    }
    db = opened();
    assert_int_equal(flo_db_exec(db, "CREATE TABLE t(a)", NULL), 0);
    flo_db_close(db);
    assert_int_equal(mount(NULL, folder, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);

    assert_int_equal(flo_db_open(path, FLO_DB_SYNC_FULL, 0, &db, &err), FLO_E_DB);
    assert_non_null(strstr(err.what, ": Read-only file system"));
    assert_non_null(strstr(err.fix, "mount it writable"));
    assert_int_equal(unlink(path), -1);
    err = (struct flo_err){0};
    snprintf(path + strlen(path), 8, "-other");
    assert_int_equal(flo_db_open(path, FLO_DB_SYNC_FULL, 0, &db, &err), FLO_E_DB);
    assert_non_null(strstr(err.what, ": Read-only file system"));
    assert_non_null(strstr(err.fix, "mount it writable"));
}

static void a_full_disk_is_told_as_such_and_harms_nothing(void **state)
{
    struct flo_db *db = NULL;
    char filler[100];
    static char zeros[4096];
    (void)state;
    if (mount("tmpfs", folder, "tmpfs", 0, "size=256k") != 0) {
        skip(); /* only root may */
    }
    db = opened();
    assert_int_equal(flo_db_exec(db, "CREATE TABLE t(a); INSERT INTO t VALUES(7)", NULL), 0);
    flo_db_close(db); /* its journal and index go, and another takes the room */
    snprintf(filler, sizeof(filler), "%s/filler", folder);
    int fd = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (write(fd, zeros, sizeof(zeros)) > 0) {
    }
    close(fd);

    assert_int_equal(flo_db_open(path, FLO_DB_SYNC_FULL, 0, &db, NULL), FLO_E_DISK_FULL);

    assert_int_equal(unlink(filler), 0);
    db = opened();
    assert_int_equal(number_of(db, "SELECT a FROM t"), 7);
    flo_db_close(db);
}

static void more_texts_than_are_kept_take_turns(void **state)
{
    struct flo_db *db = opened();
    struct flo_db_statement *loop;
    bool has_row;

    (void)state;
    /* one runs all the time: it stays */
    assert_int_equal(flo_db_query(db, "SELECT 1 UNION ALL SELECT 2", FLO_DB_NONE, &loop, NULL), 0);
    assert_int_equal(flo_db_step(loop, &has_row, NULL), 0);
    for (int turn = 0; turn < 2; turn++) {
        for (int i = 0; i < 600; i++) {
            char text[32];
            snprintf(text, sizeof(text), "SELECT %d", i);
            assert_int_equal(number_of(db, text), i);
        }
    }
    assert_int_equal(flo_db_step(loop, &has_row, NULL), 0);
    assert_true(has_row);
    assert_int_equal(flo_db_column_i64(loop, 0), 2);
    flo_db_close(db);
}

/* Writes would go to a file that nobody finds again. */
static void a_file_that_was_taken_away_or_replaced_is_told(void **state)
{
    char other[110];
    struct flo_db *db = opened();
    (void)state;

    assert_int_equal(flo_db_exec(db, "CREATE TABLE a(b)", NULL), 0);
    assert_int_equal(flo_db_look(db, NULL), 0);
    snprintf(other, sizeof(other), "%s.other", path);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(flo_db_look(db, NULL), FLO_E_DB_REPLACED);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(flo_db_look(db, NULL), FLO_E_DB_REPLACED);
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(flo_db_look(db, NULL), 0);
    flo_db_close(db);
}

int main(void)
{
#define WITH_FILE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_FILE(what_was_bound_comes_back),
        WITH_FILE(a_statement_is_prepared_once_and_comes_back_clean),
        WITH_FILE(a_wrong_statement_or_index_is_an_error),
        WITH_FILE(more_texts_than_are_kept_take_turns),
        WITH_FILE(a_transaction_is_whole_or_not_at_all),
        WITH_FILE(a_second_writer_is_refused_in_time),
        WITH_FILE(migrations_run_once_and_in_order),
        WITH_FILE(a_failed_migration_leaves_the_version_before),
        WITH_FILE(the_file_is_ours_alone_and_in_wal_mode),
        WITH_FILE(a_damaged_file_is_an_error_and_no_crash),
        WITH_FILE(a_reader_takes_nothing_along),
        WITH_FILE(a_copy_has_what_was_committed_and_disturbs_nobody),
        WITH_FILE(a_copy_that_fails_leaves_no_file_and_takes_none),
        WITH_FILE(a_disk_that_cannot_be_read_is_no_damage),
        WITH_FILE(a_page_that_the_disk_no_longer_gives_is_no_damage),
        WITH_FILE(a_disk_that_cannot_be_written_says_why),
        WITH_FILE(a_file_on_a_read_only_file_system_is_told_as_such),
        WITH_FILE(a_full_disk_is_told_as_such_and_harms_nothing),
        WITH_FILE(a_file_that_was_taken_away_or_replaced_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
