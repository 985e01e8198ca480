/* Members: the controllers of a database, and when each of them led.
 *
 * The rows are for people; the lease does not use them (lead.c). */
#include "server-stub/store/lead.h"
#include "server-stub/store/postgresql/connection.h"

#define TEXT_OF(values) #values
#define TEXT(value) TEXT_OF(value)

int flo_postgresql_show(struct flo_pg *pg, const struct flo_lead_self *self,
                        const struct flo_err *lacks, bool is_news, struct flo_err *err)
{
    char why[FLO_LEAD_LACKS] = "";

    if (lacks->code != 0) {
        snprintf(why, sizeof(why), "%s: %.200s", flo_error_id(lacks->code), lacks->what);
    }
    return flo_pg_run(
        pg,
        "INSERT INTO flotilla_controller AS c (holder, name, people, devices,"
        " version, since, heard, key, lacks) SELECT $1::text, $2::text,"
        " $3::text, $4::text, $5::text, now_ms, now_ms, $7::text, $8::text "
        "FROM (SELECT " FLO_POSTGRESQL_NOW " AS now_ms) AS t ON CONFLICT (holder) DO UPDATE SET"
        " name = excluded.name, people = excluded.people,"
        " devices = excluded.devices, version = excluded.version,"
        " key = excluded.key, lacks = excluded.lacks,"
        " heard = excluded.heard, since = CASE WHEN $6::bigint = 0"
        " THEN c.since ELSE excluded.since END",
        FLO_DB_VALUES(flo_db_text(self->holder), flo_db_text(self->name), flo_db_text(self->people),
                      flo_db_text(self->devices), flo_db_text(FLO_VERSION), flo_db_number(is_news),
                      flo_db_text(self->key), flo_db_text(why)),
        NULL, err);
}

int flo_postgresql_forget(struct flo_pg *pg, struct flo_err *err)
{
    FLO_TRY(flo_pg_run(pg,
                       "DELETE FROM flotilla_controller WHERE heard <"
                       " " FLO_POSTGRESQL_NOW " - " TEXT(FLO_LEASE_FORGET_MS),
                       FLO_DB_NONE, NULL, err));
    return flo_pg_run(pg,
                      "DELETE FROM flotilla_lead WHERE epoch <"
                      " (SELECT max(epoch) FROM flotilla_lead) - 1000",
                      FLO_DB_NONE, NULL, err);
}

void flo_postgresql_leave(struct flo_pg *pg, const char *holder)
{
    (void)!flo_pg_run(pg, "DELETE FROM flotilla_controller WHERE holder = $1::text",
                      FLO_DB_VALUES(flo_db_text(holder)), NULL, NULL);
}

static void copy(char *out, size_t bytes, const struct flo_pg_rows *rows, uint64_t row, int column)
{
    snprintf(out, bytes, "%s", flo_pg_text(rows, row, column));
}
#define COPY(to, row, column) copy(to, sizeof(to), rows, row, column)

/* Converts the age of a row to a time of this process's clock. */
static uint64_t at_ms(const struct flo_pg_rows *rows, uint64_t row, int column)
{
    int64_t age_ms = flo_pg_number(rows, row, column);

    return flo_wall_ms() - (uint64_t)(age_ms > 0 ? age_ms : 0);
}

static int read_members(struct flo_pg *pg, struct flo_lead_view *out, struct flo_err *err)
{
    struct flo_pg_rows *rows = NULL;
    int rv = flo_pg_query(pg,
                          "SELECT c.holder, c.name, c.people, c.devices, c.version,"
                          " now_ms - c.since, now_ms - c.heard,"
                          " (c.holder = l.holder)::int::bigint, c.key, c.lacks FROM "
                          "flotilla_controller c,"
                          " flotilla_lease l, (SELECT " FLO_POSTGRESQL_NOW
                          " AS now_ms) AS t ORDER BY c.holder = l.holder DESC, c.heard DESC"
                          " LIMIT " TEXT(FLO_LEAD_MEMBERS_MAX),
                          FLO_DB_NONE, &rows, err);

    for (uint64_t i = 0; rv == 0 && i < flo_pg_rows_count(rows); i++) {
        struct flo_lead_member *one = &out->members[out->member_count++];
        COPY(one->holder, i, 0);
        COPY(one->name, i, 1);
        COPY(one->people, i, 2);
        COPY(one->devices, i, 3);
        COPY(one->version, i, 4);
        one->since_at_ms = at_ms(rows, i, 5);
        one->heard_at_ms = at_ms(rows, i, 6);
        one->is_holder = flo_pg_number(rows, i, 7) != 0;
        COPY(one->key, i, 8);
        COPY(one->lacks, i, 9);
    }
    flo_pg_rows_free(rows);
    return rv;
}

static int read_changes(struct flo_pg *pg, struct flo_lead_view *out, struct flo_err *err)
{
    struct flo_pg_rows *rows = NULL;
    int rv = flo_pg_query(pg,
                          "SELECT epoch, now_ms - at, holder, name, count(*) FILTER"
                          " (WHERE now_ms - at < 3600000) OVER () FROM flotilla_lead,"
                          " (SELECT " FLO_POSTGRESQL_NOW
                          " AS now_ms) AS t ORDER BY epoch DESC LIMIT " TEXT(FLO_LEAD_MEMBERS_MAX),
                          FLO_DB_NONE, &rows, err);

    for (uint64_t i = 0; rv == 0 && i < flo_pg_rows_count(rows); i++) {
        struct flo_lead_change *one = &out->changes[out->change_count++];
        one->epoch = (uint64_t)flo_pg_number(rows, i, 0);
        one->at_ms = at_ms(rows, i, 1);
        COPY(one->holder, i, 2);
        COPY(one->name, i, 3);
        out->changes_hour = (uint64_t)flo_pg_number(rows, i, 4);
    }
    flo_pg_rows_free(rows);
    return rv;
}

int flo_postgresql_view(struct flo_pg *pg, struct flo_lead_view *out, struct flo_err *err)
{
    *out = (struct flo_lead_view){0};
    FLO_TRY(read_members(pg, out, err));
    return read_changes(pg, out, err);
}
