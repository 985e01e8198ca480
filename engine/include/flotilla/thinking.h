/* Whether a model thinks before it answers: a word of the engine's API and of
 * its wire. */
#ifndef FLOTILLA_THINKING_H
#define FLOTILLA_THINKING_H

enum flo_thinking {
    FLO_THINKING_AUTO, /* as the template has it */
    FLO_THINKING_ON,
    FLO_THINKING_OFF,
    FLO_THINKINGS
};

#endif
