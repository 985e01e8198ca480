/* A room's part in each transaction (flo_controller_begin, _commit, _cancel).
 *
 * A room whose memory follows the store exports one; the list of all is in
 * open.c, in the order in which they come.  A function may be NULL. */
#ifndef FLOTILLA_SERVER_STATE_TRANSACTION_H
#define FLOTILLA_SERVER_STATE_TRANSACTION_H

#include <flotilla/base.h>

struct flo_controller;

struct flo_transaction_part {
    void (*begin)(struct flo_controller *controller);
    /* Rows that the room kept back, before the commit. */
    int (*write)(struct flo_controller *controller, struct flo_err *err);
    /* The store has it all, or nothing of it. */
    void (*settle)(struct flo_controller *controller, bool is_committed);
    /* After one that was taken back, and before the next one: memory that is not
     * as the store any more; 0 where it is. */
    int (*read_again)(struct flo_controller *controller, struct flo_err *err);
};

#endif
