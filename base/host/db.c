/* Database: bounded, typed calls over SQLite. */
#include "base/host/db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <sqlite3.h>

#include <flotilla/errors/db.h>

#include "base/given.h"

enum { STATEMENTS_MAX = 256, VALUE_BYTES_MAX = 64 << 20 };

struct flo_db_statement {
    struct flo_db *db;
    sqlite3_stmt *stmt;
    char *sql;     /* the statement's text, by which the cache finds it */
    uint32_t hash; /* hash of `sql` */
    uint64_t used; /* value of the counter db->prepared at the statement's last use */
};

struct flo_db {
    sqlite3 *handle;
    bool is_damaged;
    size_t count;
    uint64_t prepared;
    atomic_int log_pages; /* pages in the write-ahead log after the newest commit */
    bool has_looked;      /* true: flo_db_look() has filled in `file` and `log` */
    struct stat file, log;
    /* Prepared statements.  The list has pointers, because a statement that a
     * caller uses must not move. */
    struct flo_db_statement *statements[STATEMENTS_MAX];
};

/* Clears errno and returns the handle, for a call of SQLite that may fail.  A
 * failed commit does not set sqlite3_system_errno(), so errno after the call
 * gives the reason. */
static sqlite3 *fresh(const struct flo_db *db)
{
    errno = 0;
    return db->handle;
}

/* Tells whether the file system is read-only.  Then the file opens for reading
 * and its log is absent, so errno does not show it. */
static bool is_on_read_only(const struct flo_db *db)
{
    const char *path = db->handle != NULL ? sqlite3_db_filename(db->handle, NULL) : NULL;
    struct statvfs facts;

    return path != NULL && statvfs(path, &facts) == 0 && (facts.f_flag & ST_RDONLY) != 0;
}

/* Returns the errno behind the SQLite code `result`, or 0 when there is
 * none. */
static int system_errno(const struct flo_db *db, int result)
{
    int number = errno;

    switch (result & 0xff) {
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return is_on_read_only(db) ? EROFS : number;
    case SQLITE_READONLY:
        return is_on_read_only(db) ? EROFS : 0;
    case SQLITE_CORRUPT: /* SQLite also says so of a page that the disk did not give */
        return number == EIO || number == ENXIO ? number : 0;
    default:
        return 0;
    }
}

/* Adds a fix for disk errors, which the fix of db.failed does not cover. */
static int fix_of(int number, int code, struct flo_err *err)
{
    if (err != NULL && number == EROFS) {
        return flo_err_fix(err, "look why the file system is read-only "
                                "(dmesg), then mount it writable");
    }
    if (err != NULL && (number == EIO || number == ENXIO)) {
        return flo_err_fix(err, "check the disk (dmesg), and mount it again; the database goes on "
                                "by itself");
    }
    return code;
}

static int db_fail(struct flo_db *db, int result, const char *what, struct flo_err *err)
{
    int code = FLO_E_DB;
    int number = system_errno(db, result);

    if ((result & 0xff) == SQLITE_CORRUPT && number != 0) {
        result = SQLITE_IOERR_READ;
    }
    switch (result & 0xff) {
    case SQLITE_FULL:
        code = FLO_E_DISK_FULL;
        break;
    case SQLITE_NOMEM:
        code = FLO_E_MEMORY;
        break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        code = FLO_E_DB_DAMAGED;
        db->is_damaged = true;
        break;
    default:
        break;
    }
    const char *why = sqlite3_errstr(result);
    if (db->handle != NULL && sqlite3_extended_errcode(db->handle) == result) {
        why = sqlite3_errmsg(db->handle);
    }
    if (number == 0) {
        return flo_fail(err, code, "%.200s: %s", what, why);
    }
    /* a full disk counts too on which SQLite's shared-memory index could not
     * grow */
    errno = number;
    code = flo_fail_errno(err, code, "%.200s: %s", what, why);
    return fix_of(number, code, err);
}

