/* Compare states: measures how far the hidden states of each model are from
 * those of another, over all tokens of the suite's prompts.
 *
 * It comes after the answers, so that it changes neither times nor memory of a
 * model.  One model after the other computes a few tokens, and only their states
 * are in memory. */
#include "engine/judge/compare.h"

#include <stdlib.h>

struct walk {
    struct flo_compare_report *report;
    const struct flo_suite *suite;
    const int *peers;
    float *from, *other; /* the largest states of FLO_STATES_TOKENS_MAX tokens */
};

static bool is_open(const struct walk *w, size_t i)
{
    return w->peers[i] >= 0 && w->report->rows[i].error.code == 0;
}

/* ---- before the answers ---- */

int flo_compare_states_open(struct flo_compare_report *report, const int *peers,
                            struct flo_err *err)
{
    for (size_t i = 0; i < report->count; i++) {
        struct flo_compare_row *row = &report->rows[i];
        const struct flo_compare_row *from = &report->rows[flo_compare_from(report, i)];
        if (peers[i] < 0) {
            continue;
        }
        int rv = flo_eval_peer_watch(peers[i], &row->shape, err);
        if (rv < 0) {
            (void)flo_err_fix(err, "leave out --layers");
            return flo_wrap(err, rv, "--layers: %s", row->file.path);
        }
        bool is_alike =
            from->shape.places == row->shape.places && from->shape.width == row->shape.width;
        row->layers.places = is_alike && from != row ? row->shape.places : 0;
    }
    return 0;
}

/* ---- after them ---- */

static void fail(struct walk *w, size_t i, size_t index)
{
    struct flo_err *err = &w->report->rows[i].error;

    (void)flo_wrap(err, err->code, "layers, case %u", w->suite->cases[index].number);
}

/* Has a model tokenise a prompt.  Returns its number of tokens, or 0 if that
 * failed. */
static uint32_t ask_prompt(struct walk *w, size_t i, size_t index, uint32_t *crc)
{
    struct flo_eval_answer answer = {0};

    if (flo_eval_peer_prompt(w->peers[i], index, &answer, &w->report->rows[i].error) < 0) {
        fail(w, i, index);
    }
    *crc = answer.prompt_crc;
    return answer.tokens_in;
}

static bool ask_states(struct walk *w, size_t i, size_t index, uint32_t count, float *values)
{
    struct flo_compare_row *row = &w->report->rows[i];
    int rv = flo_eval_peer_states(w->peers[i], &row->shape, count, values, &row->error);

    if (rv < 0) {
        fail(w, i, index);
    }
    return rv == 0;
}

/* Tells whether a row's errors are measured from another one. */
static bool is_member(const struct walk *w, size_t i, size_t from)
{
    return is_open(w, i) && w->report->rows[i].layers.places > 0 &&
           flo_compare_from(w->report, i) == from;
}

static size_t count_members(const struct walk *w, size_t from)
{
    size_t count = 0;

    for (size_t i = 0; i < w->report->count; i++) {
        count += is_member(w, i, from) ? 1 : 0;
    }
    return count;
}

/* Gives the models the next prompt.  Those that make other tokens of it have no
 * errors by layer any more. */
static uint32_t begin(struct walk *w, size_t from, size_t index)
{
    uint32_t crc, other, total = ask_prompt(w, from, index, &crc);

    for (size_t i = 0; total > 0 && i < w->report->count; i++) {
        if (is_member(w, i, from) && (ask_prompt(w, i, index, &other) != total || other != crc)) {
            w->report->rows[i].layers.places = 0;
        }
    }
    return total;
}

/* Measures one prompt. */
static void measure(struct walk *w, size_t from, size_t index)
{
    uint32_t total = begin(w, from, index);

    for (uint32_t at = 0, count; at < total; at += count) {
        uint32_t left = total - at;
        count = left < FLO_STATES_TOKENS_MAX ? left : FLO_STATES_TOKENS_MAX;
        if (!ask_states(w, from, index, count, w->from)) {
            return;
        }
        for (size_t i = 0; i < w->report->count; i++) {
            struct flo_compare_row *row = &w->report->rows[i];
            if (is_member(w, i, from) && ask_states(w, i, index, count, w->other)) {
                flo_layer_errors_add(&row->layers, w->from, w->other, count, row->shape.width);
            }
        }
    }
}

static int make_room(struct walk *w, struct flo_err *err)
{
    size_t values = 1;

    for (size_t i = 0; i < w->report->count; i++) {
        const struct flo_states_shape *shape = &w->report->rows[i].shape;
        size_t here = (size_t)shape->places * shape->width * FLO_STATES_TOKENS_MAX;
        values = here > values ? here : values;
    }
    w->from = calloc(values, sizeof(*w->from));
    w->other = calloc(values, sizeof(*w->other));
    return w->from != NULL && w->other != NULL
               ? 0
               : flo_fail(err, FLO_E_MEMORY, "states of %zu values", values);
}

int flo_compare_states_run(struct flo_compare_report *report, const int *peers,
                           const struct flo_suite *suite, struct flo_err *err)
{
    struct walk w = {.report = report, .suite = suite, .peers = peers};
    uint64_t started_us = flo_now_us();
    int rv = make_room(&w, err);

    for (size_t index = 0; rv == 0 && index < suite->count; index++) {
        for (size_t from = 0; from < report->count; from++) {
            if (is_open(&w, from) && count_members(&w, from) > 0) {
                measure(&w, from, index);
            }
        }
        flo_tool_progress("layers, case", index + 1, suite->count, started_us);
    }
    free(w.from);
    free(w.other);
    return rv;
}
