/* Handover: the rows of gate evidence, and the thread that writes them. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <flotilla/errors/state.h>

#include "base/host/steady.h"
#include "server-stub/store/handed.h"
#include "server-stub/store/postgresql/connection.h"
#include "server-stub/store/postgresql/limits.h"

#define PAGE 500
/* Condition for a row `h` whose device no longer exists. */
#define GONE                                                                                       \
    "h.name NOT LIKE '/%' AND NOT EXISTS (SELECT 1 FROM device d WHERE d.id ="                     \
    " h.device AND d.retired = 0)"
#define PAUSE_MS 1000 /* pause after a batch that could not be written */

struct row {
    char device[FLO_NAME_MAX + 1];
    char name[FLO_NAME_MAX + 1];
    size_t bytes;
    uint8_t data[FLO_HANDED_BYTES_MAX];
};

struct flo_handed {
    pthread_t thread;
    pthread_mutex_t mutex; /* guards all members after it, except `pg` */
    pthread_cond_t changed;
    struct flo_pg *pg; /* connection: used by the call that lists the rows at
                          first, and by the thread from then on */
    uint64_t epoch;
    struct row *rows; /* FLO_HANDED_ROWS_MAX rows of the next batch; only the
                         thread uses them while is_sent is true */
    size_t count;
    char session[48];
    char told[FLO_POSTGRESQL_LIMIT_COUNT][FLO_POSTGRESQL_LIMIT];
    const char *greeting[8];
    bool is_running, is_sent, ends;
    bool is_over;    /* another controller leads, so nothing more is written */
    bool has_failed; /* the last batch failed, which was logged once */
};

/* ---- reading ---- */

struct place {
    char device[FLO_NAME_MAX + 1];
    char name[FLO_NAME_MAX + 1];
};

static int list_page(struct flo_handed *handed, struct place *from, flo_handed_fn fn, void *context,
                     uint64_t *count, struct flo_err *err)
{
    struct flo_pg_rows *rows = NULL;
    int rv = flo_pg_query(
        handed->pg,
        "SELECT device, name, data FROM flotilla_handed h WHERE (device, name)"
        " > ($1::text, $2::text) AND octet_length(device) <= 64 AND"
        " octet_length(name) <= 64 AND NOT (" GONE ") ORDER BY device, name LIMIT $3::bigint",
        FLO_DB_VALUES(flo_db_text(from->device), flo_db_text(from->name), flo_db_number(PAGE)),
        &rows, err);

    *count = rv == 0 ? flo_pg_rows_count(rows) : 0;
    for (uint64_t i = 0; rv == 0 && i < *count; i++) {
        size_t bytes;
        const void *data = flo_pg_blob(rows, i, 2, &bytes);
        snprintf(from->device, sizeof(from->device), "%s", flo_pg_text(rows, i, 0));
        snprintf(from->name, sizeof(from->name), "%s", flo_pg_text(rows, i, 1));
        rv = fn(context, from->device, from->name, data, bytes);
    }
    flo_pg_rows_free(rows);
    return rv;
}

/* Deletes the rows of devices that are no longer members.  Listings skip such
 * rows, so a failure is harmless: the next leader tries again. */
static void sweep(struct flo_handed *handed)
{
    struct flo_err err = {0};
    struct flo_pg_rows *rows = NULL;
    uint64_t count = PAGE;
    int rv = 0;

    while (rv == 0 && count == PAGE) {
        rv = flo_pg_query(handed->pg,
                          "DELETE FROM flotilla_handed WHERE (device, name) IN"
                          " (SELECT device, name FROM flotilla_handed h WHERE " GONE
                          " LIMIT $1::bigint) RETURNING 1",
                          FLO_DB_VALUES(flo_db_number(PAGE)), &rows, &err);
        count = rv == 0 ? flo_pg_rows_count(rows) : 0;
        flo_pg_rows_free(rows);
        rows = NULL;
    }
    if (rv < 0) {
        flo_log(FLO_LOG_INFO, "telemetry", "rows of devices that went stay for now: %s", err.what);
    }
}

int flo_handed_list(struct flo_handed *handed, flo_handed_fn fn, void *context, struct flo_err *err)
{
    struct place from = {.device = ""};
    uint64_t count = PAGE;
    int rv = flo_pg_ready(handed->pg, err);

    while (rv == 0 && count == PAGE) {
        rv = list_page(handed, &from, fn, context, &count, err);
    }
    if (rv == 0) {
        sweep(handed);
    }
    return rv;
}

