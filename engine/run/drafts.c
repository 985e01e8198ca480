/* Drafts: the draft file of OPEN, which guesses the next tokens. */
#include "engine/run/worker.h"

#include <sys/stat.h>

/* size of a draft model below which a second thread does not help */
#define SMALL_BYTES (256u << 20)

static int descriptor_of(const struct flo_worker *worker)
{
    return worker->fds[worker->n_fds - 1];
}

static struct flo_drafter_options options_of(const struct flo_worker *worker,
                                             const struct flo_wire_open *in, uint32_t sessions)
{
    struct stat file;
    bool is_small = fstat(descriptor_of(worker), &file) < 0 || file.st_size < (off_t)SMALL_BYTES;
    return (struct flo_drafter_options){
        .sequences = sessions,
        .threads = is_small ? 1 : flo_pool_threads_of(in->threads),
        .pool = worker->pool,
        .compute = worker->compute,
    };
}

/* Returns the bytes of the budget that the engine and its adapters leave; 0: there
 * is no budget. */
static uint64_t bytes_left(const struct flo_worker *worker, uint64_t bytes_max,
                           uint64_t adapter_bytes)
{
    uint64_t used = adapter_bytes + flo_engine_info_bytes(flo_engine_info(worker->engine));
    return bytes_max == 0 ? 0 : used < bytes_max ? bytes_max - used : 1;
}

void flo_worker_open_draft(struct flo_worker *worker, const struct flo_wire_open *in,
                           const struct flo_engine_options *opened)
{
    struct flo_drafter_options options = options_of(worker, in, opened->sessions);
    if ((flo_engine_info(worker->engine)->properties & FLO_COMPUTE_DRAFTS) == 0) {
        (void)flo_fail(&worker->draft_lost, FLO_E_NOT_BUILT,
                       "wrong guesses cannot be dropped by what computes this model");
        return;
    }
    options.memory_bytes_max = bytes_left(worker, in->memory_bytes_max, opened->adapter_bytes);
    if (flo_drafter_open_fd(descriptor_of(worker), worker->engine, &options,
                            &worker->drafting.drafter, &worker->draft_lost) < 0) {
        worker->drafting.drafter = NULL;
    }
}

uint64_t flo_worker_plan_draft(const struct flo_worker *worker, const struct flo_wire_open *in,
                               const struct flo_engine_plan *plan)
{
    const struct flo_drafter_options options = options_of(worker, in, plan->sessions);
    uint64_t bytes = 0;
    return flo_drafter_plan_fd(descriptor_of(worker), plan->context, &options, &bytes, NULL) == 0
               ? bytes
               : 0;
}

void flo_worker_put_draft(const struct flo_worker *worker, struct flo_wire_ready *ready)
{
    if (worker->drafting.drafter != NULL) {
        const struct flo_drafter_info *info = flo_drafter_info(worker->drafting.drafter);
        ready->draft = flo_wire_text_of(flo_drafter_names[info->kind]);
        ready->draft_bytes = info->bytes;
    }
    ready->draft_why = flo_wire_text_of(worker->draft_lost.what);
}
