/* Cost: computes a rollout's costs by phase and group, its duration, its
 * rollback, and present obstacles to its start. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/forecast/cost.h"
#include "server-stub/state/rollouts/rollouts.h"

#define GROUPS_SHOWN 20

/* ---- sums ---- */

static struct flo_forecast_sum *sum_of(struct flo_forecast_sum *sums, size_t *count,
                                       const char *name)
{
    for (size_t i = 0; i < *count; i++) {
        if (strcmp(sums[i].name, name) == 0) {
            return &sums[i];
        }
    }
    if (*count == FLO_FORECAST_SUMS_MAX) {
        return NULL;
    }
    struct flo_forecast_sum *sum = &sums[(*count)++];
    snprintf(sum->name, sizeof(sum->name), "%.64s", name);
    return sum;
}

static void add(struct flo_forecast_sum *sum, const struct flo_forecast *one)
{
    if (sum != NULL) {
        sum->devices++;
        sum->takes += one->result == FLO_FORECAST_TAKES;
        sum->idle += one->result == FLO_FORECAST_HAS || one->result == FLO_FORECAST_CANNOT;
        sum->bytes += one->result == FLO_FORECAST_TAKES ? one->bytes : 0;
    }
}

/* Adds a device to the sums of all its groups. */
static void add_groups(struct flo_forecast_costs *costs, const struct flo_fleet_device *device,
                       const struct flo_forecast *one)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *groups = NULL;
    size_t i;
    json_t *group;

    if (device->groups[0] == '\0' ||
        flo_json_parse(device->groups, strlen(device->groups), 1 << 16, &groups, NULL) < 0) {
        return;
    }
    json_array_foreach(groups, i, group)
    {
        const char *name = json_string_value(group);
        if (name != NULL && strcmp(name, "all") != 0) {
            add(sum_of(costs->groups, &costs->group_count, name), one);
        }
    }
}

void flo_forecast_cost_add(struct flo_forecast_costs *costs, const struct flo_rollout *core,
                           const struct flo_fleet_device *device, const struct flo_forecast *one)
{
    size_t index = flo_rollout_find(core, device->id);

    if (index != SIZE_MAX && core->members[index].phase < FLO_ROLLOUT_PHASES_MAX) {
        add(&costs->phases[core->members[index].phase], one);
    }
    add_groups(costs, device, one);
    if (one->result != FLO_FORECAST_TAKES) {
        return;
    }
    if (index != SIZE_MAX && costs->takes != NULL) {
        costs->takes[index] = 1;
    }
    costs->bytes_most = one->bytes > costs->bytes_most ? one->bytes : costs->bytes_most;
    if (one->before[0] == '\0') {
        costs->first++;
    } else {
        costs->kept++;
        add(sum_of(costs->before, &costs->before_count, one->before), one);
    }
}

/* ---- as JSON ---- */

static int by_bytes(const void *a, const void *b)
{
    const struct flo_forecast_sum *one = a;
    const struct flo_forecast_sum *other = b;

    return one->bytes != other->bytes       ? (one->bytes < other->bytes ? 1 : -1)
           : one->devices != other->devices ? (one->devices < other->devices ? 1 : -1)
                                            : strcmp(one->name, other->name);
}

static json_t *groups_json(struct flo_forecast_costs *costs)
{
    json_t *list = json_array();

    qsort(costs->groups, costs->group_count, sizeof(costs->groups[0]), by_bytes);
    for (size_t i = 0; i < costs->group_count && i < GROUPS_SHOWN; i++) {
        const struct flo_forecast_sum *sum = &costs->groups[i];
        json_array_append_new(list, json_pack("{s:s,s:i,s:i,s:I}", "group", sum->name, "devices",
                                              (int)sum->devices, "takes", (int)sum->takes, "bytes",
                                              (json_int_t)sum->bytes));
    }
    return list;
}

static json_t *undo_json(struct flo_forecast_costs *costs)
{
    json_t *list = json_array();

    qsort(costs->before, costs->before_count, sizeof(costs->before[0]), by_bytes);
    for (size_t i = 0; i < costs->before_count && i < GROUPS_SHOWN; i++) {
        json_array_append_new(list, json_pack("{s:s,s:i}", "version", costs->before[i].name,
                                              "devices", (int)costs->before[i].devices));
    }
    return json_pack("{s:i,s:i,s:o}", "kept", (int)costs->kept, "first", (int)costs->first, "to",
                     list);
}

