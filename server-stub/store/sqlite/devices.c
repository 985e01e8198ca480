/* Store: devices, their groups, desired revisions and events. */
#include <stdio.h>
#include <string.h>

#include "server-stub/store/sqlite/inside.h"

#define DEVICE_COLUMNS                                                         \
    "id, name, labels, profile, reported, groups, online, retired,"            \
    " enrolled_at, seen_at, rss"

static void device_row(struct flo_fleet_store *store,
                       struct flo_db_statement *row,
                       struct flo_fleet_device *out)
{
    *out = (struct flo_fleet_device){
        .id = flo_db_column_text(row, 0),
        .name = flo_db_column_text(row, 1),
        .labels = flo_db_column_text(row, 2),
        .profile = flo_db_column_text(row, 3),
        .reported = flo_db_column_text(row, 4),
        .groups = flo_db_column_text(row, 5),
        .is_online = flo_db_column_i64(row, 6) != 0,
        .is_retired = flo_db_column_i64(row, 7) != 0,
        .enrolled_at_ms = flo_column_u64(row, 8),
        .last_seen_at_ms = flo_column_u64(row, 9),
        .rss_bytes = flo_column_u64(row, 10),
    };
    size_t number = flo_ids_find(&store->facts.ids, out->id);
    if (number < store->facts.capacity) {
        const struct flo_fleet_fact *fact = &store->facts.items[number];
        if (fact->seen_at_ms > out->last_seen_at_ms) {
            out->last_seen_at_ms = fact->seen_at_ms;
        }
        if (fact->rss_bytes != 0) {
            out->rss_bytes = fact->rss_bytes;
        }
    }
}

static int name_is_free(struct flo_fleet_store *store, const char *name,
                        struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row;
    int rv = flo_fleet_query(
        store->control, err, &row,
        "SELECT id FROM device WHERE name = ? AND retired = 0", "t", name);

    if (rv < 0 || (rv = flo_db_step(row, &has_row, err)) < 0) {
        return rv;
    }
    flo_db_reset(row);
    if (!has_row) {
        return 0;
    }
    flo_fail(err, FLO_E_STATE, "a device named %s is enrolled already", name);
    return flo_err_fix(err,
                       "choose another name; if that device is gone: "
                       "flotilla device delete %s",
                       name);
}

int flo_fleet_device_add(struct flo_fleet_store *store,
                         const struct flo_fleet_device *device,
                         const char (*groups)[FLO_NAME_MAX + 1],
                         size_t group_count, struct flo_err *err)
{
    int rv = name_is_free(store, device->name, err);

    if (rv == 0) {
        rv = flo_fleet_run(
            store->control, err,
            "INSERT INTO device (id, name, labels, profile, groups,"
            " enrolled_at) VALUES (?, ?, ?, ?, ?, ?)",
            "tttttu", device->id, device->name, device->labels, device->profile,
            device->groups, device->enrolled_at_ms);
    }
    for (size_t i = 0; i < group_count && rv == 0; i++) {
        rv = flo_fleet_run(store->control, err,
                           "INSERT INTO device_group VALUES (?, ?)", "tt",
                           groups[i], device->id);
    }
    if (rv == 0) {
        rv = flo_fleet_run(store->control, err,
                           "INSERT INTO desired (device, rev) VALUES (?, 1)",
                           "t", device->id);
    }
    return rv;
}

int flo_fleet_device_get(struct flo_fleet_store *store, const char *key,
                         flo_fleet_device_fn fn, void *context,
                         struct flo_err *err)
{
    struct flo_db_statement *row;
    struct flo_fleet_device device;
    bool has_row;
    int rv = flo_fleet_query(store->control, err, &row,
                             "SELECT " DEVICE_COLUMNS " FROM device"
                             " WHERE id = ?1 OR (name = ?1 AND retired = 0)"
                             " ORDER BY id = ?1 DESC LIMIT 1",
                             "t", key);

