/* Budget: chooses the type of each tensor for a file of a stated size, or for a
 * stated loss with few bytes.
 *
 * A trial copy in about four bits shows what rounding each group of tensors costs
 * (sensitivity.h).  Within a group the cost follows the weighed errors of each
 * tensor in each type.  So every tensor and type has an expected loss, of which
 * the choice is made (choice.h).  For a stated loss the chosen file is then
 * measured, and the choice is corrected until the loss is kept. */
#ifndef FLOTILLA_ENGINE_BUDGET_H
#define FLOTILLA_ENGINE_BUDGET_H

#include "engine/memory/pool.h"
#include "engine/publish/importance.h"
#include "engine/publish/mix.h"

#define FLO_BUDGET_GROUPS_MAX 96

/* Writes the model in these types [tensors] to an empty file. */
typedef int flo_budget_write(void *context, const uint32_t *types, int fd, struct flo_err *err);

struct flo_budget {
    const char *floats; /* path of the model, and its open file */
    const struct flo_gguf *source;
    const char *text; /* as of flo_calibration_cut() */
    const struct flo_importance *importance;
    struct flo_pool *pool;
    unsigned threads;
    uint64_t bytes_max; /* largest file; 0: `kl_max` decides */
    double kl_max;      /* largest mean divergence in nats per token */
    flo_budget_write *write;
    void *context;
};

/* Tensors of one kind in a third of the layers. */
struct flo_budget_group {
    char name[48]; /* "attn_v, middle layers" */
    size_t tensors;
    double kl; /* divergence if only these are rounded to about four bits */
};
struct flo_budget_result {
    struct flo_budget_group groups[FLO_BUDGET_GROUPS_MAX];
    size_t group_count;
    size_t *group_of; /* [tensors]: the group, or FLO_NO_GROUP; malloc'ed */
    double kl;        /* measured divergence of the chosen file */
    uint64_t positions;
    uint32_t rounds; /* files that were written and measured */
};

/* Chooses types [tensors of the source].  The caller frees result->group_of.
 *
 * FLO_E_USAGE   even the smallest types need more bytes (the sentence has them)
 * and the errors of measuring and writing */
FLO_MUST_USE int flo_budget_choose(const struct flo_budget *budget, uint32_t *types,
                                   struct flo_budget_result *result, struct flo_err *err);

/* Fails with FLO_E_MODEL_GATE: `what` of the file is `value`, and `most` at most. */
int flo_budget_missed(struct flo_err *err, const char *what, double value, double most);

/* Reads "1.2GiB", "90MB" or "5000".  FLO_E_USAGE. */
FLO_MUST_USE int flo_budget_read_size(const char *text, uint64_t *bytes, struct flo_err *err);
/* Reads "1%".  A loss of p % is a mean divergence of ln(1 + p / 100): so much the
 * perplexity rises on what the original would write.  FLO_E_USAGE. */
FLO_MUST_USE int flo_budget_read_loss(const char *text, double *kl, struct flo_err *err);

#endif
