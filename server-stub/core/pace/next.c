/* Next: tells what a rollout waits for, and when it checks again.
 *
 * Every state that is not final has such a text, because people take an
 * unexplained stop for a hang. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/plural.h>

#include "server-stub/core/experiment/ratio.h"
#include "server-stub/core/rollout/decidable.h"
#include "server-stub/core/rollout/parts.h"
#include "server-stub/core/rollout/rollout.h"

#define TICK_MS 1000
#define EVIDENCE_MS 5000 /* interval in which the shell requests evidence */

struct awaited {
    uint64_t now_ms;
    uint64_t report_ms;
    uint64_t at_ms; /* the earliest */
    uint32_t under_way, soaking, offline, ready, waiting, away, lost;
    uint32_t held[FLO_HOLD_FREEZE + 1];
};

static void look_at(struct awaited *awaited, uint64_t at_ms)
{
    uint64_t soonest = awaited->now_ms + TICK_MS;

    at_ms = at_ms < soonest ? soonest : at_ms;
    awaited->at_ms = at_ms < awaited->at_ms ? at_ms : awaited->at_ms;
}

/* Sets the next check to the time of the next report: a device sends at least
 * one in a report interval. */
static void by_report(struct awaited *awaited, const struct flo_rollout_member *member)
{
    uint64_t next_ms = member->heard_at_ms + awaited->report_ms;

    assert(awaited->report_ms > 0);
    look_at(awaited, next_ms > awaited->now_ms ? next_ms : awaited->now_ms + awaited->report_ms);
}

static void by_deadline(struct awaited *awaited, const struct flo_rollout *rollout,
                        const struct flo_rollout_member *member)
{
    uint64_t limit = rollout->state == FLO_ROLLOUT_ROLLING_BACK
                         ? rollout->deadlines_ms[FLO_EXECUTION_ACTIVATING]
                         : rollout->deadlines_ms[member->state];

    assert(member->state < FLO_EXECUTION_COUNT);
    look_at(awaited, member->heard_at_ms + rollout->gates[FLO_GATE_FAILED].silence_ms_max);
    if (limit > 0) {
        look_at(awaited, member->watched_at_ms + limit);
    }
}

static void add_queued(struct awaited *awaited, const struct flo_rollout *rollout,
                       const struct flo_rollout_member *member)
{
    uint64_t until_ms;
    enum flo_hold hold = flo_rollout_hold_of(rollout, member, awaited->now_ms, &until_ms);

    assert(member->state == FLO_EXECUTION_QUEUED);
    if (hold == FLO_HOLD_NONE) {
        awaited->ready++;
        look_at(awaited, awaited->now_ms);
        return;
    }
    awaited->held[hold]++;
    if (until_ms != UINT64_MAX) {
        look_at(awaited, until_ms);
    } else {
        by_report(awaited, member);
    }
}

static void add(struct awaited *awaited, const struct flo_rollout *rollout,
                const struct flo_rollout_member *member)
{
    if (member->state == FLO_EXECUTION_QUEUED) {
        add_queued(awaited, rollout, member);
    } else if (member->lateness != FLO_LATENESS_NONE) {
        awaited->lost++;
        by_report(awaited, member);
    } else if (member->is_waiting) {
        awaited->waiting++;
        by_report(awaited, member);
    } else if (member->is_away) {
        awaited->away++;
        by_report(awaited, member);
    } else if (rollout->state == FLO_ROLLOUT_RUNNING &&
               flo_rollout_soaks_until(rollout, member) > awaited->now_ms) {
        awaited->soaking++;
        look_at(awaited, flo_rollout_soaks_until(rollout, member));
    } else {
        *(member->is_online ? &awaited->under_way : &awaited->offline) += 1;
        by_deadline(awaited, rollout, member);
    }
}

/* Finds the members to wait for: devices of phases that began, whose update or
 * rollback has not ended. */
static struct awaited members_of(const struct flo_rollout *rollout, uint64_t now_ms,
                                 uint64_t report_ms)
{
    struct awaited awaited = {.now_ms = now_ms, .report_ms = report_ms, .at_ms = UINT64_MAX};
    bool is_back = rollout->state == FLO_ROLLOUT_ROLLING_BACK;
    bool is_running = rollout->state == FLO_ROLLOUT_RUNNING;

    for (size_t i = 0; i < rollout->member_count; i++) {
        const struct flo_rollout_member *member = &rollout->members[i];
        bool is_begun = member->phase < rollout->phase_count &&
                        rollout->phases[member->phase].state != FLO_PHASE_WAITING;
        bool is_queued = member->state == FLO_EXECUTION_QUEUED;
        bool is_open =
            is_back ? !member->is_back && !is_queued : flo_rollout_member_is_under_way(member);
        if (is_begun && is_open && (is_running || !is_queued)) {
            add(&awaited, rollout, member);
        }
    }
    return awaited;
}

