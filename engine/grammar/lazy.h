/* Lazy: a grammar of calls that sleeps while the model writes text.
 *
 * It looks at each token for the begin of a call, and wakes there.  A token
 * that runs on into something that the call cannot have does not fit. */
#ifndef FLOTILLA_GRAMMAR_LAZY_H
#define FLOTILLA_GRAMMAR_LAZY_H

#include "engine/chat/calls/watch.h"
#include "engine/grammar/matcher.h"

struct flo_lazy {
    const struct flo_call_form *form; /* the engine's */
    struct flo_tool_list tools;
    struct flo_call_watch watch;
    bool starts_asleep, sleeps;
    bool in_thought; /* the answer begins so */
    /* The grammar sleeps during a thought only, and no answer ends. */
    bool is_required;
    size_t room; /* tokens of the whole answer; 0: not known */
};

void flo_lazy_reset(struct flo_lazy *lazy);
/* May these bytes of a token come?  The watch moves on, and `sleeps` and *state
 * with it; if not, all stays. */
bool flo_lazy_take(struct flo_lazy *lazy, struct flo_matcher *matcher, uint32_t *state,
                   const char *bytes, size_t count);
/* The same without taking them. */
bool flo_lazy_fits(const struct flo_lazy *lazy, struct flo_matcher *matcher, const char *bytes,
                   size_t count);

#endif
