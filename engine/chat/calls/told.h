/* Told: tools in words, for a template that has no form for them.
 *
 * The system's text says which tools there are and how one is called; earlier
 * calls stand in an answer's text in that form, and results in what the user
 * says next. */
#ifndef FLOTILLA_ENGINE_CALL_TOLD_H
#define FLOTILLA_ENGINE_CALL_TOLD_H

#include <flotilla/engine.h>

/* Zero-initialise. */
struct flo_told_talk {
    struct flo_engine_message *messages; /* [count], borrow from texts */
    size_t count;
    struct flo_buf *texts; /* [count] */
};

/* FLO_E_INFER_PARAM: tools or a message's `more` are no such JSON;
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_told_make(struct flo_told_talk *told, const struct flo_engine_setting *setting,
                               const struct flo_engine_message *messages, size_t count,
                               struct flo_err *err);
void flo_told_deinit(struct flo_told_talk *told);

#endif
