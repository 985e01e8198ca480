/* PostgreSQL connection: its prepared statements and its pipeline. */
#include <assert.h>
#include <endian.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <flotilla/errors/db.h>
#include <flotilla/errors/state.h>

#include "base/host/pg.h"

#define STATEMENTS_MAX 512
#define PROBES 16
#define VALUES_MAX 64
#define PENDING_MAX 64 /* most statements that are sent before their answers are read */
#define NUMBER_TEXT 24

struct statement {
    char *sql; /* text of the statement; NULL: the slot is free */
    unsigned name;
};
struct flo_pg {
    PGconn *conn;
    char *address;
    const char *const *greeting;
    struct statement statements[STATEMENTS_MAX];
    unsigned names; /* number of statement names used on this connection */
    unsigned pending;
    bool has_forgotten; /* true: the server still knows names of dropped statements */
    uint64_t tried_ms;
    const struct flo_pg_limits *limits;
    /* length of the wait after which the connection was given up */
    uint64_t waited_ms;
    /* callback that says whether a long wait may go on; NULL: a wait ends after
     * answer_ms */
    bool (*may_wait)(void *context);
    void *may_wait_context;
    bool hurries;
    struct flo_err lost;   /* error that says why the connection was lost */
    struct flo_err failed; /* error of a statement that was sent without waiting */
    /* A connection attempt that another thread makes (flo_pg_hurry). */
    pthread_t connector;
    bool is_connecting;
    atomic_bool has_connected;
    PGconn *next;
    struct flo_err next_err;
};

/* Limits of a connection without flo_pg_hurry(). */
static const struct flo_pg_limits patient = {FLO_PG_USUAL};

/* ---- errors ---- */

/* Copies the first line of the server's message; libpq never puts the password
 * into it. */
static void first_line(const char *text, char out[256])
{
    size_t bytes = strcspn(text, "\n");

    flo_text_clean(text, bytes, out, 256);
}

static int code_of(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    if (state == NULL) {
        return FLO_E_DB;
    }
    return strcmp(state, "53100") == 0   ? FLO_E_DISK_FULL
           : strcmp(state, "53200") == 0 ? FLO_E_MEMORY
           : strcmp(state, "55P03") == 0 ? FLO_E_STATE_LOCKED
           : strcmp(state, "FLO01") == 0 ? FLO_E_STATE_SUPERSEDED
                                         : FLO_E_DB;
}

static bool is_lost(const struct flo_pg *pg)
{
    return pg->conn == NULL || PQstatus(pg->conn) != CONNECTION_OK;
}

static int fail_lost(struct flo_pg *pg, struct flo_err *err)
{
    char why[256];

    snprintf(why, sizeof(why), "no answer within %llu ms", (unsigned long long)pg->waited_ms);
    if (pg->conn != NULL) {
        first_line(PQerrorMessage(pg->conn), why);
    }
    flo_fail(&pg->lost, FLO_E_DB_UNREACHABLE, "%s",
             why[0] == '\0' ? "the connection was lost" : why);
    return flo_fail(err, FLO_E_DB_UNREACHABLE, "%s", pg->lost.what);
}

static int fail_result(struct flo_pg *pg, const PGresult *result, struct flo_err *err)
{
    char why[256];

    if (is_lost(pg)) {
        return fail_lost(pg, err);
    }
    first_line(result == NULL ? PQerrorMessage(pg->conn) : PQresultErrorMessage(result), why);
    return flo_fail(err, result == NULL ? FLO_E_DB : code_of(result), "%s", why);
}

/* ---- statements ---- */

static void forget_statements(struct flo_pg *pg)
{
    for (size_t i = 0; i < STATEMENTS_MAX; i++) {
        free(pg->statements[i].sql);
        pg->statements[i].sql = NULL;
    }
}

/* Returns the slot of this statement, a free slot, or the slot of another
 * statement, which is dropped. */
static struct statement *find_statement(struct flo_pg *pg, const char *sql)
{
    size_t first = flo_crc32c(0, sql, strlen(sql)) % STATEMENTS_MAX;

    for (size_t i = 0; i < PROBES; i++) {
        struct statement *one = &pg->statements[(first + i) % STATEMENTS_MAX];
        if (one->sql == NULL || strcmp(one->sql, sql) == 0) {
            return one;
        }
    }
    return &pg->statements[first];
}

