/* Scenes of bench_slices: each plays one rollout. */
#ifndef TESTS_BENCH_SCENES_H
#define TESTS_BENCH_SCENES_H

#include "tests/bench/runs.h"
#include "tests/bench/world.h"

#define EIGHT_HOURS 96
#define SITES 40
#define FLEET 1000

struct row;
/* hits: which of the figures this run counts for. */
typedef void scene(const struct row *row, struct chance *chance, bool hits[FIGURES_MAX]);
struct row {
    const char *name;
    scene *play;
    double part; /* of the runs that are asked for */
    double effect;
    double share; /* of devices that have it; or crashes an hour */
    size_t third; /* size of the third wave */
    size_t devices, sites;
    struct figure figures[FIGURES_MAX];
};

/* When a wave begins: so many blocks after the one before. */
struct scene_wave {
    size_t until, blocks;
};
#define SCENE_WAVES 4
extern const struct scene_wave scene_waves[SCENE_WAVES];

scene scene_errors_of_a_site; /* hits: its site is named (without an
                               * effect: anything); something else is */
scene scene_crashes;          /* hits: halted; before the rest */
scene scene_leak;             /* hits: found in 90 min; in 2 h; in 8 h */
/* Hits: halted 20 minutes after the swap; within 4 h.  `third`: minutes since
 * the change before; `share` > 0: the release before that has a level. */
scene scene_hotfix;
scene scene_told; /* hits: within 20 % of the truth; the interval holds it */

#endif
