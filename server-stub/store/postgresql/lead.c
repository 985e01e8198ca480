/* Lead: the thread that renews the lease, and its row. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/store/lead.h"
#include "server-stub/store/postgresql/connection.h"
#include "server-stub/store/postgresql/limits.h"

#define PAUSE_MS 50 /* interval between two checks of the clock */

struct flo_lead {
    pthread_t thread;
    pthread_mutex_t mutex; /* guards all members after it, except `pg` */
    struct flo_pg *pg;     /* the thread's own */
    struct flo_lease lease;
    struct flo_lead_row seen;
    struct flo_lead_self self;
    struct flo_lead_view view; /* for a leader */
    char holder[FLO_NAME_MAX + 1];
    char name[FLO_LEAD_NAME];
    char people[FLO_LEAD_ADDRESS];
    char devices[FLO_LEAD_ADDRESS];
    char key[FLO_LEAD_KEY];
    char has[65];         /* digest of the keyring that this controller has */
    struct flo_err lacks; /* error that tells what is missing for leading; code 0: nothing */
    char told[FLO_POSTGRESQL_LIMIT_COUNT][FLO_POSTGRESQL_LIMIT];
    const char *greeting[12];
    /* time and epoch of this controller's row as last written; only the thread
     * uses them */
    uint64_t shown_ms, shown_epoch;
    bool is_shown;
    bool is_running, ends;
    bool has_failed; /* the last request failed, which was logged once */
};

static const char *const greeting[] = {
    "SET synchronous_commit = on",
    "SET tcp_keepalives_idle = 2",
    "SET tcp_keepalives_interval = 1",
    "SET tcp_keepalives_count = 3",
    NULL,
};

static uint64_t now(const struct flo_lead *lead)
{
    return lead->self.now_ms(lead->self.context);
}

/* ---- the row ---- */

static void read_row(const struct flo_pg_rows *rows, struct flo_lead_row *out)
{
    out->lease.epoch = (uint64_t)flo_pg_number(rows, 0, 0);
    out->lease.beat = (uint64_t)flo_pg_number(rows, 0, 1);
    out->lease.is_held = flo_pg_number(rows, 0, 2) != 0;
    snprintf(out->holder, sizeof(out->holder), "%s", flo_pg_text(rows, 0, 3));
    snprintf(out->people, sizeof(out->people), "%s", flo_pg_text(rows, 0, 4));
    snprintf(out->devices, sizeof(out->devices), "%s", flo_pg_text(rows, 0, 5));
    snprintf(out->needs, sizeof(out->needs), "%s", flo_pg_text(rows, 0, 6));
    out->at_ms = (uint64_t)flo_pg_number(rows, 0, 7);
}

static int look(struct flo_lead *lead, struct flo_lead_row *out, struct flo_err *err)
{
    struct flo_pg_rows *rows = NULL;
    int rv = flo_pg_query(lead->pg,
                          "SELECT epoch, beat, held, holder, people, devices,"
                          " needs, " FLO_POSTGRESQL_NOW " FROM flotilla_lease",
                          FLO_DB_NONE, &rows, err);

    if (rv == 0 && flo_pg_rows_count(rows) != 1) {
        rv = flo_fail(err, FLO_E_DB, "the table flotilla_lease has %llu rows",
                      (unsigned long long)flo_pg_rows_count(rows));
    }
    if (rv == 0) {
        *out = (struct flo_lead_row){.holder = ""};
        read_row(rows, out);
    }
    flo_pg_rows_free(rows);
    return rv;
}

/* ---- what a leader must have ---- */

static int take_document(struct flo_lead *lead, const char *digest, struct flo_err *err)
{
    struct flo_pg_rows *rows = NULL;
    int rv = flo_pg_query(lead->pg, "SELECT body FROM keyring WHERE digest = $1::text",
                          FLO_DB_VALUES(flo_db_text(digest)), &rows, err);

    if (rv == 0) {
        const char *text = flo_pg_rows_count(rows) == 1 ? flo_pg_text(rows, 0, 0) : "";
        rv = lead->self.fit(lead->self.context, digest, text, strlen(text), err);
    }
    flo_pg_rows_free(rows);
    return rv;
}

