/* Told: describes tools in words, for a template that has no form for them.
 *
 * A system message lists the tools and explains how to call one.  Earlier calls
 * become text of the assistant's messages, and results become text of the
 * user's. */
#ifndef FLOTILLA_ENGINE_CALL_TOLD_H
#define FLOTILLA_ENGINE_CALL_TOLD_H

#include <flotilla/engine.h>

/* Zero-initialise. */
struct flo_told_talk {
    /* [count]: the messages, some of whose texts are in `texts` */
    struct flo_engine_message *messages;
    size_t count;
    struct flo_buf *texts; /* [count] */
};

/* Makes messages in which tools, calls and results are words.
 * FLO_E_INFER_PARAM: the tools or a message's `more` are not JSON as in
 * OpenAI's API.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_told_make(struct flo_told_talk *told, const struct flo_engine_setting *setting,
                               const struct flo_engine_message *messages, size_t count,
                               struct flo_err *err);
void flo_told_deinit(struct flo_told_talk *told);

#endif
