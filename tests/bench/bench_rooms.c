/* Rooms against simulated fleets: what do the controller's own gates find by
 * the default policy, and whom do they blame?
 *
 * usage: bench_rooms [--runs N] [--seed N] [--jobs N] [--only WORD] [--json
 * FILE]
 *
 * A row is a scene, played with a part of N rollouts; fleets are those of
 * rooms.h.  ROOMS_TRACE=1 prints the reasons of each step.
 *
 * Exit code 1: a row missed its goal. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/bench/rooms.h"
#include "tests/bench/runs.h"

#define PAST 48     /* blocks: 4 h */
#define HOUR 12     /* blocks */
#define LONGEST 180 /* blocks: 15 h, four phases of 75 min and 8 soaks */

struct row {
    const char *name;
    void (*play)(const struct row *row, struct chance *chance, bool hits[FIGURES_MAX]);
    double part; /* of the runs */
    struct room_plan plan;
    double share;             /* devices that are hit; 1: all; 0: those of a site */
    enum flo_measure measure; /* whose find the plan says */
    bool is_of_class;         /* ... and of one hardware class there */
    struct figure figures[FIGURES_MAX];
};

/* ---- scenes ---- */

/* `site`: the one that is hit, where it is one. */
static void open_room(const struct row *row, struct chance *chance, struct room *room, size_t *site)
{
    struct room_plan plan = row->plan;

    plan.before = plan.before > 0 ? plan.before : PAST;
    plan.classes = plan.classes > 0 ? plan.classes : 2;
    plan.sites = plan.sites > 0 ? plan.sites : 40;
    plan.devices = plan.devices > 0 ? plan.devices : 1000;
    room_open(room, &plan, chance);
    *site = chance_below(chance, plan.sites);
    for (size_t i = 0; i < plan.devices; i++) {
        const struct room_device *hit = &room->devices[*site];
        room->devices[i].is_hit =
            row->share > 0 ? chance_uniform(chance) < row->share
                           : room->devices[i].site == *site &&
                                 (!row->is_of_class || room->devices[i].hardware == hit->hardware);
    }
    room_begin(room);
}

