/* Transactions: all changes between begin and commit are stored, or none.
 * Messages leave after the commit.  At begin and commit each module does its
 * part; open.c lists the modules. */
#include "server-stub/state/transaction.h"

#include <stdarg.h>
#include <string.h>

#include <flotilla/errors/db.h>
#include <flotilla/errors/lead.h>

#include "server-stub/state/controller.h"

/* Bytes that a probe commits: more than the changes of most calls, since the
 * last bytes of a full disk take small changes only. */
#define PROBE_BYTES (1 << 15)

/* Reads the modules' memory from the store again after a transaction was
 * cancelled.  While the store fails this cannot be done, so it is tried again
 * before the next transaction. */
static int read_again(struct flo_controller *controller, struct flo_err *err)
{
    int rv = 0;

    for (size_t i = 0; i < controller->part_count && rv == 0; i++) {
        const struct flo_transaction_part *part = controller->parts[i];
        rv = part->read_again != NULL ? part->read_again(controller, err) : 0;
    }
    return rv;
}

static int write_parts(struct flo_controller *controller, struct flo_err *err)
{
    int rv = 0;

    for (size_t i = 0; i < controller->part_count && rv == 0; i++) {
        const struct flo_transaction_part *part = controller->parts[i];
        rv = part->write != NULL ? part->write(controller, err) : 0;
    }
    return rv;
}

/* Logs what the transaction said, if it was committed. */
static void say(struct flo_controller *controller, bool is_committed)
{
    struct flo_buf said = controller->said;

    controller->said = (struct flo_buf){0};
    for (size_t at = 0; is_committed && !said.failed && at < said.bytes;) {
        const char *area = said.data + at + 1;
        const char *text = area + strlen(area) + 1;
        flo_log((enum flo_log_level)said.data[at], area, "%s", text);
        at = (size_t)(text + strlen(text) + 1 - said.data);
    }
    flo_buf_deinit(&said);
}

void flo_controller_say(struct flo_controller *controller, enum flo_log_level level,
                        const char *area, const char *format, ...)
{
    const char mark = (char)level;
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    flo_buf_add(&controller->said, &mark, 1);
    flo_buf_add(&controller->said, area, strlen(area) + 1);
    flo_buf_add(&controller->said, text, strlen(text) + 1);
    if (!controller->is_changing) {
        say(controller, true);
    }
}

static void settle(struct flo_controller *controller, bool is_committed)
{
    controller->is_changing = false;
    say(controller, is_committed);
    for (size_t i = 0; i < controller->part_count; i++) {
        const struct flo_transaction_part *part = controller->parts[i];
        if (part->settle != NULL) {
            part->settle(controller, is_committed);
        }
    }
}

/* Remembers that a transaction failed for another reason than the change that
 * was asked for.  flo_controller_probe() ends the failure. */
static int failed(struct flo_controller *controller, int rv, const struct flo_err *err)
{
    if (controller->refused.code == 0) {
        flo_log(FLO_LOG_ERROR, "store", "changes are refused: %s",
                err != NULL ? err->what : flo_error_id(rv));
    }
    controller->refused = err != NULL ? *err : (struct flo_err){0};
    controller->refused.code = rv;
    controller->commits_failed++;
    return rv;
}

int flo_controller_begin(struct flo_controller *controller, struct flo_err *err)
{
    int rv = read_again(controller, err);

    for (size_t i = 0; i < controller->part_count && rv == 0; i++) {
        const struct flo_transaction_part *part = controller->parts[i];
        if (part->begin != NULL) {
            part->begin(controller);
        }
    }
    if (rv == 0) {
        rv = flo_fleet_begin(controller->store, err);
    }
    controller->is_changing = rv == 0;
    return rv < 0 ? failed(controller, rv, err) : 0;
}

int flo_controller_commit(struct flo_controller *controller, struct flo_err *err)
{
    int rv = write_parts(controller, err);

    if (rv == 0) {
        rv = flo_fleet_commit(controller->store, err);
    }
    if (rv < 0) {
        flo_controller_cancel(controller);
        return failed(controller, rv, err);
    }
    settle(controller, true);
    return 0;
}

void flo_controller_cancel(struct flo_controller *controller)
{
    struct flo_err err = {0};

    flo_fleet_roll_back(controller->store);
    settle(controller, false);
    if (read_again(controller, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "store", &err);
    }
}

int flo_controller_end(struct flo_controller *controller, int rv, struct flo_err *err)
{
    if (rv < 0) {
        flo_controller_cancel(controller);
        return flo_fleet_is_failure(rv) ? failed(controller, rv, err) : rv;
    }
    return flo_controller_commit(controller, err);
}

/* ---- how transactions end ---- */

int flo_controller_takes_changes(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_err why = {0};

    (void)flo_fleet_durable(controller->store, &why);
    if (why.code == 0) {
        why = controller->refused;
    }
    if (why.code == 0 && !flo_controller_may_act(controller)) {
        flo_fail(&why, FLO_E_LEAD_NONE, "the lease of this controller has ended");
    }
    uint64_t sync_ms = flo_fleet_sync_ms(controller->store);
    if (why.code == 0 && sync_ms >= FLO_FLEET_SLOW_MS) {
        flo_fail(&why, FLO_E_DB_SLOW, "a sync of the disk has not ended for %llu ms",
                 (unsigned long long)sync_ms);
    }
    if (why.code != 0) {
        *err = why;
    }
    return why.code;
}

static int probe(struct flo_controller *controller, struct flo_err *err)
{
    char text[PROBE_BYTES];

    FLO_TRY(flo_controller_begin(controller, err));
    /* An equal text would not be written again. */
    memset(text, 'a' + (int)(controller->commits_failed % 26), sizeof(text));
    text[sizeof(text) - 1] = '\0';
    return flo_controller_end(controller,
                              flo_fleet_setting_set(controller->store, "probe", text, err), err);
}

void flo_controller_probe(struct flo_controller *controller)
{
    struct flo_err err = {0};

    if (controller->refused.code != 0 && probe(controller, &err) == 0) {
        controller->refused = (struct flo_err){0};
        flo_log(FLO_LOG_INFO, "store", "changes are taken again");
    }
}
