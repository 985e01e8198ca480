/* Alerts of a controller without them: rules and webhooks in the store stay as they are. */
#include "server-stub/state/watch/watch.h"

int flo_watches_open(struct flo_controller *controller, struct flo_err *err)
{
    (void)controller, (void)err;
    return 0;
}

int flo_watch_load(struct flo_controller *controller, struct flo_err *err)
{
    (void)controller, (void)err;
    return 0;
}

void flo_watches_close(struct flo_watches *watch)
{
    (void)watch;
}