static bool is_name_held(const struct room *room, const char *name)
{
    const struct flo_analysis_state *state = &room->entry.core.analysis.state;

    for (uint32_t i = 0; i < state->held_count; i++) {
        if (strcmp(state->held[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* One site: named and held, with 75 updated at most; named alone; named; the
 * whole rollout stopped in place of it. */
static void one_site(const struct row *row, struct chance *chance, bool hits[FIGURES_MAX])
{
    struct room room;
    size_t site;
    char name[FLO_SLICE_TEXT];

    open_room(row, chance, &room, &site);
    room_site(&room, site, name);
    while (!room.is_stopped && room.named_at == 0 && room.block - room.begun < LONGEST &&
           !room.is_proven && !room.is_held) {
        room_step(&room);
    }
    bool is_named = is_name_held(&room, name);
    hits[0] = is_named && room.named_updated <= 75;
    hits[1] = is_named && room.entry.core.analysis.state.held_count == 1;
    hits[2] = is_named;
    hits[3] = room.is_stopped;
    room_close(&room);
}

/* Devices of one hardware class at one site, about 12 of 1,000: named and held
 * are exactly those; or their site, with the others there; neither; with 75
 * updated at most. */
static void one_pair(const struct row *row, struct chance *chance, bool hits[FIGURES_MAX])
{
    struct room room;
    size_t site;
    char name[FLO_SLICE_TEXT], pair[FLO_SLICE_TEXT];

    open_room(row, chance, &room, &site);
    room_site(&room, site, name);
    room_pair(&room, site, pair);
    while (!room.is_stopped && room.named_at == 0 && room.block - room.begun < LONGEST &&
           !room.is_proven && !room.is_held) {
        room_step(&room);
    }
    bool is_pair = is_name_held(&room, pair);
    hits[0] = is_pair && room.entry.core.analysis.state.held_count == 1;
    hits[1] = is_name_held(&room, name);
    hits[2] = !is_pair && !hits[1];
    hits[3] = !hits[2] && room.named_updated <= 75;
    hits[4] = room.is_stopped;
    room_close(&room);
}

/* Devices everywhere: stopped; before the rest begins; with the canaries and
 * the cover. */
static void here_and_there(const struct row *row, struct chance *chance, bool hits[FIGURES_MAX])
{
    struct room room;
    size_t site;

    open_room(row, chance, &room, &site);
    while (!room.is_stopped && room.block - room.begun < LONGEST && !room.is_proven &&
           !room.is_held) {
        room_step(&room);
    }
    hits[0] = room.is_stopped;
    hits[1] = room.is_stopped && room_updated(&room) <= room.plan.devices * 2 / 5;
    hits[2] = room.is_stopped && room_updated(&room) <= 40;
    room_close(&room);
}

/* All updated devices, stopped in time: so many blocks after the first swap.
 * A look comes as its block ends. */
static void in_time(const struct row *row, struct chance *chance, const uint32_t *blocks,
                    size_t count, bool hits[FIGURES_MAX])
{
    struct room room;
    size_t site;

    open_room(row, chance, &room, &site);
    while (!room.is_stopped && room.block - room.begun < blocks[count - 1] + 2) {
        room_step(&room);
    }
    for (size_t i = 0; i < count; i++) {
        hits[i] = room.is_stopped && room_age(&room) <= blocks[i] + 1;
    }
    room_close(&room);
}

/* 20 minutes after its swap, an hour, 4 h. */
static void hotfix(const struct row *row, struct chance *chance, bool hits[FIGURES_MAX])
{
    static const uint32_t blocks[] = {4, HOUR, 4 * HOUR};

    in_time(row, chance, blocks, FLO_COUNT(blocks), hits);
}

/* 90 minutes, 2 h, 4 h. */
static void leak(const struct row *row, struct chance *chance, bool hits[FIGURES_MAX])
{
    static const uint32_t blocks[] = {18, 24, 48};

    in_time(row, chance, blocks, FLO_COUNT(blocks), hits);
}

/* The effect that the plan says is found: of the first phase. */
static void set_planned(const struct row *row, struct room *room)
{
    static const struct flo_analysis_past past = {
        .errors = 2e3, .requests = 1e6, .blocks = 1e6 / 120, .crashes = 2e2, .hours = 1e5};
    const struct flo_rollout *core = &room->entry.core;
    struct flo_analysis_crowd crowd = {.updated = core->phases[0].members,
                                       .controls =
                                           (uint32_t)room->plan.devices - core->phases[0].members,
                                       .hours = (double)core->phases[0].soak_ms / 3.6e6};
    struct flo_analysis_sight sight;
    struct flo_analysis_seen seen;

    for (uint32_t i = 0; i < core->analysis.rules.count; i++) {
        if (core->analysis.rules.rules[i].measure != row->measure) {
            continue;
        }
        if (flo_analysis_sees(&core->analysis, i, 0, core->segment_count, &crowd, &sight) &&
            sight.has_find) {
            room->plan.latency = log1p(sight.finds_pct / 100);
        } else if (flo_analysis_sees_events(&core->analysis, i, 0, core->segment_count, &crowd,
                                            &past, &seen) &&
                   seen.has_find) {
            room->plan.leak = row->measure == FLO_MEASURE_LEAK ? log1p(seen.finds / 100) : 0;
            room->plan.errors = row->measure == FLO_MEASURE_ERRORS ? seen.finds - 0.002 : 0;
            room->plan.crashes =
                row->measure == FLO_MEASURE_CRASHES ? -log1p(-seen.finds) / seen.hours - 0.002 : 0;
        }
    }
}

/* Stopped in the first phase. */
static void as_planned(const struct row *row, struct chance *chance, bool hits[FIGURES_MAX])
{
    struct room room;
    size_t site;

    open_room(row, chance, &room, &site);
    set_planned(row, &room);
    while (!room.is_stopped && room.entry.core.phase == 0 && room.block - room.begun < LONGEST) {
        room_step(&room);
    }
    hits[0] = room.is_stopped;
    room_close(&room);
}

/* Something named or held of a slice; halted; waits for a person; an alarm of
 * the watch; ends without a person. */
static void healthy(const struct row *row, struct chance *chance, bool hits[FIGURES_MAX])
{
    struct room room;
    size_t site;

    open_room(row, chance, &room, &site);
    while (!room.is_stopped && room.block - room.begun < LONGEST && !room.is_held &&
           (!room.is_proven || room.block - room.begun < 8 * HOUR)) {
        room_step(&room);
    }
    hits[0] = room.named_at > 0 || room.has_unclear;
    hits[1] = room.is_stopped;
    hits[2] = room.is_held || (!room.is_proven && !room.is_stopped);
    hits[3] = room.has_alarm;
    hits[4] = room.is_proven && !room.is_stopped && room.named_at == 0;
    room_close(&room);
}

/* The effect told an hour after the swap, whatever was judged: within 20 %; the
 * interval holds. */
static void told(const struct row *row, struct chance *chance, bool hits[FIGURES_MAX])
{
    struct room room;
    size_t site;

    open_room(row, chance, &room, &site);
    while (room_age(&room) <= HOUR) {
        room_step(&room);
    }
    hits[0] = room.has_told && fabs(expm1(room.told.effect) / expm1(row->plan.latency) - 1) <= 0.2;
    hits[1] =
        room.has_told && room.told.low <= row->plan.latency && row->plan.latency <= room.told.high;
    room_close(&room);
}

/* ---- the table ---- */

#define TWICE 0.6931471805599453
#define HEALTHY_FIGURES                                                                            \
    {"a slice named or unclear", 0.29, true}, {"halted", 0.7, true},                               \
        {"waits for a person", 3, true}, {"alarm in the watch", 0, true},                          \
    {                                                                                              \
        "ends without a person", 97, false                                                         \
    }

#define PAIR_FIGURES                                                                               \
    {"the pair named, and nothing else", 0, false}, {"its site named in its place", 0, false},     \
        {"neither named", 0, false}, {"named with 75 updated at most", 0, false},                  \
    {                                                                                              \
        "the whole rollout stopped", 0, true                                                       \
    }

static const struct row rows[] = {
    {.name = "+100 % at one site of 25",
     .play = one_site,
     .part = 0.1,
     .plan = {.latency = TWICE},
     .figures = {{"named, 75 updated at most", 95, false},
                 {"named alone", 95, false},
                 {"named", 95, false},
                 {"the whole rollout stopped", 5, true}}},
    {.name = "+100 % on 5 % of all devices",
     .play = here_and_there,
     .part = 0.1,
     .plan = {.latency = TWICE},
     .share = 0.05,
     .figures = {{"stopped", 95, false}, {"before the rest", 0, false}}},
    {.name = "+100 % on 5 %, third wave of 200",
     .play = here_and_there,
     .part = 0.1,
     .plan = {.latency = TWICE, .early = 200},
     .share = 0.05,
     .figures = {{"stopped", 99, false}, {"before the rest", 0, false}}},
    {.name = "errors +5 points at one site",
     .play = one_site,
     .part = 0.1,
     .plan = {.errors = 0.05},
     .figures = {{"named, 75 updated at most", 0, false},
                 {"named alone", 0, false},
                 {"named", 90, false},
                 {"the whole rollout stopped", 10, true}}},
    {.name = "crashes once an hour on 5 %, third wave of 200 and 2 h",
     .play = here_and_there,
     .part = 0.1,
     .plan = {.crashes = 1, .early = 200, .early_soak_ms = 7200000},
     .share = 0.05,
     .figures = {{"stopped", 95, false}, {"before the rest", 90, false}}},
    {.name = "leak of 2 % an hour",
     .play = leak,
     .part = 0.1,
     .plan = {.leak = 0.02},
     .share = 1,
     .figures = {{"in 90 min", 90, false}, {"in 2 h", 99, false}, {"in 4 h", 99, false}}},
    {.name = "hotfix +100 %, 30 min after the last change",
     .play = hotfix,
     .part = 0.1,
     .plan = {.latency = TWICE, .before = 6, .devices = 220, .classes = 1},
     .share = 1,
     .figures = {{"20 min after its swap", 99, false},
                 {"in 1 h", 99, false},
                 {"in 4 h", 99, false}}},
    {.name = "hotfix +100 %, 30 min after, a release before",
     .play = hotfix,
     .part = 0.1,
     .plan = {.latency = TWICE, .before = 78, .older = 72, .devices = 220, .classes = 1},
     .share = 1,
     .figures = {{"20 min after its swap", 99, false},
                 {"in 1 h", 99, false},
                 {"in 4 h", 99, false}}},
    {.name = "hotfix +100 %, 10 min after, a release before",
     .play = hotfix,
     .part = 0.1,
     .plan = {.latency = TWICE, .before = 74, .older = 72, .devices = 220, .classes = 1},
     .share = 1,
     .figures = {{"20 min after its swap", 99, false},
                 {"in 1 h", 99, false},
                 {"in 4 h", 99, false}}},
    {.name = "hotfix without effect, 30 min after",
     .play = hotfix,
     .part = 0.1,
     .plan = {.before = 6, .devices = 220, .classes = 1},
     .share = 1,
     .figures = {{"20 min after its swap", 0.7, true},
                 {"in 1 h", 0.7, true},
                 {"in 4 h", 0.7, true}}},
    {.name = "hotfix without effect, 10 min after, a release before",
     .play = hotfix,
     .part = 0.1,
     .plan = {.before = 74, .older = 72, .devices = 220, .classes = 1},
     .share = 1,
     .figures = {{"20 min after its swap", 0.7, true},
                 {"in 1 h", 0.7, true},
                 {"in 4 h", 0.7, true}}},
    {.name = "the plan's find on 20: TTFT p95",
     .play = as_planned,
     .part = 0.1,
     .share = 1,
     .measure = FLO_MEASURE_TTFT_P95,
     .figures = {{"stopped in the first phase", 95, false}}},
    {.name = "the plan's find on 20: errors",
     .play = as_planned,
     .part = 0.1,
     .share = 1,
     .measure = FLO_MEASURE_ERRORS,
     .figures = {{"stopped in the first phase", 95, false}}},
    {.name = "the plan's find on 20: crashes",
     .play = as_planned,
     .part = 0.1,
     .share = 1,
     .measure = FLO_MEASURE_CRASHES,
     .figures = {{"stopped in the first phase", 95, false}}},
    {.name = "the plan's find on 20: memory growth",
     .play = as_planned,
     .part = 0.1,
     .share = 1,
     .measure = FLO_MEASURE_LEAK,
     .figures = {{"stopped in the first phase", 95, false}}},
    {.name = "told: +30 % on 20",
     .play = told,
     .part = 0.1,
     .plan = {.latency = 0.26236426446749106, .is_only_asked = true},
     .share = 1,
     .figures = {{"within 20 %", 95, false}, {"interval holds", 90, false}}},
    {.name = "told: +100 % on 20",
     .play = told,
     .part = 0.1,
     .plan = {.latency = TWICE, .is_only_asked = true},
     .share = 1,
     .figures = {{"within 20 %", 95, false}, {"interval holds", 90, false}}},
    {.name = "told: +10 % on 100",
     .play = told,
     .part = 0.1,
     .plan = {.latency = 0.09531017980432493, .canaries = 100, .is_only_asked = true},
     .share = 1,
     .figures = {{"within 20 %", 95, false}, {"interval holds", 90, false}}},
    {.name = "good release, 200 devices at 8 sites",
     .play = healthy,
     .part = 0.1,
     .plan = {.devices = 200, .sites = 8, .classes = 1},
     .share = 1,
     .figures = {HEALTHY_FIGURES}},
    {.name = "good release, 200 devices at 40 sites",
     .play = healthy,
     .part = 0.1,
     .plan = {.devices = 200, .classes = 1},
     .share = 1,
     .figures = {HEALTHY_FIGURES}},
    {.name = "good release, 1,000 devices at 40 sites, 8 h",
     .play = healthy,
     .part = 1,
     .share = 1,
     .figures = {HEALTHY_FIGURES}},
    {.name = "good release, 5,000 devices at 100 sites",
     .play = healthy,
     .part = 0.03,
     .plan = {.devices = 5000, .sites = 100},
     .share = 1,
     .figures = {HEALTHY_FIGURES}},
    {.name = "+100 % at one site's one class, `site&hw` scanned",
     .play = one_pair,
     .part = 0.1,
     .plan = {.latency = TWICE, .is_paired = true},
     .is_of_class = true,
     .figures = {PAIR_FIGURES}},
    {.name = "+100 % at one site's one class, no pair",
     .play = one_pair,
     .part = 0.1,
     .plan = {.latency = TWICE},
     .is_of_class = true,
     .figures = {PAIR_FIGURES}},
    {.name = "+100 % at one site of 25, `site&hw` scanned",
     .play = one_site,
     .part = 0.1,
     .plan = {.latency = TWICE, .is_paired = true},
     .figures = {{"named, 75 updated at most", 95, false},
                 {"named alone", 95, false},
                 {"named", 95, false},
                 {"the whole rollout stopped", 5, true}}},
    {.name = "good release, 1,000 devices, 8 h, `site&hw` scanned",
     .play = healthy,
     .part = 0.2,
     .plan = {.is_paired = true},
     .share = 1,
     .figures = {HEALTHY_FIGURES}},
};

static struct runs_row row_at(size_t at)
{
    return (struct runs_row){
        .name = rows[at].name, .part = rows[at].part, .figures = rows[at].figures};
}

static void play(size_t at, struct chance *chance, bool hits[FIGURES_MAX])
{
    rows[at].play(&rows[at], chance, hits);
}

int main(int argc, char **argv)
{
    const struct runs_scenes scenes = {
        .name = "bench_rooms", .count = FLO_COUNT(rows), .row = row_at, .play = play};

    flo_log_level_set(FLO_LOG_ERROR);
    return runs_scenes_main(argc, argv, &scenes);
}
