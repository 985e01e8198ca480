/* Disk: runs the store's queue of commits in the event loop. */
#include <event2/event.h>

#include "base/host/wake.h"
#include "server-stub/run/disk.h"
#include "server-stub/state/outgoing.h"

static void wake(void *context)
{
    const struct flo_disk *disk = context;

    flo_wake_poke(disk->wake_fd);
}

static void on_wake(evutil_socket_t fd, short what, void *context)
{
    struct flo_disk *disk = context;
    struct flo_err failed = {0};

    (void)what;
    flo_wake_calm(fd);
    (void)flo_fleet_durable(disk->controller->store, &failed);
    if (failed.code != 0 && !disk->is_failing) {
        disk->controller->commits_failed++;
        flo_log_err(FLO_LOG_ERROR, "store", &failed);
    }
    disk->is_failing = failed.code != 0;
    flo_outgoing_durable(disk->controller);
}

int flo_disk_open(struct flo_controller *controller, struct event_base *base, struct flo_disk *disk,
                  struct flo_err *err)
{
    int fd = flo_wake_open();

    if (fd < 0) {
        return flo_fail_errno(err, FLO_E_MEMORY, "eventfd");
    }
    *disk = (struct flo_disk){.controller = controller, .wake_fd = fd};
    disk->event = event_new(base, fd, EV_READ | EV_PERSIST, on_wake, disk);
    if (disk->event == NULL || event_add(disk->event, NULL) < 0) {
        return flo_fail(err, FLO_E_MEMORY, "event of the disk");
    }
    return flo_fleet_queue_start(controller->store, wake, disk, err);
}

void flo_disk_tick(struct flo_disk *disk)
{
    struct flo_err err = {0};

    flo_fleet_look(disk->controller->store);
    if (disk->is_failing && flo_fleet_flush(disk->controller->store, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "store", &err);
    }
    flo_controller_probe(disk->controller);
}

void flo_disk_close(struct flo_disk *disk)
{
    struct flo_err err = {0};

    if (disk->controller == NULL) {
        return;
    }
    if (flo_fleet_queue_stop(disk->controller->store, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "store", &err);
    }
    flo_outgoing_durable(disk->controller);
    if (disk->event != NULL) {
        event_free(disk->event);
    }
    close(disk->wake_fd);
    *disk = (struct flo_disk){0};
}