/* ---- writing ---- */

static int send_row(struct flo_handed *handed, const struct row *row, struct flo_err *err)
{
    const struct flo_db_value values[] = {flo_db_text(row->device), flo_db_text(row->name),
                                          flo_db_number((int64_t)handed->epoch),
                                          flo_db_blob(row->data, row->bytes)};

    return row->bytes == 0 ? flo_pg_send(handed->pg,
                                         "DELETE FROM flotilla_handed WHERE device ="
                                         " $1::text AND name = $2::text AND"
                                         " epoch <= $3::bigint",
                                         values, 3, err)
                           : flo_pg_send(handed->pg,
                                         "INSERT INTO flotilla_handed AS h (device, name,"
                                         " epoch, data) VALUES ($1::text, $2::text,"
                                         " $3::bigint, $4::bytea) ON CONFLICT (device,"
                                         " name) DO UPDATE SET epoch = excluded.epoch,"
                                         " data = excluded.data WHERE"
                                         " h.epoch <= excluded.epoch",
                                         values, FLO_COUNT(values), err);
}

static int check_epoch(struct flo_handed *handed, struct flo_err *err)
{
    struct flo_pg_rows *rows = NULL;
    int rv =
        flo_pg_query(handed->pg, "SELECT count(*) FROM flotilla_lease WHERE epoch = $1::bigint",
                     FLO_DB_VALUES(flo_db_number((int64_t)handed->epoch)), &rows, err);

    if (rv == 0 && flo_pg_number(rows, 0, 0) == 0) {
        rv = flo_fail(err, FLO_E_STATE_SUPERSEDED, "another controller leads since epoch %llu",
                      (unsigned long long)handed->epoch);
    }
    flo_pg_rows_free(rows);
    return rv;
}

/* Writes the batch in one transaction.  It takes no lock on the lease's row,
 * because the leader of the new epoch may renew it meanwhile. */
static int write_rows(struct flo_handed *handed, struct flo_err *err)
{
    int rv = flo_pg_run(handed->pg, "BEGIN", FLO_DB_NONE, NULL, err);

    if (rv == 0) {
        rv = check_epoch(handed, err);
    }
    for (size_t i = 0; rv == 0 && i < handed->count; i++) {
        rv = send_row(handed, &handed->rows[i], err);
    }
    if (rv == 0) {
        return flo_pg_run(handed->pg, "COMMIT", FLO_DB_NONE, NULL, err);
    }
    (void)!flo_pg_run(handed->pg, "ROLLBACK", FLO_DB_NONE, NULL, NULL);
    return rv;
}

static void tell(struct flo_handed *handed, int rv, const struct flo_err *err)
{
    if (rv < 0 && !handed->has_failed) {
        flo_log(FLO_LOG_WARN, "telemetry", "evidence for the next leader was not written: %s",
                err->what);
    }
    handed->has_failed = rv < 0;
}

/* Writes the batch.  Called with the mutex, which is released during the
 * request. */
static void write_batch(struct flo_handed *handed)
{
    struct flo_err err = {0};

    pthread_mutex_unlock(&handed->mutex);
    int rv = flo_pg_ready(handed->pg, &err);
    if (rv == 0) {
        rv = write_rows(handed, &err);
    }
    pthread_mutex_lock(&handed->mutex);
    handed->is_over = handed->is_over || rv == FLO_E_STATE_SUPERSEDED;
    tell(handed, rv, &err);
    if (rv == 0 || handed->is_over || handed->ends) {
        handed->count = 0;
        handed->is_sent = false;
        pthread_cond_broadcast(&handed->changed);
        return;
    }
    (void)flo_steady_wait(&handed->changed, &handed->mutex, PAUSE_MS);
}

static void *run(void *context)
{
    struct flo_handed *handed = context;

    pthread_mutex_lock(&handed->mutex);
    while (!handed->ends || handed->is_sent) {
        if (handed->is_sent) {
            write_batch(handed);
        } else {
            pthread_cond_wait(&handed->changed, &handed->mutex);
        }
    }
    pthread_mutex_unlock(&handed->mutex);
    return NULL;
}