/* ---- opening ---- */

/* Returns the SQLite error code in a message of quick_check about a page that
 * could not be read, or SQLITE_OK when there is none. */
static int result_in(const char *text)
{
    const char *at = text == NULL ? NULL : strstr(text, "error code");

    return at == NULL ? SQLITE_OK : atoi(at + strcspn(at, "0123456789"));
}

/* Runs a PRAGMA and compares its first row with the expected text.  Fails with
 * `code` when they differ. */
static int expect_answer(struct flo_db *db, const char *sql, const char *const *wanted, int code,
                         struct flo_err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rv = 0;
    int result = sqlite3_prepare_v2(fresh(db), sql, -1, &stmt, NULL);

    if (result == SQLITE_OK) {
        result = sqlite3_step(stmt);
    }
    if (result != SQLITE_ROW) {
        rv = db_fail(db, result, sql, err);
    } else {
        const char *text = (const char *)sqlite3_column_text(stmt, 0);
        bool fits = false;
        for (size_t i = 0; text != NULL && wanted[i] != NULL; i++) {
            fits = fits || strcmp(text, wanted[i]) == 0;
        }
        result = result_in(text);
        if (!fits && result != SQLITE_OK) {
            rv = db_fail(db, result, sql, err);
        } else if (!fits) {
            rv = flo_fail(err, code, "%s: %s", sql, text != NULL ? text : "no answer");
        }
    }
    sqlite3_finalize(stmt);
    return rv;
}

static int by_name(void *context, int a_bytes, const void *a, int b_bytes, const void *b)
{
    (void)context;
    return flo_natural_compare(a, (size_t)a_bytes, b, (size_t)b_bytes);
}

static int db_set_up(struct flo_db *db, enum flo_db_sync sync, struct flo_err *err)
{
    static const char *const wal[] = {"wal", "memory", NULL};
    int result;

    /* A hostile file must not run its own SQL or change the schema. */
    if ((result = sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL)) != SQLITE_OK ||
        (result = sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL)) !=
            SQLITE_OK) {
        return db_fail(db, result, "configure", err);
    }
    if ((result = sqlite3_create_collation(db->handle, "by_name", SQLITE_UTF8, NULL, by_name)) !=
        SQLITE_OK) {
        return db_fail(db, result, "collation", err);
    }
    sqlite3_limit(db->handle, SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX);
    FLO_TRY(expect_answer(db, "PRAGMA journal_mode=WAL", wal, FLO_E_DB, err));
    FLO_TRY(flo_db_exec(
        db, sync == FLO_DB_SYNC_FULL ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL",
        err));
    return flo_db_exec(db, "PRAGMA foreign_keys=ON", err);
}

/* Creates the file with mode 0600, since SQLite applies the umask alone; its
 * journals copy the mode.  An existing file is only checked by stat, not
 * opened.  Closing any descriptor of a file would drop all locks of the process
 * on that file (fcntl(2)), including SQLite's. */
static int create(const char *path, struct flo_err *err)
{
    struct stat facts;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd >= 0) {
        close(fd);
        return 0;
    }
    if (errno != EEXIST || stat(path, &facts) < 0) {
        int number = errno;
        int rv = flo_fail_errno(err, FLO_E_DB, "open %s", path);
        return fix_of(number, rv, err);
    }
    if (!S_ISREG(facts.st_mode)) {
        return flo_fail(err, FLO_E_DB, "open %s: no regular file", path);
    }
    return 0;
}

void flo_db_busy(struct flo_db *db, unsigned busy_ms)
{
    sqlite3_busy_timeout(db->handle, (int)(busy_ms & 0x7fffffff));
}

int flo_db_open(const char *path, enum flo_db_sync sync, unsigned busy_ms, struct flo_db **out,
                struct flo_err *err)
{
    FLO_CLEANUP(flo_db_cleanup) struct flo_db *db = calloc(1, sizeof(*db));

