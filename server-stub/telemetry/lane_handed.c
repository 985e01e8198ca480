/* Lane: takes evidence and trends of devices over from the former leader, and
 * hands them to the next. */
#include <unistd.h>

#include "server-stub/core/gate/observe/since.h"
#include "server-stub/telemetry/lane_thread.h"

#define PAUSE_US 200000
#define TOLD_MS 60000 /* pause before an equal line is logged again */
#define LAST_MS 10000 /* longest time of the last handover, because a standby waits for it */

_Static_assert(FLO_KEPT_BYTES_MAX <= FLO_HANDED_BYTES_MAX &&
                   FLO_TREND_BYTES_MAX <= FLO_HANDED_BYTES_MAX,
               "each row fits");

struct heir {
    struct flo_lane *lane;
    bool has_begun;
    int refused; /* error code of a row that was refused; 0: none */
};

static int take_row(void *context, const char *device, const char *name, const void *data,
                    size_t bytes)
{
    struct heir *heir = context;
    struct flo_lane *lane = heir->lane;

    if (!heir->has_begun) {
        heir->has_begun = true;
        flo_observer_empty(lane->observer);
        flo_trends_empty(lane->trends);
    }
    heir->refused = name[0] == '\0'
                        ? flo_trends_take_over(lane->trends, device, data, bytes)
                        : flo_observer_take_over(lane->observer, device, name, data, bytes);
    return heir->refused;
}

static void tell(const struct flo_err *err, uint64_t *told_ms)
{
    if (*told_ms == 0 || flo_now_ms() - *told_ms >= TOLD_MS) {
        flo_log(FLO_LOG_WARN, "telemetry", "gates wait for the evidence of the leader before: %s",
                err->what);
        *told_ms = flo_now_ms();
    }
}

/* Reads the former leader's rows.  Until the database answers, gates judge
 * nothing: without these rows this leader would hand over less evidence than
 * the former leader had. */
static int list(struct flo_lane *lane, struct heir *heir, struct flo_err *err)
{
    uint64_t told_ms = 0;
    int rv;

    for (;;) {
        *heir = (struct heir){.lane = lane};
        rv = flo_handed_list(lane->handed, take_row, heir, err);
        if (rv == 0 || heir->refused < 0 || atomic_load(&lane->is_stopping)) {
            return rv;
        }
        tell(err, &told_ms);
        *err = (struct flo_err){0};
        usleep(PAUSE_US);
    }
}

void flo_lane_take_over(struct flo_lane *lane)
{
    struct flo_err err = {0};
    struct heir heir;

    if (lane->handed == NULL) {
        return;
    }
    if (list(lane, &heir, &err) < 0) {
        flo_wrap(&err, err.code, "evidence of the leader before");
        flo_log_err(FLO_LOG_ERROR, "telemetry", &err);
        flo_handed_close(lane->handed);
        lane->handed = NULL;
        return;
    }
    flo_observer_hand_on(lane->observer, !heir.has_begun);
    flo_trends_hand_on(lane->trends, !heir.has_begun);
}

static size_t give(struct flo_lane *lane, bool is_last)
{
    size_t room = flo_handed_room(lane->handed);
    size_t given = flo_observer_give(lane->observer, room, is_last, flo_handed_put, lane->handed);

    given += flo_trends_give(lane->trends, room - given, flo_handed_put, lane->handed);
    flo_handed_send(lane->handed);
    return given;
}

void flo_lane_give(struct flo_lane *lane)
{
    if (lane->handed != NULL) {
        (void)give(lane, false);
    }
}

void flo_lane_give_last(struct flo_lane *lane)
{
    uint64_t begin_ms = flo_now_ms();

    while (lane->handed != NULL && flo_now_ms() - begin_ms < LAST_MS &&
           flo_handed_settle(lane->handed, LAST_MS) && give(lane, true) > 0) {
    }
}
