/* Choices: several answers to one body, because of `n` or a list of prompts.
 *
 * Each choice is a request of its own, which waits, counts and fails like any
 * other.  The request that was parsed is the asker.  It has the client, who
 * gets the output of all choices, and goes to no engine.  flo_request_open()
 * makes the choices of an asker, and flo_request_free() frees those that are
 * left.  The first failure fails the whole answer and ends the other choices.
 * answer.c, the router and the fronts with choices use this. */
#ifndef FLOTILLA_SERVE_CHOICES_H
#define FLOTILLA_SERVE_CHOICES_H

#include "agent/serve/front/front.h"

struct serve_choices {
    uint32_t count;
    /* number of choices (answers to one body) that were passed to the router so
     * far */
    uint32_t begun;
    uint32_t gone; /* number of choices (answers to one body) that have ended */
    uint32_t told; /* number of choices (answers to one body) that are complete */
    /* the answer as a whole has ended, so the choices that are left are not
     * needed */
    bool is_over;
    /* DONE frame for all choices (answers to one body) together.  Its counts
     * and answer_us are sums, in which a prompt's tokens count once.  Its other
     * times are those of the choice that ended last. */
    struct flo_wire_done sum;
    struct serve_choice {
        struct serve_request *request; /* NULL: ended */
        /* text of this choice (one answer to the body), as front->choice()
         * wrote it */
        struct flo_buf text;
    } each[];
};

/* Returns the request that has the client.  A choice, which is one of
 * several answers to a body, has none of its own, so that is the request of
 * the body. */
struct serve_request *flo_choices_asker(struct serve_request *request);
/* Records that a choice (one of several answers to a body) is complete.
 * Returns whether all choices of the body are. */
bool flo_choices_told(struct serve_request *request, const struct flo_wire_done *done);
/* Returns the DONE frame for all choices (answers to one body) together, when
 * all have answered; NULL: some are running.  Returns `done` for a request
 * without choices. */
const struct flo_wire_done *flo_choices_sum(const struct serve_request *request,
                                            const struct flo_wire_done *done);
/* Records that a choice (one of several answers to a body) has failed, which
 * ends all choices of the body. */
void flo_choices_end(struct serve_request *request);

#endif
