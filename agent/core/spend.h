/* Spend: limits the tokens and the money that a route may spend on endpoints
 * in a day of UTC.  Pure.
 *
 * A request claims its largest possible use before anything is sent, so that
 * requests which run together cannot exceed the limit.  When a request ends,
 * its real use replaces its claim.  The stored numbers are ahead of the real
 * ones by up to a sixteenth of the limit, so that a restart never forgets
 * use. */
#ifndef FLOTILLA_AGENT_CORE_SPEND_H
#define FLOTILLA_AGENT_CORE_SPEND_H

#include <flotilla/base.h>

struct flo_spend_amount {
    uint64_t tokens; /* tokens of prompts and answers together */
    uint64_t cost;   /* money, in units of 1e-12 */
};
struct flo_spend {
    struct flo_spend_amount most; /* limits of a day for one route; 0: no limit */
    /* use of the day: real use of ended requests, and claims of running ones */
    struct flo_spend_amount used;
    struct flo_spend_amount kept; /* use that is stored on disk */
    uint64_t day;                 /* day that `used` belongs to, in days since 1970 */
};
/* Begins a new day if the clock says so.  A clock that went back begins none. */
void flo_spend_begin(struct flo_spend *spend, uint64_t day);
/* Tells whether the amount fits into the part of the day's limits that is
 * left. */
bool flo_spend_fits(const struct flo_spend *spend, struct flo_spend_amount amount);
/* Adds a claim to the used amount.  false: it does not fit, and nothing is
 * added. */
FLO_MUST_USE bool flo_spend_claim(struct flo_spend *spend, struct flo_spend_amount amount);
/* Replaces the claim of a request by its real use.  A claim of an earlier day
 * is not subtracted, because `used` has begun again since. */
void flo_spend_settle(struct flo_spend *spend, uint64_t day, struct flo_spend_amount claim,
                      struct flo_spend_amount used);
/* Tells whether the use must be stored now, because `used` is above `kept`.
 * *ahead gets the amount to store. */
bool flo_spend_must_keep(const struct flo_spend *spend, struct flo_spend_amount *ahead);
/* Returns the cost of tokens; prices are for a million tokens, in units of
 * 1e-6.  The largest number is returned where it would overflow. */
uint64_t flo_spend_cost(uint64_t tokens_in, uint64_t price_in, uint64_t tokens_out,
                        uint64_t price_out);

#endif
