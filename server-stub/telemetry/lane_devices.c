/* Lane: keeps the known devices. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/telemetry/lane_thread.h"

struct flo_lane_device *flo_lane_find(struct flo_lane_devices *devices, const char *id)
{
    size_t number = flo_ids_find(&devices->ids, id);

    return number < devices->capacity ? &devices->items[number] : NULL;
}

static bool grow(struct flo_lane_devices *devices)
{
    size_t capacity = devices->ids.capacity;
    struct flo_lane_device *items = realloc(devices->items, capacity * sizeof(*items));

    if (items == NULL) {
        return false;
    }
    devices->items = items;
    uint32_t *news = realloc(devices->news, capacity * sizeof(*news));
    if (news == NULL) {
        return false;
    }
    devices->news = news;
    devices->capacity = capacity;
    return true;
}

struct flo_lane_device *flo_lane_keep(struct flo_lane_devices *devices, const char *id)
{
    struct flo_lane_device *device = flo_lane_find(devices, id);

    if (device != NULL) {
        return device;
    }
    size_t number = flo_ids_keep(&devices->ids, id);
    if (number == SIZE_MAX || (devices->capacity < devices->ids.capacity && !grow(devices))) {
        return NULL;
    }
    device = &devices->items[number];
    *device = (struct flo_lane_device){0};
    snprintf(device->id, sizeof(device->id), "%s", id);
    return device;
}

void flo_lane_devices_free(struct flo_lane_devices *devices)
{
    flo_ids_deinit(&devices->ids);
    free(devices->items);
    free(devices->news);
    *devices = (struct flo_lane_devices){0};
}
