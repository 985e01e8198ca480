/* Sight: finds out which faults a rollout's gates can detect and prove with the
 * devices that get the release. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <flotilla/plural.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/forecast/cost.h"

#define SITE_MEMBERS_MIN 3
/* number of members from which on a site gets a device in the first wave */
#define SITE_COVERED_MIN 10
/* number of updated devices at a probed site: one by the covering wave, and
 * three by the probe */
#define SITE_UPDATED 4

struct sight {
    const struct flo_rollout *core;
    const struct flo_forecast_costs *costs;
    const json_t *phases; /* phases of the plan, each with begin and end */
    struct flo_analysis_crowd crowds[FLO_ROLLOUT_PHASES_MAX];
    uint32_t blind; /* a bit for each phase in which no device can be compared */
    json_t *sights, *unsure, *sites;
};

static double tenth(double value)
{
    return round(value * 10) / 10;
}

/* ---- who can be compared ---- */

/* Returns the number of the telemetry block in which an update `ms` from now
 * happens. */
static uint32_t block_after(const struct flo_observe_bases *bases, uint64_t ms)
{
    uint64_t blocks = ms / bases->block_ms;

    return blocks < UINT32_MAX - bases->block ? bases->block + (uint32_t)blocks : UINT32_MAX;
}

struct based {
    uint32_t devices;
    uint32_t kinds[FLO_BASE_OWN + 1];
    uint32_t from; /* block of time from which on all waiting devices can be compared */
};

static uint32_t compared_of(const struct based *based)
{
    return based->kinds[FLO_BASE_THIN] + based->kinds[FLO_BASE_OLDER] + based->kinds[FLO_BASE_OWN];
}

/* Counts the devices that take the release in this phase, or in any phase for
 * FLO_ROLLOUT_PHASES_MAX. */
static struct based count_bases(const struct sight *sight, uint32_t phase,
                                enum flo_observed_reading reading, uint32_t block)
{
    const struct flo_forecast_costs *costs = sight->costs;
    struct based based = {0};

    for (size_t i = 0; i < costs->bases->count; i++) {
        const struct flo_observed_base *base = &costs->bases->items[i].base;
        if (costs->takes[i] == 0 ||
            (phase < FLO_ROLLOUT_PHASES_MAX && sight->core->members[i].phase != phase)) {
            continue;
        }
        enum flo_base kind = flo_base_in(base, reading, block);
        based.devices++;
        based.kinds[kind]++;
        if (kind == FLO_BASE_LATER && base->from[reading] > based.from) {
            based.from = base->from[reading];
        }
    }
    return based;
}

static uint64_t ms_of(const struct sight *sight, uint32_t phase, const char *key)
{
    return flo_json_number(json_array_get(sight->phases, phase), key);
}

static double hours_of(const struct sight *sight, uint32_t phase)
{
    return (double)sight->core->phases[phase].soak_ms / 3.6e6;
}

/* Counts, for each phase, the devices that take the release and have data of
 * `reading`. */
static void count_crowds(struct sight *sight, int reading)
{
    const struct flo_forecast_costs *costs = sight->costs;
    uint32_t behind = 0;

    for (uint32_t i = sight->core->phase_count; i-- > 0;) {
        bool is_hold_out = sight->core->phases[i].is_hold_out;
        struct flo_analysis_crowd crowd = {
            .updated = costs->phases[i].takes, .controls = behind, .hours = hours_of(sight, i)};
        if (costs->bases != NULL && reading >= 0) {
            struct based based =
                count_bases(sight, i, (enum flo_observed_reading)reading,
                            block_after(costs->bases, ms_of(sight, i, "begins_after_ms")));
            crowd.updated = compared_of(&based);
            crowd.thin = based.kinds[FLO_BASE_THIN];
            /* Devices of this phase are controls in earlier phases.  Some have
             * too few readings now, but will have enough by then, so they count
             * too. */
            behind += crowd.updated + based.kinds[FLO_BASE_LATER];
        } else {
            behind += crowd.updated;
        }
        crowd.updated = is_hold_out ? 0 : crowd.updated;
        sight->crowds[i] = crowd;
    }
}

static void clock_of(const struct sight *sight, uint32_t block, char out[16])
{
    time_t at = (time_t)((block - 1) * sight->costs->bases->block_ms / 1000);
    struct tm utc;

    gmtime_r(&at, &utc);
    strftime(out, 16, "%H:%M UTC", &utc);
}

/* Returns the reading of speed by which most devices can be compared, the first
 * one among equal ones. */
static enum flo_observed_reading best_reading(const struct sight *sight)
{
    const struct flo_analysis_rules *rules = &sight->core->analysis.rules;
    enum flo_observed_reading best = FLO_READING_TTFT_P95;
    uint32_t most = 0;