static int forget(struct flo_pg *pg, struct statement *statement, struct flo_err *err)
{
    char sql[32];

    snprintf(sql, sizeof(sql), "DEALLOCATE s%u", statement->name);
    free(statement->sql);
    statement->sql = NULL;
    if (PQsendQueryParams(pg->conn, sql, 0, NULL, NULL, NULL, NULL, 0) != 1) {
        return fail_result(pg, NULL, err);
    }
    pg->pending++;
    return 0;
}

static int prepare(struct flo_pg *pg, const char *sql, char name[16], struct flo_err *err)
{
    struct statement *statement = find_statement(pg, sql);
    bool is_known = statement->sql != NULL && strcmp(statement->sql, sql) == 0;
    int rv = 0;

    if (!is_known && statement->sql != NULL) {
        rv = forget(pg, statement, err);
    }
    if (rv == 0 && !is_known) {
        statement->name = pg->names++;
        statement->sql = strdup(sql);
        rv = statement->sql == NULL ? flo_fail(err, FLO_E_MEMORY, "text of a statement") : 0;
    }
    snprintf(name, 16, "s%u", statement->name);
    if (rv == 0 && !is_known) {
        rv = PQsendPrepare(pg->conn, name, sql, 0, NULL) == 1 ? 0 : fail_result(pg, NULL, err);
        pg->pending += rv == 0;
    }
    return rv;
}

/* ---- the pipeline ---- */

/* Takes an error from an answer, and forgets all prepared statements.  After an
 * error the server skips the rest of the pipeline, including statements that it
 * would have prepared. */
static void take_error(struct flo_pg *pg, const PGresult *result, struct flo_err *first)
{
    ExecStatusType status = PQresultStatus(result);

    if (status != PGRES_FATAL_ERROR && status != PGRES_PIPELINE_ABORTED) {
        return;
    }
    forget_statements(pg);
    pg->has_forgotten = true;
    if (first->code == 0) {
        (void)fail_result(pg, status == PGRES_FATAL_ERROR ? result : NULL, first);
    }
}

/* Waits until the next answer is there, or gives the connection up after the
 * timeout.  A server that is stopped, or is behind a dead network, keeps the
 * connection open. */
static void await(struct flo_pg *pg, uint64_t since_ms)
{
    const struct flo_pg_limits *limits = pg->limits;

    while (limits->answer_ms != 0 && PQisBusy(pg->conn) != 0) {
        struct pollfd one = {.fd = PQsocket(pg->conn), .events = POLLIN};
        uint64_t waited_ms = flo_now_ms() - since_ms;
        if (waited_ms >= limits->answer_ms ||
            (waited_ms >= limits->on_wait_ms && pg->may_wait != NULL &&
             !pg->may_wait(pg->may_wait_context))) {
            pg->waited_ms = waited_ms;
            PQfinish(pg->conn);
            pg->conn = NULL;
            return;
        }
        uint64_t left_ms = waited_ms < limits->answer_ms ? limits->answer_ms - waited_ms : 0;
        if (pg->may_wait != NULL && left_ms > limits->look_ms) {
            left_ms = limits->look_ms;
        }
        if (poll(&one, 1, (int)left_ms) > 0 && PQconsumeInput(pg->conn) != 1) {
            return; /* the error shows when the answer is read */
        }
    }
}

static PGresult *next_answer(struct flo_pg *pg, uint64_t since_ms)
{
    await(pg, since_ms);
    return pg->conn == NULL ? NULL : PQgetResult(pg->conn);
}

/* Reads the answers of all statements that were sent.  Sets *out to the last
 * answer, unless `out` is NULL. */
static int collect(struct flo_pg *pg, PGresult **out, struct flo_err *err)
{
    struct flo_err first = pg->failed;
    uint64_t since_ms = flo_now_ms();
    PGresult *last = NULL;

    pg->failed = (struct flo_err){0};
    if (PQpipelineSync(pg->conn) != 1) {
        return fail_result(pg, NULL, err);
    }
    for (unsigned i = 0; i < pg->pending && !is_lost(pg); i++) {
        PGresult *result;
        while ((result = next_answer(pg, since_ms)) != NULL) {
            take_error(pg, result, &first);
            PQclear(last);
            last = result;
        }
    }
    pg->pending = 0;
    if (pg->conn != NULL) {
        /* reads the answer to the pipeline's sync, which comes last */
        PQclear(next_answer(pg, since_ms));
    }
    if (is_lost(pg)) {
        PQclear(last);
        return fail_lost(pg, err);
    }
    if (first.code != 0 || out == NULL) {
        PQclear(last);
        last = NULL;
    }
    if (out != NULL) {
        *out = last;
    }
    return first.code == 0 ? 0 : flo_fail(err, first.code, "%s", first.what);
}

