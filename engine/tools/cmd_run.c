/* flotilla-engine run: answer a prompt, streaming text to stdout. */
#include <stdlib.h>
#include <string.h>

#include "engine/tools/common.h"
#include "engine/tools/tools.h"

struct run {
    struct flo_tool tool;
    const char *prompt;
    const char *system;
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

static int stream(const struct run *run, struct flo_engine *engine,
                  struct flo_session *session, struct flo_sampler *sampler,
                  struct flo_err *err)
{
    uint32_t context = flo_engine_info(engine)->context;
    struct flo_engine_stream text = {0};
    struct flo_buf out = {0};
    struct flo_sample sample;
    int rv = 0;

    for (uint64_t i = 0; rv == 0 && i < run->tool.count; i++) {
        flo_sampler_sample(sampler, flo_session_logits(session), &sample);
        if (flo_engine_is_end(engine, sample.token) ||
            flo_session_position(session) == context) {
            break;
        }
        out.bytes = 0;
        flo_engine_stream_add(&text, engine, sample.token, &out);
        rv = print(&out, err);
        if (rv == 0 && i + 1 < run->tool.count) {
            rv = flo_session_decode(session, &sample.token, 1, FLO_LOGITS_LAST,
                                    err);
        }
    }
    out.bytes = 0;
    flo_engine_stream_finish(&text, &out);
    flo_buf_text(&out, "\n");
    rv = rv < 0 ? rv : print(&out, err);
    flo_buf_deinit(&out);
    return rv;
}

static void print_stats(const struct flo_engine *engine,
                        const struct flo_session *session)
{
    struct flo_timings t;

    flo_session_timings(session, &t);
    fprintf(stderr,
            "load %.1f ms, prompt %llu tokens in %.1f ms, "
            "answer %.1f tokens/s, kernel %s\n",
            (double)flo_engine_info(engine)->load_us / 1e3,
            (unsigned long long)t.prompt_tokens, (double)t.prompt_us / 1e3,
            t.generated_us == 0
                ? 0
                : (double)t.generated_tokens * 1e6 / (double)t.generated_us,
            flo_engine_info(engine)->kernel);
}

static int answer(const struct run *run, struct flo_engine *engine,
                  struct flo_session *session, struct flo_sampler *sampler,
                  struct flo_err *err)
{
    size_t count, tokens_max = flo_engine_info(engine)->context;
    int32_t *tokens = malloc(tokens_max * sizeof(*tokens));
    int rv;

    if (tokens == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a prompt");
    }
    rv = read_prompt(run, engine, tokens, tokens_max, &count, err);
    for (size_t i = 0; rv == 0 && i < count; i++) {
        flo_sampler_accept(sampler, tokens[i]);
    }
    if (rv == 0) {
        rv = flo_session_decode(session, tokens, count, FLO_LOGITS_LAST, err);
    }
    free(tokens);
    if (rv == 0) {
        rv = stream(run, engine, session, sampler, err);
    }
    if (rv == 0 && run->shows_stats) {
        print_stats(engine, session);
    }
    return rv;
}

static int run_model(const struct run *run, struct flo_err *err)
{
    struct flo_engine *engine = NULL;
    struct flo_session *session = NULL;
    struct flo_sampler *sampler = NULL;
    struct flo_sampling sampling;
    int rv;

    if (run->prompt == NULL) {
        return flo_fail(err, FLO_E_USAGE, "--prompt is missing");
    }
    if ((rv = flo_tool_sampling(&run->tool, &sampling, err)) == 0 &&
        (rv = flo_tool_open(&run->tool, FLO_VOCABULARY_NEEDED, &engine, err)) ==
            0 &&
        (rv = flo_session_open(engine, &session, err)) == 0 &&
        (rv = flo_sampler_open(engine, &sampling, &sampler, err)) == 0) {
        rv = answer(run, engine, session, sampler, err);
    }
    flo_sampler_close(sampler);
    flo_session_close(session);
    flo_engine_close(engine);
    return rv;
}

int flo_cmd_run(int argc, char **argv)
{
    struct run run = {.tool.count = 256};
    const struct flo_option options[] = {
        FLO_TOOL_OPTIONS(run.tool),
        FLO_SAMPLING_OPTIONS(run.tool),
        {"prompt", FLO_OPTION_TEXT, &run.prompt, "TEXT    what to answer"},
        {"system", FLO_OPTION_TEXT, &run.system, "TEXT    a system message"},
        {"raw", FLO_OPTION_FLAG, &run.is_raw,
         "no chat template: the text as it is, control tokens read"},
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