    for (uint32_t i = 0; i < rules->count; i++) {
        if (!flo_analysis_is_speed(rules->rules[i].measure)) {
            continue;
        }
        enum flo_observed_reading reading =
            (enum flo_observed_reading)flo_measure_fact(rules->rules[i].measure)->reading;
        struct based based = count_bases(sight, FLO_ROLLOUT_PHASES_MAX, reading, UINT32_MAX);
        if (compared_of(&based) > most) {
            most = compared_of(&based);
            best = reading;
        }
    }
    return best;
}

static json_t *base_json(const struct sight *sight)
{
    const struct flo_observe_bases *bases = sight->costs->bases;
    struct based based =
        count_bases(sight, FLO_ROLLOUT_PHASES_MAX, best_reading(sight), bases->block);
    uint32_t later = based.kinds[FLO_BASE_LATER];
    uint32_t none = based.kinds[FLO_BASE_NONE];
    char clock[16];
    char text[FLO_ANALYSIS_TEXT];
    json_t *out =
        json_pack("{s:i,s:i,s:i,s:i,s:i,s:i,s:i}", "devices", (int)based.devices, "compared",
                  (int)compared_of(&based), "own", (int)based.kinds[FLO_BASE_OWN], "older",
                  (int)based.kinds[FLO_BASE_OLDER], "few", (int)based.kinds[FLO_BASE_THIN], "later",
                  (int)later, "unread", (int)none);
    int used = snprintf(text, sizeof(text),
                        "%u of %u device%s can be compared: %u with their own "
                        "level, %u with that of a release before, %u with a "
                        "few readings",
                        compared_of(&based), based.devices, flo_s(based.devices),
                        based.kinds[FLO_BASE_OWN], based.kinds[FLO_BASE_OLDER],
                        based.kinds[FLO_BASE_THIN]);
    if (later > 0) {
        clock_of(sight, based.from, clock);
        json_object_set_new(out, "from_ms",
                            json_integer((json_int_t)((based.from - 1) * bases->block_ms)));
        used +=
            snprintf(text + used, sizeof(text) - (size_t)used, "; %u not before %s", later, clock);
    }
    if (none > 0) {
        snprintf(text + used, sizeof(text) - (size_t)used, "; %u have no reading", none);
    }
    json_object_set_new(out, "text", json_string(text));
    return out;
}

/* ---- phases ---- */

static json_t *row_of(const struct sight *sight, uint32_t phase,
                      const struct flo_measure_fact *fact)
{
    return json_pack("{s:s,s:s,s:i,s:i}", "phase", sight->core->phases[phase].name, "gate",
                     fact->title, "updated", (int)sight->crowds[phase].updated, "controls",
                     (int)sight->crowds[phase].controls);
}

static void say_unsure(struct sight *sight, const char *text)
{
    json_array_append_new(sight->unsure, json_pack("{s:s}", "text", text));
}

/* Adds to the plan that no device of this phase can be compared yet. */
static void add_blind(struct sight *sight, uint32_t phase, const struct flo_measure_fact *fact)
{
    const struct flo_observe_bases *bases = sight->costs->bases;
    uint32_t takes = sight->costs->phases[phase].takes;
    char until[32] = "";
    char clock[16];
    char text[FLO_ANALYSIS_TEXT];

    if (bases == NULL || takes == 0 || sight->crowds[phase].updated > 0 ||
        (sight->blind >> phase & 1) != 0) {
        return;
    }
    sight->blind |= 1u << phase;
    struct based based = count_bases(sight, phase, (enum flo_observed_reading)fact->reading,
                                     block_after(bases, ms_of(sight, phase, "begins_after_ms")));
    if (based.from > 0) {
        clock_of(sight, based.from, clock);
        snprintf(until, sizeof(until), " before %s", clock);
    }
    snprintf(text, sizeof(text),
             "phase %.40s: none of %u device%s can be compared%s; of speed and "
             "memory a change of 1.5 times on 80 %% of 10 devices is found",
             sight->core->phases[phase].name, takes, flo_s(takes), until);
    say_unsure(sight, text);
}

