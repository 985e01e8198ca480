/* Eval: state shared by the files of flotilla-model eval.
 *
 *   eval.c          options, the loop over the suite, gates
 *   eval_side.c     one model in this process: answers, timings, rows
 *   eval_peer.c     the other model, in a process of its own
 *   eval_report.c   the table and the JSON report */
#ifndef FLOTILLA_ENGINE_EVAL_H
#define FLOTILLA_ENGINE_EVAL_H

#include "engine/judge/suite.h"
#include "engine/tools/common.h"

/* ---- eval_side.c ---- */

/* One model's answer to one case, as sent between the processes. */
struct flo_eval_answer {
    bool is_exact, is_json;
    uint32_t tokens_in, tokens_out;
    uint32_t prompt_crc;       /* checksum of the prompt's ids, to compare the vocabularies */
    uint32_t nonfinite;        /* tokens chosen from logits with NaN or infinity */
    uint32_t steps;            /* tokens computed after the first one */
    uint64_t ttft_us, rest_us; /* time to the first token; to all later ones */
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
/* Answers a case greedily; side->tokens then holds prompt and answer. */
FLO_MUST_USE int flo_eval_side_answer(struct flo_eval_side *side, const struct flo_suite_case *one,
                                      uint32_t tokens_max, struct flo_eval_answer *answer,
                                      struct flo_err *err);
/* Appends these tokens to the last answer's prompt and gives the logits that
 * predict each of them and the token after the last: count + 1 rows. */
FLO_MUST_USE int flo_eval_side_force(struct flo_eval_side *side, const int32_t *tokens,
                                     uint32_t count, flo_logits_fn *row, void *context,
                                     struct flo_err *err);

/* ---- eval_peer.c ---- */

/* Starts a child process with a model, so that each model has its own peak of
 * memory.  *peer is the socket to it; closing it ends the child.  Call it
 * before this process has threads.  The fork shares the suite. */
FLO_MUST_USE int flo_eval_peer_open(const struct flo_tool *tool, const struct flo_suite *suite,
                                    int *peer, struct flo_eval_about *about, struct flo_err *err);
/* Does what flo_eval_side_answer() does, in the other process; `tokens`
 * [tokens_out] gets the answer's ids. */
FLO_MUST_USE int flo_eval_peer_answer(int peer, size_t index, uint32_t tokens_max,
                                      struct flo_eval_answer *answer, int32_t *tokens,
                                      struct flo_err *err);
/* Has the peer compute the rows; each must then be read with
 * flo_eval_peer_row(). */
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
/* Divergence of the model's distributions q from the other's p. */
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
    uint32_t *failed; /* numbers of the failed cases */
    size_t n_failed;
    struct flo_eval_gate gates[FLO_EVAL_GATES];
    size_t n_gates;
    bool has_passed;
};
/* Writes one JSON object on a line. */
void flo_eval_report_json(const struct flo_eval_report *report, struct flo_buf *out);
void flo_eval_report_table(const struct flo_eval_report *report, struct flo_buf *out);

#endif
