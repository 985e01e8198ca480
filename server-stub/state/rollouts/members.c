/* Members of rollouts: who of a group is one. */
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/inside.h"

/* The pin of the model: "model@version", "" for none. */
static void pin_of(const struct flo_fleet_device *device, const char *model,
                   char *out)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *pins = NULL;
    const char *text = NULL;

    if (device->pins[0] != '\0' &&
        flo_json_parse(device->pins, strlen(device->pins), 1 << 16, &pins,
                       NULL) == 0) {
        text = json_string_value(json_object_get(pins, model));
    }
    snprintf(out, 2 * FLO_NAME_MAX + 2, "%.129s", text != NULL ? text : "");
}

enum flo_excuse flo_rollouts_excuse(const struct flo_rollout_entry *entry,
                                    const struct flo_fleet_device *device)
{
    char pin[2 * FLO_NAME_MAX + 2];
    struct flo_member_facts facts = {
        .has_come = device->last_seen_at_ms > 0 || device->is_online ||
                    device->reported[0] != '\0',
        .is_in_maintenance = device->maintenance[0] != '\0'};

    pin_of(device, entry->model, pin);
    facts.is_outranked = flo_rollouts_is_outranked(entry, device);
    facts.pin = pin[0] != '\0' ? pin : NULL;
    return flo_member_excuse(&facts, entry->core.release);
}

struct look {
    const struct flo_rollout_entry *entry;
    enum flo_excuse excuse;
    bool is_in_group;
};

static int look_at(void *context, const struct flo_fleet_device *device)
{
    struct look *look = context;

    look->excuse = flo_rollouts_excuse(look->entry, device);
    look->is_in_group = flo_fleet_is_in_group(device, look->entry->group);
    return 0;
}

int flo_rollouts_look(struct flo_controller *controller,
                      struct flo_rollout_entry *entry, const char *device,
                      enum flo_excuse *excuse, bool *is_in_group,
                      struct flo_err *err)
{
    struct look look = {.entry = entry};
    int rv = flo_rollouts_look_above(controller, entry, err);

    rv = rv < 0 ? rv
                : flo_fleet_device_get(controller->store, device, look_at,
                                       &look, err);

    *excuse = look.excuse;
    *is_in_group = look.is_in_group;
    return rv;
}
