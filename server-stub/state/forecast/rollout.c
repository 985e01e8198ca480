/* Rollout: the forecast of a rollout's devices, counted by kind of download and
 * by reason. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/release.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/forecast/cost.h"
#include "server-stub/state/groups/walk.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/sayings.h"

#define ITEMS_MAX 200
#define NAMES_MAX 5      /* number of devices that the plan lists by name for each reason */
#define RELEASES_MAX 32u /* largest number of releases in memory at the same time, 65 KB each */

struct known {
    struct flo_digest digest;
    struct flo_release *release; /* NULL: not available */
    uint64_t used;
};
struct flo_forecast_plan {
    struct flo_controller *controller;
    struct flo_rollout_entry *entry;
    struct flo_release *release;
    struct flo_forecast_order order;
    struct flo_group_walk walk;
    struct known known[RELEASES_MAX];
    uint64_t uses;
    json_t *plan, *cannot, *others;
    struct flo_forecast_costs costs;
};

/* ---- releases ---- */

static struct flo_release *read_release(struct flo_controller *controller,
                                        const struct flo_digest *digest)
{
    char text[FLO_DIGEST_TEXT];

    flo_digest_text(digest, text);
    return flo_controller_release(controller, NULL, text);
}

/* Finds a release among those in memory, or reads it and replaces the one that
 * was not used for longest. */
static const struct flo_release *find_release(void *context, const struct flo_digest *digest)
{
    struct flo_forecast_plan *all = context;
    struct known *to = &all->known[0];

    for (size_t i = 0; i < RELEASES_MAX; i++) {
        struct known *known = &all->known[i];
        if (known->used > 0 && flo_digest_equal(&known->digest, digest)) {
            known->used = ++all->uses;
            return known->release;
        }
        to = known->used < to->used ? known : to;
    }
    flo_release_free(to->release);
    *to = (struct known){
        .digest = *digest, .release = read_release(all->controller, digest), .used = ++all->uses};
    return to->release;
}

static void forget_releases(struct flo_forecast_plan *all)
{
    for (size_t i = 0; i < RELEASES_MAX; i++) {
        flo_release_free(all->known[i].release);
    }
}

int flo_forecast_one(struct flo_controller *controller, const json_t *reported,
                     const struct flo_digest *digest, bool lifts, struct flo_forecast *out,
                     struct flo_err *err)
{
    struct flo_forecast_plan *all = calloc(1, sizeof(*all));
    struct flo_release *release;

    *out = (struct flo_forecast){.result = FLO_FORECAST_SILENT};
    if (all == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "forecast");
    }
    all->controller = controller;
    release = read_release(controller, digest);
    if (release != NULL) {
        struct flo_forecast_order order = {.release = release, .digest = *digest, .lifts = lifts};
        flo_forecast_device(reported, &order, find_release, all, out);
    }
    flo_release_free(release);
    forget_releases(all);
    free(all);
    return 0;
}

/* ---- counting ---- */

/* Returns the row of the list with these two texts, and adds the row if there
 * is none. */
static json_t *row_of(json_t *list, const char *key, const char *word, const char *key_2,
                      const char *word_2)
{
    size_t i;
    json_t *row;

    json_array_foreach(list, i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, key)), word) == 0 &&
            strcmp(json_string_value(json_object_get(row, key_2)), word_2) == 0) {
            return row;
        }
    }
    row = json_pack("{s:s,s:s}", key, word, key_2, word_2);
    json_array_append_new(list, row);
    return row;
}

static void count_way(json_t *plan, const struct flo_forecast *one)
{
    json_t *row = row_of(json_object_get(plan, "ways"), "way", one->way, "variant", one->variant);
    uint64_t most = flo_json_number(row, "bytes_each");

    if (flo_json_number(row, "devices") == 0) {
        flo_json_put_text(row, "why", one->chosen);
    }
    flo_json_count(row, "devices", 1);
    flo_json_count(row, "bytes", one->bytes);
    flo_json_count(row, "full_bytes", one->full_bytes);
    flo_json_count(row, "bytes_each", one->bytes > most ? one->bytes - most : 0);
    flo_json_count(plan, "bytes", one->bytes);
    if (one->memory[0] != '\0') {
        flo_json_count(
            row_of(json_object_get(plan, "memory"), "way", one->memory, "way", one->memory),
            "devices", 1);
    }
}

