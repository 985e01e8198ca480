/* View: draws a rollout: phases, funnel, gates, causes, next step.  Pure but
 * for its memory of gates. */
#ifndef FLOTILLA_CLI_VIEW_VIEW_H
#define FLOTILLA_CLI_VIEW_VIEW_H

#include "server-stub/cli/output/output.h"

#define FLO_TREND_GATES 32
#define FLO_TREND_VALUES 16

/* Newest values of each gate, and how fast devices end. */
struct flo_view {
    struct {
        char name[64];
        double values[FLO_TREND_VALUES];
        size_t count;
        uint64_t at_ms; /* time of the newest value */
    } gates[FLO_TREND_GATES];
    size_t gate_count;
    uint64_t begin_ms, begin_good; /* start of watching */
    uint64_t moved_ms, moved_good; /* time and number of the newest success */
};

/* Draws the present state in lines of any length.  A terminal also gets what
 * changes with time: gates that wait for a look, the time left. */
void flo_view_rollout(struct flo_view *view, const json_t *rollout, uint64_t now_ms, bool is_tty,
                      bool has_colour, struct flo_buf *out);
/* Draws one phase in a line: name, bar and counts. */
void flo_view_phase(const json_t *phase, struct flo_buf *out);
/* Draws the found slices, a line each; and all of them in one line. */
void flo_view_slices(const json_t *rollout, struct flo_buf *out);
void flo_view_slices_line(const json_t *rollout, struct flo_buf *out);
/* Draws the scanned labels, a line each; without is_all only those that are
 * scanned in part. */
void flo_view_scans(const json_t *rollout, bool is_all, struct flo_buf *out);
/* Estimates the time left, from devices that ended while watched, and soaks of
 * later phases; 0: unknown. */
uint64_t flo_view_left_ms(const struct flo_view *view, const json_t *rollout, uint64_t now_ms);

#endif