static void tell_fitness(struct flo_lead *lead, const char *digest, const struct flo_err *lacks)
{
    bool is_news = lacks->code != lead->lacks.code || strcmp(lacks->what, lead->lacks.what) != 0 ||
                   (lacks->code == 0 && strcmp(digest, lead->has) != 0);

    pthread_mutex_lock(&lead->mutex);
    lead->lease.is_unfit = lacks->code != 0;
    lead->lacks = *lacks;
    if (lacks->code == 0) {
        snprintf(lead->has, sizeof(lead->has), "%s", digest);
    }
    pthread_mutex_unlock(&lead->mutex);
    if (is_news && lacks->code != 0) {
        flo_log(FLO_LOG_ERROR, "lease", "cannot lead: %s: %s%s%s", flo_error_id(lacks->code),
                lacks->what, lacks->fix[0] != '\0' ? "; " : "", lacks->fix);
    } else if (is_news) {
        flo_log(FLO_LOG_INFO, "lease", "has what a leader must have");
    }
    lead->shown_ms = is_news ? 0 : lead->shown_ms;
}

/* Checks this machine's clock against the database's.  Devices and the broker
 * refuse signatures that are dated in the future. */
static void compare_clocks(struct flo_lead *lead, uint64_t there_ms)
{
    uint64_t here_ms = lead->self.wall_ms(lead->self.context);
    bool is_ahead = here_ms > there_ms;
    uint64_t off_ms = is_ahead ? here_ms - there_ms : there_ms - here_ms;
    bool is_late = off_ms > FLO_LEAD_CLOCK_MS;

    if (is_late && !lead->lease.is_late) {
        flo_log(FLO_LOG_ERROR, "lease",
                "this machine's clock is %llu s %s the database's, more than "
                "%d s: other controllers lead first; set the clock",
                (unsigned long long)(off_ms / 1000), is_ahead ? "ahead of" : "behind",
                FLO_LEAD_CLOCK_MS / 1000);
    }
    pthread_mutex_lock(&lead->mutex);
    lead->lease.is_late = is_late;
    pthread_mutex_unlock(&lead->mutex);
}

/* Makes the controller's keyring fit to lead.  Called for each row of the lease
 * that requires another keyring. */
static void become_fit(struct flo_lead *lead, const char *digest)
{
    struct flo_err lacks = {0};

    if (lead->self.fit == NULL || (lead->lacks.code == 0 && strcmp(digest, lead->has) == 0)) {
        return;
    }
    if (digest[0] != '\0' && take_document(lead, digest, &lacks) < 0) {
        tell_fitness(lead, digest, &lacks);
        return;
    }
    lacks = (struct flo_err){0};
    tell_fitness(lead, digest, &lacks);
}

/* Takes the lease.  The former leader's sessions are ended first: such a
 * session may hold a lock on rows as long as its machine is suspended.  A
 * program too old for the tables must not lead, so it gives the lease up and
 * logs why. */
static int take(struct flo_lead *lead, const struct flo_lease_row *row, uint64_t *changed,
                struct flo_err *err)
{
    const struct flo_db_value values[] = {
        flo_db_number((int64_t)row->epoch),
        flo_db_number((int64_t)row->beat),
        flo_db_text(lead->holder),
        flo_db_text(lead->people),
        flo_db_text(lead->devices),
        flo_db_text(lead->name),
        flo_db_text(lead->has),
        flo_db_number(lead->self.fit == NULL),
    };

    FLO_TRY(flo_postgresql_known(lead->pg, err));
    FLO_TRY(flo_pg_run(lead->pg,
                       "SELECT pg_terminate_backend(s.pid) FROM pg_stat_activity s,"
                       " flotilla_lease l WHERE l.epoch = $1::bigint AND l.beat = $2::bigint"
                       " AND s.datname = current_database() AND s.pid <> pg_backend_pid()"
                       " AND s.application_name = '" FLO_POSTGRESQL_LEADER "' || l.epoch::text",
                       values, 2, NULL, err));

