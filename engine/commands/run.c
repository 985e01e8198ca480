/* flotilla-engine run: answer a prompt, streaming text to stdout. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/prefix.h>

#include "engine/commands/commands.h"
#include "engine/tools/common.h"
#include "engine/tools/outfile.h"

struct run {
    struct flo_tool tool;
    struct flo_tool_prompt prompt;
    const char *prefix_path; /* a prompt's beginning, kept between runs */
    bool shows_stats;
    bool no_pack;
    struct flo_tool_answer answer;
    int32_t *tokens;             /* [context]: the prompt */
    size_t count;                /* of them */
    uint64_t made, made_us;      /* tokens of the answer */
    uint64_t room;               /* tokens that the context still takes */
    struct flo_session *session; /* that begins with the prefix */
    uint32_t used;               /* tokens that it began with */
    uint32_t held;               /* tokens of the prompt that the file has */
    uint32_t kept;               /* tokens that the file is to have */
    uint64_t read_us;
    char why[128]; /* the file was not used, or not there */
};

/* ---- the prompt's beginning ---- */

/* Begin the empty model with what the file and the prompt share, but for the
 * prompt's last token.  A file that does not fit is no error, one that is
 * something else is (it would be overwritten). */
static int read_prefix(struct run *run, size_t count, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    const struct flo_tool_model *model = &run->answer.model;
    uint64_t started_us = flo_now_us();
    struct flo_err why = {0};
    int rv;

    if (model->backend != &flo_backend_native) {
        return flo_fail(err, FLO_E_USAGE, "backend '%s' keeps no prefix",
                        model->backend->name);
    }
    run->session = flo_backend_native_session(model->state);
    rv = flo_file_open(run->prefix_path, &fd, &why);
    if (rv == 0) {
        rv = flo_prefix_read(run->session, fd, &why);
    }
    if (rv == FLO_E_USAGE || rv == FLO_E_IO_OPEN || rv == FLO_E_IO_READ) {
        *err = why;
        return flo_wrap(err, rv, "%s", run->prefix_path);
    }
    snprintf(run->why, sizeof(run->why), "%.127s", why.what);
    run->held = flo_session_common(run->session, run->tokens, count);
    run->used = flo_session_common(run->session, run->tokens, count - 1);
    flo_session_truncate(run->session, run->used);
    run->read_us = flo_now_us() - started_us;
    return 0;
}

static int write_prefix(void *context, int fd, struct flo_err *err)
{
    const struct run *run = context;
    uint64_t bytes = flo_prefix_bytes(run->answer.model.text, run->kept);
    int rv = flo_outfile_reserve(fd, bytes, "bytes of a prefix", err);

    return rv < 0
               ? rv
               : flo_prefix_write(run->session, run->kept, fd, NULL, NULL, err);
}

/* Worth keeping: the system's turn, or, without one, the whole prompt. */
static int keep_prefix(struct run *run, struct flo_err *err)
{
    const char *system = run->prompt.system;
    size_t count = run->count;
    int rv = 0;

    if (system != NULL && !run->prompt.is_raw) {
        size_t max = run->answer.model.info->context;
        int32_t *others = malloc(max * sizeof(*others));

        rv = others == NULL
                 ? flo_fail(err, FLO_E_MEMORY, "a prompt")
                 : flo_tool_prompt(run->answer.model.text,
                                   &(struct flo_tool_prompt){system, "", false},
                                   others, max, &count, err);
        if (rv == 0) {
            count = flo_tokens_common(run->tokens, run->count, others, count);
        }
        free(others);
    }
    run->kept = (uint32_t)(count - count % FLO_PREFIX_TOKENS);
    return rv < 0 || run->kept <= run->held
               ? rv
               : flo_outfile(
                     run->prefix_path,
                     (struct flo_inputs){
                         {run->tool.model, run->answer.model.setup.packed}},
                     write_prefix, run, err);
}

/* ---- the answer ---- */

static int stream(struct run *run, struct flo_err *err)
{
    struct flo_tool_answer *a = &run->answer;
    struct flo_engine *engine = a->model.text;
    struct flo_engine_stream text = {0};
    struct flo_buf out = {0};
    uint64_t started_us = flo_now_us();
    int rv = flo_tool_answer_next(a, run->tool.count - run->made, err);

    while (rv == 0 && a->count > 0 &&
           !flo_engine_is_end(engine, a->tokens[0]) && a->count <= run->room) {
        run->made += a->count;
        run->room -= a->count;
        out.bytes = 0;
        for (size_t i = 0; i < a->count; i++) {
            flo_engine_stream_add(&text, engine, a->tokens[i], &out);
        }
        rv = flo_tool_print(&out, "the answer", err);
        if (rv == 0) {
            rv = flo_tool_answer_next(a, run->tool.count - run->made, err);
        }
    }
    run->made_us = flo_now_us() - started_us;
    out.bytes = 0;
    flo_engine_stream_finish(&text, &out);
    flo_buf_text(&out, "\n");
    rv = rv < 0 ? rv : flo_tool_print(&out, "the answer", err);
    flo_buf_deinit(&out);
    return rv;
}

