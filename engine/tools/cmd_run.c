/* flotilla-engine run: answer a prompt, streaming text to stdout. */
#include <stdlib.h>
#include <string.h>

#include "engine/tools/common.h"
#include "engine/tools/prefix_file.h"
#include "engine/tools/tools.h"

struct run {
    struct flo_tool tool;
    const char *prompt;
    const char *system;
    const char *prefix_file;
    bool is_raw;
    bool shows_stats;
};

static int read_prompt(const struct run *run, struct flo_engine *engine,
                       int32_t *tokens, size_t tokens_max, size_t *count,
                       struct flo_err *err)
{
    struct flo_engine_message messages[2];
    size_t message_count = 0;

    if (run->is_raw) {
        return flo_engine_tokenise(engine, run->prompt, strlen(run->prompt),
                                   true, tokens, tokens_max, count, err);
    }
    if (run->system != NULL) {
        messages[message_count++] = (struct flo_engine_message){
            "system", run->system, strlen(run->system)};
    }
    messages[message_count++] =
        (struct flo_engine_message){"user", run->prompt, strlen(run->prompt)};
    return flo_engine_chat(engine, messages, message_count, tokens, tokens_max,
                           count, err);
}

static int print(const struct flo_buf *text, struct flo_err *err)
{
    if (text->failed) {
        return flo_fail(err, FLO_E_MEMORY, "the answer");
    }
    if (text->bytes > 0 &&
        (fwrite(text->data, 1, text->bytes, stdout) != text->bytes ||
         fflush(stdout) != 0)) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "stdout");
    }
    return 0;
}

/* A model at work. */
struct answer {
    struct flo_tool_model model;
    struct flo_engine *engine; /* the model's text */
    struct flo_sampler *sampler;
    struct flo_grammar *grammar; /* or NULL */
    uint64_t made, made_us;      /* tokens of the answer */
    uint64_t room;               /* tokens that the context still takes */
    struct flo_prefix_file prefix;
};

static int stream(const struct run *run, struct answer *a, struct flo_err *err)
{
    struct flo_engine_stream text = {0};
    struct flo_buf out = {0};
    struct flo_tool_next next;
    uint64_t started_us = flo_now_us();
    int rv = flo_tool_next(a->grammar, a->sampler, &a->model,
                           run->tool.count - a->made, &next, err);

    while (rv == 0 && next.count > 0 &&
           !flo_engine_is_end(a->engine, next.tokens[0]) &&
           next.count <= a->room) {
        a->made += next.count;
        a->room -= next.count;
        out.bytes = 0;
        for (size_t i = 0; i < next.count; i++) {
            flo_engine_stream_add(&text, a->engine, next.tokens[i], &out);
        }
        rv = print(&out, err);
        if (rv == 0 && a->made < run->tool.count &&
            (a->grammar == NULL || !flo_grammar_is_done(a->grammar))) {
            rv = flo_tool_feed(&a->model, next.tokens, next.count, err);
        }
        if (rv == 0) {
            rv = flo_tool_next(a->grammar, a->sampler, &a->model,
                               run->tool.count - a->made, &next, err);
        }
    }
    a->made_us = flo_now_us() - started_us;
    out.bytes = 0;
    flo_engine_stream_finish(&text, &out);
    flo_buf_text(&out, "\n");
    rv = rv < 0 ? rv : print(&out, err);
    flo_buf_deinit(&out);
    return rv;
}

static void print_stats(const struct answer *a, size_t prompt_tokens,
                        uint64_t prompt_us)
{
    const struct flo_engine_info *info = a->model.info;

    if (a->prefix.path != NULL) {
        fprintf(stderr, "prefix %u tokens of the file in %.1f ms%s%s\n",
                a->prefix.used, (double)a->prefix.read_us / 1e3,
                a->prefix.why[0] != '\0' ? ": " : "", a->prefix.why);
    }
    fprintf(stderr,
            "load %.1f ms, prompt %zu tokens in %.1f ms, "
            "answer %llu tokens in %.1f ms: %.1f tokens/s, kernel %s\n",
            (double)info->load_us / 1e3, prompt_tokens, (double)prompt_us / 1e3,
            (unsigned long long)a->made, (double)a->made_us / 1e3,
            a->made_us == 0 ? 0 : (double)a->made * 1e6 / (double)a->made_us,
            info->kernel);
}

