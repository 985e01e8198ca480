/* Orders: selects the orders of a group's list, and computes age, outcome and
 * progress. */
#include <assert.h>
#include <string.h>

#include "server-stub/core/orders/orders.h"

#define ROLLBACKS_FIRST 4

/* Returns the weight of an order; the lowest is dropped first when a group has
 * too many.  An old rollback is kept until the last device answered, unless
 * ROLLBACKS_FIRST newer rollbacks follow; then it is dropped first to make
 * room. */
static int weight(enum flo_order_op op, size_t newer_rollbacks)
{
    return op == FLO_ORDER_ROLLBACK && newer_rollbacks >= ROLLBACKS_FIRST
               ? 0
               : flo_order_fact(op)->rank;
}

/* Tells whether a device that has `later` no longer needs `earlier`. */
static bool replaces(const struct flo_order_card *later, const struct flo_order_card *earlier)
{
    enum flo_order_subject subject = flo_order_fact(earlier->op)->subject;

    if (flo_order_fact(later->op)->subject != subject) {
        return false;
    }
    switch (subject) {
    case FLO_ORDER_SUBJECT_MODEL:
        return later->op == FLO_ORDER_ROLLBACK && earlier->op == FLO_ORDER_ROLLBACK &&
               flo_digest_equal(&later->release, &earlier->release);
    case FLO_ORDER_SUBJECT_ROLLOUT:
        return strcmp(later->rollout, earlier->rollout) == 0;
    case FLO_ORDER_SUBJECT_FREEZE:
    case FLO_ORDER_SUBJECT_PROMPTS:
    case FLO_ORDER_SUBJECT_CONFIG:
    case FLO_ORDER_SUBJECT_REPORT:
    case FLO_ORDER_SUBJECT_GROUPS:
        break;
    }
    return true;
}

static bool is_wanted(const struct flo_order_card *cards, size_t count, size_t index,
                      uint64_t now_ms)
{
    assert(index < count);
    if (flo_order_fact(cards[index].op)->rank == 0 || cards[index].is_over ||
        cards[index].expires_at_ms <= now_ms) {
        return false;
    }
    for (size_t i = index + 1; i < count; i++) {
        if (replaces(&cards[i], &cards[index])) {
            return false;
        }
    }
    return true;
}

struct listed {
    size_t index;
    int weight;
};

/* Drops the order with the lowest weight.  Among orders of equal weight it is
 * the oldest, which is the last in this list. */
static void drop_one(struct listed *listed, size_t *count)
{
    size_t least = 0;

    assert(*count > 0 && *count <= FLO_GROUP_ORDERS_MAX + 1);
    for (size_t i = 1; i < *count; i++) {
        if (listed[i].weight <= listed[least].weight) {
            least = i;
        }
    }
    memmove(&listed[least], &listed[least + 1], (*count - least - 1) * sizeof(listed[0]));
    (*count)--;
}

size_t flo_group_orders(const struct flo_order_card *cards, size_t count, uint64_t now_ms,
                        size_t *out)
{
    struct listed listed[FLO_GROUP_ORDERS_MAX + 1];
    size_t taken = 0;
    size_t rollbacks = 0;

    assert(cards != NULL || count == 0);
    assert(out != NULL);
    for (size_t i = count; i-- > 0;) {
        if (!is_wanted(cards, count, i, now_ms)) {
            continue;
        }
        listed[taken++] = (struct listed){i, weight(cards[i].op, rollbacks)};
        rollbacks += cards[i].op == FLO_ORDER_ROLLBACK ? 1 : 0;
        if (taken > FLO_GROUP_ORDERS_MAX) {
            drop_one(listed, &taken);
        }
    }
    for (size_t i = 0; i < taken; i++) {
        out[i] = listed[taken - 1 - i].index;
    }
    return taken;
}

bool flo_order_is_aged(uint64_t issued_at_ms, uint64_t expires_at_ms, uint64_t now_ms)
{
    return expires_at_ms <= issued_at_ms || issued_at_ms > now_ms ||
           now_ms >= issued_at_ms + (expires_at_ms - issued_at_ms) / 2;
}

static const char *const outcomes[] = {"pending", "running", "done",
                                       "ignored", "refused", "superseded"};

const char *flo_outcome_word(enum flo_order_outcome outcome)
{
    assert((size_t)outcome < FLO_COUNT(outcomes));
    return outcomes[outcome];
}

bool flo_outcome_parse(const char *word, enum flo_order_outcome *out)
{
    for (size_t i = FLO_OUTCOME_RUNNING; i < FLO_COUNT(outcomes); i++) {
        if (strcmp(outcomes[i], word) == 0) {
            *out = (enum flo_order_outcome)i;
            return true;
        }
    }
    return false;
}

bool flo_outcome_is_news(enum flo_order_outcome now, enum flo_order_outcome next)
{
    assert((size_t)now < FLO_COUNT(outcomes) && (size_t)next < FLO_COUNT(outcomes));
    switch (now) {
    case FLO_OUTCOME_PENDING:
        return next != FLO_OUTCOME_PENDING;
    case FLO_OUTCOME_RUNNING:
        return next > FLO_OUTCOME_RUNNING;
    case FLO_OUTCOME_IGNORED:
    case FLO_OUTCOME_REFUSED:
    case FLO_OUTCOME_SUPERSEDED:
        return next == FLO_OUTCOME_DONE;
    default:
        return false;
    }
}

void flo_order_progress_add(struct flo_order_progress *progress, enum flo_order_outcome outcome,
                            bool is_online, uint32_t count)
{
    assert((size_t)outcome < FLO_COUNT(outcomes));
    assert(progress->acked <= progress->devices && progress->online <= progress->devices);
    progress->devices += count;
    progress->online += is_online ? count : 0;
    progress->acked += outcome != FLO_OUTCOME_PENDING ? count : 0;
    switch (outcome) {
    case FLO_OUTCOME_DONE:
    case FLO_OUTCOME_IGNORED:
    case FLO_OUTCOME_SUPERSEDED: /* the device has a newer order, so it counts as done */
        progress->done += count;
        break;
    case FLO_OUTCOME_REFUSED:
        progress->failed += count;
        break;
    default:
        progress->pending += count;
        progress->awaited += is_online ? count : 0;
        break;
    }
}

const char *flo_order_progress_word(const struct flo_order_progress *progress)
{
    if (progress->pending > 0) {
        return "running";
    }
    return progress->failed > 0 ? "partly" : "done";
}
