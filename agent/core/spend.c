/* Spend: claims, settles and stores the use of a day; see spend.h. */
#include "agent/core/spend.h"

#include <assert.h>

/* Divisor: the stored use of a day is ahead of the real use by the daily limit
 * divided by this. */
#define KEEP_PARTS 16

void flo_spend_begin(struct flo_spend *spend, uint64_t day)
{
    if (day > spend->day) {
        spend->day = day;
        spend->used = (struct flo_spend_amount){0};
        spend->kept = (struct flo_spend_amount){0};
    }
}

static bool fits(uint64_t most, uint64_t used, uint64_t more)
{
    return most == 0 || (used <= most && more <= most - used);
}

bool flo_spend_fits(const struct flo_spend *spend, struct flo_spend_amount amount)
{
    return fits(spend->most.tokens, spend->used.tokens, amount.tokens) &&
           fits(spend->most.cost, spend->used.cost, amount.cost);
}

static uint64_t sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

bool flo_spend_claim(struct flo_spend *spend, struct flo_spend_amount amount)
{
    if (!flo_spend_fits(spend, amount)) {
        return false;
    }
    spend->used.tokens = sum(spend->used.tokens, amount.tokens);
    spend->used.cost = sum(spend->used.cost, amount.cost);
    assert(spend->most.tokens == 0 || spend->used.tokens <= spend->most.tokens);
    assert(spend->most.cost == 0 || spend->used.cost <= spend->most.cost);
    return true;
}

static uint64_t replaced(uint64_t total, uint64_t claim, uint64_t used)
{
    return sum(total > claim ? total - claim : 0, used);
}

void flo_spend_settle(struct flo_spend *spend, uint64_t day, struct flo_spend_amount claim,
                      struct flo_spend_amount used)
{
    assert(day <= spend->day);
    if (day < spend->day) {
        claim = (struct flo_spend_amount){0};
    }
    spend->used.tokens = replaced(spend->used.tokens, claim.tokens, used.tokens);
    spend->used.cost = replaced(spend->used.cost, claim.cost, used.cost);
}

/* Returns the use to store: the real use plus a part of the limit, but at most
 * the limit. */
static uint64_t ahead_of(uint64_t used, uint64_t most)
{
    uint64_t ahead = sum(used, most / KEEP_PARTS);

    return most > 0 && ahead > most ? (used > most ? used : most) : ahead;
}

bool flo_spend_must_keep(const struct flo_spend *spend, struct flo_spend_amount *ahead)
{
    bool must = (spend->most.tokens > 0 && spend->used.tokens > spend->kept.tokens) ||
                (spend->most.cost > 0 && spend->used.cost > spend->kept.cost);

    ahead->tokens = ahead_of(spend->used.tokens, spend->most.tokens);
    ahead->cost = ahead_of(spend->used.cost, spend->most.cost);
    assert(ahead->tokens >= spend->used.tokens);
    assert(ahead->cost >= spend->used.cost);
    return must;
}

static uint64_t product(uint64_t a, uint64_t b)
{
    return a != 0 && b > UINT64_MAX / a ? UINT64_MAX : a * b;
}

uint64_t flo_spend_cost(uint64_t tokens_in, uint64_t price_in, uint64_t tokens_out,
                        uint64_t price_out)
{
    return sum(product(tokens_in, price_in), product(tokens_out, price_out));
}
