/* PostgreSQL engine: the tables in a database on a server.
 *
 * Changes whose result is not needed are sent in libpq's pipeline.  So a
 * transaction costs a round trip for each read, and one for its commit.  A
 * commit waits for the server's disk, so the store's queue has nothing to sync
 * here.
 *
 * A lost connection ends its transaction, and the next begin connects again.
 * If the connection is lost during a commit, a row that the transaction wrote
 * tells whether the transaction was committed.  If that row cannot be read
 * soon, the commit counts as failed.  If the transaction was committed after
 * all, the epoch ends: the process's state in memory is stale then, and the
 * process starts again (core/lease). */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/db.h>
#include <flotilla/errors/state.h>

#include "server-stub/store/postgresql/connection.h"
#include "server-stub/store/postgresql/limits.h"
#include "server-stub/store/postgresql/postgresql.h"
#include "server-stub/store/sql/sql.h"

struct postgresql {
    struct flo_store_engine engine; /* base of this struct, so it is the first member */
    struct flo_pg *pg;
    const struct flo_postgresql_limits *limits;
    uint64_t epoch;   /* epoch in which this process commits */
    uint64_t commits; /* number of the newest commit of this process */
    uint64_t doubted; /* number of the commit whose answer is missing; 0: none */
    char session[48]; /* name of the database session; "": this process has no lease */
    char name[80];
    char told[FLO_POSTGRESQL_LIMIT_COUNT][FLO_POSTGRESQL_LIMIT];
    const char *greeting[16];
    bool is_open, is_broken, is_committing;
    bool (*may_wait)(void *context, bool is_commit); /* NULL: no callback */
    void *may_wait_context;
    struct flo_sql sql;
};

/* A session whose network connection is cut off ends after seconds, and its
 * locks with it. */
static const char *const greeting[] = {
    "SET synchronous_commit = on",
    "SET tcp_keepalives_idle = 5",
    "SET tcp_keepalives_interval = 2",
    "SET tcp_keepalives_count = 3",
    NULL,
};

static struct postgresql *of(struct flo_store_engine *engine)
{
    return (struct postgresql *)engine;
}

/* ---- waiting ---- */

static bool may_wait(void *context)
{
    struct postgresql *store = context;

    return store->may_wait(store->may_wait_context, store->is_committing);
}

static void on_wait(struct flo_store_engine *engine,
                    bool (*may_wait_or_null)(void *context, bool is_commit), void *context)
{
    struct postgresql *store = of(engine);

    store->may_wait = may_wait_or_null;
    store->may_wait_context = context;
    flo_pg_on_wait(store->pg, may_wait_or_null != NULL ? may_wait : NULL, store);
}

/* ---- a commit without an answer ---- */

static int fail_superseded(const struct postgresql *store, struct flo_err *err)
{
    return flo_fail(err, FLO_E_STATE_SUPERSEDED, "another controller leads since epoch %llu",
                    (unsigned long long)store->epoch);
}

/* Reads the number of commits in this epoch.  It waits for the row's lock as
 * long as a commit is in progress. */
static int read_commits(struct postgresql *store, uint64_t *out, struct flo_err *err)
{
    struct flo_pg_rows *rows = NULL;
    int rv = flo_pg_query(store->pg,
                          "UPDATE flotilla_lease SET n = n WHERE epoch = $1::bigint RETURNING n",
                          FLO_DB_VALUES(flo_db_number((int64_t)store->epoch)), &rows, err);

    if (rv == 0 && flo_pg_rows_count(rows) == 0) {
        rv = fail_superseded(store, err);
    }
    if (rv == 0) {
        *out = (uint64_t)flo_pg_number(rows, 0, 0);
    }
    flo_pg_rows_free(rows);
    return rv;
}

/* Ends earlier sessions of this epoch, so that they cannot complete a commit
 * later. */
static int end_sessions(struct postgresql *store, struct flo_err *err)
{
    struct flo_pg_rows *rows = NULL;
    int rv = flo_pg_query(store->pg,
                          "SELECT count(*) FILTER (WHERE NOT pg_terminate_backend(pid, 200))"
                          " FROM pg_stat_activity WHERE datname = current_database()"
                          " AND pid <> pg_backend_pid() AND application_name = $1::text",
                          FLO_DB_VALUES(flo_db_text(store->session)), &rows, err);

    if (rv == 0 && flo_pg_number(rows, 0, 0) > 0) {
        rv = flo_fail(err, FLO_E_DB_UNREACHABLE, "the server has not ended the session before");
    }
    flo_pg_rows_free(rows);
    return rv;
}