    return flo_pg_run(lead->pg,
                      "WITH taken AS (UPDATE flotilla_lease SET"
                      " epoch = epoch + 1,"
                      " beat = beat + 1, held = 1, holder = $3::text,"
                      " people = $4::text, devices = $5::text"
                      " WHERE epoch = $1::bigint AND"
                      " beat = $2::bigint AND (needs = $7::text OR"
                      " $8::bigint = 1) RETURNING epoch)"
                      " INSERT INTO flotilla_lead SELECT epoch,"
                      " $3::text, $6::text, " FLO_POSTGRESQL_NOW
                      " FROM taken ON CONFLICT (epoch) DO UPDATE SET"
                      " holder = excluded.holder,"
                      " name = excluded.name, at = excluded.at",
                      values, 8, changed, err);
}

static int beat(struct flo_lead *lead, uint64_t epoch, uint64_t *changed, struct flo_err *err)
{
    return flo_pg_run(lead->pg,
                      "UPDATE flotilla_lease SET beat = beat + 1"
                      " WHERE epoch = $1::bigint",
                      FLO_DB_VALUES(flo_db_number((int64_t)epoch)), changed, err);
}

static void give_back(struct flo_lead *lead)
{
    (void)!flo_pg_run(lead->pg,
                      "UPDATE flotilla_lease SET held = 0, beat = beat + 1"
                      " WHERE epoch = $1::bigint",
                      FLO_DB_VALUES(flo_db_number((int64_t)lead->lease.epoch)), NULL, NULL);
}

/* ---- the thread ---- */

static void failed(struct flo_lead *lead, const struct flo_err *err)
{
    bool is_leader;

    pthread_mutex_lock(&lead->mutex);
    flo_lease_unanswered(&lead->lease);
    is_leader = lead->lease.state == FLO_LEASE_LEADER;
    pthread_mutex_unlock(&lead->mutex);
    if (!lead->has_failed) {
        flo_log(FLO_LOG_WARN, "lease", "%s, a question to the database failed: %s",
                is_leader ? "leader" : "follower", err->what);
    }
    lead->has_failed = true;
    flo_postgresql_pause(lead->self.limits->pause_ms);
}

static void tell(struct flo_lead *lead, bool is_changed)
{
    pthread_mutex_lock(&lead->mutex);
    bool was_leader = lead->lease.state == FLO_LEASE_LEADER;
    flo_lease_changed(&lead->lease, is_changed);
    bool is_leader = lead->lease.state == FLO_LEASE_LEADER;
    uint64_t epoch = lead->lease.epoch;
    pthread_mutex_unlock(&lead->mutex);
    if (is_leader && !was_leader) {
        flo_log(FLO_LOG_INFO, "lease", "leads, epoch %llu", (unsigned long long)epoch);
    }
}

static void saw(struct flo_lead *lead, struct flo_lead_row *row)
{
    pthread_mutex_lock(&lead->mutex);
    /* A lease with this controller's own id counts as free: an earlier process
     * in the same folder left it. */
    row->lease.is_held = row->lease.is_held && strcmp(row->holder, lead->holder) != 0;
    flo_lease_saw(&lead->lease, &row->lease, now(lead));
    lead->seen = *row;
    pthread_mutex_unlock(&lead->mutex);
}

/* Makes one request about the lease to the database. */
static void ask(struct flo_lead *lead, enum flo_lease_do what, const struct flo_lease *lease)
{
    struct flo_err err = {0};
    struct flo_lead_row row;
    uint64_t changed = 0;
    int rv = flo_pg_ready(lead->pg, &err);

    if (rv == 0 && what == FLO_LEASE_LOOK) {
        rv = look(lead, &row, &err);
    } else if (rv == 0) {
        rv = what == FLO_LEASE_TAKE ? take(lead, &lease->row, &changed, &err)
                                    : beat(lead, lease->epoch, &changed, &err);
    }
    if (rv < 0) {
        failed(lead, &err);
        return;
    }
    lead->has_failed = false;
    if (what == FLO_LEASE_LOOK) {
        compare_clocks(lead, row.at_ms);
        become_fit(lead, row.needs);
        saw(lead, &row);
    } else {
        tell(lead, changed == 1);
    }
}