static void count_reason(json_t *plan, const struct flo_forecast *one, const char *name)
{
    const char *id = flo_error_id(one->why.code);
    json_t *row = row_of(json_object_get(plan, "reasons"), "id", id, "id", id);
    json_t *names = json_object_get(row, "names");

    if (names == NULL) {
        names = json_array();
        json_object_set_new(row, "names", names);
        json_object_set_new(row, "what", json_string(one->why.what));
        json_object_set_new(
            row, "fix",
            json_string(one->why.fix[0] != '\0' ? one->why.fix : flo_error_fix(one->why.code)));
    }
    flo_json_count(row, "devices", 1);
    if (json_array_size(names) < NAMES_MAX) {
        json_array_append_new(names, json_string(name));
    }
}

static json_t *item_json(const struct flo_fleet_device *device, const struct flo_forecast *one)
{
    json_t *item = json_pack("{s:s,s:s,s:b,s:s}", "id", device->id, "name", device->name, "online",
                             (int)device->is_online, "result", flo_forecast_word(one->result));

    if (one->result == FLO_FORECAST_TAKES) {
        json_object_update_new(item, json_pack("{s:s,s:s,s:I,s:I,s:s}", "way", one->way, "variant",
                                               one->variant, "bytes", (json_int_t)one->bytes,
                                               "full_bytes", (json_int_t)one->full_bytes, "memory",
                                               one->memory));
        flo_json_put_text(item, "why", one->chosen);
    } else if (one->result == FLO_FORECAST_CANNOT) {
        json_object_set_new(
            item, "error",
            json_pack("{s:s,s:s}", "id", flo_error_id(one->why.code), "what", one->why.what));
    }
    return item;
}

/* Counts a device that the rollout excludes for the reason `excuse`. */
static void count_excuse(json_t *plan, enum flo_excuse excuse, const char *name)
{
    json_t *row = row_of(json_object_get(plan, "excluded"), "id", flo_excuse_word(excuse), "id",
                         flo_excuse_word(excuse));
    json_t *names = json_object_get(row, "names");

    if (names == NULL) {
        names = json_array();
        json_object_set_new(row, "names", names);
        json_object_set_new(row, "what", json_string(flo_excuse_meaning(excuse)));
        json_object_set_new(row, "fix", json_string(flo_excuse_fix(excuse)));
    }
    flo_json_count(row, "devices", 1);
    if (json_array_size(names) < NAMES_MAX) {
        json_array_append_new(names, json_string(name));
    }
}

static int add_device(void *context, const struct flo_fleet_device *device)
{
    struct flo_forecast_plan *all = context;
    const struct flo_select_device *facts = flo_fleet_facts_of(all->controller->store, device->id);
    enum flo_excuse excuse =
        facts != NULL ? flo_rollouts_excuse(all->controller, all->entry, facts) : FLO_EXCUSE_NONE;

    if (excuse != FLO_EXCUSE_NONE) {
        count_excuse(all->plan, excuse, device->name);
        return 0;
    }
    json_t *reported = flo_saying_object(device->reported);
    struct flo_forecast one;
    json_t *list;

    flo_forecast_device(reported, &all->order, find_release, all, &one);
    json_decref(reported);
    flo_forecast_cost_add(&all->costs, &all->entry->core, device, &one);
    flo_json_count(all->plan, "devices", 1);
    flo_json_count(all->plan, flo_forecast_word(one.result), 1);
    if (one.result == FLO_FORECAST_TAKES) {
        flo_json_count(all->plan, "offline", device->is_online ? 0 : 1);
        flo_json_count(all->plan, "frozen", one.is_frozen ? 1 : 0);
        count_way(all->plan, &one);
    } else if (one.result == FLO_FORECAST_CANNOT) {
        count_reason(all->plan, &one, device->name);
    }
    list = one.result == FLO_FORECAST_CANNOT ? all->cannot : all->others;
    if (json_array_size(list) < ITEMS_MAX) {
        json_array_append_new(list, item_json(device, &one));
    }
    return 0;
}

