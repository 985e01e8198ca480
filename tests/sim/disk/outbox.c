/* Outbox of a device: the shipped one, on a database in memory that outlives the
 * agent, as its disk does.  Answers are not synced: a power cut takes the last. */
#include <string.h>

#include <flotilla/errors/db.h>

#include "agent/shell/outbox/outbox_state.h"
#include "tests/sim/device/device.h"
#include "tests/sim/ports/ports.h"

static struct sim_device *actor(void)
{
    return (struct sim_device *)(uintptr_t)sim->actor;
}

int __wrap_flo_db_open(const char *path, enum flo_db_sync sync, unsigned busy_ms,
                       struct flo_db **out, struct flo_err *err)
{
    struct sim_device *device = actor();

    if (device->disk.outbox_is_damaged) {
        return flo_fail(err, FLO_E_DB_DAMAGED, "%s: as simulated", path);
    }
    if (device->disk.db == NULL) {
        int rv = __real_flo_db_open(":memory:", sync, busy_ms, &device->disk.db, err);
        if (rv < 0) {
            return rv;
        }
    }
    *out = device->disk.db;
    return 0;
}

void __wrap_flo_db_close(struct flo_db *db)
{
    (void)db; /* the file stays */
}

/* It is set aside, with all that it said. */
int __wrap_flo_db_set_aside(const char *path, const char *word, struct flo_err *err)
{
    struct sim_device *device = actor();

    (void)path, (void)err;
    sim_trace(sim_name(device), "its outbox is %s", word);
    sim_disk_deinit(device);
    device->disk.outbox_is_damaged = false;
    device->outbox_was_lost = true;
    return 0;
}

void sim_disk_deinit(struct sim_device *device)
{
    __real_flo_db_close(device->disk.db);
    device->disk.db = NULL;
    device->disk.unsynced = 0;
    sim_stories_forget(device);
}

int __wrap_flo_db_begin(struct flo_db *db, struct flo_err *err)
{
    int rv = sim_disk_takes(actor(), err);

    return rv < 0 ? rv : __real_flo_db_begin(db, err);
}

int __wrap_flo_db_commit(struct flo_db *db, struct flo_err *err)
{
    struct sim_device *device = actor();
    int rv = __real_flo_db_commit(db, err);

    if (rv == 0) {
        device->disk.unsynced = 0;
        sim_stories_stored(device);
        sim_disk_wrote(device);
    }
    return rv;
}

int __wrap_flo_db_run(struct flo_db *db, const char *sql, const struct flo_db_value *values,
                      size_t count, struct flo_err *err)
{
    int rv = sim_disk_takes(actor(), err);

    rv = rv < 0 ? rv : __real_flo_db_run(db, sql, values, count, err);
    actor()->disk.unsynced += rv == 0 && strncmp(sql, "INSERT INTO answer", 18) == 0;
    return rv;
}

/* Memory has no syncs; an answer would compile this twice. */
int __wrap_flo_db_exec(struct flo_db *db, const char *sql, struct flo_err *err)
{
    return strncmp(sql, "PRAGMA synchronous", 18) == 0 ? 0 : __real_flo_db_exec(db, sql, err);
}

void sim_outbox_lose_answers(struct sim_device *device)
{
    int64_t lost = (int64_t)sim_below(&device->random, device->disk.unsynced + 1);
    struct flo_err err = {0};

    if (lost > 0) {
        (void)!__real_flo_db_run(
            device->disk.db, "DELETE FROM answer WHERE rowid > (SELECT max(rowid) FROM answer) - ?",
            FLO_DB_VALUES(flo_db_number(lost)), &err);
    }
    device->disk.unsynced = 0;
}

/* ---- what the checks know of it ---- */

void __wrap_flo_stories_remember(struct flo_outbox_db *db,
                                 const struct flo_agent_execution *execution)
{
    if (actor()->runs) {
        sim_stories_told(actor(), execution);
    }
    __real_flo_stories_remember(db, execution);
}

int __wrap_flo_stories_keep(struct flo_outbox_db *db, struct flo_err *err)
{
    int rv = __real_flo_stories_keep(db, err);

    actor()->is_keeping = rv == 0;
    return rv;
}

/* The trace decides nothing, and takes three statements a step. */
void __wrap_flo_traces_add(struct flo_outbox_db *db, const char *text)
{
    (void)db;
    for (const char *line = text; sim->is_traced && *line != '\0';) {
        size_t bytes = strcspn(line, "\n");
        sim_trace(sim_name(sim->actor), "%.*s", (int)bytes, line);
        line += bytes + (line[bytes] == '\n');
    }
}
