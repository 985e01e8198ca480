/* Recall: plans the rollback of one device. */
#include <assert.h>
#include <string.h>

#include "server-stub/core/orders/recall.h"

static const struct {
    const char *word;
    const char *reason;
} ways[FLO_RETURN_COUNT] = {
    [FLO_RETURN_NONE] = {"none", ""},
    [FLO_RETURN_SILENT] = {"silent", "it never reported"},
    [FLO_RETURN_KEPT] = {"kept", ""},
    [FLO_RETURN_DOWNLOAD] = {"download", ""},
    [FLO_RETURN_FIRST] = {"first", "no previous release: nothing before it"},
    [FLO_RETURN_DENIED] = {"denied", "the device denies the release it would "
                                     "go to"},
};

const char *flo_return_word(enum flo_return way)
{
    assert(way < FLO_RETURN_COUNT);
    return ways[way].word;
}

const char *flo_return_reason(enum flo_return way)
{
    assert(way < FLO_RETURN_COUNT);
    return ways[way].reason;
}

bool flo_return_is_possible(enum flo_return way)
{
    return way == FLO_RETURN_KEPT || way == FLO_RETURN_DOWNLOAD;
}

static bool is_release(const json_t *object, const char *digest)
{
    const char *text = json_string_value(json_object_get(object, "release"));

    return text != NULL && strcmp(text, digest) == 0;
}

static bool is_denied(const json_t *model, const char *digest)
{
    size_t i;
    json_t *item;

    json_array_foreach(json_object_get(model, "denied"), i, item)
    {
        const char *text = json_string_value(item);
        if (text != NULL && digest != NULL && strcmp(text, digest) == 0) {
            return true;
        }
    }
    return false;
}

static void take_title(const json_t *of, const json_t *slot, char *title)
{
    const char *model = json_string_value(json_object_get(of, "model"));
    const char *version = json_string_value(json_object_get(slot, "version"));

    snprintf(title, FLO_RETURN_TITLE, "%.64s@%.64s", model != NULL ? model : "?",
             version != NULL ? version : "?");
}

/* Plans the rollback of a release that is on trial: the device goes back to its
 * current release. */
static enum flo_return off_trial(const json_t *model, char *title)
{
    const json_t *current = json_object_get(model, "current");

    if (!json_is_object(current)) {
        return FLO_RETURN_FIRST;
    }
    take_title(model, current, title);
    return FLO_RETURN_KEPT;
}

static bool is_current(const json_t *model, const char *release)
{
    return is_release(json_object_get(model, "current"), release);
}

static bool is_named(const json_t *model, const char *release)
{
    return is_current(model, release) || is_release(json_object_get(model, "candidate"), release) ||
           is_release(json_object_get(model, "serving"), release) ||
           is_release(json_object_get(model, "execution"), release);
}

/* Finds the model in the report that has this release; NULL: none. */
static const json_t *model_of(const json_t *report, const char *release)
{
    size_t i;
    json_t *model;

    json_array_foreach(json_object_get(report, "models"), i, model)
    {
        if (is_named(model, release)) {
            return model;
        }
    }
    return NULL;
}

bool flo_return_names(const json_t *report, const char *release)
{
    return model_of(report, release) != NULL;
}

bool flo_return_stands(const json_t *report, const char *release, bool *is_denied_there)
{
    bool is_there = false;
    size_t i;
    json_t *model;

    *is_denied_there = false;
    json_array_foreach(json_object_get(report, "models"), i, model)
    {
        is_there = is_there || is_current(model, release);
        *is_denied_there = *is_denied_there || is_denied(model, release);
    }
    return is_there;
}

bool flo_return_succeeded(const json_t *report, const char *release, const char *rollout)
{
    const char *succeeded = flo_execution_word(FLO_EXECUTION_SUCCEEDED);
    size_t i;
    json_t *model;

    json_array_foreach(json_object_get(report, "models"), i, model)
    {
        const json_t *run = json_object_get(model, "execution");
        if (is_current(model, release) && is_release(run, release) &&
            strcmp(flo_json_text(run, "rollout", ""), rollout) == 0 &&
            strcmp(flo_json_text(run, "state", ""), succeeded) == 0) {
            return true;
        }
    }
    return false;
}

bool flo_return_report_counts(uint64_t report_rev, uint64_t desired_rev)
{
    return report_rev >= desired_rev;
}

bool flo_return_concerns(enum flo_rollout_state state, bool is_ordered)
{
    return (state != FLO_ROLLOUT_RUNNING && state != FLO_ROLLOUT_COMPLETED) ||
           (is_ordered && state == FLO_ROLLOUT_COMPLETED);
}

enum flo_return flo_return_plan(const json_t *report, const char *from, const char *to, char *title)
{
    const json_t *model = model_of(report, from);
    const json_t *previous = json_object_get(model, "previous");

    assert(from != NULL && title != NULL);
    title[0] = '\0';
    if (!json_is_object(report) || json_object_size(report) == 0) {
        return FLO_RETURN_SILENT;
    }
    if (model == NULL) {
        return FLO_RETURN_NONE;
    }
    bool was_current = is_current(model, from);
    if (to != NULL) {
        bool is_there = is_release(was_current ? previous : json_object_get(model, "current"), to);
        return is_denied(model, to) ? FLO_RETURN_DENIED
               : is_there           ? FLO_RETURN_KEPT
                                    : FLO_RETURN_DOWNLOAD;
    }
    if (!was_current) {
        return off_trial(model, title);
    }
    if (!json_is_object(previous)) {
        return FLO_RETURN_FIRST;
    }
    take_title(model, previous, title);
    return is_denied(model, json_string_value(json_object_get(previous, "release")))
               ? FLO_RETURN_DENIED
               : FLO_RETURN_KEPT;
}
