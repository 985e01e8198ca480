/* Absent: stand-in for a build without alerts.  Rules and webhooks in the store
 * stay unchanged. */
#include "server-stub/state/transaction.h"
#include "server-stub/state/watch/watch.h"

const struct flo_transaction_part flo_watch_part = {.begin = NULL};

int flo_watches_open(struct flo_controller *controller, struct flo_err *err)
{
    (void)controller, (void)err;
    return 0;
}

void flo_watches_close(struct flo_watches *watch)
{
    (void)watch;
}
