/* Shared by the files of flotilla-model eval.
 *
 *   eval.c          options, the walk through the suite, gates
 *   eval_side.c     one model in this process: answers, timings, rows
 *   eval_peer.c     the other model, in a process of its own
 *   eval_report.c   the table and the JSON report */
#ifndef FLOTILLA_ENGINE_EVAL_H
#define FLOTILLA_ENGINE_EVAL_H

#include "engine/judge/suite.h"
#include "engine/tools/common.h"

/* ---- eval_side.c ---- */

/* An answer of one model to one case, as it crosses the processes. */
struct flo_eval_answer {
    bool is_exact, is_json;
    uint32_t tokens_in, tokens_out;
    uint32_t prompt_crc;       /* prompt's ids: are the vocabularies one? */
    uint32_t nonfinite;        /* tokens chosen from logits that are not finite */
    uint32_t steps;            /* computed after the first token */
    uint64_t ttft_us, rest_us; /* first token; all after it */
};

struct flo_eval_about {
    struct flo_engine_info info;
    uint64_t rss_bytes_peak;
};

struct flo_eval_side {
    struct flo_tool_answer greedy;
    struct flo_tool_model *model; /* greedy's */
    int32_t *tokens;              /* [context]: the prompt, then the answer */
    uint32_t n_prompt;
    struct flo_buf text;
};

FLO_MUST_USE int flo_eval_side_open(struct flo_eval_side *side, const struct flo_tool *tool,
                                    struct flo_err *err);
void flo_eval_side_about(const struct flo_eval_side *side, struct flo_eval_about *about);
/* Greedy answer to a case; side->tokens holds prompt and answer then. */
FLO_MUST_USE int flo_eval_side_answer(struct flo_eval_side *side, const struct flo_suite_case *one,
                                      uint32_t tokens_max, struct flo_eval_answer *answer,
                                      struct flo_err *err);
/* Behind the prompt of the last answer: the logits that foretell each of
 * these tokens and what follows the last, count + 1 rows. */
FLO_MUST_USE int flo_eval_side_force(struct flo_eval_side *side, const int32_t *tokens,
                                     uint32_t count, flo_logits_fn *row, void *context,
                                     struct flo_err *err);

/* ---- eval_peer.c ---- */

/* A model in a child process, so that each has its own peak of memory; *peer
 * is the socket to it, and it ends with this process.  Before this one has
 * threads.  The suite is shared by the fork. */
FLO_MUST_USE int flo_eval_peer_open(const struct flo_tool *tool, const struct flo_suite *suite,
                                    int *peer, struct flo_eval_about *about, struct flo_err *err);
/* As of a side; `tokens` [tokens_out] gets the answer's ids. */
FLO_MUST_USE int flo_eval_peer_answer(int peer, size_t index, uint32_t tokens_max,
                                      struct flo_eval_answer *answer, int32_t *tokens,
                                      struct flo_err *err);
/* Let it compute the rows; each is then to be taken in turn. */
FLO_MUST_USE int flo_eval_peer_force(int peer, const int32_t *tokens, uint32_t count,
                                     struct flo_err *err);
FLO_MUST_USE int flo_eval_peer_row(int peer, float *row, uint32_t n_vocab, struct flo_err *err);
FLO_MUST_USE int flo_eval_peer_about(int peer, struct flo_eval_about *about, struct flo_err *err);

/* ---- eval_report.c ---- */

struct flo_eval_file {
    const char *path;
    struct flo_digest digest;
    uint64_t bytes;
};
/* Results of one model over the suite. */
struct flo_eval_score {
    struct flo_eval_file file;
    struct flo_eval_about about;
    uint32_t exact, json;
    uint32_t task_exact[FLO_SUITE_TASKS_MAX];
    uint64_t tokens_in, tokens_out, nonfinite, rest_us, steps;
    struct flo_histogram ttft_us;
};
/* The model's distributions q against the other's p. */
struct flo_eval_distance {
    uint64_t positions, same_best, nonfinite;
    struct flo_buf kls; /* double [positions - nonfinite] */
    double kl_mean, kl_max, kl_p99;
};
struct flo_eval_gate {
    const char *name;
    double limit, value;
    bool has_passed;
};
enum { FLO_EVAL_GATES = 3 };
struct flo_eval_report {
    struct flo_eval_file suite_file;
    const struct flo_suite *suite;
    uint32_t task_cases[FLO_SUITE_TASKS_MAX];
    uint32_t tokens_max;
    struct flo_eval_score model, against;
    bool has_against;
    struct flo_eval_distance distance;
    uint32_t *failed; /* numbers of the cases that the model failed */
    size_t n_failed;
    struct flo_eval_gate gates[FLO_EVAL_GATES];
    size_t n_gates;
    bool has_passed;
};
/* One object on a line. */
void flo_eval_report_json(const struct flo_eval_report *report, struct flo_buf *out);
void flo_eval_report_table(const struct flo_eval_report *report, struct flo_buf *out);

#endif