/* ---- who is there ---- */

static int show(struct flo_lead *lead, const struct flo_lease *lease, struct flo_err *err)
{
    bool is_leader = lease->state == FLO_LEASE_LEADER;
    bool is_news = !lead->is_shown || lead->shown_epoch != lease->epoch;
    struct flo_lead_view view;

    FLO_TRY(flo_pg_ready(lead->pg, err));
    FLO_TRY(flo_postgresql_show(lead->pg, &lead->self, &lead->lacks, is_news, err));
    lead->is_shown = true;
    lead->shown_epoch = lease->epoch;
    if (is_leader) {
        FLO_TRY(flo_postgresql_forget(lead->pg, err));
        FLO_TRY(flo_postgresql_view(lead->pg, &view, err));
    }
    if (is_leader) {
        pthread_mutex_lock(&lead->mutex);
        lead->view = view;
        pthread_mutex_unlock(&lead->mutex);
    }
    return 0;
}

/* Tells whether this controller's row must be written again.  It is written
 * only when the lease needs no request. */
static bool is_due(const struct flo_lead *lead, const struct flo_lease *lease)
{
    return (lease->state == FLO_LEASE_LEADER && lead->shown_epoch != lease->epoch) ||
           !lead->is_shown || now(lead) - lead->shown_ms >= FLO_LEASE_SHOW_MS;
}

static void show_if_due(struct flo_lead *lead, const struct flo_lease *lease)
{
    struct flo_err err = {0};

    if (!is_due(lead, lease)) {
        flo_postgresql_pause(PAUSE_MS);
        return;
    }
    lead->shown_ms = now(lead);
    if (show(lead, lease, &err) < 0) {
        flo_log(FLO_LOG_DEBUG, "lease", "who is there was not written: %s", err.what);
        flo_postgresql_pause(lead->self.limits->pause_ms);
    }
}

static void *run(void *context)
{
    struct flo_lead *lead = context;

    for (;;) {
        pthread_mutex_lock(&lead->mutex);
        bool ends = lead->ends;
        enum flo_lease_do what = flo_lease_next(&lead->lease, now(lead));
        struct flo_lease lease = lead->lease;
        pthread_mutex_unlock(&lead->mutex);
        if (ends) {
            return NULL;
        }
        if (what == FLO_LEASE_STOP) {
            flo_log(FLO_LOG_WARN, "lease", "another controller leads since epoch %llu",
                    (unsigned long long)lease.epoch);
            lead->self.lost(lead->self.context);
            return NULL;
        }
        if (what == FLO_LEASE_WAIT) {
            show_if_due(lead, &lease);
        } else {
            ask(lead, what, &lease);
        }
    }
}

/* ---- for others ---- */

bool flo_lead_leads(struct flo_lead *lead, uint64_t *epoch_or_null)
{
    pthread_mutex_lock(&lead->mutex);
    bool leads = flo_lease_leads(&lead->lease, now(lead));
    if (epoch_or_null != NULL) {
        *epoch_or_null = lead->lease.epoch;
    }
    pthread_mutex_unlock(&lead->mutex);
    return leads;
}

bool flo_lead_may_wait(struct flo_lead *lead, bool is_commit)
{
    pthread_mutex_lock(&lead->mutex);
    bool may_wait = flo_lease_may_wait(&lead->lease, is_commit, now(lead));
    pthread_mutex_unlock(&lead->mutex);
    return may_wait;
}

void flo_lead_seen(struct flo_lead *lead, struct flo_lead_row *out)
{
    pthread_mutex_lock(&lead->mutex);
    *out = lead->seen;
    pthread_mutex_unlock(&lead->mutex);
}

