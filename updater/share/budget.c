/* Sharing budget: bytes that a device gives its neighbours in 24 hours. */
#include "updater/share/share.h"

static void turn_day(struct flo_share_budget *budget, uint64_t now_ms)
{
    if (now_ms - budget->began_ms >= FLO_SHARE_DAY_MS) {
        budget->began_ms = now_ms;
        budget->used_bytes = 0;
    }
}

bool flo_share_budget_has(struct flo_share_budget *budget, uint64_t now_ms, uint64_t *left_ms)
{
    turn_day(budget, now_ms);
    *left_ms = FLO_SHARE_DAY_MS - (now_ms - budget->began_ms);
    return budget->limit_bytes == 0 || budget->used_bytes < budget->limit_bytes;
}

bool flo_share_budget_spend(struct flo_share_budget *budget, uint64_t bytes, uint64_t now_ms)
{
    uint64_t left_ms;

    turn_day(budget, now_ms);
    if (!flo_add_u64(budget->used_bytes, bytes, &budget->used_bytes)) {
        budget->used_bytes = UINT64_MAX;
    }
    return flo_share_budget_has(budget, now_ms, &left_ms);
}
