/* flotilla-model draft: makes a table of drafts from a model's own answers.
 *
 * The model answers each prompt of a suite greedily, as flotilla-model eval has
 * it do.  Answers of the suite do not count, and may be absent.  Every fourth
 * answer is held out first: a table of the others shows how many of its tokens a
 * device will guess.  Then these answers come into the table, too. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/drafter.h>
#include <flotilla/plural.h>

#include "base/scratch.h"
#include "engine/judge/chunks.h"
#include "engine/judge/eval.h"
#include "engine/publish/commands.h"
#include "engine/publish/draft/held_out.h"
#include "engine/tools/outfile.h"

#define TOKENS_DEFAULT 128
#define HELD_OUT_EACH 4
#define TEXTS_MAX 6 /* as the flag's help says */

struct draft {
    struct flo_tool tool; /* options; their `count` is the most tokens per answer */
    const char *to;
    const char *texts[TEXTS_MAX];
    size_t text_count;
    struct flo_suite suite;
    struct flo_eval_side side;
    uint64_t checksum; /* checksum of the model's vocabulary */
    struct flo_draft_maker *maker;
    struct flo_held_out held;
    struct flo_held_out_score score;
    uint64_t answer_tokens, text_tokens;
    uint32_t contexts; /* contexts of the written table */
    uint64_t bytes;
};

/* ---- answers ---- */

/* Returns how many tokens side.tokens has, prompt and answer.  The token that
 * ended the answer is one of them: a device may guess it, too. */
static uint32_t take_end(struct draft *d, const struct flo_eval_answer *answer)
{
    struct flo_tool_answer *greedy = &d->side.greedy;
    uint32_t count = d->side.n_prompt + answer->tokens_out;

    if (greedy->count > 0 && flo_engine_is_end(d->side.model->text, greedy->tokens[0])) {
        d->side.tokens[count++] = greedy->tokens[0];
    }
    return count;
}

static int play_one(struct draft *d, size_t index, struct flo_err *err)
{
    const struct flo_suite_case *one = &d->suite.cases[index];
    uint32_t limit = one->tokens_max > 0 ? one->tokens_max : (uint32_t)d->tool.count;
    struct flo_eval_answer answer;

    FLO_TRY(flo_eval_side_answer(&d->side, one, limit, &answer, err));
    if (answer.nonfinite > 0) {
        return flo_fail(err, FLO_E_MODEL_NONFINITE, "a token came from NaN or infinity");
    }
    uint32_t count = take_end(d, &answer);
    d->answer_tokens += count - d->side.n_prompt;
    return index % HELD_OUT_EACH == HELD_OUT_EACH - 1
               ? flo_held_out_add(&d->held, d->side.tokens, d->side.n_prompt, count, err)
               : flo_draft_maker_add(d->maker, d->side.tokens, d->side.n_prompt, count, err);
}

static int play(struct draft *d, struct flo_err *err)
{
    uint64_t started_us = flo_now_us();

    for (size_t i = 0; i < d->suite.count; i++) {
        int rv = play_one(d, i, err);
        if (rv < 0) {
            return flo_wrap(err, rv, "%s: case %u", d->tool.args.words[1],
                            d->suite.cases[i].number);
        }
        flo_tool_progress("prompt", i + 1, d->suite.count, started_us);
    }
    return 0;
}

static int add_text(struct draft *d, const char *path, struct flo_err *err)
{
    struct flo_chunks text = {0};
    int rv = flo_chunks_of_text(d->side.model, path, &text, err);

    if (rv == 0) {
        /* a text of at most 1 GiB, so a token's number fits */
        rv = flo_draft_maker_add(d->maker, text.tokens, 0, (uint32_t)text.tokens_count, err);
    }
    d->text_tokens += text.tokens_count;
    flo_chunks_free(&text);
    return rv < 0 ? flo_wrap(err, rv, "%s", path) : 0;
}

/* ---- the table ---- */

/* Writes a table of what the maker has, and opens it as a device does. */
static int write_table(struct draft *d, int fd, struct flo_draft_table **table, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf file = {0};

    FLO_TRY(flo_draft_maker_write(d->maker, d->checksum, &file, err));
    FLO_TRY(flo_fd_write_all(fd, file.data, file.bytes, err));
    return flo_draft_table_open(fd, d->side.model->info->n_vocab, d->checksum, 0, table, err);
}

/* Measures a table of the answers that are not held out. */
static int measure(struct draft *d, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct flo_draft_table *table = NULL;

    FLO_TRY(flo_scratch_file(NULL, &fd, err));
    FLO_TRY(write_table(d, fd, &table, err));
    flo_held_out_measure(&d->held, table, &d->score);
    flo_draft_table_close(table);
    return flo_held_out_release(&d->held, d->maker, err);
}

static int carry_out(void *context, int fd, struct flo_err *err)
{
    struct flo_draft_table *table = NULL;
    struct draft *d = context;

    FLO_TRY(play(d, err));
    for (size_t i = 0; i < d->text_count; i++) {
        FLO_TRY(add_text(d, d->texts[i], err));
    }
    FLO_TRY(measure(d, err));
    FLO_TRY(write_table(d, fd, &table, err));
    d->contexts = flo_draft_table_contexts(table);
    d->bytes = flo_draft_table_bytes(table);
    flo_draft_table_close(table);
    return d->contexts > 0 ? 0
                           : flo_fail(err, FLO_E_USAGE,
                                      "%zu answers of %" PRIu64 " tokens repeat nothing that a "
                                      "table could guess",
                                      d->suite.count, d->answer_tokens);
}

