/* Disk: connects the store's commit queue to the event loop.  Durable commits
 * are announced on the state's thread.  A failed sync is logged, counted and
 * tried again each second. */
#ifndef FLOTILLA_SERVER_RUN_DISK_H
#define FLOTILLA_SERVER_RUN_DISK_H

#include "server-stub/state/controller.h"

struct event;
struct event_base;

/* State of the connection between queue and event loop; owned by the caller. */
struct flo_disk {
    struct flo_controller *controller;
    struct event *event;
    int wake_fd;
    bool is_failing;
};

FLO_MUST_USE int flo_disk_open(struct flo_controller *controller, struct event_base *base,
                               struct flo_disk *disk, struct flo_err *err);
void flo_disk_tick(struct flo_disk *disk);
/* Flushes the queue and announces the durable commits.  Does nothing when the
 * disk is not open. */
void flo_disk_close(struct flo_disk *disk);

#endif
