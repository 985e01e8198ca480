/* Why: reads from devices' reports why members of a rollout make no
 * progress. */
#include <string.h>

#include <flotilla/errors/device.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"

/* Largest number of members that get a reason; it is limited because each
 * report must be parsed. */
#define WHY_MAX 200
#define WHY_BYTES_MAX 256
#define REPORT_BYTES_MAX (1 << 20)

static bool is_text(const json_t *json, size_t bytes_max)
{
    return json_is_string(json) && json_string_length(json) <= bytes_max;
}

struct why {
    const char *rollout;
    json_t *text; /* NULL: no reason */
};

/* Takes from a device's report why its execution waits, or why it ignores an
 * order. */
static int take_why(void *context, const struct flo_fleet_device *device)
{
    struct why *why = context;
    json_t *report = NULL;
    size_t i;
    json_t *model;

    (void)!flo_json_parse(device->reported, strlen(device->reported), REPORT_BYTES_MAX, &report,
                          NULL);
    json_array_foreach(json_object_get(report, "models"), i, model)
    {
        const json_t *execution = json_object_get(model, "execution");
        const char *rollout = json_string_value(json_object_get(execution, "rollout"));
        json_t *reason = json_object_get(execution, "reason");
        if (why->text == NULL && rollout != NULL && strcmp(rollout, why->rollout) == 0 &&
            is_text(reason, WHY_BYTES_MAX) && json_string_length(reason) > 0) {
            why->text = json_incref(reason);
        }
    }
    const json_t *degraded = json_object_get(report, "degraded");
    json_t *id = json_object_get(degraded, "id");
    json_t *text = json_object_get(degraded, "text");
    if (why->text == NULL && is_text(id, FLO_NAME_MAX) && is_text(text, WHY_BYTES_MAX)) {
        why->text = json_sprintf("%s: %s", json_string_value(id), json_string_value(text));
    }
    json_decref(report);
    return 0;
}

int flo_rollouts_show_why(struct flo_controller *controller, const char *rollout, json_t *members,
                          struct flo_err *err)
{
    int count = 0;
    size_t i;
    json_t *member;

    json_array_foreach(members, i, member)
    {
        struct why why = {rollout, NULL};
        enum flo_execution state;
        if (!flo_execution_parse(json_string_value(json_object_get(member, "state")), &state) ||
            state == FLO_EXECUTION_QUEUED || flo_execution_is_end(state) || ++count > WHY_MAX) {
            continue;
        }
        int rv = flo_fleet_device_get(controller->store,
                                      json_string_value(json_object_get(member, "id")), take_why,
                                      &why, err);
        if (why.text != NULL) {
            json_object_set_new(member, "reason", why.text);
        }
        if (rv != FLO_E_DEVICE_ABSENT) {
            FLO_TRY(rv);
        }
    }
    return 0;
}