static int send(struct flo_pg *pg, const char *sql, const struct flo_db_value *values, size_t count,
                struct flo_err *err)
{
    const char *data[VALUES_MAX];
    int bytes[VALUES_MAX], formats[VALUES_MAX];
    char numbers[VALUES_MAX][NUMBER_TEXT], name[16];

    assert(count <= VALUES_MAX);
    if (is_lost(pg)) {
        return flo_fail(err, FLO_E_DB_UNREACHABLE, "%s", pg->lost.what);
    }
    for (size_t i = 0; i < count; i++) {
        const struct flo_db_value *value = &values[i];
        formats[i] = value->kind == FLO_DB_BLOB;
        bytes[i] = (int)value->bytes;
        data[i] = value->data;
        if (value->kind == FLO_DB_NUMBER) {
            snprintf(numbers[i], NUMBER_TEXT, "%lld", (long long)value->number);
            data[i] = numbers[i];
        }
    }
    FLO_TRY(prepare(pg, sql, name, err));
    if (PQsendQueryPrepared(pg->conn, name, (int)count, data, bytes, formats, 1) != 1) {
        return fail_result(pg, NULL, err);
    }
    pg->pending++;
    return 0;
}

int flo_pg_send(struct flo_pg *pg, const char *sql, const struct flo_db_value *values, size_t count,
                struct flo_err *err)
{
    FLO_TRY(send(pg, sql, values, count, err));
    return pg->pending >= PENDING_MAX ? collect(pg, NULL, err) : 0;
}

int flo_pg_flush(struct flo_pg *pg, struct flo_err *err)
{
    if (is_lost(pg)) {
        return flo_fail(err, FLO_E_DB_UNREACHABLE, "%s", pg->lost.what);
    }
    return pg->pending > 0 ? collect(pg, NULL, err) : 0;
}

int flo_pg_run(struct flo_pg *pg, const char *sql, const struct flo_db_value *values, size_t count,
               uint64_t *changed, struct flo_err *err)
{
    PGresult *result = NULL;
    int rv = send(pg, sql, values, count, err);

    if (rv == 0) {
        rv = collect(pg, &result, err);
    }
    if (rv == 0 && changed != NULL) {
        *changed = strtoull(PQcmdTuples(result), NULL, 10);
    }
    /* A COMMIT after a failed statement is answered with ROLLBACK. */
    if (rv == 0 && strcmp(sql, "COMMIT") == 0 && strcmp(PQcmdStatus(result), "COMMIT") != 0) {
        rv = flo_fail(err, FLO_E_DB, "a statement of the transaction failed");
    }
    PQclear(result);
    return rv;
}

int flo_pg_query(struct flo_pg *pg, const char *sql, const struct flo_db_value *values,
                 size_t count, struct flo_pg_rows **out, struct flo_err *err)
{
    PGresult *result = NULL;
    int rv = send(pg, sql, values, count, err);

    if (rv == 0) {
        rv = collect(pg, &result, err);
    }
    *out = (struct flo_pg_rows *)result;
    return rv;
}

/* ---- rows ---- */

static const PGresult *result_of(const struct flo_pg_rows *rows)
{
    return (const PGresult *)rows;
}

void flo_pg_rows_free(struct flo_pg_rows *rows)
{
    PQclear((PGresult *)rows);
}

uint64_t flo_pg_rows_count(const struct flo_pg_rows *rows)
{
    return (uint64_t)PQntuples(result_of(rows));
}

const char *flo_pg_text(const struct flo_pg_rows *rows, uint64_t row, int column)
{
    return PQgetvalue(result_of(rows), (int)row, column);
}

int64_t flo_pg_number(const struct flo_pg_rows *rows, uint64_t row, int column)
{
    uint64_t number = 0;

    if (PQgetlength(result_of(rows), (int)row, column) == sizeof(number)) {
        memcpy(&number, PQgetvalue(result_of(rows), (int)row, column), sizeof(number));
    }
    return (int64_t)be64toh(number);
}

const void *flo_pg_blob(const struct flo_pg_rows *rows, uint64_t row, int column, size_t *bytes)
{
    *bytes = (size_t)PQgetlength(result_of(rows), (int)row, column);
    return PQgetvalue(result_of(rows), (int)row, column);
}

/* ---- opening ---- */

/* Drops the server's notices, which the controller's log does not need. */
static void on_notice(void *context, const char *text)
{
    (void)context, (void)text;
}

