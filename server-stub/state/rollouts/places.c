/* Places: the numbers that a rollout's core uses for members' labels and time
 * zones.
 *
 * A device's zone is its label `tz`, or else the zone in its profile: a name
 * ("Europe/Paris") or an offset ("+02:00").  Offsets change with summer time,
 * so this file updates them regularly, and the core gets numbers. */
#include <stdlib.h>
#include <string.h>

#include "base/zone.h"

#include "server-stub/core/select/labels.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/work.h"

#define SITE_LABEL "site"
#define LOOK_MS 20000 /* interval at which the zones' offsets are updated */

static bool has_places(const struct flo_rollout_entry *entry)
{
    return entry->core.window.length_s > 0 || entry->core.limit_count > 0 ||
           entry->core.is_covered || flo_rollout_is_spread(&entry->core) ||
           entry->core.analysis.rules.count > 0;
}

/* ---- zones ---- */

static void look(struct flo_rollout_entry *entry, size_t index)
{
    const struct flo_zone *zone = entry->own->zones[index];
    struct flo_rollout_zone *out = &entry->core.zones[index];

    out->is_known = zone != NULL;
    out->offset_s = zone != NULL ? flo_zone_offset_s(zone, flo_wall_ms()) : 0;
}

bool flo_rollouts_look_at_zones(struct flo_rollout_entry *entry, bool is_moved[FLO_ZONES_MAX + 1])
{
    bool is_any = false;
    uint64_t now_ms = flo_now_ms();

    if (entry->own->zone_names.count == 0 || now_ms < entry->own->zones_at_ms) {
        return false;
    }
    is_moved[0] = false; /* members whose zone is unknown */
    entry->own->zones_at_ms = now_ms + LOOK_MS;
    for (size_t i = 0; i < entry->own->zone_names.count; i++) {
        int32_t before_s = entry->core.zones[i].offset_s;
        look(entry, i);
        is_moved[i + 1] = entry->core.zones[i].offset_s != before_s;
        is_any = is_any || is_moved[i + 1];
    }
    return is_any;
}

/* Returns the number of a time zone.  Returns 0 if the zone is unknown, or if
 * there are too many zones. */
static uint8_t zone_number(struct flo_rollout_entry *entry, const char *name)
{
    size_t before = entry->own->zone_names.count;
    uint32_t number = before == FLO_ZONES_MAX ? 0 : flo_word_number(&entry->own->zone_names, name);

    if (number == 0 || number > FLO_ZONES_MAX) {
        return 0;
    }
    if (entry->own->zone_names.count > before) {
        struct flo_err err = {0};
        if (flo_zone_open(name, &entry->own->zones[number - 1], &err) < 0) {
            flo_log(FLO_LOG_WARN, "rollout", "%s: %s", entry->core.id, err.what);
        }
        look(entry, number - 1);
    }
    return entry->own->zones[number - 1] != NULL ? (uint8_t)number : 0;
}

static uint8_t zone_of(struct flo_rollout_entry *entry, const struct flo_select_device *device)
{
    const char *label = flo_select_label_value(device, FLO_ZONE_LABEL);

    if (!entry->core.window.is_local) {
        return zone_number(entry, entry->core.window.zone);
    }
    if (label[0] != '\0') { /* an unknown zone means no other one: the device waits */
        return zone_number(entry, label);
    }
    return device->zone == NULL ? 0 : zone_number(entry, device->zone);
}

/* ---- sites, strata and slots ---- */

uint32_t flo_rollouts_site(const struct flo_select_device *device)
{
    const char *site = flo_select_label_value(device, SITE_LABEL);

    return site[0] != '\0' ? flo_crc32c(1, site, strlen(site)) | 1 : 0;
}

