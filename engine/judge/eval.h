/* Eval: types and functions that the files of flotilla-model eval share.
 *
 *   eval.c          options, the loop over the suite, gates
 *   eval_open.c     the files: suite and models
 *   eval_side.c     one model in this process: answers, timings, rows
 *   eval_peer.c     the other model, in a process of its own
 *   eval_report.c   the table and the JSON report */
#ifndef FLOTILLA_ENGINE_EVAL_H
#define FLOTILLA_ENGINE_EVAL_H

#include "engine/judge/states.h"
#include "engine/judge/suite.h"
#include "engine/tools/common.h"

/* ---- eval_open.c ---- */

struct flo_eval_file {
    const char *path;
    struct flo_digest digest;
    uint64_t bytes;
};
/* Computes the digest of a file for a report. */
FLO_MUST_USE int flo_eval_file(const char *path, struct flo_eval_file *file, struct flo_err *err);
/* Reads a suite from a file, whose cases may be without answers.  Fails as
 * flo_suite_take() does. */
FLO_MUST_USE int flo_eval_prompts(const char *path, struct flo_suite *suite, struct flo_err *err);
/* Reads a suite, and the digest of its file.  Fails as flo_suite_take() does. */
FLO_MUST_USE int flo_eval_suite(const char *path, struct flo_suite *suite,
                                struct flo_eval_file *file, struct flo_err *err);

/* ---- eval_side.c ---- */

/* Answer of one model to one case, as sent between the processes. */
struct flo_eval_answer {
    bool is_exact, is_json;
    uint32_t tokens_in, tokens_out;
    /* checksum of the prompt's ids, which shows whether the vocabularies
     * differ */
    uint32_t prompt_crc;
    uint32_t nonfinite;        /* number of tokens chosen from logits with a NaN or infinity */
    uint32_t steps;            /* number of tokens computed after the first one */
    uint64_t ttft_us, rest_us; /* microseconds to the first token, and for all later ones */
};

struct flo_eval_about {
    struct flo_engine_info info;
    uint64_t rss_bytes_peak;
};

struct flo_eval_side {
    struct flo_tool_answer greedy;
    struct flo_tool_model *model; /* greedy's */
    int32_t *tokens;              /* [context]: ids of the prompt, then of the answer */
    uint32_t n_prompt;
    struct flo_buf text;
    struct flo_states *states; /* NULL until flo_eval_side_watch() */
    uint32_t seen;             /* tokens of the prompt whose states were computed */
};

FLO_MUST_USE int flo_eval_side_open(struct flo_eval_side *side, const struct flo_tool *tool,
                                    struct flo_err *err);
void flo_eval_side_about(const struct flo_eval_side *side, struct flo_eval_about *about);
/* Answers a case greedily.  side->tokens then holds the ids of prompt and
 * answer. */
FLO_MUST_USE int flo_eval_side_answer(struct flo_eval_side *side, const struct flo_suite_case *one,
                                      uint32_t tokens_max, struct flo_eval_answer *answer,
                                      struct flo_err *err);
/* Appends these tokens to the prompt of the last answer.  `row` gets count +
 * 1 rows of logits: those that predict each token, and the token after the
 * last. */
FLO_MUST_USE int flo_eval_side_force(struct flo_eval_side *side, const int32_t *tokens,
                                     uint32_t count, flo_logits_fn *row, void *context,
                                     struct flo_err *err);

/* Prepares for flo_eval_side_states().  Errors of flo_states_open(). */
FLO_MUST_USE int flo_eval_side_watch(struct flo_eval_side *side, struct flo_states_shape *shape,
                                     struct flo_err *err);
/* Tokenises a case's prompt and forgets the last one.  Only tokens_in and
 * prompt_crc of *answer are set. */
FLO_MUST_USE int flo_eval_side_prompt(struct flo_eval_side *side, const struct flo_suite_case *one,
                                      struct flo_eval_answer *answer, struct flo_err *err);
/* Computes the states of the prompt's next tokens, as flo_states_run() does. */
FLO_MUST_USE int flo_eval_side_states(struct flo_eval_side *side, uint32_t count,
                                      const float **values, struct flo_err *err);

/* ---- eval_peer.c ---- */

/* Starts a child process with a second model, so that each model has its own
 * peak of memory.  *peer is the socket to the child, which ends when the socket
 * is closed.  Called before this process has threads.  The child shares the
 * suite. */
FLO_MUST_USE int flo_eval_peer_open(const struct flo_tool *tool, const struct flo_suite *suite,
                                    int *peer, struct flo_eval_about *about, struct flo_err *err);
/* Does what flo_eval_side_answer() does, but in the peer's process.  `tokens`
 * gets the ids of the answer, as many as tokens_out. */
FLO_MUST_USE int flo_eval_peer_answer(int peer, size_t index, uint32_t tokens_max,
                                      struct flo_eval_answer *answer, int32_t *tokens,
                                      struct flo_err *err);
/* Has the peer tokenise the suite's answer to the case it answered last.
 * `tokens` gets at most as many ids as the peer's context has room for. */
FLO_MUST_USE int flo_eval_peer_tokens(int peer, size_t index, int32_t *tokens, uint32_t *count,
                                      struct flo_err *err);
/* Has the peer compute rows of logits.  The caller must read each of them with
 * flo_eval_peer_row(). */
FLO_MUST_USE int flo_eval_peer_force(int peer, const int32_t *tokens, uint32_t count,
                                     struct flo_err *err);
FLO_MUST_USE int flo_eval_peer_row(int peer, float *row, uint32_t n_vocab, struct flo_err *err);
FLO_MUST_USE int flo_eval_peer_about(int peer, struct flo_eval_about *about, struct flo_err *err);
/* Do what flo_eval_side_watch(), flo_eval_side_prompt() and
 * flo_eval_side_states() do, but in the peer's process.  `values` has room for
 * the states of `count` tokens. */
FLO_MUST_USE int flo_eval_peer_watch(int peer, struct flo_states_shape *shape, struct flo_err *err);
FLO_MUST_USE int flo_eval_peer_prompt(int peer, size_t index, struct flo_eval_answer *answer,
                                      struct flo_err *err);
FLO_MUST_USE int flo_eval_peer_states(int peer, const struct flo_states_shape *shape,
                                      uint32_t count, float *values, struct flo_err *err);

/* ---- eval_report.c ---- */

/* Results of one model for the suite. */
struct flo_eval_score {
    struct flo_eval_file file;
    struct flo_eval_about about;
    uint32_t exact, json;
    uint32_t task_exact[FLO_SUITE_TASKS_MAX];
    uint64_t tokens_in, tokens_out, nonfinite, rest_us, steps;
    struct flo_histogram ttft_us;
};
/* Divergence of the distributions q of the model under test from those of the
 * peer, p. */
struct flo_eval_distance {
    uint64_t positions, same_best, nonfinite;
    struct flo_buf kls; /* a double for each of (positions - nonfinite) positions */
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
    uint32_t *failed; /* numbers of the cases that failed */
    size_t n_failed;
    struct flo_eval_gate gates[FLO_EVAL_GATES];
    size_t n_gates;
    bool has_passed;
};
/* Writes the report as one JSON object on a line. */
void flo_eval_report_json(const struct flo_eval_report *report, struct flo_buf *out);
void flo_eval_report_table(const struct flo_eval_report *report, struct flo_buf *out);

#endif