    if (db == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "open %s", path);
    }
    FLO_TRY(strcmp(path, ":memory:") != 0 ? create(path, err) : 0);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                SQLITE_OPEN_EXRESCODE |
                (strstr(path, FLO_GIVEN_MARK) != NULL ? SQLITE_OPEN_NOFOLLOW : 0);
    errno = 0;
    int result = sqlite3_open_v2(path, &db->handle, flags, NULL);
    if (result != SQLITE_OK) {
        return db_fail(db, result, path, err);
    }
    flo_db_busy(db, busy_ms);
    int rv = db_set_up(db, sync, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "%s", path);
    }
    *out = db;
    db = NULL;
    return 0;
}

int flo_db_check(struct flo_db *db, struct flo_err *err)
{
    static const char *const ok[] = {"ok", NULL};
    int rv = expect_answer(db, "PRAGMA quick_check(1)", ok, FLO_E_DB_DAMAGED, err);

    return rv < 0 ? flo_wrap(err, rv, "%s", sqlite3_db_filename(db->handle, NULL)) : 0;
}

bool flo_db_is_damaged(const struct flo_db *db)
{
    return db->is_damaged;
}

bool flo_db_is_read_only(const struct flo_db *db)
{
    return sqlite3_db_readonly(db->handle, "main") == 1;
}

int flo_db_set_aside(const char *path, const char *word, struct flo_err *err)
{
    static const char *const journals[] = {"-wal", "-shm"};
    char other[4200];

    snprintf(other, sizeof(other), "%s.%s", path, word);
    if (rename(path, other) == 0) {
        flo_log(FLO_LOG_WARN, "db", "%s is %s and was renamed to %s", path, word, other);
    } else if (errno != ENOENT) {
        return flo_fail_errno(err, FLO_E_DB, "rename %s to %s", path, other);
    }
    for (size_t i = 0; i < FLO_COUNT(journals); i++) {
        snprintf(other, sizeof(other), "%s%s", path, journals[i]);
        unlink(other);
    }
    return 0;
}

/* Checks that the file is still at its path, because a deleted file still
 * accepts writes. */
static int look_at(const char *path, const struct stat *own, struct flo_err *err)
{
    struct stat there;

    if (stat(path, &there) < 0) {
        return errno == ENOENT ? flo_fail(err, FLO_E_DB_REPLACED, "%s was deleted", path)
                               : flo_fail_errno(err, FLO_E_DB, "look at %s", path);
    }
    return there.st_ino == own->st_ino && there.st_dev == own->st_dev
               ? 0
               : flo_fail(err, FLO_E_DB_REPLACED, "%s is another file now", path);
}

int flo_db_look(struct flo_db *db, struct flo_err *err)
{
    const char *path = sqlite3_db_filename(db->handle, "main");

    if (path == NULL || path[0] == '\0') { /* an in-memory database */
        return 0;
    }
    const char *log = sqlite3_filename_wal(path);
    if (!db->has_looked) {
        if (stat(path, &db->file) < 0 || stat(log, &db->log) < 0) {
            return flo_fail_errno(err, FLO_E_DB, "look at %s", path);
        }
        db->has_looked = true;
    }
    FLO_TRY(look_at(path, &db->file, err));
    return look_at(log, &db->log, err);
}

static void statement_free(struct flo_db_statement *statement)
{
    sqlite3_finalize(statement->stmt);
    free(statement->sql);
    free(statement);
}

void flo_db_close(struct flo_db *db)
{
    if (db == NULL) {
        return;
    }
    for (size_t i = 0; i < db->count; i++) {
        statement_free(db->statements[i]);
    }
    sqlite3_close_v2(db->handle);
    free(db);
}

void flo_db_cleanup(struct flo_db **db)
{
    flo_db_close(*db);
    *db = NULL;
}

