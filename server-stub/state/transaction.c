/* Transactions: all changes between begin and commit are stored, or none.
 * Messages leave after the commit.  At begin and commit each module does its
 * part; open.c lists the modules. */
#include "server-stub/state/transaction.h"

#include "server-stub/state/controller.h"

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

static void settle(struct flo_controller *controller, bool is_committed)
{
    for (size_t i = 0; i < controller->part_count; i++) {
        const struct flo_transaction_part *part = controller->parts[i];
        if (part->settle != NULL) {
            part->settle(controller, is_committed);
        }
    }
}

int flo_controller_begin(struct flo_controller *controller, struct flo_err *err)
{
    FLO_TRY(read_again(controller, err));
    for (size_t i = 0; i < controller->part_count; i++) {
        const struct flo_transaction_part *part = controller->parts[i];
        if (part->begin != NULL) {
            part->begin(controller);
        }
    }
    return flo_fleet_begin(controller->store, err);
}

int flo_controller_commit(struct flo_controller *controller, struct flo_err *err)
{
    int rv = write_parts(controller, err);

    if (rv == 0) {
        rv = flo_fleet_commit(controller->store, err);
    }
    if (rv < 0) {
        controller->commits_failed++;
        flo_controller_cancel(controller);
        return rv;
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
        return rv;
    }
    return flo_controller_commit(controller, err);
}
