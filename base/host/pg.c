/* PostgreSQL: a connection, its prepared statements, its pipeline. */
#include <assert.h>
#include <endian.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#include "base/host/pg.h"

#define STATEMENTS_MAX 512
#define PROBES 16
#define VALUES_MAX 64
#define PENDING_MAX 64 /* answers that nobody waited for */
#define AGAIN_MS 1000
#define NUMBER_TEXT 24

struct statement {
    char *sql; /* NULL: none */
    unsigned name;
};
struct flo_pg {
    PGconn *conn;
    char *address;
    const char *const *greeting;
    struct statement statements[STATEMENTS_MAX];
    unsigned names; /* of this connection */
    unsigned pending;
    bool has_forgotten; /* names that the server still knows */
    uint64_t tried_ms;
    struct flo_err lost;   /* why the connection is gone */
    struct flo_err failed; /* of a statement that nobody waited for */
};

/* ---- errors ---- */

/* The server's first line; libpq never puts the password there. */
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
    char why[256] = "no memory";

    if (pg->conn != NULL) {
        first_line(PQerrorMessage(pg->conn), why);
    }
    flo_fail(&pg->lost, FLO_E_DB_UNREACHABLE, "%s",
             why[0] == '\0' ? "the connection was lost" : why);
    return flo_fail(err, FLO_E_DB_UNREACHABLE, "%s", pg->lost.what);
}

static int fail_result(struct flo_pg *pg, const PGresult *result,
                       struct flo_err *err)
{
    char why[256];

    if (is_lost(pg)) {
        return fail_lost(pg, err);
    }
    first_line(result == NULL ? PQerrorMessage(pg->conn)
                              : PQresultErrorMessage(result),
               why);
    return flo_fail(err, result == NULL ? FLO_E_DB : code_of(result), "%s",
                    why);
}

/* ---- statements ---- */

static void forget_statements(struct flo_pg *pg)
{
    for (size_t i = 0; i < STATEMENTS_MAX; i++) {
        free(pg->statements[i].sql);
        pg->statements[i].sql = NULL;
    }
}

/* Its place, or a free one, or that of another, which goes. */
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

static int forget(struct flo_pg *pg, struct statement *statement,
                  struct flo_err *err)
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

static int prepare(struct flo_pg *pg, const char *sql, char name[16],
                   struct flo_err *err)
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
        rv = statement->sql == NULL
                 ? flo_fail(err, FLO_E_MEMORY, "text of a statement")
                 : 0;
    }
    snprintf(name, 16, "s%u", statement->name);
    if (rv == 0 && !is_known) {
        rv = PQsendPrepare(pg->conn, name, sql, 0, NULL) == 1
                 ? 0
                 : fail_result(pg, NULL, err);
        pg->pending += rv == 0;
    }
    return rv;
}

/* ---- the pipeline ---- */

/* After an error the rest of the pipeline is passed over, with the statements
 * that it would have prepared. */
static void take_error(struct flo_pg *pg, const PGresult *result,
                       struct flo_err *first)
{
    ExecStatusType status = PQresultStatus(result);

    if (status != PGRES_FATAL_ERROR && status != PGRES_PIPELINE_ABORTED) {
        return;
    }
    forget_statements(pg);
    pg->has_forgotten = true;
    if (first->code == 0) {
        (void)fail_result(pg, status == PGRES_FATAL_ERROR ? result : NULL,
                          first);
    }
}

