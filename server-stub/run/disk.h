/* Disk: the store's queue in the event loop.  Commits that became durable are
 * told on the state's thread. A sync that failed is logged, counted and tried
 * again each second. */
#ifndef FLOTILLA_SERVER_RUN_DISK_H
#define FLOTILLA_SERVER_RUN_DISK_H

#include "server-stub/state/controller.h"

struct event;
struct event_base;

/* The caller's. */
struct flo_disk {
    struct flo_controller *controller;
    struct event *event;
    int wake_fd;
    bool is_failing;
};

FLO_MUST_USE int flo_disk_open(struct flo_controller *controller, struct event_base *base,
                               struct flo_disk *disk, struct flo_err *err);
void flo_disk_tick(struct flo_disk *disk);
/* Flush, and tell it; harmless when it is not open. */
void flo_disk_close(struct flo_disk *disk);

#endif