/* ---- time ---- */

static json_t *phase_json(const struct flo_rollout *core, uint32_t index,
                          const struct flo_forecast_sum *sum,
                          const struct flo_rollout_expected *expected, uint64_t now_ms)
{
    return json_pack("{s:i,s:s,s:i,s:i,s:I,s:I,s:I,s:I,s:i}", "number", (int)index + 1, "name",
                     core->phases[index].name, "devices", (int)expected->devices, "takes",
                     (int)sum->takes, "bytes", (json_int_t)sum->bytes, "begins_after_ms",
                     (json_int_t)(expected->begins_ms - now_ms), "told_after_ms",
                     (json_int_t)(expected->told_ms - now_ms), "ends_after_ms",
                     (json_int_t)(expected->ends_ms - now_ms), "zoneless", (int)expected->zoneless);
}

static void add_time(const struct flo_forecast_costs *costs, struct flo_rollout_entry *entry,
                     json_t *plan)
{
    const struct flo_policy *policy = &entry->spec.policy;
    struct flo_rollout_expected expected[FLO_ROLLOUT_PHASES_MAX];
    struct flo_rollout_trip trip = {.jitter_ms = policy->start_jitter_ms,
                                    .soak_ms = policy->soak_ms};
    struct flo_rollout *core = &entry->core;
    uint64_t now_ms = flo_wall_ms();
    json_t *phases = json_array();

    if (policy->rate_bytes_per_s > 0) {
        trip.download_ms =
            (uint64_t)((double)costs->bytes_most * 1000 / (double)policy->rate_bytes_per_s);
    }
    for (uint32_t i = 0; i < core->phase_count; i++) {
        trip.is_idle[i] = costs->phases[i].idle == costs->phases[i].devices;
    }
    flo_rollout_expect(core, &trip, now_ms, expected);
    for (uint32_t i = 0; i < core->phase_count; i++) {
        json_array_append_new(phases, phase_json(core, i, &costs->phases[i], &expected[i], now_ms));
    }
    uint64_t end_ms = core->phase_count > 0 ? expected[core->phase_count - 1].ends_ms : now_ms;
    json_object_set_new(plan, "phases", phases);
    json_object_set_new(plan, "time_ms", json_integer((json_int_t)(end_ms - now_ms)));
}

/* ---- a start now ---- */

static void add_refusal(json_t *list, int rv, const struct flo_err *err)
{
    if (rv < 0) {
        json_array_append_new(list,
                              json_pack("{s:s,s:s,s:s}", "id", flo_error_id(rv), "what", err->what,
                                        "fix", err->fix[0] != '\0' ? err->fix : flo_error_fix(rv)));
    }
}

/* Adds to the plan what would refuse or delay a start. A plan can be made in a
 * frozen fleet, and then shows the freeze. A start that waits for approvals or
 * a time is only refused for obstacles that time cannot remove. All other
 * obstacles delay its begin. */
static void add_refusals(struct flo_controller *controller, struct flo_rollout_entry *entry,
                         json_t *plan)
{
    bool is_later = !flo_rollouts_begins_now(entry);
    json_t *refusals = json_array();
    json_t *holds = json_array();
    json_t *passing = is_later ? holds : refusals;
    struct flo_err frozen = {0}, barred = {0}, others = {0}, gates = {0};
    uint64_t until_ms;
    int rv = flo_rollouts_may_go_on(controller, &frozen);

    add_refusal(passing, rv, &frozen);
    rv = flo_rollouts_check_bars(controller, entry, &until_ms, &barred);
    add_refusal(passing, rv, &barred);
    rv = is_later ? flo_rollouts_may_start(controller, entry, &others) : 0;
    add_refusal(holds, rv, &others);
    rv = flo_rollouts_check_gates(controller, entry, &gates);
    add_refusal(refusals, rv, &gates);
    json_object_set_new(plan, "refusals", refusals);
    json_object_set_new(plan, "holds", holds);
}

void flo_forecast_cost_close(struct flo_forecast_costs *costs, struct flo_controller *controller,
                             struct flo_rollout_entry *entry, json_t *plan)
{
    add_time(costs, entry, plan);
    json_object_set_new(plan, "groups", groups_json(costs));
    json_object_set_new(plan, "undo", undo_json(costs));
    flo_forecast_sight(costs, &entry->core, plan);
    add_refusals(controller, entry, plan);
}