static int greet(PGconn *conn, const char *const *greeting, struct flo_err *err)
{
    int rv = 0;

    for (size_t i = 0; rv == 0 && greeting[i] != NULL; i++) {
        PGresult *result = PQexec(conn, greeting[i]);
        ExecStatusType status = PQresultStatus(result);
        char why[256];
        if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
            first_line(PQerrorMessage(conn), why);
            rv = flo_fail(err,
                          PQstatus(conn) == CONNECTION_OK ? code_of(result) : FLO_E_DB_UNREACHABLE,
                          "%s", why);
        }
        PQclear(result);
    }
    return rv;
}

/* Connects, on the owner's thread or on a thread of its own; so it reads only
 * data that does not change. */
static PGconn *connect_to(const char *address, const char *const *greeting, struct flo_err *err)
{
    static const char *const words[] = {"connect_timeout",  "application_name", "client_encoding",
                                        "tcp_user_timeout", "dbname",           NULL};
    const char *const values[] = {"5", "flotilla-controller", "UTF8", "15000", address, NULL};
    PGconn *conn = PQconnectdbParams(words, values, 1);
    char why[256] = "no memory";
    int rv = 0;

    if (conn == NULL || PQstatus(conn) != CONNECTION_OK) {
        if (conn != NULL) {
            first_line(PQerrorMessage(conn), why);
        }
        rv = flo_fail(err, FLO_E_DB_UNREACHABLE, "%s", why);
    } else {
        PQsetNoticeProcessor(conn, on_notice, NULL);
        rv = greet(conn, greeting, err);
    }
    if (rv == 0 && PQenterPipelineMode(conn) != 1) {
        rv = flo_fail(err, FLO_E_DB, "the pipeline was refused");
    }
    if (rv < 0) {
        PQfinish(conn);
        return NULL;
    }
    return conn;
}

static int take_connection(struct flo_pg *pg, PGconn *conn, const struct flo_err *why,
                           struct flo_err *err)
{
    PQfinish(pg->conn);
    pg->conn = conn;
    forget_statements(pg);
    pg->pending = 0;
    pg->names = 0;
    pg->has_forgotten = false;
    pg->failed = (struct flo_err){0};
    if (conn == NULL) {
        pg->lost = *why;
        return flo_fail(err, why->code, "%s", why->what);
    }
    return 0;
}

static int connect_now(struct flo_pg *pg, struct flo_err *err)
{
    struct flo_err why = {0};

    pg->tried_ms = flo_now_ms();
    PGconn *conn = connect_to(pg->address, pg->greeting, &why);
    return take_connection(pg, conn, &why, err);
}

/* ---- for those who hurry ---- */

static void *connect_apart(void *context)
{
    struct flo_pg *pg = context;

    pg->next_err = (struct flo_err){0};
    pg->next = connect_to(pg->address, pg->greeting, &pg->next_err);
    atomic_store(&pg->has_connected, true);
    return NULL;
}

static int end_connecting(struct flo_pg *pg, struct flo_err *err)
{
    pthread_join(pg->connector, NULL);
    pg->is_connecting = false;
    return take_connection(pg, pg->next, &pg->next_err, err);
}

/* Connects on another thread, because name lookup, several hosts and the
 * greeting may take long.  Waits at most hurry_ms. */
static int connect_soon(struct flo_pg *pg, struct flo_err *err)
{
    uint64_t until_ms = flo_now_ms() + pg->limits->hurry_ms;

    if (!pg->is_connecting) {
        pg->tried_ms = flo_now_ms();
        atomic_store(&pg->has_connected, false);
        pg->is_connecting = pthread_create(&pg->connector, NULL, connect_apart, pg) == 0;
        if (!pg->is_connecting) {
            return flo_fail(err, FLO_E_MEMORY, "thread");
        }
    } else {
        until_ms = 0;
    }
    while (!atomic_load(&pg->has_connected) && flo_now_ms() < until_ms) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return atomic_load(&pg->has_connected)
               ? end_connecting(pg, err)
               : flo_fail(err, FLO_E_DB_UNREACHABLE, "%s; connecting again", pg->lost.what);
}

void flo_pg_hurry(struct flo_pg *pg, const struct flo_pg_limits *limits)
{
    pg->hurries = true;
    pg->limits = limits;
}

void flo_pg_on_wait(struct flo_pg *pg, bool (*may_wait)(void *context), void *context)
{
    pg->may_wait = may_wait;
    pg->may_wait_context = context;
}

