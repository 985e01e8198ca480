/* Removal: finds the model in a device's report. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/proto.h>

#include "server-stub/core/orders/removal.h"

const char *flo_removal_word(enum flo_removal way)
{
    static const char *const words[FLO_REMOVAL_COUNT] = {
        [FLO_REMOVAL_NONE] = "none",
        [FLO_REMOVAL_SILENT] = "silent",
        [FLO_REMOVAL_ASSIGNED] = "assigned",
        [FLO_REMOVAL_THERE] = "remove",
    };

    assert(way < FLO_REMOVAL_COUNT);
    return words[way];
}

bool flo_removal_is_there(const json_t *report, const char *model, char *title)
{
    json_t *one;
    size_t i;

    assert(model != NULL && title != NULL);
    title[0] = '\0';
    json_array_foreach(json_object_get(report, "models"), i, one)
    {
        const json_t *serving = json_object_get(one, "serving");
        const json_t *shown = json_is_object(serving) ? serving : json_object_get(one, "current");
        const char *version = json_string_value(json_object_get(shown, "version"));
        if (!flo_json_says(one, "model", model)) {
            continue;
        }
        if (version != NULL) {
            snprintf(title, FLO_REMOVAL_TITLE, "%.64s@%.64s", model, version);
        }
        return !flo_json_says(one, "state", "removed");
    }
    return false;
}

enum flo_removal flo_removal_plan(const json_t *report, const char *model, bool is_assigned,
                                  char *title)
{
    bool is_there = flo_removal_is_there(report, model, title);

    if (!json_is_object(report) || json_object_size(report) == 0) {
        return FLO_REMOVAL_SILENT;
    }
    return is_there ? FLO_REMOVAL_THERE : is_assigned ? FLO_REMOVAL_ASSIGNED : FLO_REMOVAL_NONE;
}
