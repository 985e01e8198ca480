/* Choices: several answers to one body, because of `n` or a list of prompts.
 *
 * The request that was parsed is the asker: it has the client, and no engine
 * gets it.  flo_request_open() makes its choices, and flo_request_free() frees
 * those that are left.  Each choice is a request of its own, which waits,
 * counts and fails like any other; its output goes to the asker's client.  The
 * first failure fails the whole answer and ends the other choices.  answer.c,
 * the router and the fronts with choices use this. */
#ifndef FLOTILLA_SERVE_CHOICES_H
#define FLOTILLA_SERVE_CHOICES_H

#include "agent/serve/front/front.h"

struct serve_choices {
    uint32_t count;
    uint32_t begun; /* number of choices that the router has got so far, in order */
    uint32_t gone;  /* number of choices that have ended */
    uint32_t told;  /* number of choices whose answer is complete */
    bool is_over;   /* the choices that are left are not needed any more */
    /* DONE of all choices.  Its counts and answer_us are sums, in which a
     * prompt's tokens count once.  Its other times are those of the choice that
     * ended last. */
    struct flo_wire_done sum;
    struct serve_choice {
        struct serve_request *request; /* NULL: ended */
        struct flo_buf text;           /* answer of the choice, as front->choice() wrote it */
    } each[];
};

/* Returns the request that has the client: the asker of a choice, or the
 * request itself. */
struct serve_request *flo_choices_asker(struct serve_request *request);
/* Records that a choice has its answer.  Returns whether all choices have
 * theirs. */
bool flo_choices_told(struct serve_request *request, const struct flo_wire_done *done);
/* Returns the DONE of all choices together when all have answered; NULL: some
 * are running.  Returns `done` for a request without choices. */
const struct flo_wire_done *flo_choices_sum(const struct serve_request *request,
                                            const struct flo_wire_done *done);
/* Records that a choice has failed, which ends all choices of its asker. */
void flo_choices_end(struct serve_request *request);

#endif