/* ---- for who gives them ---- */

size_t flo_handed_room(struct flo_handed *handed)
{
    pthread_mutex_lock(&handed->mutex);
    size_t room = handed->is_sent || handed->is_over ? 0 : FLO_HANDED_ROWS_MAX - handed->count;
    pthread_mutex_unlock(&handed->mutex);
    return room;
}

void flo_handed_put(void *context, const char *device, const char *name, const void *data,
                    size_t bytes)
{
    struct flo_handed *handed = context;

    pthread_mutex_lock(&handed->mutex);
    if (!handed->is_sent && handed->count < FLO_HANDED_ROWS_MAX && bytes <= FLO_HANDED_BYTES_MAX) {
        struct row *row = &handed->rows[handed->count++];
        snprintf(row->device, sizeof(row->device), "%s", device);
        snprintf(row->name, sizeof(row->name), "%s", name);
        row->bytes = bytes;
        if (bytes > 0) {
            memcpy(row->data, data, bytes);
        }
    }
    pthread_mutex_unlock(&handed->mutex);
}

void flo_handed_send(struct flo_handed *handed)
{
    pthread_mutex_lock(&handed->mutex);
    if (!handed->is_running) { /* Without the thread the next call tries to start it again. */
        handed->is_running = pthread_create(&handed->thread, NULL, run, handed) == 0;
    }
    if (handed->is_running && handed->count > 0 && !handed->is_sent) {
        handed->is_sent = true;
        pthread_cond_broadcast(&handed->changed);
    }
    pthread_mutex_unlock(&handed->mutex);
}

bool flo_handed_settle(struct flo_handed *handed, uint64_t ms)
{
    struct timespec until;
    int rv = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    pthread_mutex_lock(&handed->mutex);
    while (rv == 0 && handed->is_sent) {
        rv = pthread_cond_timedwait(&handed->changed, &handed->mutex, &until);
    }
    bool is_settled = !handed->is_sent;
    pthread_mutex_unlock(&handed->mutex);
    return is_settled;
}

/* ---- opening ---- */

void flo_handed_close(struct flo_handed *handed)
{
    if (handed == NULL) {
        return;
    }
    pthread_mutex_lock(&handed->mutex);
    handed->ends = true;
    pthread_cond_broadcast(&handed->changed);
    pthread_mutex_unlock(&handed->mutex);
    if (handed->is_running) {
        pthread_join(handed->thread, NULL);
    }
    pthread_cond_destroy(&handed->changed);
    pthread_mutex_destroy(&handed->mutex);
    flo_pg_close(handed->pg);
    free(handed->rows);
    free(handed);
}

/* Makes the session's first statements.  They give the session a name by which
 * the next leader ends it, like all sessions of this epoch. */
static void make_greeting(struct flo_handed *handed)
{
    size_t count = 0;

    snprintf(handed->session, sizeof(handed->session),
             "SET application_name = '" FLO_POSTGRESQL_LEADER "%llu'",
             (unsigned long long)handed->epoch);
    handed->greeting[count++] = handed->session;
    /* Commits need not wait for the disk: a later batch writes again what the
     * server loses in a power failure. */
    handed->greeting[count++] = "SET synchronous_commit = off";
    size_t told = flo_postgresql_tell_limits(&flo_postgresql_store_limits, handed->told);
    for (size_t i = 0; i < told; i++) {
        handed->greeting[count++] = handed->told[i];
    }
}

int flo_handed_open(const char *address, uint64_t epoch, struct flo_handed **out,
                    struct flo_err *err)
{
    struct flo_handed *handed = calloc(1, sizeof(*handed));

    if (handed == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "telemetry");
    }
    pthread_mutex_init(&handed->mutex, NULL);
    flo_steady_init(&handed->changed);
    handed->epoch = epoch;
    make_greeting(handed);
    handed->rows = calloc(FLO_HANDED_ROWS_MAX, sizeof(*handed->rows));
    int rv = handed->rows == NULL ? flo_fail(err, FLO_E_MEMORY, "telemetry")
                                  : flo_pg_open(address, handed->greeting, &handed->pg, err);
    if (rv < 0) {
        flo_handed_close(handed);
        return rv;
    }
    flo_pg_hurry(handed->pg, &flo_postgresql_store_limits.pg);
    *out = handed;
    return 0;
}
