/* Decidable: can each gate of a rollout ever decide with the devices that are
 * there?
 *
 * A gate that compares needs devices on both sides.  Where a phase cannot have
 * them, the gate would be open for ever, and the phase held with it.  The
 * estimate is kind: a gate that it lets pass may still lack samples.  Pure. */
#ifndef FLOTILLA_SERVER_DECIDABLE_H
#define FLOTILLA_SERVER_DECIDABLE_H

#include "server-stub/core/rollout/rollout.h"

/* The first gate and phase that never decide. */
struct flo_rollout_lack {
    char gate[FLO_GATE_TITLE];
    uint32_t phase;      /* from 0 */
    bool is_ratio;       /* a ratio of gates.def; else a rule of a study */
    uint64_t updated;    /* devices that the phase can compare */
    uint64_t waiting;    /* ... with these */
    uint64_t updated_of; /* needed */
    uint64_t waiting_of;
    uint64_t devices; /* devices of the rollout that can be compared at all */
};
#define FLO_DECIDABLE_CLASSES_MAX 64

/* true: *out never decides.  The rollout is divided.  `class_of`: the hardware
 * class of each member, a number below FLO_DECIDABLE_CLASSES_MAX; NULL: all are
 * of one. */
bool flo_rollout_lacks(const struct flo_rollout *rollout, const uint8_t *class_of,
                       struct flo_rollout_lack *out);
/* The lack as a sentence, and the change that would make it decidable. */
#define FLO_LACK_TEXT 256
void flo_rollout_lack_text(const struct flo_rollout *rollout, const struct flo_rollout_lack *lack,
                           char *what, char *fix);
/* Does a study's gate of the present phase lack devices for ever? */
bool flo_rollout_study_lacks(const struct flo_rollout *rollout);
/* A gate holds the present phase that a person was promised to decide: no
 * evidence lets it pass. */
bool flo_rollout_asks_person(const struct flo_rollout *rollout);

#endif
