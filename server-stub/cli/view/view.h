/* View: draws a rollout: phases, funnel, gates, causes, next step.  Only struct
 * flo_view is kept between two drawings. */
#ifndef FLOTILLA_CLI_VIEW_VIEW_H
#define FLOTILLA_CLI_VIEW_VIEW_H

#include "server-stub/cli/output/output.h"

#define FLO_TREND_GATES 32
#define FLO_TREND_VALUES 16

/* Facts that were seen so far while a rollout is drawn again and again: newest
 * values of each gate, and how fast devices end. */
struct flo_view {
    struct {
        char name[64];
        double values[FLO_TREND_VALUES];
        size_t count;
        uint64_t at_ms; /* time at which the newest value was added */
    } gates[FLO_TREND_GATES];
    size_t gate_count;
    uint64_t begin_ms, begin_good; /* start of watching */
    uint64_t moved_ms, moved_good; /* time of the newest success that was seen,
                                      and the number of successes then */
};

/* Draws the present state of a rollout, in lines of any length.  A terminal
 * also gets facts that change with time, such as the time left.  It also gets
 * the gates that wait for the next evaluation at which the phase may pass. */
void flo_view_rollout(struct flo_view *view, const json_t *rollout, uint64_t now_ms, bool is_tty,
                      bool has_colour, struct flo_buf *out);
/* Draws one phase in a line, with its name, a bar and its counts. */
void flo_view_phase(const json_t *phase, struct flo_buf *out);
/* Draws a line for each found slice; flo_view_slices_line draws all of them in
 * one line. */
void flo_view_slices(const json_t *rollout, struct flo_buf *out);
void flo_view_slices_line(const json_t *rollout, struct flo_buf *out);
/* Draws a line for each scanned label.  Without is_all only labels are drawn
 * that are scanned in part. */
void flo_view_scans(const json_t *rollout, bool is_all, struct flo_buf *out);
/* Estimates the time left, from devices that ended while the rollout was
 * watched, and from the soaks of later phases; 0: unknown. */
uint64_t flo_view_left_ms(const struct flo_view *view, const json_t *rollout, uint64_t now_ms);

#endif
