/* Transaction: hooks of a module in each transaction (flo_controller_begin,
 * _commit, _cancel).
 *
 * A module whose memory follows the store exports one such struct.  open.c
 * lists all of them, in the order in which they run.  A function may be
 * NULL. */
#ifndef FLOTILLA_SERVER_STATE_TRANSACTION_H
#define FLOTILLA_SERVER_STATE_TRANSACTION_H

#include <flotilla/base.h>

struct flo_controller;

struct flo_transaction_part {
    /* Prepares the module's memory when a transaction begins; NULL: nothing to
     * prepare. */
    void (*begin)(struct flo_controller *controller);
    /* Writes rows that the module held back until the commit; NULL: it holds
     * none back. */
    int (*write)(struct flo_controller *controller, struct flo_err *err);
    /* Called at the end of the transaction, when the store has stored all of it
     * or nothing; NULL: the module does nothing then. */
    void (*settle)(struct flo_controller *controller, bool is_committed);
    /* Reads memory again that differs from the store.  Called after a
     * rolled-back transaction, and before the next one.  Returns 0 if nothing
     * differs.  NULL: the module has nothing to read. */
    int (*read_again)(struct flo_controller *controller, struct flo_err *err);
};

#endif
