/* Condition: what a report says, for the core. */
#include "server-stub/store/fleet.h"

static enum flo_condition of_model(const json_t *model)
{
    const json_t *execution = json_object_get(model, "execution");
    struct flo_condition_model said = {
        .state = json_string_value(json_object_get(model, "state")),
        .execution = json_string_value(json_object_get(execution, "state")),
        .serves = json_is_object(json_object_get(model, "serving")),
        .drifts = json_is_object(json_object_get(model, "drift"))};

    return flo_condition_of_model(&said);
}

enum flo_condition flo_fleet_condition_said(const json_t *report)
{
    const json_t *models = json_object_get(report, "models");
    enum flo_condition first =
        json_is_object(json_object_get(report, "degraded"))
            ? FLO_CONDITION_DEGRADED
            : FLO_CONDITION_OK;

    for (size_t i = 0; i < json_array_size(models); i++) {
        enum flo_condition one = of_model(json_array_get(models, i));
        first = one < first ? one : first;
    }
    return first;
}