int flo_db_exec(struct flo_db *db, const char *sql, struct flo_err *err)
{
    int result = sqlite3_exec(fresh(db), sql, NULL, NULL, NULL);

    return result == SQLITE_OK ? 0 : db_fail(db, result, sql, err);
}

/* ---- schema ---- */

static int version_read(struct flo_db *db, int64_t *version, struct flo_err *err)
{
    struct flo_db_statement *statement;
    bool has_row = false;

    FLO_TRY(flo_db_query(db, "PRAGMA user_version", FLO_DB_NONE, &statement, err));
    FLO_TRY(flo_db_step(statement, &has_row, err));
    *version = has_row ? flo_db_column_i64(statement, 0) : 0;
    flo_db_reset(statement);
    return 0;
}

static int migrate_one(struct flo_db *db, const char *script, size_t version, struct flo_err *err)
{
    char pragma[64];
    int rv = flo_db_exec(db, script, err);

    if (rv < 0) {
        return flo_wrap(err, rv, "schema version %zu", version);
    }
    snprintf(pragma, sizeof(pragma), "PRAGMA user_version=%zu", version);
    return flo_db_exec(db, pragma, err);
}

int flo_db_migrate(struct flo_db *db, const char *const *scripts, size_t count, struct flo_err *err)
{
    for (;;) {
        int64_t version = 0;
        /* The version is read inside the write lock, because two programs may
         * start at once. */
        FLO_TRY(flo_db_begin(db, err));
        int rv = version_read(db, &version, err);
        if (rv == 0 && (version < 0 || (uint64_t)version > count)) {
            rv = flo_fail(err, FLO_E_DB_NEWER,
                          "the database has schema version %lld, this program "
                          "knows up to %zu",
                          (long long)version, count);
        }
        if (rv < 0 || (uint64_t)version == count) {
            flo_db_roll_back(db);
            return rv;
        }
        rv = migrate_one(db, scripts[version], (size_t)version + 1, err);
        if (rv < 0) {
            flo_db_roll_back(db);
            return rv;
        }
        FLO_TRY(flo_db_commit(db, err));
    }
}

/* ---- statements ---- */

static struct flo_db_statement *statement_find(struct flo_db *db, const char *sql, uint32_t hash)
{
    for (size_t i = 0; i < db->count; i++) {
        struct flo_db_statement *known = db->statements[i];
        if (known->hash == hash && strcmp(known->sql, sql) == 0) {
            return known;
        }
    }
    return NULL;
}

/* Makes room for one more statement: drops the one that was not used for
 * longest. */
static int statement_room(struct flo_db *db, size_t *place, struct flo_err *err)
{
    *place = db->count;
    if (db->count < STATEMENTS_MAX) {
        db->count++;
        return 0;
    }
    for (size_t i = 0; i < db->count; i++) {
        if (sqlite3_stmt_busy(db->statements[i]->stmt) == 0 &&
            (*place == db->count || db->statements[i]->used < db->statements[*place]->used)) {
            *place = i;
        }
    }
    if (*place == db->count) {
        return flo_fail(err, FLO_E_INTERNAL, "%d statements run at a time", (int)STATEMENTS_MAX);
    }
    statement_free(db->statements[*place]);
    return 0;
}

static int prepare(struct flo_db *db, const char *sql, struct flo_db_statement **out,
                   struct flo_err *err)
{
    uint32_t hash = flo_crc32c(0, sql, strlen(sql));
    struct flo_db_statement *known = statement_find(db, sql, hash);
    size_t place;