/* Asks the database whether the transaction was committed whose commit got no
 * answer.  The number of commits in this epoch tells it, because only this
 * process commits in it.  In another epoch the answer no longer matters,
 * because this process must start again. */
static int ask(struct postgresql *store, bool *is_there, struct flo_err *err)
{
    uint64_t found = 0;
    int rv = flo_pg_ready(store->pg, err);

    if (rv == 0 && store->session[0] != '\0') {
        rv = end_sessions(store, err);
    }
    if (rv == 0) {
        rv = read_commits(store, &found, err);
    }
    *is_there = rv == 0 && found == store->doubted;
    return rv;
}

/* Ends the epoch in the database, so that the lease is not renewed and the
 * process starts again. */
static int end_epoch(struct postgresql *store, struct flo_err *err)
{
    FLO_TRY(flo_pg_run(store->pg,
                       "UPDATE flotilla_lease SET epoch = epoch + 1, beat = beat + 1,"
                       " held = 0 WHERE epoch = $1::bigint",
                       FLO_DB_VALUES(flo_db_number((int64_t)store->epoch)), NULL, err));
    return flo_fail(err, FLO_E_STATE_SUPERSEDED,
                    "a commit that counted as failed stands: epoch %llu "
                    "ends, and the controller reads all of it again",
                    (unsigned long long)store->epoch);
}

/* Finds out whether the doubtful commit happened, before anything is read or
 * changed. */
static int settle_doubt(struct postgresql *store, struct flo_err *err)
{
    bool is_there = false;
    int rv = ask(store, &is_there, err);

    if (rv < 0) {
        return flo_wrap(err, rv, "whether a commit ended well is not known");
    }
    if (is_there) {
        return end_epoch(store, err);
    }
    store->doubted = 0;
    return 0;
}

static int ready(struct postgresql *store, struct flo_err *err)
{
    return store->doubted != 0 ? settle_doubt(store, err) : flo_pg_ready(store->pg, err);
}

/* ---- statements ---- */

/* Notes an error within a transaction.  The first error makes the transaction
 * fail, and it stays open until its owner cancels it. */
static int after(struct postgresql *store, int rv)
{
    store->is_broken = store->is_broken || (store->is_open && rv < 0);
    return rv;
}

static int enter(struct postgresql *store, struct flo_err *err)
{
    if (store->sql.text.failed) {
        return flo_fail(err, FLO_E_MEMORY, "text of a statement");
    }
    if (store->is_broken) {
        return flo_fail(err, FLO_E_DB, "the transaction has failed");
    }
    return store->is_open ? 0 : ready(store, err);
}

static int run(struct postgresql *store, uint64_t *changed, struct flo_err *err)
{
    const struct flo_sql *sql = &store->sql;

    FLO_TRY(enter(store, err));
    int rv = changed == NULL && store->is_open
                 ? flo_pg_send(store->pg, sql->text.data, sql->values, sql->count, err)
                 : flo_pg_run(store->pg, sql->text.data, sql->values, sql->count, changed, err);
    return after(store, rv);
}

static int query_sql(struct postgresql *store, struct flo_pg_rows **out, struct flo_err *err)
{
    const struct flo_sql *sql = &store->sql;

    FLO_TRY(enter(store, err));
    return after(store, flo_pg_query(store->pg, sql->text.data, sql->values, sql->count, out, err));
}

static void read_value(const struct flo_pg_rows *rows, uint64_t row, int column,
                       enum flo_field field, struct flo_value *out)
{
    *out = (struct flo_value){0};
    if (flo_field_is_text(field)) {
        out->text = flo_pg_text(rows, row, column);
    } else if (flo_fields[field].type == FLO_TYPE_DIGEST) {
        size_t bytes;
        const void *blob = flo_pg_blob(rows, row, column, &bytes);
        out->digest = bytes == FLO_DIGEST_BYTES ? blob : NULL;
    } else {
        out->number = (uint64_t)flo_pg_number(rows, row, column);
    }
}

static int read_table(const struct flo_pg_rows *rows, uint64_t row, int column,
                      enum flo_table table, struct flo_value *out)
{
    for (int field = flo_tables[table].first; field < flo_tables[table].end; field++) {
        read_value(rows, row, column++, (enum flo_field)field, out++);
    }
    return column;
}

/* ---- reading ---- */

