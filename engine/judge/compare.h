/* Compare: types and functions that the files of flotilla-model compare share.
 *
 *   compare.c         the walk over the suite, and the options
 *   compare_open.c    the rows: candidates and their quantised copies
 *   compare_states.c  the walk over the prompts for the errors by layer
 *   compare_layers.c  who has such errors, and these as JSON
 *   compare_table.c   the tables in the terminal and the JSON
 *   compare_page.c    the page with pictures */
#ifndef FLOTILLA_ENGINE_COMPARE_H
#define FLOTILLA_ENGINE_COMPARE_H

#include "engine/judge/eval.h"
#include "engine/judge/layer_errors.h"

#define FLO_COMPARE_MODELS_MAX 8
/* most rows: every model and its quantised copies, each of them a process */
#define FLO_COMPARE_ROWS_MAX 32
#define FLO_COMPARE_NAME_BYTES 256

/* Results of one model. */
struct flo_compare_row {
    struct flo_eval_file file; /* `path` is the candidate's, also for a quantised copy */
    const char *type;          /* type of a quantised copy; NULL: the candidate's file itself */
    bool has_twin;             /* the file of another candidate has the same name */
    struct flo_eval_about about;
    uint32_t exact;
    uint64_t tokens_in, prompt_us; /* microseconds to the first tokens of all answers */
    uint64_t steps, answer_us;     /* number of later tokens, and their microseconds */
    bool has_kl;                   /* the tokens of all prompts were those of the first model */
    uint64_t positions, nonfinite; /* compared positions, and those without a finite result */
    double kl_sum;
    struct flo_states_shape shape;  /* the hidden states, if the report has layers */
    struct flo_layer_errors layers; /* see flo_compare_has_layers() */
    struct flo_err error;           /* reason why the row has no results; code 0: it has them */
};

struct flo_compare_report {
    struct flo_eval_file suite_file;
    size_t cases;
    bool only_asks;  /* the cases have no right answers, so none is counted */
    bool has_layers; /* errors by layer were asked for */
    uint32_t tokens_max;
    struct flo_compare_row rows[FLO_COMPARE_ROWS_MAX];
    size_t count;
};

/* ---- compare.c ---- */

struct flo_compare_ask {
    const struct flo_tool *tool; /* options of all models */
    const struct flo_suite *suite;
    const char *const *models; /* [count]: paths; the first is compared with all others */
    size_t count;
    const char *types; /* as of --types, or NULL */
};
/* Scores all models and their copies.  The caller has set report->suite_file,
 * tokens_max, only_asks and has_layers; the other fields are filled.  Called
 * while this process has no other threads.  Errors of flo_compare_types(),
 * flo_compare_rows() and flo_compare_states_open(); what a model failed with is
 * its row's. */
FLO_MUST_USE int flo_compare_run(const struct flo_compare_ask *ask,
                                 struct flo_compare_report *report, struct flo_err *err);
/* Returns a row's mean divergence from the first model, or 0. */
double flo_compare_kl(const struct flo_compare_row *row);

/* ---- compare_open.c ---- */

/* Models that are compared, each with a process once it is open. */
struct flo_compare_files {
    /* [row]: unnamed file of a quantised copy, or -1; the kernel removes it
     * when the last process that has it ends, whatever ends it */
    int fds[FLO_COMPARE_ROWS_MAX];
    const struct flo_mix *mixes[FLO_COMPARE_MODELS_MAX];
    size_t mix_count;
};

/* Reads the names of --types, separated by commas.  FLO_E_USAGE. */
FLO_MUST_USE int flo_compare_types(const char *types, struct flo_compare_files *files,
                                   struct flo_err *err);
/* Makes the rows of the candidates: each file itself, then a copy in each type
 * if its weights are floats.  A file that cannot be read or copied becomes a
 * row with its error.  FLO_E_USAGE: too many rows, or no file for the types. */
FLO_MUST_USE int flo_compare_rows(const char *const *paths, size_t count,
                                  struct flo_compare_files *files,
                                  struct flo_compare_report *report, struct flo_err *err);
void flo_compare_files_close(struct flo_compare_files *files);

/* ---- compare_states.c ---- */

/* Prepares the open models (their sockets are peers [rows], -1: none) for errors
 * by layer, and finds which of them have the same layers.  FLO_E_NOT_BUILT: the
 * states of a model cannot be seen. */
FLO_MUST_USE int flo_compare_states_open(struct flo_compare_report *report, const int *peers,
                                         struct flo_err *err);
/* Measures the errors by layer.  A model that fails gets its row's error.
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_compare_states_run(struct flo_compare_report *report, const int *peers,
                                        const struct flo_suite *suite, struct flo_err *err);

/* ---- compare_layers.c ---- */

#define FLO_COMPARE_PLACE_BYTES 16

/* Returns the row from which a row's errors by layer are measured: a copy's
 * candidate, or the first model. */
size_t flo_compare_from(const struct flo_compare_report *report, size_t row);
/* Tells whether a row has errors by layer: its layers and its tokens of all
 * prompts are those of the other model. */
bool flo_compare_has_layers(const struct flo_compare_report *report, size_t row);
/* Returns the name of a place of struct flo_layer_errors, which may be in
 * `name`. */
const char *flo_compare_place(uint32_t place, char name[FLO_COMPARE_PLACE_BYTES]);
/* Writes the member `layers` of a row. */
void flo_compare_layers_json(const struct flo_compare_report *report, size_t row,
                             struct flo_buf *out);

/* ---- compare_table.c ---- */

enum flo_compare_column {
    FLO_COMPARE_EXACT,
    FLO_COMPARE_KL,
    FLO_COMPARE_PROMPT_SPEED,
    FLO_COMPARE_ANSWER_SPEED,
    FLO_COMPARE_RSS,
    FLO_COMPARE_BYTES,
    FLO_COMPARE_COLUMNS,
};
extern const char *const flo_compare_titles[FLO_COMPARE_COLUMNS];

/* Texts of a row. */
struct flo_compare_cells {
    char name[FLO_COMPARE_NAME_BYTES]; /* the file's name, or its path, and the type */
    char texts[FLO_COMPARE_COLUMNS][32];
};
void flo_compare_cells(const struct flo_compare_report *report, size_t row,
                       struct flo_compare_cells *cells);
/* Returns the tokens of answers per second, or 0 if none was computed. */
double flo_compare_speed(const struct flo_compare_row *row);
void flo_compare_table(const struct flo_compare_report *report, struct flo_buf *out);
/* Writes the report as one JSON object on a line. */
void flo_compare_json(const struct flo_compare_report *report, struct flo_buf *out);

/* ---- compare_page.c ---- */

/* Writes the report as one HTML document, which needs no other file and has no
 * script. */
void flo_compare_page(const struct flo_compare_report *report, struct flo_buf *out);

#endif
