/* Choices: handles the choices of a body, which are several answers to it, and
 * adds up the numbers of their tokens and their times. */
#include "agent/serve/front/choices.h"

#include <string.h>

struct serve_request *flo_choices_asker(struct serve_request *request)
{
    return request->asker != NULL ? request->asker : request;
}

bool flo_choices_told(struct serve_request *request, const struct flo_wire_done *done)
{
    struct serve_request *asker = request->asker;

    if (asker == NULL) {
        return true;
    }
    uint32_t n = asker->params.n;
    /* A prompt with several answers is counted once, with its first answer. */
    bool is_prompt = n < 2 || request->index % n == 0;
    struct flo_wire_done *sum = &asker->choices->sum;
    struct flo_wire_done before = *sum;
    *sum = *done;
    sum->text = sum->parts = (struct flo_wire_text){0};
    sum->tokens_in = before.tokens_in + (is_prompt ? done->tokens_in : 0);
    sum->cached_tokens = before.cached_tokens + (is_prompt ? done->cached_tokens : 0);
    sum->tokens_out += before.tokens_out;
    sum->answer_us += before.answer_us;
    sum->guessed += before.guessed;
    sum->guessed_right += before.guessed_right;
    asker->load_us = request->load_us;
    memcpy(asker->model_name, request->model_name, sizeof(asker->model_name));
    return ++asker->choices->told == asker->choices->count;
}

const struct flo_wire_done *flo_choices_sum(const struct serve_request *request,
                                            const struct flo_wire_done *done)
{
    const struct serve_choices *choices = request->asker != NULL ? request->asker->choices : NULL;

    return choices == NULL ? done : choices->told == choices->count ? &choices->sum : NULL;
}

void flo_choices_end(struct serve_request *request)
{
    if (request->asker != NULL) {
        request->asker->choices->is_over = true;
    }
}