    if (rv < 0 || (rv = flo_db_step(row, &has_row, err)) < 0) {
        return rv;
    }
    if (!has_row) {
        return flo_fail(err, FLO_E_DEVICE_ABSENT, "no device %.64s", key);
    }
    device_row(store, row, &device);
    rv = fn != NULL ? fn(context, &device) : 0;
    flo_db_reset(row);
    return rv;
}

int flo_fleet_device_list(struct flo_fleet_store *store,
                          const struct flo_fleet_device_filter *filter,
                          flo_fleet_device_fn fn, void *context,
                          struct flo_err *err)
{
    struct flo_db_statement *row;
    struct flo_fleet_device device;
    bool has_row = true;
    int rv = flo_fleet_query(
        store->control, err, &row,
        "SELECT " DEVICE_COLUMNS " FROM device WHERE id > ?1"
        " AND (?2 IS NULL OR id IN"
        "      (SELECT device FROM device_group WHERE grp = ?2))"
        " AND (?3 < 0 OR online = ?3) AND (?4 OR retired = 0)"
        " AND (?6 IS NULL OR CASE WHEN json_valid(labels)"
        "      THEN json_extract(labels, '$.\"' || ?6 || '\"') = ?7 END)"
        " AND (?8 IS NULL OR CASE WHEN json_valid(reported)"
        "      THEN json_extract(reported, '$.serving.model') || '@' ||"
        "           json_extract(reported, '$.serving.version') = ?8 END)"
        " ORDER BY id LIMIT ?5",
        "ttiiittt", filter->after != NULL ? filter->after : "", filter->group,
        (int64_t)filter->online, (int64_t)filter->with_retired,
        filter->limit == 0 ? INT64_C(-1) : (int64_t)filter->limit,
        filter->label, filter->label_value, filter->release);

    while (rv == 0 && (rv = flo_db_step(row, &has_row, err)) == 0 && has_row) {
        device_row(store, row, &device);
        rv = fn(context, &device);
    }
    if (rv < 0) {
        flo_db_reset(row);
    }
    return rv;
}

int flo_fleet_device_is_active(struct flo_fleet_store *store, const char *id,
                               bool *out, struct flo_err *err)
{
    size_t number = flo_ids_find(&store->facts.ids, id);
    struct flo_db_statement *row;
    struct flo_fleet_fact *fact;
    bool has_row;

    if (number < store->facts.capacity &&
        store->facts.items[number].is_active) {
        *out = true;
        return 0;
    }
    int rv = flo_fleet_query(
        store->control, err, &row,
        "SELECT 1 FROM device WHERE id = ? AND retired = 0", "t", id);
    if (rv < 0 || (rv = flo_db_step(row, &has_row, err)) < 0) {
        return rv;
    }
    flo_db_reset(row);
    *out = has_row;
    if (has_row && (fact = flo_fleet_fact(store, id)) != NULL) {
        fact->is_active = true;
    }
    return 0;
}

int flo_fleet_device_groups(struct flo_fleet_store *store, const char *id,
                            char (*groups)[FLO_NAME_MAX + 1], size_t *count,
                            struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row = true;
    int rv = flo_fleet_query(
        store->control, err, &row,
        "SELECT grp FROM device_group WHERE device = ? ORDER BY grp LIMIT 8",
        "t", id);

    *count = 0;
    while (rv == 0 && (rv = flo_db_step(row, &has_row, err)) == 0 && has_row) {
        if (*count < FLO_GROUPS_MAX) {
            snprintf(groups[(*count)++], FLO_NAME_MAX + 1, "%s",
                     flo_db_column_text(row, 0));
        }
    }
    return rv;
}

