/* Choices: several answers to one body, for `n` or a list of prompts.
 *
 * The parsed request is the asker: it has the client, and is sent to no engine.
 * flo_request_open() makes its choices, and flo_request_free() frees those that
 * are left.  Each choice is a request of its own, which waits, counts and fails
 * like any other; its output goes to the asker's client.  The first failure
 * fails the whole answer and ends the other choices.  Used by answer.c, the
 * router, and the fronts with choices. */
#ifndef FLOTILLA_SERVE_CHOICES_H
#define FLOTILLA_SERVE_CHOICES_H

#include "agent/serve/front/front.h"

struct serve_choices {
    uint32_t count;
    uint32_t begun; /* number of choices passed to the router so far, in order */
    uint32_t gone;  /* ... and number of choices that have ended */
    uint32_t told;  /* number of choices whose complete answer was sent */
    bool is_over;   /* no more choices are needed */
    /* Counts and answer_us are sums, with a prompt's tokens counted once; other
     * times are those of the choice that ended last. */
    struct flo_wire_done sum;
    struct serve_choice {
        struct serve_request *request; /* NULL: ended */
        struct flo_buf text;           /* the answer, written by front->choice() */
    } each[];
};

/* Returns the request that has the client: the asker, or the request itself if
 * it has no choices. */
struct serve_request *flo_choices_asker(struct serve_request *request);
/* Records that a choice has its answer.  true: all choices have. */
bool flo_choices_told(struct serve_request *request, const struct flo_wire_done *done);
/* Returns the summed DONE of all choices once all have answered; NULL: some are
 * running.  For a request without choices: `done`. */
const struct flo_wire_done *flo_choices_sum(const struct serve_request *request,
                                            const struct flo_wire_done *done);
/* Records that a choice has failed, which ends all of them. */
void flo_choices_end(struct serve_request *request);

#endif
