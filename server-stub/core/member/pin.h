/* Pins: has a device the release that people pinned on it?  Pure. */
#ifndef FLOTILLA_SERVER_PIN_H
#define FLOTILLA_SERVER_PIN_H

#include <flotilla/base.h>

enum flo_pin_state {
    FLO_PIN_THERE,      /* the device runs the release */
    FLO_PIN_ON_ITS_WAY, /* the order stands, the device has not done it yet */
    FLO_PIN_REFUSED,    /* the device said no, or the release was withdrawn */
    FLO_PIN_COUNT
};
const char *flo_pin_word(enum flo_pin_state state);

struct flo_pin_facts {
    bool is_current; /* the release is the device's current one */
    bool is_yanked;
    bool is_ordered;     /* desired holds the order to that release */
    bool is_refused;     /* the device answered that it cannot */
    const char *refusal; /* in words; NULL: none were given */
    /* State of an execution towards the release; NULL: none. */
    const char *step;
    bool is_online;
    bool is_frozen;
};
/* *why: a sentence's end in plain words, "" where nothing is to be said;
 * borrowed from the facts or static. */
enum flo_pin_state flo_pin_judge(const struct flo_pin_facts *facts, const char **why);

#endif
