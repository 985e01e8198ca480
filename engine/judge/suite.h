/* Suite: test cases with a prompt and the answer that a model should give.
 *
 * A suite may be JSONL, with one case as an object per line.  A case has
 * `prompt` and `answer`.  It may have `system`, `task` (or `skill`), `id`,
 * `max_new_tokens`, `must_contain` and `json`.  If `json` is true, the answer
 * must be JSON; by default it must be if `answer` is an object or an array.
 *
 * A suite may also be a document of the format flotilla-golden-1.  Its cases
 * have `expect_text` instead of `answer`.  They may have `raw_prompt`, with the
 * template in it, instead of `prompt`.  Unknown members are ignored. */
#ifndef FLOTILLA_ENGINE_SUITE_H
#define FLOTILLA_ENGINE_SUITE_H

#include <flotilla/base.h>

#define FLO_SUITE_BYTES_MAX (64u << 20)
#define FLO_SUITE_CASES_MAX 100000
#define FLO_SUITE_CONTAINS_MAX 16
#define FLO_SUITE_EXPECT_MAX 4096
#define FLO_SUITE_TASKS_MAX 64
#define FLO_SUITE_TASK_BYTES_MAX 64

struct flo_suite_case {
    uint32_t number; /* line of the case in the file, or its number in the golden document */
    uint32_t task;   /* index of the case's task in the suite's list of tasks */
    const char *id;  /* NULL: none */
    const char *system;
    const char *prompt;
    bool is_raw;        /* the prompt already has the form of the chat template */
    const char *answer; /* expected answer; NULL: must_contain alone decides */
    uint32_t n_contains;
    const char *contains[FLO_SUITE_CONTAINS_MAX];
    bool asks_json;
    uint32_t tokens_max; /* 0: not given */
    int32_t *expect;     /* ids of the expected answer, malloc'ed; NULL: not given */
    uint32_t n_expect;
    double gap; /* smallest difference between the two largest logits, over the expected tokens */
};
struct flo_suite {
    char *text; /* owns the strings */
    struct flo_suite_case *cases;
    size_t count;
    size_t json_count;  /* number of cases that ask for JSON */
    bool needs_answers; /* a case without answer and must_contain was refused */
    bool is_golden;     /* the suite came from a flotilla-golden-1 document */
    const char *tasks[FLO_SUITE_TASKS_MAX];
    uint32_t n_tasks; /* number of tasks, at least 1; cases without a task have the task "" */
};

/* Parses a suite.  Takes ownership of the malloc'ed `text` [bytes], with a NUL
 * behind it, also on failure.
 *
 * FLO_E_META_JSON    a line (number in the error) is not strict JSON in UTF-8
 * FLO_E_META_SCHEMA  a member is missing, repeated or of another kind, or there
 *                    is no case
 * FLO_E_MEMORY */
FLO_MUST_USE int flo_suite_take(char *text, size_t bytes, struct flo_suite *suite,
                                struct flo_err *err);
/* Does what flo_suite_take() does, but cases need no answer. */
FLO_MUST_USE int flo_suite_take_prompts(char *text, size_t bytes, struct flo_suite *suite,
                                        struct flo_err *err);
void flo_suite_deinit(struct flo_suite *suite);

/* Tells whether an answer passes.  It must have all texts of must_contain, and
 * be the expected answer if there is one.  White space around both answers is
 * ignored. */
bool flo_suite_is_exact(const struct flo_suite_case *one, const char *answer, size_t bytes);
/* Tells whether the text is a JSON object or array. */
bool flo_suite_is_json(const char *answer, size_t bytes);

#endif