static int find(struct flo_store_engine *engine, const struct flo_query *query, flo_row_take take,
                void *context, struct flo_err *err)
{
    struct postgresql *store = of(engine);
    struct flo_value values[FLO_TABLE_FIELDS_MAX];
    struct flo_value joined[FLO_TABLE_FIELDS_MAX];
    struct flo_row row = {.values = values, .table = query->table};
    struct flo_pg_rows *rows = NULL;

    flo_sql_select(&store->sql, query);
    int rv = query_sql(store, &rows, err);
    for (uint64_t i = 0; rv == 0 && i < flo_pg_rows_count(rows); i++) {
        int column = read_table(rows, i, 0, query->table, values);
        if (query->join != 0) {
            read_table(rows, i, column, flo_fields[query->join].table, joined);
            row.joined = joined;
        }
        rv = take(context, &row);
    }
    flo_pg_rows_free(rows);
    return rv;
}

static int count(struct flo_store_engine *engine, const struct flo_query *query,
                 const enum flo_field *by, size_t by_count, flo_count_take take, void *context,
                 struct flo_err *err)
{
    struct postgresql *store = of(engine);
    struct flo_value values[FLO_TABLE_FIELDS_MAX] = {0};
    struct flo_value joined[FLO_TABLE_FIELDS_MAX] = {0};
    struct flo_row row = {values, joined, query->table};
    struct flo_pg_rows *rows = NULL;

    flo_sql_count(&store->sql, query, by, by_count);
    int rv = query_sql(store, &rows, err);
    for (uint64_t i = 0; rv == 0 && i < flo_pg_rows_count(rows); i++) {
        for (size_t j = 0; j < by_count; j++) {
            enum flo_table table = flo_fields[by[j]].table;
            struct flo_value *to = table == query->table ? values : joined;
            read_value(rows, i, (int)j, by[j], &to[(int)by[j] - flo_tables[table].first]);
        }
        rv = take(context, &row, (uint64_t)flo_pg_number(rows, i, (int)by_count));
    }
    flo_pg_rows_free(rows);
    return rv;
}

/* ---- changing ---- */

static int insert(struct flo_store_engine *engine, enum flo_table table,
                  const struct flo_field_change *changes, size_t change_count, uint64_t *changed,
                  struct flo_err *err)
{
    flo_sql_insert(&of(engine)->sql, table, changes, change_count);
    return run(of(engine), changed, err);
}

static int put(struct flo_store_engine *engine, enum flo_table table,
               const struct flo_field_change *changes, size_t change_count, struct flo_err *err)
{
    flo_sql_put(&of(engine)->sql, table, changes, change_count);
    return run(of(engine), NULL, err);
}

static int update(struct flo_store_engine *engine, enum flo_table table,
                  const struct flo_field_change *changes, size_t change_count,
                  const struct flo_match *matches, size_t match_count, uint64_t *changed,
                  struct flo_err *err)
{
    flo_sql_update(&of(engine)->sql, table, changes, change_count, matches, match_count);
    return run(of(engine), changed, err);
}

static int remove_rows(struct flo_store_engine *engine, enum flo_table table,
                       const struct flo_match *matches, size_t match_count, uint64_t *changed,
                       struct flo_err *err)
{
    flo_sql_remove(&of(engine)->sql, table, matches, match_count);
    return run(of(engine), changed, err);
}

/* ---- transactions ---- */

static int begin(struct flo_store_engine *engine, struct flo_err *err)
{
    struct postgresql *store = of(engine);
    int rv = ready(store, err);

    if (rv == 0) {
        rv = flo_pg_send(store->pg, "BEGIN", FLO_DB_NONE, err);
    }
    store->is_open = rv == 0;
    store->is_broken = false;
    return rv;
}

static void cancel(struct flo_store_engine *engine)
{
    struct postgresql *store = of(engine);

    if (store->is_open) {
        /* the result is ignored: an earlier change that failed is rolled back
         * anyway */
        (void)!flo_pg_flush(store->pg, NULL);
        (void)!flo_pg_run(store->pg, "ROLLBACK", FLO_DB_NONE, NULL, NULL);
    }
    store->is_open = store->is_broken = false;
}

/* ---- commits ---- */

/* Asks for a short while whether a commit happened, as long as the
 * transaction's changes are still in memory.  This is needed after a session
 * ended, or a server failed over.  An unreachable server is asked once. */
static int ask_a_moment(struct postgresql *store, struct flo_err *err)
{
    bool is_gone = store->may_wait != NULL && !store->may_wait(store->may_wait_context, true);
    uint64_t until_ms = flo_now_ms() + (is_gone ? 0 : store->limits->ask_ms);
    bool is_there = false;
    int rv;

    flo_log(FLO_LOG_WARN, "store", "the database was lost while it committed; it is asked again");
    do {
        flo_postgresql_pause(store->limits->pause_ms);
        rv = ask(store, &is_there, err);
    } while (rv == FLO_E_DB_UNREACHABLE && flo_now_ms() < until_ms);
    if (rv < 0) {
        return flo_wrap(err, rv, "whether a commit ended well is not known");
    }
    store->doubted = 0;
    return is_there
               ? 0
               : flo_fail(err, FLO_E_DB_UNREACHABLE, "the database was lost before the commit");
}

