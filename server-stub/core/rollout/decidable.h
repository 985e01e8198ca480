/* Decidable: finds gates of a rollout that can never decide with the present
 * devices.
 *
 * A gate that compares needs devices on both sides.  Where a phase cannot
 * have them, the gate would be open for ever, and the phase held with it.
 * The estimate is optimistic: a gate that it accepts may still lack samples.
 * Pure. */
#ifndef FLOTILLA_SERVER_DECIDABLE_H
#define FLOTILLA_SERVER_DECIDABLE_H

#include "server-stub/core/rollout/rollout.h"

/* First gate that can never decide, and its phase. */
struct flo_rollout_lack {
    char gate[FLO_GATE_TITLE];
    uint32_t phase;   /* from 0 */
    bool is_ratio;    /* gate `ratio` of gates.def; false: a rule of the analysis */
    uint64_t updated; /* number of updated devices that the phase can compare */
    /* number of devices with the old release that the phase can compare */
    uint64_t waiting;
    uint64_t updated_of; /* number of updated devices that the gate needs */
    uint64_t waiting_of;
    uint64_t devices; /* number of devices of the rollout that can ever be compared */
};
#define FLO_DECIDABLE_CLASSES_MAX 64

/* Looks for a gate that can never decide; returns true if *out is one.  The
 * rollout must be divided.  `class_of`: the hardware class of each member,
 * below FLO_DECIDABLE_CLASSES_MAX; NULL: all have the same class. */
bool flo_rollout_lacks(const struct flo_rollout *rollout, const uint8_t *class_of,
                       struct flo_rollout_lack *out);
/* Size of `what` and of `fix` in bytes. */
#define FLO_LACK_TEXT 256
/* Writes two sentences: what the gate lacks, and the change that makes it
 * decidable. */
void flo_rollout_lack_text(const struct flo_rollout *rollout, const struct flo_rollout_lack *lack,
                           char *what, char *fix);
/* Tells whether a gate of the analysis can never decide the present phase,
 * because too few devices can be compared. */
bool flo_rollout_analysis_lacks(const struct flo_rollout *rollout);
/* Tells whether a gate holds the present phase for a person, as announced at
 * the start: no evidence can pass it. */
bool flo_rollout_asks_person(const struct flo_rollout *rollout);

#endif
