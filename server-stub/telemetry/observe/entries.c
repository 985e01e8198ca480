/* Observe: finds the entry of a device and a model, or makes one. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/telemetry/observe/cohort.h"

uint32_t flo_observer_rollout_id(const char *name)
{
    uint32_t id = flo_crc32c(0, name, strlen(name));

    return id != 0 ? id : 1;
}

static bool grow(void **items, size_t *capacity, size_t wanted, size_t bytes)
{
    size_t next = *capacity == 0 ? 64 : 2 * *capacity;

    if (wanted < *capacity) {
        return true;
    }
    next = next > wanted ? next : wanted + 1;
    void *grown = realloc(*items, next * bytes);
    if (grown == NULL) {
        return false;
    }
    *items = grown;
    *capacity = next;
    return true;
}

static size_t device_number(struct flo_observer *observer, const char *device)
{
    size_t before = observer->first_capacity;
    size_t number = flo_ids_keep(&observer->ids, device);

    if (number == SIZE_MAX || !grow((void **)&observer->first, &observer->first_capacity, number,
                                    sizeof(*observer->first))) {
        return SIZE_MAX;
    }
    for (size_t i = before; i < observer->first_capacity; i++) {
        observer->first[i] = FLO_OBSERVER_NONE;
    }
    return number;
}

static struct flo_observer_entry *find_of(const struct flo_observer *observer, size_t number,
                                          const char *model)
{
    uint32_t at = observer->first[number];

    while (at != FLO_OBSERVER_NONE) {
        struct flo_observer_entry *entry = &observer->entries[at];
        if (strcmp(observer->models[entry->model], model) == 0) {
            return entry;
        }
        at = entry->next;
    }
    return NULL;
}

struct flo_observer_entry *flo_observer_find(const struct flo_observer *observer,
                                             const char *device, const char *model)
{
    size_t number = flo_ids_find(&observer->ids, device);

    return number == SIZE_MAX || number >= observer->first_capacity
               ? NULL
               : find_of(observer, number, model);
}

/* Tells whether the observer keeps readings of a device.  Above the limit it
 * does so for the devices with the lowest hash, which are the same after every
 * start. */
static bool is_read(const struct flo_observer *observer, const char *device)
{
    uint64_t devices = observer->ids.count;
    uint64_t hash = flo_crc32c(0, device, strlen(device));

    return devices <= FLO_OBSERVED_MAX || hash * devices < (uint64_t)FLO_OBSERVED_MAX << 32;
}

/* Returns the index of a model; SIZE_MAX: there is no room for another one. */
static size_t model_place(struct flo_observer *observer, const char *model)
{
    for (size_t i = 0; i < observer->model_count; i++) {
        if (strcmp(observer->models[i], model) == 0) {
            return i;
        }
    }
    if (observer->model_count > UINT16_MAX ||
        !grow((void **)&observer->models, &observer->model_capacity, observer->model_count,
              sizeof(*observer->models))) {
        return SIZE_MAX;
    }
    snprintf(observer->models[observer->model_count], sizeof(*observer->models), "%s", model);
    return observer->model_count++;
}

/* Allocates the readings of an entry.  If there is no memory, only its events
 * are counted. */
static void give_readings(const struct flo_observer *observer, struct flo_observer_entry *entry,
                          const char *device)
{
    if (is_read(observer, device)) {
        entry->observed.readings = calloc(1, sizeof(*entry->observed.readings));
    }
}

struct flo_observer_entry *flo_observer_entry(struct flo_observer *observer, const char *device,
                                              const char *model)
{
    size_t number = device_number(observer, device);
    struct flo_observer_entry *entry = number == SIZE_MAX ? NULL : find_of(observer, number, model);

    /* The device was retired, and has now enrolled again. */
    if (entry != NULL && entry->is_forgotten) {
        entry->is_forgotten = false;
        give_readings(observer, entry, device);
    }
    if (number == SIZE_MAX || entry != NULL) {
        return entry;
    }
    size_t place = model_place(observer, model);
    if (place == SIZE_MAX || observer->count >= UINT32_MAX - 1 ||
        !grow((void **)&observer->entries, &observer->capacity, observer->count,
              sizeof(*observer->entries))) {
        return NULL;
    }
    entry = &observer->entries[observer->count];
    *entry = (struct flo_observer_entry){.device = (uint32_t)number,
                                         .next = observer->first[number],
                                         .class = FLO_OBSERVER_NONE,
                                         .cohort = FLO_OBSERVER_NONE,
                                         .model = (uint16_t)place};
    give_readings(observer, entry, device);
    observer->first[number] = (uint32_t)observer->count++;
    return entry;
}

/* Finds the index of a class that no entry uses. */
static uint32_t unused_class(const struct flo_observer *observer)
{
    bool used[FLO_OBSERVER_CLASSES_MAX] = {false};

    for (size_t i = 0; i < observer->count; i++) {
        if (observer->entries[i].class != FLO_OBSERVER_NONE) {
            used[observer->entries[i].class] = true;
        }
    }
    for (uint32_t i = 0; i < FLO_OBSERVER_CLASSES_MAX; i++) {
        if (!used[i]) {
            return i;
        }
    }
    return FLO_OBSERVER_NONE;
}

/* Returns an index for a new class.  A device may report any hardware, and
 * another one each time, so the indexes of unused classes are used again. */
static uint32_t class_place(struct flo_observer *observer)
{
    if (observer->class_count == FLO_OBSERVER_CLASSES_MAX) {
        return unused_class(observer);
    }
    return grow((void **)&observer->classes, &observer->class_capacity, observer->class_count,
                sizeof(*observer->classes))
               ? (uint32_t)observer->class_count++
               : FLO_OBSERVER_NONE;
}

uint32_t flo_observer_class_of(struct flo_observer *observer, const char *hardware,
                               const char *model)
{
    for (size_t i = 0; i < observer->class_count; i++) {
        if (strcmp(observer->classes[i].hardware, hardware) == 0 &&
            strcmp(observer->classes[i].model, model) == 0) {
            return (uint32_t)i;
        }
    }
    uint32_t place = class_place(observer);
    if (place == FLO_OBSERVER_NONE) {
        return place;
    }
    struct flo_observer_class *class = &observer->classes[place];
    *class = (struct flo_observer_class){0};
    snprintf(class->hardware, sizeof(class->hardware), "%s", hardware);
    snprintf(class->model, sizeof(class->model), "%s", model);
    return place;
}
