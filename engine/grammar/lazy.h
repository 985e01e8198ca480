/* Lazy: a grammar of calls that is inactive while the model writes text.
 *
 * It watches each token for the beginning of a call, which activates it. A
 * token that begins a call but continues with bytes that the call cannot have
 * is refused. */
#ifndef FLOTILLA_GRAMMAR_LAZY_H
#define FLOTILLA_GRAMMAR_LAZY_H

#include "engine/chat/calls/watch.h"
#include "engine/grammar/matcher.h"

struct flo_lazy {
    const struct flo_call_form *form; /* form of the calls, borrowed from the engine */
    struct flo_tool_list tools;
    struct flo_call_watch watch;
    bool starts_asleep, sleeps;
    bool in_thought; /* the answer begins inside a thought */
    /* A call is required.  So the grammar is inactive only during a thought,
     * and the answer cannot end without a call. */
    bool is_required;
    size_t room; /* most tokens of the whole answer; 0: unknown */
};

void flo_lazy_reset(struct flo_lazy *lazy);
/* Accepts the bytes of a token if they fit, and advances the watch.  If a call
 * begins, the grammar becomes active: `sleeps` is cleared and *state is set.
 * Returns false if the bytes do not fit, and changes nothing. */
bool flo_lazy_take(struct flo_lazy *lazy, struct flo_matcher *matcher, uint32_t *state,
                   const char *bytes, size_t count);
/* Tells whether flo_lazy_take() would accept the token.  Nothing changes. */
bool flo_lazy_fits(const struct flo_lazy *lazy, struct flo_matcher *matcher, const char *bytes,
                   size_t count);

#endif
