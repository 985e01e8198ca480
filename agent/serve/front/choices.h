/* Choices: several answers to one body, by `n` or a list of prompts.
 *
 * The request that was read is the asker: it has the client, and goes to no
 * engine.  flo_request_open() makes its choices, and flo_request_free() frees
 * those that it still has.  Each choice is a request of its own, which waits,
 * counts and fails as any other; its words go to the asker's client.  The first
 * failure is the answer's: the other choices end with it.  For answer.c, the
 * router, and the fronts that have choices. */
#ifndef FLOTILLA_SERVE_CHOICES_H
#define FLOTILLA_SERVE_CHOICES_H

#include "agent/serve/front/front.h"

struct serve_choices {
    uint32_t count;
    uint32_t begun; /* the router has them, or had them: the first ones */
    uint32_t gone;  /* ... and they have ended */
    uint32_t told;  /* with a whole answer */
    bool is_over;   /* no other one is wanted */
    /* Counts and answer_us are sums, a prompt's tokens once; other times are
     * those of the choice that ended last. */
    struct flo_wire_done sum;
    struct serve_choice {
        struct serve_request *request; /* NULL: it has ended */
        struct flo_buf text;           /* whole: as front->choice() wrote it */
    } each[];
};

/* Who has the client: the asker, or the request itself where it is alone. */
struct serve_request *flo_choices_asker(struct serve_request *request);
/* The choice has its answer.  true: so have all. */
bool flo_choices_told(struct serve_request *request, const struct flo_wire_done *done);
/* The end of all, once all are told; NULL: others go on.  A request alone:
 * `done`. */
const struct flo_wire_done *flo_choices_sum(const struct serve_request *request,
                                            const struct flo_wire_done *done);
/* The choice has failed: so have all. */
void flo_choices_end(struct serve_request *request);

#endif
