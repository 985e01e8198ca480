/* A rollout on the screen: phases, funnel, gates, causes, what comes next.
 * Pure but for its memory of gates. */
#ifndef FLOTILLA_CLI_VIEW_VIEW_H
#define FLOTILLA_CLI_VIEW_VIEW_H

#include "server-stub/cli/output/output.h"

#define FLO_TREND_GATES 32
#define FLO_TREND_VALUES 16

/* The newest values of each gate, and how fast devices end. */
struct flo_view {
    struct {
        char name[64];
        double values[FLO_TREND_VALUES];
        size_t count;
        uint64_t at_ms; /* time of the newest */
    } gates[FLO_TREND_GATES];
    size_t gate_count;
    uint64_t begin_ms, begin_good; /* begin of the watching */
    uint64_t moved_ms, moved_good; /* the newest good end that was seen */
};

/* Text of the present state, lines of any length.  On a terminal also what
 * changes with time alone: gates that look later, the time that is left. */
void flo_view_rollout(struct flo_view *view, const json_t *rollout, uint64_t now_ms, bool is_tty,
                      bool has_colour, struct flo_buf *out);
/* One line of it: name, bar and counts of a phase. */
void flo_view_phase(const json_t *phase, struct flo_buf *out);
/* The slices that were found, a line each; and all of them in one. */
void flo_view_slices(const json_t *rollout, struct flo_buf *out);
void flo_view_slices_line(const json_t *rollout, struct flo_buf *out);
/* The labels of the scan, a line each; not all: those that it cannot take
 * whole. */
void flo_view_scans(const json_t *rollout, bool is_all, struct flo_buf *out);
/* Time that is left, guessed from the devices that ended while it was watched,
 * and the soaks of phases to come; 0: nothing can be said. */
uint64_t flo_view_left_ms(const struct flo_view *view, const json_t *rollout, uint64_t now_ms);

#endif
