/* Thinking: whether a model thinks before it answers.  The engine's API and its
 * wire share these values. */
#ifndef FLOTILLA_THINKING_H
#define FLOTILLA_THINKING_H

enum flo_thinking {
    FLO_THINKING_AUTO, /* the template's default */
    FLO_THINKING_ON,
    FLO_THINKING_OFF,
    FLO_THINKINGS
};

#endif
