/* Log-probabilities of a token for its frame. */
#include "engine/run/run.h"

#include <flotilla/engine_output.h>

_Static_assert(FLO_WIRE_LOGPROBS_MAX == FLO_LOGPROBS_MAX, "told = known");

static void add(const struct flo_engine *engine, struct flo_logprob one,
                struct flo_buf *out)
{
    struct flo_buf text = {0};
    struct flo_wire_logprob told = {(uint32_t)one.token, one.logprob, {0}};

    /* Without a vocabulary there is no text. */
    if (flo_engine_info(engine)->has_vocabulary &&
        flo_engine_detokenise(engine, &one.token, 1, true, &text, NULL) == 0) {
        told.text = (struct flo_wire_text){text.data, text.bytes};
    }
    flo_wire_logprob_add(out, &told);
    flo_buf_deinit(&text);
}

void flo_logprobs_put(const struct flo_engine *engine, const float *logits,
                      int32_t token, uint32_t count, struct flo_buf *out)
{
    struct flo_logprob list[1 + FLO_LOGPROBS_MAX];
    uint32_t n = flo_logprobs(logits, flo_engine_info(engine)->n_vocab, token,
                              count, list);

    for (uint32_t i = 0; i < n; i++) {
        add(engine, list[i], out);
    }
}
