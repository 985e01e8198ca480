/* Guesses stand-in: takes the place of guessed tokens and draft files in a build
 * without them.  Each pass computes the tokens that are known. */
#include "base/left_out.h"
#include "engine/run/worker.h"

void flo_draft_begin(struct flo_draft *draft, const struct flo_draft *known)
{
    (void)draft, (void)known;
}

void flo_draft_end(struct flo_draft *draft, uint32_t made)
{
    (void)draft, (void)made;
}

void flo_job_guess(struct flo_job *job, struct flo_drafting *drafting)
{
    (void)job, (void)drafting;
}

void flo_job_learn(struct flo_job *job, int32_t chosen)
{
    (void)job, (void)chosen;
}

void flo_job_cost(struct flo_job *job, struct flo_draft_costs *costs, uint32_t rows, float us)
{
    (void)job, (void)costs, (void)rows, (void)us;
}

void flo_worker_open_draft(struct flo_worker *worker, const struct flo_wire_open *in,
                           const struct flo_engine_options *opened)
{
    (void)in, (void)opened;
    (void)flo_left_out(&worker->draft_lost, "drafts", "FLOTILLA_DRAFTS");
}

uint64_t flo_worker_plan_draft(const struct flo_worker *worker, const struct flo_wire_open *in,
                               const struct flo_engine_plan *plan)
{
    (void)worker, (void)in, (void)plan;
    return 0;
}

void flo_worker_put_draft(const struct flo_worker *worker, struct flo_wire_ready *ready)
{
    ready->draft_why = flo_wire_text_of(worker->draft_lost.what);
}

void flo_drafter_forget(struct flo_drafter *drafter, uint32_t sequence)
{
    (void)drafter, (void)sequence;
}

void flo_drafter_close(struct flo_drafter *drafter)
{
    (void)drafter;
}