int flo_fleet_device_online(struct flo_fleet_store *store, const char *id,
                            bool online, bool *is_news, struct flo_err *err)
{
    struct flo_fleet_fact *fact = flo_fleet_fact(store, id);

    *is_news = false;
    if (fact != NULL && fact->is_online_known && fact->is_online == online) {
        return 0;
    }
    int rv = flo_fleet_run(store->control, err,
                           "UPDATE device SET online = ?1"
                           " WHERE id = ?2 AND online <> ?1",
                           "it", (int64_t)online, id);
    *is_news = rv == 0 && flo_db_changes(store->control) > 0;
    if (rv == 0 && fact != NULL) {
        fact->is_online_known = true;
        fact->is_online = online;
    }
    return rv;
}

int flo_fleet_device_reported(struct flo_fleet_store *store, const char *id,
                              const char *reported, const char *profile,
                              bool drifts, struct flo_err *err)
{
    return flo_fleet_run(store->control, err,
                         "UPDATE device SET reported = ?,"
                         " profile = coalesce(?, profile), drifts = ?"
                         " WHERE id = ?",
                         "ttit", reported, profile, (int64_t)drifts, id);
}

int flo_fleet_device_retire(struct flo_fleet_store *store, const char *id,
                            struct flo_err *err)
{
    struct flo_fleet_fact *fact = flo_fleet_fact(store, id);
    int rv = flo_fleet_run(
        store->control, err,
        "UPDATE device SET retired = 1, online = 0 WHERE id = ?", "t", id);

    if (fact != NULL) {
        fact->is_active = fact->is_online_known = false;
    }

    if (rv == 0) {
        rv =
            flo_fleet_run(store->control, err,
                          "DELETE FROM device_group WHERE device = ?", "t", id);
    }
    if (rv == 0) {
        rv = flo_fleet_run(store->control, err,
                           "DELETE FROM desired WHERE device = ?", "t", id);
    }
    return rv;
}

const char flo_fleet_devices_count[] =
    "SELECT count(*), total(online), total(drifts) FROM device"
    " WHERE retired = 0";

int flo_fleet_devices_offline(struct flo_fleet_store *store,
                              struct flo_err *err)
{
    flo_fleet_facts_doubt(store);
    return flo_fleet_run(store->control, err,
                         "UPDATE device SET online = 0 WHERE online = 1", "");
}

int flo_fleet_device_counts(struct flo_fleet_store *store,
                            struct flo_fleet_device_count *out,
                            struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row;
    int rv =
        flo_fleet_query(store->control, err, &row, flo_fleet_devices_count, "");

    if (rv < 0 || (rv = flo_db_step(row, &has_row, err)) < 0) {
        return rv;
    }
    *out = (struct flo_fleet_device_count){0};
    if (has_row) {
        out->devices = flo_column_u64(row, 0);
        out->online = (uint64_t)flo_db_column_real(row, 1);
        out->drifting = (uint64_t)flo_db_column_real(row, 2);
    }
    flo_db_reset(row);
    return 0;
}

/* ---- desired ---- */

int flo_fleet_desired_get(struct flo_fleet_store *store, const char *device,
                          uint64_t *rev, char *order, struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row;
    int rv = flo_fleet_query(store->control, err, &row,
                             "SELECT rev, ord FROM desired WHERE device = ?",
                             "t", device);

    if (rv < 0 || (rv = flo_db_step(row, &has_row, err)) < 0) {
        return rv;
    }
    if (!has_row) {
        return flo_fail(err, FLO_E_DEVICE_ABSENT, "no device %.64s", device);
    }
    *rev = flo_column_u64(row, 0);
    snprintf(order, FLO_NAME_MAX + 1, "%s", flo_db_column_text(row, 1));
    flo_db_reset(row);
    return 0;
}

int flo_fleet_desired_set(struct flo_fleet_store *store, const char *device,
                          const char *order, struct flo_err *err)
{
    return flo_fleet_run(
        store->control, err,
        "UPDATE desired SET rev = rev + 1, ord = ? WHERE device = ?", "tt",
        order, device);
}