static uint32_t stratum_of(struct flo_rollout_entry *entry, const struct flo_select_device *device)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) key = {0};

    if (entry->core.is_covered) { /* a device without a value of the label gets the number 0 */
        const char *value = flo_select_label_value(device, entry->spec.cover);
        return value[0] == '\0' ? 0 : flo_word_number(&entry->own->strata, value);
    }
    for (uint32_t i = 0; i < entry->spec.phase_count; i++) {
        const struct flo_spec_phase *phase = &entry->spec.phases[i];
        for (size_t k = 0; k < FLO_SPEC_SPREAD_MAX && phase->spread[k][0] != 0; k++) {
            flo_buf_printf(&key, "%s\n", flo_select_label_value(device, phase->spread[k]));
        }
        if (key.bytes > 0) {
            break; /* All phases are spread by the same labels, so the first
                      such phase is enough. */
        }
    }
    return key.data == NULL ? 0 : flo_word_number(&entry->own->strata, key.data);
}

/* Makes room for the counter of one more label value.  The core counts the
 * updating devices of each limited value in this array. */
static bool has_slot(struct flo_rollout_entry *entry, uint32_t slot)
{
    struct flo_rollout *core = &entry->core;

    if (slot <= core->busy_count) {
        return slot > 0;
    }
    size_t count = 2 * (size_t)slot + 32;
    uint32_t *busy = realloc(core->busy, count * sizeof(*busy));
    if (busy == NULL) {
        return false;
    }
    memset(busy, 0, count * sizeof(*busy));
    core->busy = busy;
    core->busy_count = count;
    return true;
}

static uint32_t slot_of(struct flo_rollout_entry *entry, uint32_t limit,
                        const struct flo_select_device *device)
{
    const char *value = flo_select_label_value(device, entry->core.limits[limit].label);
    char key[300];

    if (value[0] == '\0') {
        return 0;
    }
    snprintf(key, sizeof(key), "%u %.280s", limit, value);
    uint32_t slot = flo_word_number(&entry->own->values, key);
    return has_slot(entry, slot) ? slot : 0;
}

void flo_rollouts_place(struct flo_rollout_entry *entry, const struct flo_select_device *device,
                        struct flo_rollout_place *out)
{
    *out = (struct flo_rollout_place){0};
    if (!has_places(entry)) {
        return;
    }
    out->site = flo_rollouts_site(device);
    if (entry->core.is_covered || flo_rollout_is_spread(&entry->core)) {
        out->stratum = stratum_of(entry, device);
    }
    for (uint32_t i = 0; i < entry->core.limit_count; i++) {
        out->slots[i] = slot_of(entry, i, device);
    }
    if (entry->core.window.length_s > 0) {
        out->zone = zone_of(entry, device);
    }
}

void flo_rollouts_places_clear(struct flo_rollout_entry *entry)
{
    for (size_t i = 0; i < FLO_ZONES_MAX; i++) {
        flo_zone_close(entry->own->zones[i]);
    }
    flo_word_set_clear(&entry->own->zone_names);
    flo_word_set_clear(&entry->own->strata);
    flo_word_set_clear(&entry->own->values);
    free(entry->core.busy);
}

/* ---- members that are there already ---- */

static int replace_row(void *context, const struct flo_select_device *device)
{
    struct flo_rollout_entry *entry = context;
    size_t index = has_places(entry)
                       ? flo_rollout_find(&entry->core, device->values[FLO_SELECT_ID].text)
                       : SIZE_MAX;

    if (index != SIZE_MAX) {
        flo_rollouts_place(entry, device, &entry->core.members[index].place);
    }
    return 0;
}

int flo_rollouts_place_all(struct flo_controller *controller, struct flo_rollout_entry *entry,
                           struct flo_err *err)
{
    return has_places(entry)
               ? flo_fleet_facts_each(controller->store, NULL, replace_row, entry, err)
               : 0;
}

void flo_rollouts_place_again(struct flo_controller *controller, struct flo_rollout_entry *entry,
                              const struct flo_select_device *device)
{
    controller->rollouts->has_changed |= has_places(entry);
    (void)replace_row(entry, device);
}
