/* Lazy: watches an answer for calls, and activates the grammar of calls when
 * one begins. */
#include "engine/grammar/lazy.h"

void flo_lazy_reset(struct flo_lazy *lazy)
{
    flo_call_watch_begin(&lazy->watch, lazy->form, &lazy->tools, lazy->in_thought);
    lazy->sleeps = lazy->starts_asleep;
    lazy->room = 0;
}

#define ASLEEP SIZE_MAX
#define REFUSED (SIZE_MAX - 1)

/* Gives the bytes of a token to the watch.  Returns how many of them come
 * before the grammar is active, or ASLEEP if it stays inactive.  Returns
 * REFUSED if there is text where a call is required. */
static size_t step(const struct flo_lazy *lazy, struct flo_call_watch *watch, const char *bytes,
                   size_t count)
{
    bool has_heads = lazy->is_required && flo_form_has_channels(lazy->form);
    size_t mark;

    for (size_t i = 0; i < count; i++) {
        enum flo_watch_event event = flo_call_watch_step(watch, bytes[i], &mark);
        if (event == FLO_WATCH_CALL || (event == FLO_WATCH_THOUGHT_END && lazy->is_required)) {
            return i + 1;
        }
        if (has_heads && !flo_call_watch_may_call(watch)) {
            return REFUSED;
        }
    }
    return ASLEEP;
}

/* Computes the state that the grammar has when it becomes active.  Returns
 * false if the call's first bytes do not fit. */
static bool wake(const struct flo_lazy *lazy, const struct flo_call_watch *watch,
                 struct flo_matcher *matcher, uint32_t *state)
{
    *state = flo_matcher_start(matcher);
    if (!watch->has_called) {
        return true;
    }
    return lazy->form->is_bare || flo_form_has_channels(lazy->form)
               ? flo_matcher_walk(matcher, state, watch->tail, watch->count)
               : flo_matcher_walk(matcher, state, lazy->form->open.data, lazy->form->wakes);
}

bool flo_lazy_take(struct flo_lazy *lazy, struct flo_matcher *matcher, uint32_t *state,
                   const char *bytes, size_t count)
{
    struct flo_call_watch watch = lazy->watch;
    size_t used = step(lazy, &watch, bytes, count);
    uint32_t at;

    if (used == REFUSED) {
        return false;
    }
    if (used != ASLEEP) {
        if (!wake(lazy, &watch, matcher, &at) ||
            !flo_matcher_walk(matcher, &at, bytes + used, count - used)) {
            return false;
        }
        lazy->sleeps = false;
        *state = at;
    }
    lazy->watch = watch;
    return true;
}

bool flo_lazy_fits(const struct flo_lazy *lazy, struct flo_matcher *matcher, const char *bytes,
                   size_t count)
{
    struct flo_call_watch watch = lazy->watch;
    size_t used = step(lazy, &watch, bytes, count);
    uint32_t at;

    return used == ASLEEP || (used != REFUSED && wake(lazy, &watch, matcher, &at) &&
                              flo_matcher_walk(matcher, &at, bytes + used, count - used));
}