static void print_stats(const struct run *run, uint64_t prompt_us)
{
    const struct flo_engine_info *info = run->answer.model.info;
    uint64_t made_us = run->made_us;

    if (run->prefix_path != NULL) {
        fprintf(stderr, "prefix %u tokens of the file in %.1f ms%s%s\n",
                run->used, (double)run->read_us / 1e3,
                run->why[0] != '\0' ? ": " : "", run->why);
    }
    fprintf(stderr,
            "load %.1f ms, prompt %zu tokens in %.1f ms, "
            "answer %llu tokens in %.1f ms: %.1f tokens/s, kernel %s\n",
            (double)info->load_us / 1e3, run->count, (double)prompt_us / 1e3,
            (unsigned long long)run->made, (double)made_us / 1e3,
            made_us == 0 ? 0 : (double)run->made * 1e6 / (double)made_us,
            info->kernel);
}

/* Tokens that a grammar forces at the beginning are computed with
 * the prompt. */
static int force(struct run *run, size_t *forced, struct flo_err *err)
{
    struct flo_buf head = {0};
    int32_t *tokens = run->tokens + run->count;
    size_t room = run->answer.model.info->context - run->count;
    int rv;

    *forced = flo_grammar_forced(
        run->answer.grammar, tokens,
        (size_t)(room < run->tool.count ? room : run->tool.count));
    rv = flo_engine_detokenise(run->answer.model.text, tokens, *forced, false,
                               &head, err);
    rv = rv < 0 ? rv : flo_tool_print(&head, "the answer", err);
    flo_buf_deinit(&head);
    return rv;
}

static int answer(struct run *run, struct flo_err *err)
{
    struct flo_tool_answer *a = &run->answer;
    size_t forced = 0, all, tokens_max = a->model.info->context;
    uint64_t prompt_us;
    int rv;

    run->tokens = malloc(tokens_max * sizeof(*run->tokens));
    if (run->tokens == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a prompt");
    }
    if ((rv = flo_tool_prompt(a->model.text, &run->prompt, run->tokens,
                              tokens_max, &run->count, err)) < 0 ||
        (a->grammar != NULL && (rv = force(run, &forced, err)) < 0)) {
        return rv;
    }
    all = run->count + forced;
    for (size_t i = 0; i < all; i++) {
        flo_sampler_accept(a->sampler, run->tokens[i]);
    }
    prompt_us = flo_now_us();
    if (run->prefix_path != NULL && (rv = read_prefix(run, all, err)) < 0) {
        return rv;
    }
    rv =
        flo_tool_feed(&a->model, run->tokens + run->used, all - run->used, err);
    prompt_us = flo_now_us() - prompt_us;
    run->made = forced;
    run->room = tokens_max - all;
    rv = rv < 0 ? rv : stream(run, err);
    if (rv == 0 && run->prefix_path != NULL) {
        rv = keep_prefix(run, err);
    }
    if (rv == 0 && run->shows_stats) {
        print_stats(run, prompt_us);
    }
    return rv;
}

#define PROMPT_BYTES_MAX (16u << 20)

/* All of stdin; the line end that a shell adds is no part of it. */
static int read_prompt(struct flo_buf *out, struct flo_err *err)
{
    char piece[4096];
    size_t bytes;

    out->bytes_max = PROMPT_BYTES_MAX;
    flo_buf_text(out, "");
    while ((bytes = fread(piece, 1, sizeof(piece), stdin)) > 0) {
        flo_buf_add(out, piece, bytes);
    }
    if (ferror(stdin) != 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "stdin");
    }
    if (out->failed || out->data == NULL) {
        return flo_fail(err, FLO_E_USAGE,
                        "--prompt -: stdin has more than %u MiB",
                        PROMPT_BYTES_MAX >> 20);
    }
    if (out->bytes > 0 && out->data[out->bytes - 1] == '\n') {
        out->data[--out->bytes] = '\0';
    }
    return 0;
}

static int run_model(void *context, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    struct run *run = context;
    int rv = 0;

    if (run->prefix_path != NULL && run->tool.lora != NULL) {
        return flo_fail(err, FLO_E_USAGE,
                        "--prefix-file and --lora exclude each other");
    }
    run->tool.caches_packed = !run->no_pack;
    if (rv == 0 && strcmp(run->prompt.prompt, "-") == 0) {
        rv = read_prompt(&text, err);
        run->prompt.prompt = text.data;
    }
    rv = rv < 0 ? rv
                : flo_tool_answer_open(&run->tool, FLO_VOCABULARY_NEEDED,
                                       &run->answer, err);
    return rv < 0 ? rv : answer(run, err);
}

static struct run state = {.tool.count = 256};
static const struct flo_flag flags[] = {
    {"prompt", "TEXT", "what to answer; - reads stdin",
     FLO_TEXT(struct run, prompt.prompt), .is_needed = true},
    {"system", "TEXT", "a system message", FLO_TEXT(struct run, prompt.system)},
    {"raw", NULL, "no chat template: the text as it is, control tokens read",
     FLO_SWITCH(struct run, prompt.is_raw)},
    {"prefix-file", "FILE",
     "keep the prompt's beginning (the system's turn) for later runs",
     FLO_TEXT(struct run, prefix_path)},
    {"no-pack", NULL,
     "do not pack the weights on first use (docs/internals/engine.md)",
     FLO_SWITCH(struct run, no_pack)},
    {"stats", NULL, "timings on stderr", FLO_SWITCH(struct run, shows_stats)},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_run = {
    .name = "run",
    .help = "answer a prompt, as text",
    .usage = "--model FILE --prompt TEXT",
    .flags = {FLO_FLAGS_SAMPLING, flags},
    .state = &state,
    .run = run_model,
    .example = "--model helpdesk.gguf --prompt 'When do you open?'",
};