    db->prepared++;
    if (known != NULL) {
        known->used = db->prepared;
        sqlite3_reset(known->stmt);
        sqlite3_clear_bindings(known->stmt);
        *out = known;
        return 0;
    }
    struct flo_db_statement *statement = calloc(1, sizeof(*statement));
    if (statement == NULL || (statement->sql = strdup(sql)) == NULL) {
        free(statement);
        return flo_fail(err, FLO_E_MEMORY, "prepare %.200s", sql);
    }
    const char *rest = NULL;
    int result =
        sqlite3_prepare_v3(fresh(db), sql, -1, SQLITE_PREPARE_PERSISTENT, &statement->stmt, &rest);
    if (result != SQLITE_OK) {
        statement_free(statement);
        return db_fail(db, result, sql, err);
    }
    if (statement->stmt == NULL || rest[strspn(rest, " \t\n;")] != '\0') {
        statement_free(statement);
        return flo_fail(err, FLO_E_INTERNAL, "not exactly one statement: %.200s", sql);
    }
    statement->db = db;
    statement->hash = hash;
    statement->used = db->prepared;
    int rv = statement_room(db, &place, err);
    if (rv < 0) {
        statement_free(statement);
        return rv;
    }
    db->statements[place] = statement;
    *out = statement;
    return 0;
}

/* Binds a value to a parameter.  `life` is SQLITE_STATIC when the value
 * outlives the statement's steps, else SQLITE_TRANSIENT, which copies it.  The
 * next use of the statement clears bindings first. */
static int bind(struct flo_db_statement *statement, int index, const struct flo_db_value *value,
                sqlite3_destructor_type life)
{
    switch (value->kind) {
    case FLO_DB_TEXT:
        return sqlite3_bind_text(statement->stmt, index, value->data, -1, life);
    case FLO_DB_BLOB:
        return sqlite3_bind_blob64(statement->stmt, index, value->data, value->bytes, life);
    default:
        return sqlite3_bind_int64(statement->stmt, index, value->number);
    }
}

static int query(struct flo_db *db, const char *sql, const struct flo_db_value *values,
                 size_t count, sqlite3_destructor_type life, struct flo_db_statement **out,
                 struct flo_err *err)
{
    struct flo_db_statement *statement = NULL;

    FLO_TRY(prepare(db, sql, &statement, err));
    for (size_t i = 0; i < count; i++) {
        int result = bind(statement, (int)i + 1, &values[i], life);
        if (result != SQLITE_OK) {
            return db_fail(db, result, sql, err);
        }
    }
    *out = statement;
    return 0;
}

int flo_db_query(struct flo_db *db, const char *sql, const struct flo_db_value *values,
                 size_t count, struct flo_db_statement **out, struct flo_err *err)
{
    return query(db, sql, values, count, SQLITE_TRANSIENT, out, err);
}

int flo_db_step(struct flo_db_statement *statement, bool *has_row, struct flo_err *err)
{
    (void)fresh(statement->db);
    int result = sqlite3_step(statement->stmt);

    if (result == SQLITE_ROW) {
        *has_row = true;
        return 0;
    }
    int rv = result == SQLITE_DONE ? 0 : db_fail(statement->db, result, statement->sql, err);
    sqlite3_reset(statement->stmt);
    if (rv == 0) {
        *has_row = false;
    }
    return rv;
}

int flo_db_run(struct flo_db *db, const char *sql, const struct flo_db_value *values, size_t count,
               struct flo_err *err)
{
    struct flo_db_statement *statement;
    bool has_row = true;
    int rv = query(db, sql, values, count, SQLITE_STATIC, &statement, err);

    while (rv == 0 && has_row) {
        rv = flo_db_step(statement, &has_row, err);
    }
    return rv;
}

void flo_db_reset(struct flo_db_statement *statement)
{
    if (statement != NULL) {
        sqlite3_reset(statement->stmt);
    }
}

const char *flo_db_column_text(struct flo_db_statement *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement->stmt, column);

    return text != NULL ? (const char *)text : "";
}

int64_t flo_db_column_i64(struct flo_db_statement *statement, int column)
{
    return sqlite3_column_int64(statement->stmt, column);
}