/* ---- the report ---- */

static double right_percent(const struct draft *d)
{
    return d->score.tokens == 0 ? 0 : 100 * (double)d->score.right / (double)d->score.tokens;
}

static void report_json(const struct draft *d, struct flo_buf *out)
{
    flo_buf_printf(out,
                   "{\"prompts\":%zu,\"answer_tokens\":%" PRIu64 ",\"text_tokens\":%" PRIu64
                   ",\"contexts\":%u,\"bytes\":%" PRIu64
                   ",\"held_out\":{\"prompts\":%u,\"answer_tokens\":%" PRIu64
                   ",\"guessed\":%" PRIu64 ",\"right\":%" PRIu64 "}}\n",
                   d->suite.count, d->answer_tokens, d->text_tokens, d->contexts, d->bytes,
                   d->held.count, d->score.tokens, d->score.guessed, d->score.right);
}

static void report_text(const struct draft *d, struct flo_buf *out)
{
    flo_buf_printf(out, "%s: %u contexts, %" PRIu64 " bytes\n", d->to, d->contexts, d->bytes);
    flo_buf_printf(out, "made of %zu prompt%s: %" PRIu64 " tokens of answers", d->suite.count,
                   flo_s(d->suite.count), d->answer_tokens);
    if (d->text_count > 0) {
        flo_buf_printf(out, ", %" PRIu64 " of texts", d->text_tokens);
    }
    if (d->held.count == 0) {
        flo_buf_printf(out, "\nnot measured: that needs %d prompts\n", HELD_OUT_EACH);
        return;
    }
    flo_buf_printf(out,
                   "\na table of the other answers guesses %" PRIu64 " of the %" PRIu64
                   " tokens of %u held out, %" PRIu64 " right (%.1f %% of all)\n",
                   d->score.guessed, d->score.tokens, d->held.count, d->score.right,
                   right_percent(d));
}

static int print_report(const struct draft *d, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};

    (d->tool.args.is_json ? report_json : report_text)(d, &text);
    return flo_tool_print(&text, "the report", err);
}

/* ---- the run ---- */

static int open_all(struct draft *d, struct flo_err *err)
{
    d->tool.model = d->tool.args.words[0];
    FLO_TRY(flo_eval_prompts(d->tool.args.words[1], &d->suite, err));
    FLO_TRY(flo_eval_side_open(&d->side, &d->tool, err));
    d->checksum = flo_vocabulary_checksum(d->side.model->text);
    return flo_draft_maker_open(FLO_DRAFT_CONTEXT_MAX, d->side.model->info->n_vocab,
                                FLO_DRAFT_CONTEXTS_MAX, &d->maker, err);
}

static int draft(void *context, struct flo_err *err)
{
    struct draft *d = context;
    struct flo_inputs inputs = {{d->tool.args.words[0], d->tool.args.words[1]}};

    FLO_TRY(open_all(d, err));
    inputs.paths[2] = d->side.model->setup.adapter;
    _Static_assert(sizeof(inputs.paths) >= 3 * sizeof(char *) + sizeof(d->texts), "room");
    memcpy(inputs.paths + 3, d->texts, sizeof(d->texts));
    int rv = flo_outfile(d->to, inputs, carry_out, d, err);
    flo_draft_maker_close(d->maker);
    flo_held_out_deinit(&d->held);
    FLO_TRY(rv);
    return print_report(d, err);
}

static int take_text(void *context, const char *value, struct flo_err *err)
{
    struct draft *d = context;

    if (d->text_count == TEXTS_MAX) {
        return flo_fail(err, FLO_E_USAGE, "--text may be given %d times", TEXTS_MAX);
    }
    d->texts[d->text_count++] = value;
    return 0;
}

static struct draft state = {.tool.count = TOKENS_DEFAULT};
static const struct flo_flag flags[] = {
    {"to", "FILE", "the new table", FLO_TEXT(struct draft, to), .is_needed = true},
    {"tokens", "N", "tokens per answer where the suite is silent (128)",
     FLO_U64(struct draft, tool.count), .min = 1, .max = UINT32_MAX - 1},
    {"threads", "N", "threads (default: CPUs, at most 8)", FLO_U64(struct draft, tool.threads),
     .max = UINT32_MAX},
    {"text", "FILE", "also a text that answers repeat, such as earlier answers; up to 6", FLO_ASKED,
     .take = take_text},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_draft_make = {
    .name = "draft",
    .help = "make a table that guesses a model's answers, for speed",
    .usage = "MODEL SUITE --to FILE [--tokens N] [--lora FILE[:SCALE]] [--text FILE]...",
    .flags = {flo_flags_adapter, flags, FLO_FLAGS_JSON},
    .state = &state,
    .run = draft,
    .example = "helpdesk.gguf prompts.jsonl --to helpdesk.draft",
};
