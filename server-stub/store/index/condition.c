/* Condition: reads from a device's report what the core needs to judge the
 * device's condition. */
#include <string.h>

#include <flotilla/errors/release.h>

#include "server-stub/store/fleet.h"

/* Tells whether the device refused the release that it lacks, or its update was
 * cancelled. */
static bool may_let_go(const json_t *model)
{
    const json_t *drift = json_object_get(model, "drift");

    return flo_json_says(drift, "kind", "denied") || flo_json_says(drift, "kind", "behind");
}

struct pins {
    const char *const *titles; /* texts model@version; a NULL ends the list */
    bool have;
};

static int find_title(void *context, const struct flo_fleet_release *release)
{
    struct pins *pins = context;
    char title[2 * FLO_NAME_MAX + 2];

    snprintf(title, sizeof(title), "%s@%s", release->model, release->version);
    for (size_t i = 0; pins->titles[i] != NULL && !pins->have; i++) {
        pins->have = strcmp(pins->titles[i], title) == 0;
    }
    return strcmp(release->state, "yanked") == 0 ? FLO_E_RELEASE_YANKED : 0;
}

/* Tells whether operators pinned this release on the device. A yanked release
 * is not pinned any more. A release that cannot be read counts as pinned, so
 * that drift is shown. */
static bool is_pinned(struct flo_fleet_store *store, const struct flo_select_device *device,
                      const char *release)
{
    struct pins pins = {.titles = device != NULL ? device->values[FLO_SELECT_PINNED].list : NULL};

    if (pins.titles == NULL) {
        return false;
    }
    int rv = flo_fleet_release_get(store, NULL, release, find_title, &pins, NULL);
    return rv == 0 ? pins.have : rv != FLO_E_RELEASE_ABSENT && rv != FLO_E_RELEASE_YANKED;
}

bool flo_fleet_lets_go(struct flo_fleet_store *store, const struct flo_select_device *device,
                       const json_t *model)
{
    const char *target = flo_json_text(json_object_get(model, "target"), "release", "");

    return may_let_go(model) && target[0] != '\0' &&
           !flo_json_says(json_object_get(model, "serving"), "release", target) &&
           !flo_fleet_is_wanted(store, target) && !is_pinned(store, device, target);
}

struct flo_fleet_said flo_fleet_said(struct flo_fleet_store *store,
                                     const struct flo_select_device *device, const json_t *report)
{
    const json_t *models = json_object_get(report, "models");
    struct flo_fleet_said said = {.condition = json_is_object(json_object_get(report, "degraded"))
                                                   ? FLO_CONDITION_DEGRADED
                                                   : FLO_CONDITION_OK};

    for (size_t i = 0; i < json_array_size(models); i++) {
        const json_t *model = json_array_get(models, i);
        const json_t *execution = json_object_get(model, "execution");
        struct flo_condition_model one = {
            .state = json_string_value(json_object_get(model, "state")),
            .execution = json_string_value(json_object_get(execution, "state")),
            .serves = json_is_object(json_object_get(model, "serving")),
            .drifts = json_is_object(json_object_get(model, "drift")),
            .is_let_go = flo_fleet_lets_go(store, device, model)};
        enum flo_condition condition = flo_condition_of_model(&one);
        said.condition = condition < said.condition ? condition : said.condition;
        said.drifts = said.drifts || (one.drifts && !one.is_let_go);
        said.may_let_go = said.may_let_go || may_let_go(model);
    }
    return said;
}
