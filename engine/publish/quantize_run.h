/* Quantize run: what the files of flotilla-model quantize share.
 *
 *   quantize.c         options, and the order of work
 *   quantize_write.c   the file
 *   quantize_table.c   a chosen file next to others
 *   quantize_report.c  the text and the JSON about it */
#ifndef FLOTILLA_ENGINE_QUANTIZE_RUN_H
#define FLOTILLA_ENGINE_QUANTIZE_RUN_H

#include "engine/judge/compare.h"
#include "engine/judge/pinned.h"
#include "engine/publish/budget.h"
#include "engine/publish/fit.h"

struct quantize {
    struct flo_tool tool; /* options; the words are IN, OUT and TYPE */
    const char *pin;
    const char *pin_floats;
    const char *judge;                 /* path of a text for --judge, or NULL */
    const char *calibrate;             /* path of a text, "builtin", or NULL */
    const char *fit, *loss;            /* values of --fit and --loss, or NULL */
    uint64_t bytes_max;                /* value of --fit */
    double kl_max;                     /* value of --loss */
    const char *suite, *page, *report; /* files of --suite, --page, --report, or NULL */
    bool is_forced;

    const struct flo_mix *mix;
    struct flo_gguf *source;
    struct flo_gguf *old;              /* or NULL */
    struct flo_gguf *old_floats;       /* or NULL */
    struct flo_importance *importance; /* or NULL */
    struct flo_mix own;                /* mix of types that were chosen by tensor */
    struct flo_budget_result chosen;
    struct flo_compare_report table; /* rows: original, its copies, the chosen file */
    struct flo_pool *pool;
    uint32_t *types;                  /* [tensors of the source]: the new type of each */
    struct flo_fit_counters *tallies; /* [tensors of the source]: sums of each one's fit */
    uint8_t *data;                    /* buffer with room for the largest new tensor */
    struct flo_fit_counters all;
    struct flo_pinned_verdict verdict; /* with `judge` */
    uint64_t bytes;
    uint64_t done; /* tensors */
    uint64_t started_us;
};

#define FLO_QUANTIZE_THREADS_MAX 64

/* Tells whether types were chosen by tensor. */
static inline bool flo_quantize_is_chosen(const struct quantize *q)
{
    return q->fit != NULL || q->loss != NULL;
}
/* Returns the share of the update that is kept.  A block on a new grid counts
 * as kept in full. */
double flo_quantize_kept(const struct quantize *q);
/* Gives each tensor its type by the mix, or its own if types are chosen by tensor
 * later, and reserves memory.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_quantize_types(struct quantize *q, struct flo_err *err);
/* Writes all tensors in their types to an empty file, and counts errors. */
FLO_MUST_USE int flo_quantize_tensors(struct quantize *q, int fd, struct flo_err *err);
/* Returns the number of threads that the machine has, at most
 * FLO_QUANTIZE_THREADS_MAX. */
unsigned flo_quantize_threads(void);
/* Fills q->table with the written file next to others, and writes the page.  The
 * process has no other threads. */
FLO_MUST_USE int flo_quantize_compare(struct quantize *q, struct flo_err *err);
/* Checks the rows, and that the suite's right answers are as many as --loss
 * asks for.  FLO_E_MODEL_GATE. */
FLO_MUST_USE int flo_quantize_check_answers(const struct quantize *q, struct flo_err *err);
void flo_quantize_report_json(const struct quantize *q, struct flo_buf *out);
void flo_quantize_report_text(const struct quantize *q, struct flo_buf *out);

#endif
