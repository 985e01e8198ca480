/* One model under evaluation. */
#include "engine/tools/eval.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int flo_eval_side_open(struct flo_eval_side *side, const struct flo_tool *tool,
                       struct flo_err *err)
{
    static const struct flo_sampling greedy;
    int rv = flo_tool_open(tool, FLO_VOCABULARY_NEEDED, &side->model, err);

    if (rv < 0 || (rv = flo_sampler_open(side->model.text, &greedy,
                                         &side->sampler, err)) < 0) {
        return rv;
    }
    side->tokens = calloc(side->model.info->context, sizeof(*side->tokens));
    return side->tokens != NULL ? 0 : flo_fail(err, FLO_E_MEMORY, "the tokens");
}

void flo_eval_side_close(struct flo_eval_side *side)
{
    free(side->tokens);
    flo_buf_deinit(&side->text);
    flo_sampler_close(side->sampler);
    flo_tool_close(&side->model);
}

void flo_eval_side_about(const struct flo_eval_side *side,
                         struct flo_eval_about *about)
{
    const struct flo_engine_info *info = side->model.info;

    *about = (struct flo_eval_about){
        .n_vocab = info->n_vocab,
        .context = info->context,
        .threads = info->threads,
        .parameters = info->parameters,
        .load_us = info->load_us,
    };
    memcpy(about->arch, info->arch, sizeof(about->arch));
    memcpy(about->name, info->name, sizeof(about->name));
    memcpy(about->kernel, info->kernel, sizeof(about->kernel));
    flo_process_memory(getpid(), NULL, NULL, &about->rss_bytes_peak);
}

static int read_prompt(struct flo_eval_side *side,
                       const struct flo_suite_case *one, struct flo_err *err)
{
    struct flo_engine_message messages[2];
    size_t max = side->model.info->context - 1, count = 0, n = 0;
    int rv;

    if (one->is_raw) {
        rv = flo_engine_tokenise(side->model.text, one->prompt,
                                 strlen(one->prompt), true, side->tokens, max,
                                 &count, err);
    } else {
        if (one->system != NULL) {
            messages[n++] = (struct flo_engine_message){"system", one->system,
                                                        strlen(one->system)};
        }
        messages[n++] = (struct flo_engine_message){"user", one->prompt,
                                                    strlen(one->prompt)};
        rv = flo_engine_chat(side->model.text, messages, n, side->tokens, max,
                             &count, err);
    }
    side->n_prompt = (uint32_t)count;
    return rv;
}

/* Token by token into side->tokens; the answer's text is put together after
 * the clock has stopped. */
static int generate(struct flo_eval_side *side, uint32_t tokens_max,
                    struct flo_eval_answer *answer, struct flo_err *err)
{
    const struct flo_backend *b = side->model.backend;
    uint32_t room = side->model.info->context - side->n_prompt;
    uint64_t started_us = flo_now_us();
    struct flo_sample sample;
    int rv = flo_tool_feed(&side->model, side->tokens, side->n_prompt, err);

    room = room < tokens_max ? room : tokens_max;
    for (uint32_t i = 0; rv == 0; i++) {
        flo_sampler_sample(side->sampler, b->logits(side->model.state),
                           &sample);
        answer->nonfinite += sample.is_finite ? 0 : 1;
        if (i == 0) {
            answer->ttft_us = flo_now_us() - started_us;
        }
        if (i == room || flo_engine_is_end(side->model.text, sample.token)) {
            break;
        }
        side->tokens[side->n_prompt + i] = sample.token;
        answer->tokens_out++;
        if (i + 1 == room) {
            break;
        }
        answer->steps++;
        rv = b->decode(side->model.state, sample.token, err);
    }
    answer->rest_us = flo_now_us() - started_us - answer->ttft_us;
    return rv;
}

int flo_eval_side_answer(struct flo_eval_side *side,
                         const struct flo_suite_case *one, uint32_t tokens_max,
                         struct flo_eval_answer *answer, struct flo_err *err)
{
    int rv = read_prompt(side, one, err);

    *answer = (struct flo_eval_answer){.tokens_in = side->n_prompt};
    if (rv < 0) {
        return rv;
    }
    answer->prompt_crc = flo_crc32c(0, side->tokens, 4 * side->n_prompt);
    side->model.backend->reset(side->model.state, 0);
    rv = generate(side, tokens_max, answer, err);
    side->text.bytes = 0;
    if (rv == 0) {
        rv = flo_engine_detokenise(side->model.text,
                                   side->tokens + side->n_prompt,
                                   answer->tokens_out, false, &side->text, err);
    }
    if (rv < 0) {
        return rv;
    }
    const char *text = side->text.bytes > 0 ? side->text.data : "";
    answer->is_exact = flo_suite_is_exact(one, text, side->text.bytes);
    answer->is_json = flo_suite_is_json(text, side->text.bytes);
    return 0;
}

int flo_eval_side_force(struct flo_eval_side *side, const int32_t *tokens,
                        uint32_t count, flo_logits_fn *row, void *context,
                        struct flo_err *err)
{
    const struct flo_backend *b = side->model.backend;
    uint32_t last = side->n_prompt - 1;

    b->reset(side->model.state, last);
    if (tokens != side->tokens + side->n_prompt) {
        memcpy(side->tokens + side->n_prompt, tokens, count * sizeof(*tokens));
    }
    return b->prefill(side->model.state, side->tokens + last, count + 1, row,
                      context, err);
}