/* Worth keeping: the system's turn, or, without one, the whole prompt. */
static int keep_prefix(const struct run *run, struct answer *a,
                       const int32_t *tokens, size_t count, struct flo_err *err)
{
    const struct flo_engine_message turns[2] = {
        {"system", run->system, run->system == NULL ? 0 : strlen(run->system)},
        {"user", "", 0}};
    size_t other_count = 0, max = flo_engine_info(a->engine)->context;
    int32_t *others;
    int rv = 0;

    if (run->system == NULL || run->is_raw) {
        return flo_prefix_file_write(&a->prefix, count, err);
    }
    others = malloc(max * sizeof(*others));
    if (others == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a prompt");
    }
    rv = flo_engine_chat(a->engine, turns, 2, others, max, &other_count, err);
    if (rv == 0) {
        rv = flo_prefix_file_write(
            &a->prefix, flo_tokens_common(tokens, count, others, other_count),
            err);
    }
    free(others);
    return rv;
}

/* What a grammar forces at the beginning is computed with the prompt. */
static int answer(const struct run *run, struct answer *a, struct flo_err *err)
{
    size_t count, forced = 0, tokens_max = a->model.info->context;
    int32_t *tokens = malloc(tokens_max * sizeof(*tokens));
    struct flo_buf head = {0};
    uint64_t started_us;
    int rv;

    if (tokens == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a prompt");
    }
    rv = read_prompt(run, a->engine, tokens, tokens_max, &count, err);
    if (rv == 0 && a->grammar != NULL) {
        size_t room = tokens_max - count;
        forced =
            flo_grammar_forced(a->grammar, tokens + count,
                               room < run->tool.count ? room : run->tool.count);
        rv = flo_engine_detokenise(a->engine, tokens + count, forced, false,
                                   &head, err);
    }
    for (size_t i = 0; rv == 0 && i < count + forced; i++) {
        flo_sampler_accept(a->sampler, tokens[i]);
    }
    rv = rv < 0 ? rv : print(&head, err);
    started_us = flo_now_us();
    if (rv == 0 && a->prefix.path != NULL) {
        rv = flo_prefix_file_read(&a->prefix, &a->model, tokens, count + forced,
                                  err);
    }
    if (rv == 0) {
        rv = flo_tool_feed(&a->model, tokens + a->prefix.used,
                           count + forced - a->prefix.used, err);
    }
    started_us = flo_now_us() - started_us;
    a->made = forced;
    a->room = tokens_max - count - forced;
    rv = rv < 0 ? rv : stream(run, a, err);
    if (rv == 0 && a->prefix.path != NULL) {
        rv = keep_prefix(run, a, tokens, count, err);
    }
    if (rv == 0 && run->shows_stats) {
        print_stats(a, count, started_us);
    }
    flo_buf_deinit(&head);
    free(tokens);
    return rv;
}

static int run_model(const struct run *run, struct flo_err *err)
{
    struct answer a = {.prefix.path = run->prefix_file};
    struct flo_sampling sampling;
    int rv;

    if (run->prompt == NULL) {
        return flo_fail(err, FLO_E_USAGE, "--prompt is missing");
    }
    if (run->prefix_file != NULL && run->tool.lora != NULL) {
        return flo_fail(err, FLO_E_USAGE,
                        "--prefix-file and --lora exclude each other");
    }
    if ((rv = flo_tool_sampling(&run->tool, &sampling, err)) == 0 &&
        (rv = flo_tool_open(&run->tool, FLO_VOCABULARY_NEEDED, &a.model,
                            err)) == 0 &&
        (a.engine = a.model.text) != NULL &&
        (rv = flo_sampler_open(a.engine, &sampling, &a.sampler, err)) == 0 &&
        (rv = flo_tool_grammar(&run->tool, a.engine, &a.grammar, err)) == 0) {
        rv = answer(run, &a, err);
    }
    flo_grammar_close(a.grammar);
    flo_sampler_close(a.sampler);
    flo_tool_close(&a.model);
    return rv;
}

int flo_cmd_run(int argc, char **argv)
{
    struct run run = {.tool.count = 256};
    const struct flo_option options[] = {
        FLO_TOOL_OPTIONS(run.tool),
        FLO_BACKEND_OPTIONS(run.tool),
        FLO_SAMPLING_OPTIONS(run.tool),
        {"prompt", FLO_OPTION_TEXT, &run.prompt, "TEXT    what to answer"},
        {"system", FLO_OPTION_TEXT, &run.system, "TEXT    a system message"},
        {"raw", FLO_OPTION_FLAG, &run.is_raw,
         "no chat template: the text as it is, control tokens read"},
        {"prefix-file", FLO_OPTION_TEXT, &run.prefix_file,
         "FILE keep the prompt's beginning (the system's turn) for later runs"},
        {"stats", FLO_OPTION_FLAG, &run.shows_stats, "timings on stderr"},
    };
    struct flo_err err = {0};
    int code = flo_options_read(argc, argv, "run --model FILE --prompt TEXT",
                                options, FLO_COUNT(options), NULL, 0);

    if (code >= 0) {
        return code;
    }
    return flo_tool_end(&run.tool, run_model(&run, &err), &err);
}
