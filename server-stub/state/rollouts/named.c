/* Named: replaces device ids in texts of a rollout's core by names.  The core
 * knows devices by shortened ids. */
#include <ctype.h>
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"

#define SHORT 8 /* number of characters of a shortened id in a text of the core */
#define REMAINING_SHOWN 32

static int take_name(void *context, const struct flo_fleet_device *device)
{
    snprintf(context, FLO_NAME_MAX + 1, "%s", device->name);
    return 0;
}

/* Writes the device's name, or its id if it has no name any more. */
static void name_of(const struct flo_controller *controller, const char *device, char *out)
{
    struct flo_err gone = {0};

    out[0] = '\0';
    (void)!flo_fleet_device_get(controller->store, device, take_name, out, &gone);
    if (out[0] == '\0') {
        snprintf(out, FLO_NAME_MAX + 1, "%s", device);
    }
}

json_t *flo_rollouts_device_name(const struct flo_controller *controller, const char *device)
{
    char name[FLO_NAME_MAX + 1];

    name_of(controller, device, name);
    return json_string(name);
}

/* Returns the member whose id begins with these characters.  Returns NULL if
 * there is none, or more than one. */
static const struct flo_rollout_member *member_of(const struct flo_rollout *rollout,
                                                  const char *word)
{
    size_t low = 0;
    size_t high = rollout->member_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strncmp(rollout->members[middle].device, word, SHORT) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool is_one = low < rollout->member_count &&
                  strncmp(rollout->members[low].device, word, SHORT) == 0 &&
                  (low + 1 == rollout->member_count ||
                   strncmp(rollout->members[low + 1].device, word, SHORT) != 0);
    return is_one ? &rollout->members[low] : NULL;
}

static bool is_of_word(char c)
{
    return isalnum((unsigned char)c) != 0 || c == '-' || c == '_' || c == '.';
}

void flo_rollouts_name(const struct flo_controller *controller, const struct flo_rollout *rollout,
                       const char *text, size_t chars, struct flo_buf *out)
{
    char name[FLO_NAME_MAX + 1];

    for (size_t at = 0; at < chars;) {
        size_t end = at;
        while (end < chars && is_of_word(text[end])) {
            end++;
        }
        const struct flo_rollout_member *member =
            end - at == SHORT && strspn(text + at, "0123456789abcdef") >= SHORT
                ? member_of(rollout, text + at)
                : NULL;
        if (member != NULL) {
            name_of(controller, member->device, name);
            flo_buf_text(out, name);
        } else {
            flo_buf_add(out, text + at, end - at);
        }
        if (end < chars) {
            flo_buf_add(out, text + end, 1);
            end++;
        }
        at = end;
    }
}

json_t *flo_rollouts_named(const struct flo_controller *controller,
                           const struct flo_rollout *rollout, const char *text, size_t chars)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) out = {0};

    flo_rollouts_name(controller, rollout, text, chars, &out);
    return out.failed || out.data == NULL ? json_stringn(text, chars) : json_string(out.data);
}

/* ---- who is left ---- */

/* Returns the text about the step that helps, with the rollout's model and a
 * device filled in. */
static json_t *remedy(const char *next, const char *model, const char *device)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) out = {0};

    while (*next != '\0') {
        bool is_model = strncmp(next, "MODEL", 5) == 0;
        bool is_device = strncmp(next, "DEVICE", 6) == 0;
        size_t chars = is_model ? 5 : is_device ? 6 : 1;
        if (is_model || is_device) {
            flo_buf_text(&out, is_model ? model : device);
        } else {
            flo_buf_add(&out, next, chars);
        }
        next += chars;
    }
    return out.failed || out.data == NULL ? NULL : json_string(out.data);
}

void flo_rollouts_show_remaining(const struct flo_controller *controller,
                                 const struct flo_rollout_entry *entry, json_t *json)
{
    const struct flo_rollout *core = &entry->core;
    char name[FLO_NAME_MAX + 1];
    json_t *devices = json_array();

    if (core->state != FLO_ROLLOUT_PARTLY_BACK) {
        json_decref(devices);
        return;
    }
    for (size_t i = 0; i < core->member_count && json_array_size(devices) < REMAINING_SHOWN; i++) {
        if (flo_rollout_member_stays(&core->members[i])) {
            name_of(controller, core->members[i].device, name);
            json_array_append_new(
                devices, json_pack("{s:s,s:s}", "id", core->members[i].device, "name", name));
        }
    }
    if (json_array_size(devices) > 0) {
        const char *first = json_string_value(json_object_get(json_array_get(devices, 0), "name"));
        json_object_set_new(json, "remedy",
                            remedy(flo_rollout_state_next(core->state), entry->model, first));
    }
    json_object_set_new(json, "remaining", devices);
}