/* The answers of all that was sent; *out: the last one, if it is wanted. */
static int collect(struct flo_pg *pg, PGresult **out, struct flo_err *err)
{
    struct flo_err first = pg->failed;
    PGresult *last = NULL;

    pg->failed = (struct flo_err){0};
    if (PQpipelineSync(pg->conn) != 1) {
        return fail_result(pg, NULL, err);
    }
    for (unsigned i = 0; i < pg->pending && !is_lost(pg); i++) {
        PGresult *result;
        while ((result = PQgetResult(pg->conn)) != NULL) {
            take_error(pg, result, &first);
            PQclear(last);
            last = result;
        }
    }
    pg->pending = 0;
    PQclear(PQgetResult(pg->conn)); /* the sync's own */
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

static int send(struct flo_pg *pg, const char *sql,
                const struct flo_db_value *values, size_t count,
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
    int rv = prepare(pg, sql, name, err);
    if (rv < 0) {
        return rv;
    }
    if (PQsendQueryPrepared(pg->conn, name, (int)count, data, bytes, formats,
                            1) != 1) {
        return fail_result(pg, NULL, err);
    }
    pg->pending++;
    return 0;
}

int flo_pg_send(struct flo_pg *pg, const char *sql,
                const struct flo_db_value *values, size_t count,
                struct flo_err *err)
{
    int rv = send(pg, sql, values, count, err);

    return rv == 0 && pg->pending >= PENDING_MAX ? collect(pg, NULL, err) : rv;
}

int flo_pg_flush(struct flo_pg *pg, struct flo_err *err)
{
    if (is_lost(pg)) {
        return flo_fail(err, FLO_E_DB_UNREACHABLE, "%s", pg->lost.what);
    }
    return pg->pending > 0 ? collect(pg, NULL, err) : 0;
}

int flo_pg_run(struct flo_pg *pg, const char *sql,
               const struct flo_db_value *values, size_t count,
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
    /* A commit of what failed before is answered by its opposite. */
    if (rv == 0 && strcmp(sql, "COMMIT") == 0 &&
        strcmp(PQcmdStatus(result), "COMMIT") != 0) {
        rv = flo_fail(err, FLO_E_DB, "a statement of the transaction failed");
    }
    PQclear(result);
    return rv;
}

int flo_pg_query(struct flo_pg *pg, const char *sql,
                 const struct flo_db_value *values, size_t count,
                 struct flo_pg_rows **out, struct flo_err *err)
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

const char *flo_pg_text(const struct flo_pg_rows *rows, uint64_t row,
                        int column)
{
    return PQgetvalue(result_of(rows), (int)row, column);
}

int64_t flo_pg_number(const struct flo_pg_rows *rows, uint64_t row, int column)
{
    uint64_t number = 0;

    if (PQgetlength(result_of(rows), (int)row, column) == sizeof(number)) {
        memcpy(&number, PQgetvalue(result_of(rows), (int)row, column),
               sizeof(number));
    }
    return (int64_t)be64toh(number);
}

const void *flo_pg_blob(const struct flo_pg_rows *rows, uint64_t row,
                        int column, size_t *bytes)
{
    *bytes = (size_t)PQgetlength(result_of(rows), (int)row, column);
    return PQgetvalue(result_of(rows), (int)row, column);
}

/* ---- opening ---- */

/* The server's notices are no news for the log of the controller. */
static void on_notice(void *context, const char *text)
{
    (void)context, (void)text;
}

static int greet(struct flo_pg *pg, struct flo_err *err)
{
    int rv = 0;

    for (size_t i = 0; rv == 0 && pg->greeting[i] != NULL; i++) {
        PGresult *result = PQexec(pg->conn, pg->greeting[i]);
        ExecStatusType status = PQresultStatus(result);
        if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
            rv = fail_result(pg, result, err);
        }
        PQclear(result);
    }
    return rv;
}

static int connect_now(struct flo_pg *pg, struct flo_err *err)
{
    static const char *const words[] = {"connect_timeout", "application_name",
                                        "client_encoding", "tcp_user_timeout",
                                        "dbname",          NULL};
    const char *const values[] = {"5",     "flotilla-controller", "UTF8",
                                  "15000", pg->address,           NULL};

    PQfinish(pg->conn);
    forget_statements(pg);
    pg->pending = 0;
    pg->names = 0;
    pg->has_forgotten = false;
    pg->failed = (struct flo_err){0};
    pg->tried_ms = flo_now_ms();
    pg->conn = PQconnectdbParams(words, values, 1);
    if (is_lost(pg)) {
        return fail_lost(pg, err);
    }
    PQsetNoticeProcessor(pg->conn, on_notice, NULL);
    int rv = greet(pg, err);
    if (rv == 0 && PQenterPipelineMode(pg->conn) != 1) {
        rv = fail_result(pg, NULL, err);
    }
    if (rv < 0) {
        PQfinish(pg->conn);
        pg->conn = NULL;
        if (err != NULL) {
            pg->lost = *err;
        }
        return rv;
    }
    return 0;
}

/* Everybody on the machine can list a process's arguments. */
static int check_address(const char *address, struct flo_err *err)
{
    char *why = NULL;
    PQconninfoOption *options = PQconninfoParse(address, &why);
    bool has_password = false;

    for (PQconninfoOption *one = options; one != NULL && one->keyword != NULL;
         one++) {
        has_password = has_password || (strcmp(one->keyword, "password") == 0 &&
                                        one->val != NULL);
    }
    PQfreemem(why); /* it would repeat the address */
    PQconninfoFree(options);
    if (options == NULL) {
        return flo_fail(err, FLO_E_CFG_RANGE,
                        "address of the database: libpq does not understand "
                        "it");
    }
    return has_password
               ? flo_fail(err, FLO_E_CFG_RANGE,
                          "address of the database: it has a password; put "
                          "that into a file (passfile=FILE)")
               : 0;
}

int flo_pg_open(const char *address, const char *const *greeting,
                struct flo_pg **out, struct flo_err *err)
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
            PQsendQueryParams(pg->conn, "DEALLOCATE ALL", 0, NULL, NULL, NULL,
                              NULL, 0) == 1) {
            pg->pending++;
        }
        pg->has_forgotten = false;
        return 0;
    }
    if (flo_now_ms() - pg->tried_ms < AGAIN_MS) {
        return flo_fail(err, FLO_E_DB_UNREACHABLE, "%s", pg->lost.what);
    }
    return connect_now(pg, err);
}
