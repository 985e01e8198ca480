/* Taking a release back: the plan for one device. */
#include <assert.h>
#include <string.h>

#include "server-stub/core/orders/take_back.h"

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

static bool is_denied(const json_t *report, const char *digest)
{
    size_t i;
    json_t *item;

    json_array_foreach(json_object_get(report, "denied"), i, item)
    {
        const char *text = json_string_value(item);
        if (text != NULL && digest != NULL && strcmp(text, digest) == 0) {
            return true;
        }
    }
    return false;
}

static void take_title(const json_t *slot, char *title)
{
    const char *model = json_string_value(json_object_get(slot, "model"));
    const char *version = json_string_value(json_object_get(slot, "version"));

    snprintf(title, FLO_RETURN_TITLE, "%.64s@%.64s",
             model != NULL ? model : "?", version != NULL ? version : "?");
}

/* The release is on trial next to the current one: the current one stays. */
static enum flo_return off_trial(const json_t *slots, char *title)
{
    const json_t *current = json_object_get(slots, "current");

    if (!json_is_object(current)) {
        return FLO_RETURN_FIRST;
    }
    take_title(current, title);
    return FLO_RETURN_KEPT;
}

static bool is_current(const json_t *report, const char *release)
{
    const json_t *slots = json_object_get(report, "slots");

    return is_release(json_object_get(slots, "current"), release);
}

bool flo_return_names(const json_t *report, const char *release)
{
    const json_t *slots = json_object_get(report, "slots");

    return is_current(report, release) ||
           is_release(json_object_get(slots, "candidate"), release) ||
           is_release(json_object_get(report, "serving"), release) ||
           is_release(json_object_get(report, "execution"), release);
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

enum flo_return flo_return_plan(const json_t *report, const char *from,
                                const char *to, char *title)
{
    const json_t *slots = json_object_get(report, "slots");
    const json_t *previous = json_object_get(slots, "previous");

    title[0] = '\0';
    if (!json_is_object(report) || json_object_size(report) == 0) {
        return FLO_RETURN_SILENT;
    }
    if (!flo_return_names(report, from)) {
        return FLO_RETURN_NONE;
    }
    bool was_current = is_current(report, from);
    if (to != NULL) {
        bool is_there = is_release(
            was_current ? previous : json_object_get(slots, "current"), to);
        return is_denied(report, to) ? FLO_RETURN_DENIED
               : is_there            ? FLO_RETURN_KEPT
                                     : FLO_RETURN_DOWNLOAD;
    }
    if (!was_current) {
        return off_trial(slots, title);
    }
    if (!json_is_object(previous)) {
        return FLO_RETURN_FIRST;
    }
    take_title(previous, title);
    return is_denied(report,
                     json_string_value(json_object_get(previous, "release")))
               ? FLO_RETURN_DENIED
               : FLO_RETURN_KEPT;
}
