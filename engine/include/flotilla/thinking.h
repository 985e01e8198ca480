/* Thinking: says whether a model thinks before it answers; shared by the
 * engine's API and its wire. */
#ifndef FLOTILLA_THINKING_H
#define FLOTILLA_THINKING_H

enum flo_thinking {
    FLO_THINKING_AUTO, /* the template's default */
    FLO_THINKING_ON,
    FLO_THINKING_OFF,
    FLO_THINKINGS
};

#endif