void flo_lead_view(struct flo_lead *lead, struct flo_lead_view *out)
{
    pthread_mutex_lock(&lead->mutex);
    *out = lead->view;
    out->epoch = lead->lease.epoch;
    out->leads = flo_lease_leads(&lead->lease, now(lead));
    pthread_mutex_unlock(&lead->mutex);
}

bool flo_lead_lacks(struct flo_lead *lead, struct flo_err *out)
{
    pthread_mutex_lock(&lead->mutex);
    *out = lead->lacks;
    pthread_mutex_unlock(&lead->mutex);
    return out->code != 0;
}

/* ---- opening ---- */

void flo_lead_close(struct flo_lead *lead)
{
    if (lead == NULL) {
        return;
    }
    if (lead->is_running) {
        pthread_mutex_lock(&lead->mutex);
        lead->ends = true;
        pthread_mutex_unlock(&lead->mutex);
        pthread_join(lead->thread, NULL);
        if (lead->lease.state == FLO_LEASE_LEADER) {
            give_back(lead);
        }
        flo_postgresql_leave(lead->pg, lead->holder);
    }
    pthread_mutex_destroy(&lead->mutex);
    flo_pg_close(lead->pg);
    free(lead);
}

static uint64_t steady_ms(void *context)
{
    (void)context;
    return flo_now_ms();
}

static uint64_t wall_ms(void *context)
{
    (void)context;
    return flo_wall_ms();
}

static void make_greeting(struct flo_lead *lead)
{
    size_t count = 0;

    for (; greeting[count] != NULL; count++) {
        lead->greeting[count] = greeting[count];
    }
    size_t told = flo_postgresql_tell_limits(lead->self.limits, lead->told);
    for (size_t i = 0; i < told; i++) {
        lead->greeting[count++] = lead->told[i];
    }
}

static void keep_self(struct flo_lead *lead, const struct flo_lead_self *self)
{
    lead->self = *self;
    snprintf(lead->holder, sizeof(lead->holder), "%s", self->holder);
    snprintf(lead->people, sizeof(lead->people), "%s", self->people);
    snprintf(lead->devices, sizeof(lead->devices), "%s", self->devices);
    snprintf(lead->name, sizeof(lead->name), "%s", self->name != NULL ? self->name : "");
    lead->self.holder = lead->holder;
    lead->self.name = lead->name;
    lead->self.people = lead->people;
    lead->self.devices = lead->devices;
    snprintf(lead->key, sizeof(lead->key), "%s", self->key != NULL ? self->key : "");
    lead->self.key = lead->key;
    if (self->now_ms == NULL) {
        lead->self.now_ms = steady_ms;
    }
    if (self->wall_ms == NULL) {
        lead->self.wall_ms = wall_ms;
    }
    if (self->limits == NULL) {
        lead->self.limits = &flo_postgresql_lead_limits;
    }
}

int flo_lead_open(const char *address, const struct flo_lead_self *self, struct flo_lead **out,
                  struct flo_err *err)
{
    struct flo_lead *lead = calloc(1, sizeof(*lead));

    if (lead == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "lease");
    }
    pthread_mutex_init(&lead->mutex, NULL);
    keep_self(lead, self);
    make_greeting(lead);
    int rv = flo_pg_open(address, lead->greeting, &lead->pg, err);
    if (rv == 0) {
        flo_pg_hurry(lead->pg, &lead->self.limits->pg);
        rv = flo_postgresql_lease(lead->pg, err);
    }
    if (rv == 0) {
        rv = look(lead, &lead->seen, err);
    }
    if (rv == 0) {
        lead->is_running = pthread_create(&lead->thread, NULL, run, lead) == 0;
        rv = lead->is_running ? 0 : flo_fail(err, FLO_E_MEMORY, "thread");
    }
    if (rv < 0) {
        flo_lead_close(lead);
        return rv;
    }
    *out = lead;
    return 0;
}