/* Commits.  If another leader's epoch began, the function flo_commit in the
 * database fails, and the transaction with it. */
static int commit(struct flo_store_engine *engine, struct flo_err *err)
{
    static const char fence[] = "SELECT flo_commit($1::bigint, $2::bigint)";
    struct postgresql *store = of(engine);
    uint64_t number = store->commits + 1;
    int rv = enter(store, err);

    if (rv == 0) {
        rv = flo_pg_send(
            store->pg, fence,
            FLO_DB_VALUES(flo_db_number((int64_t)number), flo_db_number((int64_t)store->epoch)),
            err);
    }
    if (rv == 0) {
        store->is_committing = true;
        rv = flo_pg_run(store->pg, "COMMIT", FLO_DB_NONE, NULL, err);
        store->is_committing = false;
        if (rv == FLO_E_DB_UNREACHABLE) {
            store->doubted = number;
            rv = ask_a_moment(store, err);
        }
    }
    if (rv == 0) {
        store->commits = number;
        store->is_open = false;
    } else {
        cancel(engine);
    }
    return rv;
}

/* ---- opening ---- */

static void close_engine(struct flo_store_engine *engine)
{
    struct postgresql *store = of(engine);

    flo_pg_close(store->pg);
    flo_buf_deinit(&store->sql.text);
    free(store);
}

/* A commit that returned is on the server's disk, and the server's own vacuum
 * tidies. */
static const struct flo_store_ops ops = {
    .close = close_engine,
    .begin = begin,
    .on_wait = on_wait,
    .commit = commit,
    .cancel = cancel,
    .find = find,
    .count = count,
    .insert = insert,
    .put = put,
    .update = update,
    .remove = remove_rows,
};

/* Begins a new epoch without a lease, for tests and tools.  Processes that
 * opened the database before can no longer commit. */
static int begin_epoch(struct postgresql *store, struct flo_err *err)
{
    struct flo_pg_rows *rows = NULL;
    int rv = flo_pg_query(store->pg,
                          "UPDATE flotilla_lease SET epoch = epoch + 1,"
                          " beat = beat + 1, held = 0, holder = ''"
                          " RETURNING epoch",
                          FLO_DB_NONE, &rows, err);

    if (rv == 0) {
        store->epoch = (uint64_t)flo_pg_number(rows, 0, 0);
    }
    flo_pg_rows_free(rows);
    return rv;
}

/* Makes the session's first statements.  They set the session's name, by which
 * a later leader finds the sessions to end. */
static void make_greeting(struct postgresql *store)
{
    size_t count = 0;

    for (; greeting[count] != NULL; count++) {
        store->greeting[count] = greeting[count];
    }
    size_t told = flo_postgresql_tell_limits(store->limits, store->told);
    for (size_t i = 0; i < told; i++) {
        store->greeting[count++] = store->told[i];
    }
    if (store->epoch != 0) {
        snprintf(store->session, sizeof(store->session), FLO_POSTGRESQL_LEADER "%llu",
                 (unsigned long long)store->epoch);
        snprintf(store->name, sizeof(store->name), "SET application_name = '%s'", store->session);
        store->greeting[count] = store->name;
    }
}

int flo_postgresql_open(const char *address, uint64_t epoch,
                        const struct flo_postgresql_limits *limits, struct flo_store_engine **out,
                        struct flo_err *err)
{
    struct postgresql *store = calloc(1, sizeof(*store));

    if (store == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "store");
    }
    store->engine.ops = &ops;
    store->sql.dialect = &flo_sql_postgresql;
    store->epoch = epoch;
    store->limits = limits != NULL ? limits : &flo_postgresql_store_limits;
    make_greeting(store);
    int rv = flo_pg_open(address, store->greeting, &store->pg, err);
    if (rv == 0) {
        rv = flo_postgresql_lease(store->pg, err);
    }
    if (rv == 0 && epoch == 0) {
        rv = begin_epoch(store, err);
    }
    if (rv == 0) {
        rv = flo_postgresql_schema(store->pg, store->epoch, err);
    }
    if (rv == 0) {
        rv = read_commits(store, &store->commits, err);
    }
    if (rv == 0) {
        flo_pg_hurry(store->pg, &store->limits->pg);
    }
    if (rv < 0) {
        close_engine(&store->engine);
        return rv;
    }
    *out = &store->engine;
    return 0;
}
