#include "server-stub/core/device/lives.h"

#include <assert.h>
#include <string.h>

static bool is_recent(const struct flo_lives *lives, uint64_t now_ms)
{
    return now_ms < lives->back_ms + FLO_LIVES_TWICE_MS;
}

bool flo_lives_heard(struct flo_lives *lives, uint64_t id, uint64_t now_ms)
{
    size_t at = 0;

    assert(id != 0);
    while (at < FLO_LIVES_MAX && lives->ids[at] != id) {
        at++;
    }
    bool is_back = at > 0 && at < FLO_LIVES_MAX;
    if (is_back) {
        lives->returns = is_recent(lives, now_ms) ? lives->returns + 1 : 1;
        lives->back_ms = now_ms;
    }
    at = at < FLO_LIVES_MAX ? at : FLO_LIVES_MAX - 1;
    memmove(&lives->ids[1], &lives->ids[0], at * sizeof(lives->ids[0]));
    lives->ids[0] = id;
    return is_back;
}

bool flo_lives_are_two(const struct flo_lives *lives, uint64_t now_ms)
{
    return lives->returns >= FLO_LIVES_RETURNS && is_recent(lives, now_ms);
}