int flo_fleet_desired_holders(struct flo_fleet_store *store, const char *order,
                              flo_fleet_text_fn fn, void *context,
                              struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row = true;
    int rv = flo_fleet_query(store->control, err, &row,
                             "SELECT device FROM desired WHERE ord = ?"
                             " ORDER BY device",
                             "t", order);

    while (rv == 0 && (rv = flo_db_step(row, &has_row, err)) == 0 && has_row) {
        rv = fn(context, flo_db_column_text(row, 0));
    }
    if (rv < 0) {
        flo_db_reset(row);
    }
    return rv;
}

int flo_fleet_desired_swap(struct flo_fleet_store *store, const char *order,
                           const char *next, struct flo_err *err)
{
    return flo_fleet_run(
        store->control, err,
        "UPDATE desired SET rev = rev + 1, ord = ? WHERE ord = ?", "tt", next,
        order);
}

/* ---- events ---- */

static int mark_get(struct flo_fleet_store *store, const char *device,
                    const char *boot, bool *known, uint64_t *seq,
                    struct flo_err *err)
{
    struct flo_db_statement *row;
    int rv = flo_fleet_query(
        store->control, err, &row,
        "SELECT seq FROM event_mark WHERE device = ? AND boot = ?", "tt",
        device, boot);

    if (rv < 0 || (rv = flo_db_step(row, known, err)) < 0) {
        return rv;
    }
    *seq = *known ? flo_column_u64(row, 0) : 0;
    flo_db_reset(row);
    return 0;
}

static int event_exists(struct flo_fleet_store *store, const char *device,
                        const char *boot, uint64_t seq, bool *out,
                        struct flo_err *err)
{
    struct flo_db_statement *row;
    int rv = flo_fleet_query(
        store->control, err, &row,
        "SELECT 1 FROM event WHERE device = ? AND boot = ? AND seq = ?", "ttu",
        device, boot, seq);

    if (rv < 0 || (rv = flo_db_step(row, out, err)) < 0) {
        return rv;
    }
    flo_db_reset(row);
    return 0;
}

static int event_max(struct flo_fleet_store *store, const char *device,
                     const char *boot, uint64_t *out, struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row;
    int rv = flo_fleet_query(store->control, err, &row,
                             "SELECT max(seq) FROM event WHERE device = ?"
                             " AND boot = ?",
                             "tt", device, boot);

    if (rv < 0 || (rv = flo_db_step(row, &has_row, err)) < 0) {
        return rv;
    }
    *out = has_row ? flo_column_u64(row, 0) : 0;
    flo_db_reset(row);
    return 0;
}

/* To the last event that follows without a gap. */
static int mark_walk(struct flo_fleet_store *store, const char *device,
                     struct flo_fleet_fact *fact, struct flo_err *err)
{
    bool more = true;
    int rv = 0;

    while (rv == 0 && more && fact->mark < fact->newest) {
        rv =
            event_exists(store, device, fact->boot, fact->mark + 1, &more, err);
        fact->mark += rv == 0 && more;
    }
    return rv;
}

/* Of another outbox than the one in memory.  The mark in the file may be older
 * than the events: it is written now and then. */
static int mark_load(struct flo_fleet_store *store, const char *device,
                     const char *boot, struct flo_fleet_fact *fact,
                     struct flo_err *err)
{
    uint64_t mark = 0;
    uint64_t newest = 0;
    bool known = false;
    int rv = fact->is_mark_dirty ? flo_fleet_mark_put(store, device, fact->boot,
                                                      fact->mark, err)
                                 : 0;

    if (rv < 0 ||
        (rv = mark_get(store, device, boot, &known, &mark, err)) < 0 ||
        (rv = event_max(store, device, boot, &newest, err)) < 0) {
        return rv;
    }
    fact->is_mark_dirty = false;
    fact->is_mark_known = known;
    fact->mark = mark;
    fact->newest = newest;
    snprintf(fact->boot, sizeof(fact->boot), "%s", boot);
    return known ? mark_walk(store, device, fact, err) : 0;
}

