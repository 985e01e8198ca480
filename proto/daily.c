/* Daily hours: computes when a daily window is open. */
#include <assert.h>

#include <flotilla/proto.h>

#define DAY_S 86400
#define WEEK_DAYS 7
#define THURSDAY 3 /* day of the week of 1970-01-01 */

static bool opens_on(const struct flo_daily *daily, int64_t day)
{
    return (daily->days & 1u << ((day + THURSDAY) % WEEK_DAYS)) != 0;
}

bool flo_daily_is_open(const struct flo_daily *daily, int64_t at_s, int64_t *change_s)
{
    int64_t today = at_s / DAY_S;

    assert(at_s >= DAY_S);
    assert(daily->length_s <= DAY_S && daily->from_s < DAY_S);
    *change_s = INT64_MAX;
    if (daily->length_s == 0) {
        return true;
    }
    for (int64_t day = today - 1; day <= today + WEEK_DAYS; day++) {
        int64_t opens_s = day * DAY_S + daily->from_s;
        int64_t closes_s = opens_s + daily->length_s;
        if (opens_on(daily, day) && at_s < closes_s) {
            bool is_open = at_s >= opens_s;
            *change_s = is_open ? closes_s : opens_s;
            return is_open;
        }
    }
    return false; /* never open, because no day of the week is set */
}

bool flo_policy_is_open(const struct flo_policy *policy, uint64_t wall_ms, uint64_t *wait_ms)
{
    const struct flo_daily daily = {.from_s = (uint32_t)policy->window_from_s,
                                    .length_s = (uint32_t)policy->window_length_s,
                                    .days = (uint32_t)policy->window_days};
    int64_t at_s = (int64_t)(wall_ms / 1000);
    int64_t change_s;

    *wait_ms = 0;
    if (at_s < DAY_S || flo_daily_is_open(&daily, at_s, &change_s)) {
        return true;
    }
    *wait_ms = change_s == INT64_MAX ? UINT64_MAX : (uint64_t)change_s * 1000 - wall_ms;
    return false;
}