static const char *option(const PQconninfoOption *options, const char *keyword)
{
    const PQconninfoOption *one = options;

    while (one != NULL && one->keyword != NULL && strcmp(one->keyword, keyword) != 0) {
        one++;
    }
    return one != NULL && one->keyword != NULL ? one->val : NULL;
}

/* Tells whether one of the comma-separated hosts is another machine. */
static bool is_afar(const char *hosts)
{
    char url[300];

    for (size_t bytes; hosts != NULL && *hosts != '\0'; hosts += bytes) {
        hosts += strspn(hosts, ",");
        bytes = strcspn(hosts, ",");
        snprintf(url, sizeof(url), "http://%.*s", (int)bytes, hosts);
        if (bytes > 0 && hosts[0] != '/' && hosts[0] != '@' && strncmp(hosts, "::1", bytes) != 0 &&
            flo_url_check(url, &flo_url_http, NULL) < 0) {
            return true;
        }
    }
    return false;
}

/* Requires an sslmode for another machine: all data crosses the network, and
 * libpq's default uses plain text when the server has no TLS. */
static int check_secrecy(const PQconninfoOption *options, struct flo_err *err)
{
    const char *mode = option(options, "sslmode");
    const char *host = option(options, "hostaddr");

    host = host != NULL ? host : option(options, "host");
    host = host != NULL ? host : getenv("PGHOST");
    mode = mode != NULL ? mode : getenv("PGSSLMODE");
    if (!is_afar(host)) {
        return 0;
    }
    if (mode == NULL) {
        flo_fail(err, FLO_E_CFG_RANGE,
                 "address of the database: %.100s is another machine, and no "
                 "sslmode says that TLS is needed",
                 host);
        return flo_err_fix(err, "?sslmode=verify-full, with sslrootcert=FILE");
    }
    if (strcmp(mode, "disable") == 0 || strcmp(mode, "allow") == 0 || strcmp(mode, "prefer") == 0) {
        flo_log(FLO_LOG_WARN, "db",
                "sslmode=%.20s: all that goes to the database on %.100s may go "
                "in clear",
                mode, host);
    }
    return 0;
}

/* Refuses an address with a password: every user of the machine can list a
 * process's arguments. */
static int check_address(const char *address, struct flo_err *err)
{
    char *why = NULL;
    PQconninfoOption *options = PQconninfoParse(address, &why);
    int rv;

    PQfreemem(why); /* the message is dropped, because it would contain the address */
    if (options == NULL) {
        return flo_fail(err, FLO_E_CFG_RANGE,
                        "address of the database: libpq does not understand "
                        "it");
    }
    rv = option(options, "password") != NULL
             ? flo_fail(err, FLO_E_CFG_RANGE,
                        "address of the database: it has a password; put "
                        "that into a file (passfile=FILE)")
             : check_secrecy(options, err);
    PQconninfoFree(options);
    return rv;
}

int flo_pg_open(const char *address, const char *const *greeting, struct flo_pg **out,
                struct flo_err *err)
{
    int bad = check_address(address, err);
    struct flo_pg *pg = bad < 0 ? NULL : calloc(1, sizeof(*pg));

    if (bad < 0) {
        return bad;
    }
    if (pg == NULL || (pg->address = strdup(address)) == NULL) {
        free(pg);
        return flo_fail(err, FLO_E_MEMORY, "database");
    }
    pg->greeting = greeting;
    pg->limits = &patient;
    int rv = connect_now(pg, err);
    if (rv < 0) {
        flo_pg_close(pg);
        return rv;
    }
    *out = pg;
    return 0;
}

void flo_pg_close(struct flo_pg *pg)
{
    if (pg != NULL) {
        if (pg->is_connecting) {
            (void)!end_connecting(pg, NULL);
        }
        PQfinish(pg->conn);
        forget_statements(pg);
        free(pg->address);
        free(pg);
    }
}

int flo_pg_ready(struct flo_pg *pg, struct flo_err *err)
{
    if (!is_lost(pg)) {
        if (pg->has_forgotten &&
            PQsendQueryParams(pg->conn, "DEALLOCATE ALL", 0, NULL, NULL, NULL, NULL, 0) == 1) {
            pg->pending++;
        }
        pg->has_forgotten = false;
        return 0;
    }
    if (!pg->is_connecting && flo_now_ms() - pg->tried_ms < pg->limits->again_ms) {
        return flo_fail(err, FLO_E_DB_UNREACHABLE, "%s", pg->lost.what);
    }
    return pg->hurries ? connect_soon(pg, err) : connect_now(pg, err);
}
