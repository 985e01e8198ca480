/* Edit: changes the specification of an existing rollout. */
#include <string.h>

#include <flotilla/errors/rollout.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"

/* Refuses an edit of a rollout that other people approved, because they
 * approved the old specification only. */
static int check_people(struct flo_controller *controller, struct flo_rollout_entry *entry,
                        struct flo_err *err)
{
    uint32_t people = 0;
    int rv = flo_rollouts_people_needed(controller, entry, &people, err);

    FLO_TRY(rv);
    if (people == 0 && entry->core.approvals_needed == 0 && entry->core.approvals == 0) {
        return rv;
    }
    flo_fail(err, FLO_E_ROLLOUT_APPROVAL,
             "rollout %s needs the approval of %u: nobody approved other words", entry->core.id,
             people > entry->core.approvals_needed ? people : entry->core.approvals_needed);
    return flo_err_fix(err, "start a new one with --supersede, which asks for "
                            "approval; `rollout pause` needs none");
}

static int check_words(const struct flo_rollout_entry *entry,
                       const struct flo_rollout_entry *wanted, struct flo_err *err)
{
    uint64_t expires_ms = wanted->core.expires_at_ms;

    if (expires_ms > 0 && expires_ms <= flo_wall_ms()) {
        return flo_fail(err, FLO_E_REST_MEANING, "expires_at: that time has passed");
    }
    if (flo_rollout_is_spread(&wanted->core) && !flo_rollout_is_spread(&entry->core)) {
        return flo_fail(err, FLO_E_REST_MEANING,
                        "phases: its devices were not spread when it was made, "
                        "and phases to come cannot be");
    }
    return 0;
}

/* Refuses other labels for the spread of a phase that began, because its
 * devices were chosen by the old labels.  The core cannot check this: it only
 * knows that the phase was spread. */
static int check_spread(const struct flo_rollout_entry *entry,
                        const struct flo_rollout_entry *wanted, struct flo_err *err)
{
    const struct flo_rollout *core = &entry->core;
    bool has_begun = core->state != FLO_ROLLOUT_SCHEDULED;

    for (uint32_t i = 0; has_begun && i <= core->phase && i < wanted->core.phase_count; i++) {
        if (memcmp(entry->spec.phases[i].spread, wanted->spec.phases[i].spread,
                   sizeof(wanted->spec.phases[i].spread)) != 0) {
            return flo_fail(err, FLO_E_REST_MEANING,
                            "phases[%u].spread: phase %s has begun; its "
                            "devices stay as they were asked",
                            i, core->phases[i].name);
        }
    }
    return 0;
}

/* Keeps an expiry as over that the rollout passed before, unless the edit sets
 * a new one.  It thus does not pause or abort the rollout twice. */
static void keep_expiry(const struct flo_rollout_entry *entry, struct flo_rollout_entry *wanted)
{
    if (entry->core.expires_at_ms == 0 && entry->spec.expires_at_ms == wanted->spec.expires_at_ms) {
        wanted->core.expires_at_ms = 0;
    }
}

/* Returns whether gates must be checked again: the edit changes gates, or the
 * devices that gates compare.  Devices that left since the start are no
 * reason. */
static bool asks_gates(const json_t *before, const json_t *wanted)
{
    static const char *const names[] = {"gates", "phases", "hold_for_person"};
    bool is_same = true;

    for (size_t i = 0; i < FLO_COUNT(names) && is_same; i++) {
        is_same =
            flo_json_equal(json_object_get(before, names[i]), json_object_get(wanted, names[i]));
    }
    return !is_same;
}

/* Sets the numbers for the members' labels and time zones again, because an
 * edit's limits and windows may need them for the first time. */
static int place(struct flo_controller *controller, struct flo_rollout_entry *entry,
                 const struct flo_rollout *wanted, struct flo_err *err)
{
    entry->core.window = wanted->window;
    memcpy(entry->core.limits, wanted->limits, sizeof(wanted->limits));
    entry->core.limit_count = wanted->limit_count;
    return flo_rollouts_place_all(controller, entry, err);
}

static int apply(struct flo_controller *controller, struct flo_rollout_entry *entry,
                 struct flo_rollout_entry *wanted, const char *note, struct flo_err *err)
{
    bool had_analysis = entry->core.analysis.rules.count > 0;
    bool has_new_gates = !flo_json_equal(json_object_get(entry->own->spec, "gates"),
                                         json_object_get(wanted->own->spec, "gates"));
    bool is_of_gates = asks_gates(entry->own->spec, wanted->own->spec);

    json_decref(entry->own->spec);
    entry->own->spec = json_incref(wanted->own->spec);
    entry->spec = wanted->spec;
    /* The labels by which the rollout is scanned are read again. */
    flo_rollouts_labels_free(entry->own->labels);
    entry->own->labels = NULL;
    FLO_TRY(place(controller, entry, &wanted->core, err));
    int rv = flo_rollouts_step(controller, entry,
                               (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_EDIT,
                                                          .note = note,
                                                          .draft = &wanted->core,
                                                          .has_new_gates = has_new_gates},
                               err);
    if (rv == 0 && !had_analysis && entry->core.analysis.rules.count > 0) {
        rv = flo_rollouts_segment(controller, entry, err);
    }
    if (rv == 0 && is_of_gates) {
        rv = flo_rollouts_check_gates(controller, entry, err);
    }
    FLO_TRY(rv);
    return flo_rollouts_put(controller, entry, err);
}

int flo_rollouts_read_edit(struct flo_controller *controller, const struct flo_rollout_entry *entry,
                           const json_t *change, struct flo_rollout_entry **out, char *names,
                           struct flo_err *err)
{
    json_t *spec = NULL;
    int rv = flo_spec_merge(entry->own->spec, change, &spec, names, err);

    if (rv == 0) {
        rv = flo_rollouts_read_spec(controller, spec, out, err);
    }
    if (rv < 0) {
        json_decref(spec);
        return rv;
    }
    keep_expiry(entry, *out);
    return 0;
}

int flo_rollouts_edit(struct flo_controller *controller, struct flo_rollout_entry *entry,
                      struct flo_rollout_entry *wanted, const char *by, const char *names,
                      struct flo_err *err)
{
    char note[FLO_SPEC_NAMES_MAX + 80];

    FLO_TRY(flo_rollout_may(&entry->core, FLO_ROLLOUT_EVENT_EDIT, err));
    if (names[0] == '\0') {
        return 0;
    }
    FLO_TRY(check_people(controller, entry, err));
    FLO_TRY(check_words(entry, wanted, err));
    FLO_TRY(check_spread(entry, wanted, err));
    if (flo_spec_check_sense(&entry->spec, NULL) == 0) {
        FLO_TRY(flo_spec_check_sense(&wanted->spec, err));
    }
    FLO_TRY(flo_rollout_may_edit(&entry->core, &wanted->core, err));
    snprintf(note, sizeof(note), "%.64s: %s", by, names);
    /* The flag is set before the change, because memory may differ even after a failed one. */
    controller->rollouts->has_changed = true;
    return apply(controller, entry, wanted, note, err);
}
