/* Forecast: what the gates of a rollout can find and prove, with the devices
 * that get the release. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/forecast/cost.h"

#define SITE_MEMBERS_MIN 3
#define SITE_COVERED_MIN 10 /* a wave brings each of them one device */
#define SITE_UPDATED 4      /* that one, and three of a probe */

struct sight {
    const struct flo_rollout *core;
    struct flo_study_crowd crowds[FLO_ROLLOUT_PHASES_MAX];
    json_t *sights, *unsure, *sites;
};

static double tenth(double value)
{
    return round(value * 10) / 10;
}

/* ---- phases ---- */

static void count_crowds(const struct flo_forecast_costs *costs,
                         struct sight *sight)
{
    uint32_t behind = 0;

    for (uint32_t i = sight->core->phase_count; i-- > 0;) {
        bool is_hold_out = sight->core->phases[i].is_hold_out;
        sight->crowds[i] = (struct flo_study_crowd){
            .updated = is_hold_out ? 0 : costs->phases[i].takes,
            .controls = behind};
        behind += costs->phases[i].takes;
    }
}

static void add_sight(struct sight *sight, uint32_t phase, uint32_t rule)
{
    const struct flo_rollout *core = sight->core;
    const struct flo_study_rules *rules = &core->study.rules;
    const struct flo_measure_fact *fact =
        flo_measure_fact(rules->rules[rule].measure);
    bool is_awaited = flo_study_is_critical(
        rules, rule, phase, flo_rollout_study_is_last(core, phase));
    struct flo_study_sight found;
    char text[FLO_STUDY_TEXT];

    if (!flo_study_sees(&core->study, rule, phase, core->segment_count,
                        sight->crowds, &found)) {
        return;
    }
    json_t *row = json_pack("{s:s,s:s,s:i,s:i}", "phase",
                            core->phases[phase].name, "gate", fact->title,
                            "updated", (int)sight->crowds[phase].updated,
                            "controls", (int)sight->crowds[phase].controls);
    if (found.has_find) {
        json_object_set_new(row, "finds_pct",
                            json_real(tenth(found.finds_pct)));
    }
    if (is_awaited) {
        json_object_set_new(row, "odds_pct",
                            json_real(tenth(100 * found.odds)));
        json_object_set_new(row, "prove_pct", json_real(found.prove_pct));
    }
    json_array_append_new(sight->sights, row);
    if (is_awaited && found.odds < FLO_STUDY_ODDS_MIN) {
        flo_study_sight_text(core->phases[phase].name, fact->title, &found,
                             text);
        json_array_append_new(sight->unsure, json_pack("{s:s}", "text", text));
    }
}

/* ---- sites ---- */

static int by_value(const void *a, const void *b)
{
    uint32_t one = *(const uint32_t *)a;
    uint32_t other = *(const uint32_t *)b;

    return (one > other) - (one < other);
}

/* Sizes of sites, the smallest first, in place of the sites of members. */
static size_t sizes_of(uint32_t *values, size_t count, uint32_t least)
{
    size_t sizes = 0;

    qsort(values, count, sizeof(*values), by_value);
    for (size_t at = 0; at < count;) {
        size_t end = at + 1;
        while (end < count && values[end] == values[at]) {
            end++;
        }
        if (values[at] != 0 && end - at >= least) {
            values[sizes++] = (uint32_t)(end - at);
        }
        at = end;
    }
    qsort(values, sizes, sizeof(*values), by_value);
    return sizes;
}

static void add_site(struct sight *sight, const struct flo_study_site *site)
{
    const struct flo_study_rules *rules = &sight->core->study.rules;

    for (uint32_t i = 0; i < rules->count; i++) {
        if (!flo_study_is_speed(rules->rules[i].measure)) {
            continue;
        }
        double finds = flo_study_finds_at(&sight->core->study, i, site);
        json_t *row =
            json_pack("{s:i,s:i,s:s}", "members", (int)site->members, "updated",
                      (int)site->updated, "gate",
                      flo_measure_fact(rules->rules[i].measure)->title);
        if (isfinite(finds)) {
            json_object_set_new(row, "finds_pct", json_real(tenth(finds)));
        }
        json_array_append_new(sight->sites, row);
    }
}

/* The smallest, the median and the largest that the cover reaches. */
static void add_sites(struct sight *sight)
{
    const struct flo_rollout *core = sight->core;
    uint32_t *sizes = calloc(core->member_count + 1, sizeof(*sizes));
    struct flo_study_site site = {.updated = SITE_UPDATED};

    if (sizes == NULL || !core->is_covered) {
        free(sizes);
        return;
    }
    for (size_t i = 0; i < core->member_count; i++) {
        sizes[i] = core->members[i].place.site;
    }
    size_t count = sizes_of(sizes, core->member_count, SITE_MEMBERS_MIN);
    size_t from = 0;
    for (size_t i = 0; i < count; i++) {
        site.all += sizes[i];
        from += sizes[i] < SITE_COVERED_MIN ? 1 : 0;
    }
    site.sites = (uint32_t)count;
    for (size_t k = 0; k < 3 && from < count; k++) {
        const size_t at[] = {from, from + (count - 1 - from) / 2, count - 1};
        site.members = sizes[at[k]];
        if (k == 0 || sizes[at[k]] != sizes[at[k - 1]]) {
            add_site(sight, &site);
        }
    }
    free(sizes);
}

void flo_forecast_sight(const struct flo_forecast_costs *costs,
                        const struct flo_rollout *core, json_t *plan)
{
    struct sight sight = {.core = core,
                          .sights = json_array(),
                          .unsure = json_array(),
                          .sites = json_array()};

    if (core->study.rules.count > 0 && core->study.split_of[0] == '\0') {
        count_crowds(costs, &sight);
        for (uint32_t i = 0; i < core->phase_count; i++) {
            for (uint32_t rule = 0;
                 rule < core->study.rules.count && !core->phases[i].is_hold_out;
                 rule++) {
                add_sight(&sight, i, rule);
            }
        }
        add_sites(&sight);
    }
    json_object_set_new(plan, "sights", sight.sights);
    json_object_set_new(plan, "unsure", sight.unsure);
    json_object_set_new(plan, "sites", sight.sites);
}
