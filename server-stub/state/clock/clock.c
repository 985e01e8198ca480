#include "server-stub/state/clock/clock.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/clock.h>

#include "server-stub/state/audit/audit.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/outgoing.h"

#define SETTING "clock" /* "<last good time> <the kernel kept it> <it has leapt since>" */
#define KEEP_MS UINT64_C(3600000)

struct flo_clock {
    struct flo_clock_witnesses witnesses;
    uint64_t recorded_ms, authority_ms; /* at the start */
    bool was_kept;
    int64_t steady_ahead_ms, confirmed_ahead_ms; /* minus the steady clock; 0: unknown */
    bool is_leapt;
    bool is_noted; /* the setting says that the clock has leapt */
    uint64_t keep_at_ms;
};

struct flo_clock *flo_clock_new(void)
{
    return calloc(1, sizeof(struct flo_clock));
}

static int64_t ahead_now(void)
{
    return (int64_t)flo_wall_ms() - (int64_t)flo_now_ms();
}

static uint64_t carried(int64_t ahead_ms)
{
    return ahead_ms == 0 ? 0 : (uint64_t)((int64_t)flo_now_ms() + ahead_ms);
}

/* ---- the judgement ---- */

static struct flo_clock_verdict judge(struct flo_clock *clock)
{
    const struct flo_clock_sources sources = {.now_ms = flo_wall_ms(),
                                              .uptime_ms = flo_now_ms(),
                                              .is_synchronised = flo_wall_is_kept(),
                                              .was_kept = clock->was_kept,
                                              .confirmed_ms = carried(clock->confirmed_ahead_ms),
                                              .authority_ms = clock->authority_ms,
                                              .steady_ms = carried(clock->steady_ahead_ms),
                                              .recorded_ms = clock->recorded_ms,
                                              .witnesses = &clock->witnesses};
    struct flo_clock_verdict verdict;

    flo_clock_judge(&sources, &verdict);
    clock->is_leapt = verdict.code != 0;
    return verdict;
}

bool flo_clock_is_leapt(const struct flo_controller *controller)
{
    return controller->clock->is_leapt;
}

int flo_clock_signs(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_clock_verdict verdict = judge(controller->clock);
    char now[25], said[25];

    if (verdict.code == 0) {
        return 0;
    }
    flo_time_text(flo_wall_ms(), now);
    flo_time_text(verdict.said_ms, said);
    flo_fail(err, FLO_E_CLOCK_LEAPT, "the controller's clock is %s: it says %s, and %s %s",
             verdict.code == FLO_E_CLOCK_AHEAD ? "ahead" : "behind", now,
             flo_clock_source_text(verdict.source), said);
    return flo_err_fix(err, "set the clock; or, if it is right: flotilla clock confirm %.10s", now);
}

void flo_clock_began(struct flo_controller *controller, uint64_t authority_ms)
{
    uint64_t *first_ms = &controller->clock->authority_ms;

    *first_ms = *first_ms == 0 || authority_ms < *first_ms ? authority_ms : *first_ms;
}

void flo_clock_told(struct flo_controller *controller, const char *device, uint64_t at_ms)
{
    flo_clock_hear(&controller->clock->witnesses, strtoull(device, NULL, 16),
                   (int64_t)at_ms - (int64_t)flo_now_ms());
}

/* A failed transaction takes no word back: the caller is told, and the next tick
 * records it. */
int flo_clock_confirm(struct flo_controller *controller, const char *day, struct flo_err *err)
{
    char now[25];

    if (!controller->clock->is_leapt) {
        return flo_fail(err, FLO_E_STATE, "the controller's clock has not leapt");
    }
    flo_time_text(flo_wall_ms(), now);
    if (strlen(day) != 10 || strncmp(day, now, 10) != 0) {
        flo_fail(err, FLO_E_REST_MEANING, "the day by this clock is %.10s, not `%.16s`", now, day);
        return flo_err_at(err, "/day");
    }
    controller->clock->confirmed_ahead_ms = ahead_now();
    return 0;
}

/* ---- the last good time ---- */

static int take_time(void *context, const struct flo_audit_record *record,
                     const struct flo_digest *hash)
{
    uint64_t *newest_ms = context;

    (void)hash;
    *newest_ms = record->at_ms > *newest_ms ? record->at_ms : *newest_ms;
    return 0;
}

int flo_clock_open(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_clock *clock = controller->clock;
    unsigned long long good_ms = 0;
    int was_kept = 1, has_leapt = 0;
    char text[64];

    FLO_TRY(flo_fleet_setting_get(controller->store, SETTING, text, sizeof(text), err));
    sscanf(text, "%llu %d %d", &good_ms, &was_kept, &has_leapt);
    clock->was_kept = was_kept != 0;
    clock->is_noted = has_leapt != 0;
    clock->recorded_ms = good_ms;
    if (has_leapt == 0) { /* else a clock that had leapt wrote the newest record */
        FLO_TRY(flo_fleet_audit_newest(controller->store, INT64_MAX, 1, take_time,
                                       &clock->recorded_ms, err));
    }
    if (controller->options.is_restored) {
        clock->recorded_ms = 0; /* a backup may be of any age */
    }
    controller->clock_offset_ms = judge(clock).said_ms - flo_now_ms();
    return 0;
}

static int ask(void *context, const char *device)
{
    flo_outgoing_ask(context, device, "");
    return 0;
}

static int note(struct flo_controller *controller, const struct flo_err *leapt, struct flo_err *err)
{
    struct flo_clock *clock = controller->clock;
    uint64_t good_ms =
        clock->steady_ahead_ms == 0 ? clock->recorded_ms : carried(clock->steady_ahead_ms);
    char text[64];

    snprintf(text, sizeof(text), "%llu %d %d", (unsigned long long)good_ms, clock->was_kept,
             clock->is_leapt);
    FLO_TRY(flo_fleet_setting_set(controller->store, SETTING, text, err));
    if (clock->is_leapt == clock->is_noted) {
        return 0;
    }
    FLO_TRY(flo_controller_audit(controller, "controller",
                                 clock->is_leapt ? "clock.leapt" : "clock.right", "clock",
                                 clock->is_leapt ? "alarm" : "ok", leapt->what, err));
    /* Rollouts took no step with the devices' words meanwhile. */
    return clock->is_leapt ? 0 : flo_fleet_online_each(controller->store, ask, controller);
}

static int keep(struct flo_controller *controller, const struct flo_err *leapt, struct flo_err *err)
{
    FLO_TRY(flo_controller_begin(controller, err));
    return flo_controller_end(controller, note(controller, leapt, err), err);
}

void flo_clock_tick(struct flo_controller *controller)
{
    struct flo_clock *clock = controller->clock;
    struct flo_err leapt = {0}, err = {0};

    if (flo_clock_signs(controller, &leapt) == 0) {
        clock->steady_ahead_ms = ahead_now();
        clock->was_kept = flo_wall_is_kept();
    }
    bool is_news = clock->is_leapt != clock->is_noted;
    if (!is_news && (clock->is_leapt || flo_now_ms() < clock->keep_at_ms)) {
        return;
    }
    clock->keep_at_ms = flo_now_ms() + KEEP_MS;
    if (keep(controller, &leapt, &err) < 0 || !is_news) {
        return; /* news come again */
    }
    clock->is_noted = clock->is_leapt;
    if (clock->is_leapt) {
        flo_log_err(FLO_LOG_ERROR, "clock", &leapt);
    } else {
        flo_log(FLO_LOG_INFO, "clock", "the clock is right again: the controller signs");
        controller->clock_offset_ms = (uint64_t)ahead_now();
    }
}