const void *flo_db_column_blob(struct flo_db_statement *statement, int column, size_t *bytes)
{
    const void *data = sqlite3_column_blob(statement->stmt, column);

    *bytes = (size_t)sqlite3_column_bytes(statement->stmt, column);
    return data;
}

int64_t flo_db_changes(struct flo_db *db)
{
    return sqlite3_changes64(db->handle);
}

/* ---- transactions ---- */

int flo_db_begin(struct flo_db *db, struct flo_err *err)
{
    return flo_db_exec(db, "BEGIN IMMEDIATE", err);
}

int flo_db_commit(struct flo_db *db, struct flo_err *err)
{
    int rv = flo_db_exec(db, "COMMIT", err);

    if (rv < 0) {
        flo_db_roll_back(db);
    }
    return rv;
}

static int on_log(void *context, sqlite3 *handle, const char *name, int pages)
{
    struct flo_db *db = context;

    (void)handle, (void)name;
    atomic_store(&db->log_pages, pages);
    return SQLITE_OK;
}

void flo_db_log_keep(struct flo_db *db)
{
    sqlite3_wal_hook(db->handle, on_log, db); /* replaces SQLite's automatic checkpoint */
}

int flo_db_log_pages(const struct flo_db *db)
{
    return atomic_load(&db->log_pages);
}

int flo_db_log_move(struct flo_db *db, struct flo_err *err)
{
    int result = sqlite3_wal_checkpoint_v2(fresh(db), NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);

    return result == SQLITE_OK || (result & 0xff) == SQLITE_BUSY
               ? 0
               : db_fail(db, result, "checkpoint", err);
}

int flo_db_file_sync(struct flo_db *db, struct flo_err *err)
{
    sqlite3_file *file = NULL;
    int result = sqlite3_file_control(fresh(db), "main", SQLITE_FCNTL_FILE_POINTER, &file);

    if (result == SQLITE_OK) {
        result = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
    }
    return result == SQLITE_OK ? 0 : db_fail(db, result, "sync", err);
}

static int copy_pages(struct flo_db *db, const char *path, struct flo_err *err)
{
    /* handle of the new file, with a rollback journal, so that no log file
     * remains */
    struct flo_db to = {0};
    errno = 0;
    int result = sqlite3_open_v2(path, &to.handle, SQLITE_OPEN_READWRITE, NULL);
    sqlite3_backup *backup =
        result == SQLITE_OK ? sqlite3_backup_init(to.handle, "main", db->handle, "main") : NULL;
    int rv = 0;

    if (backup != NULL) { /* copies in one step, because a commit in between
                           * would restart the copy */
        (void)sqlite3_backup_step(backup, -1);
        result = sqlite3_backup_finish(backup);
    } else if (result == SQLITE_OK) {
        result = sqlite3_extended_errcode(to.handle);
    }
    if (result != SQLITE_OK) {
        rv = db_fail(&to, result, path, err);
    }
    sqlite3_close(to.handle);
    return rv;
}

static int check_file(const char *path, struct flo_err *err)
{
    FLO_CLEANUP(flo_db_cleanup) struct flo_db *db = NULL;

    FLO_TRY(flo_db_open(path, FLO_DB_SYNC_FULL, 0, &db, err));
    return flo_db_check(db, err);
}

int flo_db_copy(struct flo_db *db, const char *path, struct flo_err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path);
    }
    int rv = copy_pages(db, path, err);
    if (rv == 0) {
        rv = check_file(path, err);
    }
    if (rv == 0 && fsync(fd) < 0) {
        rv = flo_fail_errno(err, FLO_E_DB, "sync %s", path);
    }
    close(fd); /* SQLite has closed the file, so closing `fd` loses no lock */
    if (rv < 0) {
        unlink(path);
    }
    return rv;
}

void flo_db_roll_back(struct flo_db *db)
{
    if (sqlite3_get_autocommit(db->handle) == 0) {
        /* The rollback fails only when SQLite has rolled back already. */
        (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    }
}