/* ---- words ---- */

static void say(struct flo_rollout_next *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void say(struct flo_rollout_next *out, const char *format, ...)
{
    size_t used = strlen(out->what);
    va_list list;

    assert(used < sizeof(out->what));
    va_start(list, format);
    vsnprintf(out->what + used, sizeof(out->what) - used, format, list);
    va_end(list);
}

static void say_count(struct flo_rollout_next *out, uint32_t count, const char *one,
                      const char *many)
{
    if (count > 0) {
        bool is_first = out->what[0] == '\0' || out->what[strlen(out->what) - 1] == ' ';
        say(out, "%s%u %s", is_first ? "" : ", ", count, count == 1 ? one : many);
    }
}

static void say_devices(struct flo_rollout_next *out, const struct awaited *awaited)
{
    say_count(out, awaited->under_way, "is under way", "are under way");
    say_count(out, awaited->soaking, "soaks", "soak");
    say_count(out, awaited->offline, "is offline", "are offline");
    say_count(out, awaited->ready, "comes in its turn", "come in their turn");
    say_count(out, awaited->held[FLO_HOLD_WINDOW], "waits for its window", "wait for their window");
    say_count(out, awaited->held[FLO_HOLD_ZONE], "has a window and no zone (label tz)",
              "have a window and no zone (label tz)");
    say_count(out, awaited->held[FLO_HOLD_RETRY], "waits to try again", "wait to try again");
    say_count(out, awaited->held[FLO_HOLD_APPROVAL], "awaits an approval", "await an approval");
    say_count(out, awaited->held[FLO_HOLD_FREEZE], "is in a change freeze",
              "are in a change freeze");
    say_count(out, awaited->waiting, "waits for its surroundings", "wait for their surroundings");
    say_count(out, awaited->away + awaited->held[FLO_HOLD_OFFLINE], "is away", "are away");
    say_count(out, awaited->lost, "does not answer", "do not answer");
}

/* ---- an experiment ---- */

static bool is_holding(const struct flo_rollout_member *member)
{
    return member->state == FLO_EXECUTION_SOAKING || member->state == FLO_EXECUTION_SUCCEEDED ||
           member->state == FLO_EXECUTION_ALREADY_INSTALLED;
}

/* Counts the devices of both arms: devices of phases that began, and all
 * others. A device also counts as seen when it is online with its arm's
 * release. */
static void arms_of(const struct flo_rollout *rollout, struct flo_sample_arm *updated,
                    struct flo_sample_arm *waiting)
{
    assert(rollout->phase < rollout->phase_count);
    *updated = (struct flo_sample_arm){0};
    *waiting = (struct flo_sample_arm){0};
    for (size_t i = 0; i < rollout->member_count; i++) {
        const struct flo_rollout_member *member = &rollout->members[i];
        bool is_updated = member->phase <= rollout->phase;
        bool is_there = member->is_online && member->lateness == FLO_LATENESS_NONE;
        if (member->phase >= rollout->phase_count || member->state == FLO_EXECUTION_REMOVED ||
            member->state == FLO_EXECUTION_SUPERSEDED) {
            continue; /* the member left or has a newer release, so neither arm counts it */
        }
        struct flo_sample_arm *arm = is_updated ? updated : waiting;
        arm->assigned++;
        arm->seen += is_there && (!is_updated || is_holding(member)) ? 1 : 0;
    }
}

static void say_experiment(const struct flo_rollout *rollout, struct flo_rollout_next *out)
{
    struct flo_sample_arm updated;
    struct flo_sample_arm waiting;

    arms_of(rollout, &updated, &waiting);
    if (rollout->analysis.split_of[0] != '\0') {
        say(out,
            "a person (promote, abort, rollback); %u of %u device%s %s the "
            "requests for %s",
            updated.seen, updated.assigned, flo_s(updated.assigned),
            flo_plural(updated.seen, "shares", "share"), rollout->analysis.split_of);
        return;
    }
    say(out, "a person (promote, abort, rollback); %u of %u : %u of %u", updated.seen,
        updated.assigned, waiting.seen, waiting.assigned);
    say(out, "%s",
        flo_sample_ratio_fits(&updated, &waiting)
            ? " devices are there"
            : " devices do not fit the shares: trust no comparison, look at "
              "who is missing");
    if (rollout->analysis.state.treated > 0) {
        say(out, "; the newest evidence compares %u with %u", rollout->analysis.state.treated,
            rollout->analysis.state.controls);
    }
}

/* ---- states ---- */

static void next_running(const struct flo_rollout *rollout, struct awaited *awaited,
                         struct flo_rollout_next *out)
{
    const struct flo_rollout_phase *phase = &rollout->phases[rollout->phase];

    assert(rollout->phase < rollout->phase_count);
    if (rollout->barred_until_ms > 0) {
        say(out, "the end of the change freeze; ");
        look_at(awaited, (uint64_t)((int64_t)rollout->barred_until_ms - rollout->wall_ahead_ms));
    }
    const char *slice = flo_rollout_slice_waits(rollout);
    if (slice != NULL && phase->state != FLO_PHASE_RUNNING) {
        say(out, "a person's answer for %s (promote or rollback --slice); ", slice);
        look_at(awaited, awaited->now_ms + EVIDENCE_MS);
    } else if (phase->state == FLO_PHASE_HELD) {
        say(out, "%s",
            phase->is_until_promoted ? ""
            : flo_rollout_asks_person(rollout)
                ? "a person (promote, abort, rollback); "
                : "a person (promote, abort, rollback) or more evidence; ");
        look_at(awaited, awaited->now_ms + EVIDENCE_MS);
    }
    say(out, "phase %u: ", rollout->phase + 1);
    say_devices(out, awaited);
    bool is_nobody = out->what[strlen(out->what) - 1] == ' ';
    if (phase->is_until_promoted &&
        awaited->under_way + awaited->soaking + awaited->offline + awaited->ready == 0) {
        say(out, "%s", is_nobody ? "" : "; ");
        say_experiment(rollout, out);
        look_at(awaited, awaited->now_ms + EVIDENCE_MS);
    } else if (is_nobody && phase->soak_ms > 0) {
        say(out, "its soak");
        look_at(awaited, phase->settled_at_ms + phase->soak_ms);
    } else if (is_nobody) {
        say(out, "its gates");
        look_at(awaited, awaited->now_ms);
    }
}

static void next_to_begin(const struct flo_rollout *rollout, struct awaited *awaited,
                          struct flo_rollout_next *out)
{
    uint64_t at_ms =
        rollout->put_off_ms > rollout->start_at_ms ? rollout->put_off_ms : rollout->start_at_ms;

    if (rollout->state == FLO_ROLLOUT_AWAITING_APPROVAL) {
        say_count(out, rollout->approvals_needed - rollout->approvals, "more approval",
                  "more approvals");
        at_ms = flo_rollout_end_ms(rollout);
    } else {
        say(out, "%s", rollout->put_off_ms > 0 ? "what forbids its begin" : "its time");
    }
    look_at(awaited,
            at_ms > 0 ? (uint64_t)((int64_t)at_ms - rollout->wall_ahead_ms) : awaited->now_ms);
}

bool flo_rollout_next(const struct flo_rollout *rollout, uint64_t now_ms, uint64_t report_ms,
                      struct flo_rollout_next *out)
{
    struct awaited awaited = members_of(rollout, now_ms, report_ms);

    assert(report_ms > 0);
    *out = (struct flo_rollout_next){.at_ms = 0};
    if (!flo_rollout_state_is_active(rollout->state)) {
        return false;
    }
    switch (rollout->state) {
    case FLO_ROLLOUT_RUNNING:
        next_running(rollout, &awaited, out);
        break;
    case FLO_ROLLOUT_PAUSED:
        say(out, "a person (resume, promote, abort, rollback); ");
        say_devices(out, &awaited);
        look_at(&awaited, now_ms); /* gates are checked at every step */
        break;
    case FLO_ROLLOUT_ABORTING:
    case FLO_ROLLOUT_ROLLING_BACK:
        say_devices(out, &awaited);
        break;
    default:
        next_to_begin(rollout, &awaited, out);
        break;
    }
    size_t used = strlen(out->what);
    if (used >= 2 && strcmp(out->what + used - 2, "; ") == 0) {
        out->what[used - 2] = '\0';
    }
    if (out->what[0] == '\0') {
        say(out, "its end");
        look_at(&awaited, now_ms);
    }
    out->at_ms = awaited.at_ms;
    return true;
}
