/* Pins: tells whether a device has the release that people pinned on it.
 * Pure. */
#ifndef FLOTILLA_SERVER_PIN_H
#define FLOTILLA_SERVER_PIN_H

#include <flotilla/base.h>

enum flo_pin_state {
    FLO_PIN_THERE,      /* the device runs the release */
    FLO_PIN_ON_ITS_WAY, /* the desired document has the order, and the device has not carried it out
                           yet */
    FLO_PIN_REFUSED,    /* the device refused, or the release was yanked */
    FLO_PIN_COUNT
};
const char *flo_pin_word(enum flo_pin_state state);

struct flo_pin_facts {
    bool is_current; /* the release is the device's current one */
    bool is_yanked;
    /* the desired document holds the order for the pinned release */
    bool is_ordered;
    bool is_refused;     /* the device answered that it cannot install the release */
    const char *refusal; /* reason that the device gave, as text; NULL: it gave none */
    /* State of an execution of the release; NULL: none. */
    const char *step;
    bool is_online;
    bool is_frozen;
};
/* Finds the state.  *why is the end of a sentence for people, or ""; it is
 * static or borrowed from the facts. */
enum flo_pin_state flo_pin_judge(const struct flo_pin_facts *facts, const char **why);

#endif
