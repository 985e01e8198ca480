/* Words: names the states, the phase states and the events of a rollout. */
#include <assert.h>
#include <string.h>

#include "server-stub/core/rollout/parts.h"
#include "server-stub/core/rollout/rollout.h"

struct state_fact {
    const char *word;
    bool active;
    const char *next;
};
static const struct state_fact states[] = {
#define FLO_ROLLOUT_STATE(name, word, active, meaning, next) {word, active, next},
#include "server-stub/core/rollout/rollout_states.def"
};

const char *flo_rollout_state_word(enum flo_rollout_state state)
{
    assert(state < FLO_ROLLOUT_STATE_COUNT);
    return states[state].word;
}

const char *flo_rollout_state_next(enum flo_rollout_state state)
{
    assert(state < FLO_ROLLOUT_STATE_COUNT);
    return states[state].next;
}

bool flo_rollout_state_parse(const char *word, enum flo_rollout_state *out)
{
    assert(word != NULL);
    for (size_t i = 0; i < FLO_COUNT(states); i++) {
        if (strcmp(states[i].word, word) == 0) {
            *out = (enum flo_rollout_state)i;
            return true;
        }
    }
    return false;
}

bool flo_rollout_state_is_active(enum flo_rollout_state state)
{
    assert(state < FLO_ROLLOUT_STATE_COUNT);
    return states[state].active;
}

const char *flo_phase_state_word(enum flo_phase_state state)
{
    static const char *const words[] = {"waiting", "running",  "passed",
                                        "failed",  "promoted", "held"};

    assert((size_t)state < FLO_COUNT(words));
    return words[state];
}

const char *flo_rollout_event_word(enum flo_rollout_event_kind kind)
{
    static const char *const words[] = {
#define FLO_ROLLOUT_EVENT(name, word, ...) word,
#include "server-stub/core/rollout/rollout_events.def"
#define FLO_ROLLOUT_VERB(name, word, ...) word,
#define FLO_ROLLOUT_READ(...)
#include "server-stub/core/rollout/rollout_verbs.def"
    };
    assert(kind < FLO_ROLLOUT_EVENT_COUNT);
    return words[kind];
}