/* The mark stands on the last event before a gap.  A device that sends an
 * event behind the gap a second time does not have the missing one any more,
 * so the mark jumps there. */
static int mark_move(struct flo_fleet_store *store, const char *device,
                     struct flo_fleet_fact *fact, uint64_t seq, bool is_new,
                     struct flo_err *err)
{
    fact->newest = seq > fact->newest ? seq : fact->newest;
    if ((fact->is_mark_known && seq <= fact->mark) ||
        (fact->is_mark_known && seq != fact->mark + 1 && is_new)) {
        return 0;
    }
    /* The first of an outbox is kept at once: what came before it is not
     * awaited, which nothing else says. */
    bool is_first = !fact->is_mark_known;
    fact->is_mark_known = fact->is_mark_dirty = true;
    fact->mark = seq;
    int rv = mark_walk(store, device, fact, err);
    if (rv == 0 && is_first) {
        rv = flo_fleet_mark_put(store, device, fact->boot, fact->mark, err);
        fact->is_mark_dirty = rv < 0;
    }
    return rv;
}

/* By our row numbers, not by the device's: what it sends cannot avoid it. */
#define EVENTS_PRUNE 64

/* Keep the newest events of a device, and the marks of outboxes that they are
 * of. */
static int events_prune(struct flo_fleet_store *store, const char *device,
                        struct flo_err *err)
{
    int rv = flo_fleet_run(
        store->control, err,
        "DELETE FROM event WHERE device = ?1 AND id <= (SELECT id FROM event"
        " WHERE device = ?1 ORDER BY id DESC LIMIT 1 OFFSET 2000)",
        "t", device);

    return rv < 0 ? rv
                  : flo_fleet_run(store->control, err,
                                  "DELETE FROM event_mark WHERE device = ?1"
                                  " AND boot NOT IN"
                                  " (SELECT boot FROM event WHERE device = ?1)",
                                  "t", device);
}

int flo_fleet_event_add(struct flo_fleet_store *store, const char *device,
                        const char *boot, uint64_t seq, uint64_t at_ms,
                        uint64_t received_at_ms, const char *json, bool *is_new,
                        uint64_t *mark, struct flo_err *err)
{
    struct flo_fleet_fact *fact = flo_fleet_fact(store, device);
    int rv = fact == NULL ? flo_fail(err, FLO_E_MEMORY, "event") : 0;

    if (rv == 0 && strcmp(fact->boot, boot) != 0) {
        rv = mark_load(store, device, boot, fact, err);
    }
    if (rv == 0) {
        rv = flo_fleet_run(store->control, err,
                           "INSERT OR IGNORE INTO event"
                           " (device, boot, seq, at, received_at, json)"
                           " VALUES (?, ?, ?, ?, ?, ?)",
                           "ttuuut", device, boot, seq, at_ms, received_at_ms,
                           json);
    }
    if (rv < 0) {
        return rv;
    }
    *is_new = flo_db_changes(store->control) > 0;
    if (*is_new && flo_db_last_id(store->control) % EVENTS_PRUNE == 0) {
        rv = events_prune(store, device, err);
    }
    if (rv == 0) {
        rv = mark_move(store, device, fact, seq, *is_new, err);
    }
    *mark = fact->mark;
    return rv;
}

int flo_fleet_event_list(struct flo_fleet_store *store, const char *device,
                         uint64_t limit, flo_fleet_text_fn fn, void *context,
                         struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row = true;
    int rv = flo_fleet_query(
        store->control, err, &row,
        "SELECT json FROM (SELECT id, json FROM event WHERE device = ?"
        " ORDER BY id DESC LIMIT ?) ORDER BY id",
        "tu", device, limit);

    while (rv == 0 && (rv = flo_db_step(row, &has_row, err)) == 0 && has_row) {
        rv = fn(context, flo_db_column_text(row, 0));
    }
    if (rv < 0) {
        flo_db_reset(row);
    }
    return rv;
}