static void add_ratio(struct sight *sight, uint32_t phase, uint32_t rule)
{
    const struct flo_rollout *core = sight->core;
    const struct flo_analysis_rules *rules = &core->analysis.rules;
    const struct flo_measure_fact *fact = flo_measure_fact(rules->rules[rule].measure);
    bool is_awaited =
        flo_analysis_is_critical(rules, rule, phase, flo_rollout_analysis_is_last(core, phase));
    struct flo_analysis_sight found;
    char text[FLO_ANALYSIS_TEXT];

    count_crowds(sight, fact->reading);
    if (is_awaited) {
        add_blind(sight, phase, fact);
    }
    if (!flo_analysis_sees(&core->analysis, rule, phase, core->segment_count, sight->crowds,
                           &found)) {
        return;
    }
    json_t *row = row_of(sight, phase, fact);
    if (found.has_find) {
        flo_analysis_effect_text(log1p(found.finds_pct / 100), text);
        json_object_set_new(row, "finds", json_string(text));
        json_object_set_new(row, "finds_pct", json_real(tenth(found.finds_pct)));
    }
    if (is_awaited) {
        json_object_set_new(row, "odds_pct", json_real(tenth(100 * found.odds)));
        json_object_set_new(row, "prove_pct", json_real(found.prove_pct));
    }
    json_array_append_new(sight->sights, row);
    if (is_awaited && found.odds < FLO_ANALYSIS_ODDS_MIN) {
        flo_analysis_sight_text(core->phases[phase].name, fact->title, &found, text);
        say_unsure(sight, text);
    }
}

static void add_events(struct sight *sight, uint32_t phase, uint32_t rule)
{
    const struct flo_rollout *core = sight->core;
    enum flo_measure measure = core->analysis.rules.rules[rule].measure;
    bool is_leak = measure == FLO_MEASURE_LEAK;
    struct flo_analysis_seen seen;
    char text[FLO_ANALYSIS_TEXT];

    count_crowds(sight, is_leak ? FLO_READING_ENGINE_RSS : -1);
    if (sight->costs->bases == NULL ||
        !flo_analysis_sees_events(&core->analysis, rule, phase, core->segment_count, sight->crowds,
                                  &sight->costs->bases->past, &seen)) {
        return;
    }
    json_t *row = row_of(sight, phase, flo_measure_fact(measure));
    if (seen.has_find) {
        flo_analysis_seen_text(measure, &seen, text);
        json_object_set_new(row, "finds", json_string(text));
        json_object_set_new(row, is_leak ? "finds_pct" : "finds_share",
                            json_real(is_leak ? tenth(seen.finds) : seen.finds));
    }
    json_array_append_new(sight->sights, row);
}

static void add_sight(struct sight *sight, uint32_t phase, uint32_t rule)
{
    if (flo_measure_fact(sight->core->analysis.rules.rules[rule].measure)->kind ==
        FLO_STATISTIC_RATIO) {
        add_ratio(sight, phase, rule);
    } else {
        add_events(sight, phase, rule);
    }
}

/* ---- sites ---- */

static int by_value(const void *a, const void *b)
{
    uint32_t one = *(const uint32_t *)a;
    uint32_t other = *(const uint32_t *)b;

    return (one > other) - (one < other);
}

/* Counts the members of each site from the list `values` of the members' sites.
 * Writes the sizes to the front of `values`, the smallest first, and returns
 * their number. */
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

static void add_site(struct sight *sight, const struct flo_analysis_site *site)
{
    const struct flo_analysis_rules *rules = &sight->core->analysis.rules;

    for (uint32_t i = 0; i < rules->count; i++) {
        if (!flo_analysis_is_speed(rules->rules[i].measure)) {
            continue;
        }
        double finds = flo_analysis_finds_at(&sight->core->analysis, i, site);
        json_t *row =
            json_pack("{s:i,s:i,s:s}", "members", (int)site->members, "updated", (int)site->updated,
                      "gate", flo_measure_fact(rules->rules[i].measure)->title);
        if (isfinite(finds)) {
            json_object_set_new(row, "finds_pct", json_real(tenth(finds)));
        }
        json_array_append_new(sight->sites, row);
    }
}

/* Adds to the plan the smallest, the median and the largest of the sites that
 * are large enough for the covering phase. */
static void add_sites(struct sight *sight)
{
    const struct flo_rollout *core = sight->core;
    uint32_t *sizes = calloc(core->member_count + 1, sizeof(*sizes));
    struct flo_analysis_site site = {.updated = SITE_UPDATED};

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

void flo_forecast_sight(const struct flo_forecast_costs *costs, const struct flo_rollout *core,
                        json_t *plan)
{
    struct sight sight = {.core = core,
                          .costs = costs,
                          .phases = json_object_get(plan, "phases"),
                          .sights = json_array(),
                          .unsure = json_array(),
                          .sites = json_array()};

    if (core->analysis.rules.count > 0 && core->analysis.split_of[0] == '\0') {
        for (uint32_t i = 0; i < core->phase_count; i++) {
            for (uint32_t rule = 0;
                 rule < core->analysis.rules.count && !core->phases[i].is_hold_out; rule++) {
                add_sight(&sight, i, rule);
            }
        }
        add_sites(&sight);
        if (costs->bases != NULL) {
            json_object_set_new(plan, "base", base_json(&sight));
        }
    }
    json_object_set_new(plan, "sights", sight.sights);
    json_object_set_new(plan, "unsure", sight.unsure);
    json_object_set_new(plan, "sites", sight.sites);
}