/* ---- the plan ---- */

static void close_plan(struct flo_forecast_plan *all)
{
    size_t i;
    json_t *item;

    json_array_foreach(all->others, i, item)
    {
        if (json_array_size(all->cannot) < ITEMS_MAX) {
            json_array_append(all->cannot, item);
        }
    }
    json_object_set(all->plan, "items", all->cannot);
}

struct flo_observe_bases *flo_forecast_bases(const struct flo_rollout_entry *entry)
{
    const struct flo_rollout *core = &entry->core;
    struct flo_observe_bases *bases;

    if (core->analysis.rules.count == 0 || core->analysis.split_of[0] != '\0') {
        return NULL;
    }
    bases = flo_observe_bases_new(core->member_count);
    if (bases != NULL) {
        snprintf(bases->model, sizeof(bases->model), "%s", entry->model);
    }
    for (size_t i = 0; bases != NULL && i < core->member_count; i++) {
        memcpy(bases->items[i].device, core->members[i].device, sizeof(bases->items[i].device));
    }
    return bases;
}

static int plan_init(struct flo_forecast_plan *plan, struct flo_err *err)
{
    struct flo_rollout_entry *entry = plan->entry;

    plan->release = read_release(plan->controller, &entry->release);
    if (plan->release == NULL) {
        return flo_fail(err, FLO_E_RELEASE_ABSENT, "%s has no document here", entry->core.release);
    }
    plan->order = (struct flo_forecast_order){.release = plan->release,
                                              .digest = entry->release,
                                              .below_floor = entry->spec.is_below_floor,
                                              .lifts = entry->lift > 0};
    plan->cannot = json_array();
    plan->others = json_array();
    plan->plan = json_pack("{s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:[],s:[],s:[],s:[]}", "devices", 0,
                           "takes", 0, "has", 0, "cannot", 0, "silent", 0, "offline", 0, "frozen",
                           0, "bytes", 0, "ways", "memory", "reasons", "excluded");
    plan->costs.takes = calloc(entry->core.member_count + 1, 1);
    if (plan->plan == NULL || plan->costs.takes == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "forecast");
    }
    return flo_group_walk_begin(&plan->walk, plan->controller->store, entry->group, add_device,
                                err);
}

int flo_forecast_plan_new(struct flo_controller *controller, struct flo_rollout_entry *entry,
                          struct flo_forecast_plan **out, struct flo_err *err)
{
    struct flo_forecast_plan *plan = calloc(1, sizeof(*plan));

    if (plan == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "forecast");
    }
    plan->controller = controller;
    plan->entry = entry;
    int rv = plan_init(plan, err);
    if (rv < 0) {
        flo_forecast_plan_free(plan);
        return rv;
    }
    *out = plan;
    return 0;
}

int flo_forecast_plan_on(struct flo_forecast_plan *plan, uint64_t until_ms, bool *is_whole,
                         struct flo_err *err)
{
    return flo_group_walk_on(&plan->walk, until_ms, plan, is_whole, err);
}

json_t *flo_forecast_plan_end(struct flo_forecast_plan *plan,
                              const struct flo_observe_bases *bases_or_null)
{
    close_plan(plan);
    plan->costs.bases = bases_or_null;
    flo_forecast_cost_close(&plan->costs, plan->controller, plan->entry, plan->plan);
    return json_incref(plan->plan);
}

void flo_forecast_plan_free(struct flo_forecast_plan *plan)
{
    if (plan == NULL) {
        return;
    }
    forget_releases(plan);
    flo_release_free(plan->release);
    json_decref(plan->plan);
    json_decref(plan->cannot);
    json_decref(plan->others);
    flo_group_walk_end(&plan->walk);
    free(plan->costs.takes);
    free(plan);
}
