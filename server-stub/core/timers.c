/* Timers: computes the pauses of the controller. Tells whether devices were
 * silent or the process stalled. */
#include "server-stub/core/timers.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define LIVED_MS_MIN 5000
#define RETRY_MS_MIN 250
#define RETRY_MS_MAX 10000
#define STALL_MS 5000
#define REFUSAL_MS 3600000
/* microseconds that are planned for each reconnection; a handshake takes 1,000
 * us of the broker's CPU time */
#define RECONNECT_US 1500

uint64_t flo_broker_retry_ms(uint64_t retry_ms, uint64_t lived_ms)
{
    assert(retry_ms <= RETRY_MS_MAX);
    if (lived_ms > LIVED_MS_MIN) {
        return 0;
    }
    retry_ms = retry_ms == 0 ? RETRY_MS_MIN : retry_ms * 2;
    return retry_ms < RETRY_MS_MAX ? retry_ms : RETRY_MS_MAX;
}

uint64_t flo_broker_retry_ms_max(void)
{
    return RETRY_MS_MAX;
}

uint64_t flo_reconnect_ms(uint64_t devices)
{
    uint64_t ms = devices * RECONNECT_US / 1000;

    return ms < FLO_RECONNECT_MS_MIN   ? FLO_RECONNECT_MS_MIN
           : ms > FLO_RECONNECT_MS_MAX ? FLO_RECONNECT_MS_MAX
                                       : ms;
}

uint64_t flo_quiet_due_ms(uint64_t due_ms, uint64_t devices, uint64_t now_ms)
{
    return due_ms != 0 ? due_ms : now_ms + flo_reconnect_ms(devices);
}

bool flo_alone_is_over(struct flo_alone *alone, bool is_controlled, uint64_t linger_ms,
                       uint64_t now_ms)
{
    assert(now_ms >= alone->since_ms);
    if (is_controlled) {
        alone->since_ms = 0;
    } else if (alone->since_ms == 0) {
        alone->since_ms = now_ms;
    }
    return alone->since_ms != 0 && now_ms - alone->since_ms >= linger_ms;
}

bool flo_ticks_stalled(uint64_t ticked_ms, uint64_t now_ms)
{
    assert(now_ms >= ticked_ms);
    return now_ms - ticked_ms > STALL_MS;
}

bool flo_refusals_is_first(struct flo_refusals *refusals, const char *id, uint64_t now_ms)
{
    size_t place = FLO_REFUSALS_MAX;

    assert(id[0] != '\0');
    for (size_t i = 0; i < FLO_REFUSALS_MAX; i++) {
        if (refusals->tokens[i].until_ms <= now_ms) {
            place = i;
        } else if (strcmp(refusals->tokens[i].id, id) == 0) {
            return false;
        }
    }
    if (place == FLO_REFUSALS_MAX) {
        return false;
    }
    snprintf(refusals->tokens[place].id, sizeof(refusals->tokens[place].id), "%s", id);
    refusals->tokens[place].until_ms = now_ms + REFUSAL_MS;
    return true;
}
