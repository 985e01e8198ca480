/* Startup: decides how to continue from the stored records; see startup.h. */
#include "agent/core/startup.h"

#define READS_MAX 3

enum flo_startup_step flo_startup_record_next(const struct flo_startup_record *record)
{
    switch (record->reading) {
    case FLO_STARTUP_UNREAD:
        return FLO_STARTUP_READ;
    case FLO_STARTUP_WHOLE:
        return FLO_STARTUP_TAKE;
    case FLO_STARTUP_DAMAGED:
        return !record->was_searched ? FLO_STARTUP_SEARCH
               : record->is_found    ? FLO_STARTUP_RECOVER
                                     : FLO_STARTUP_LEAVE;
    case FLO_STARTUP_FAILED:
        break;
    }
    return record->failures < READS_MAX ? FLO_STARTUP_READ : FLO_STARTUP_GIVE_UP;
}

void flo_startup_execution(const struct flo_startup_execution *facts,
                           struct flo_startup_verdict *out)
{
    *out = (struct flo_startup_verdict){.source = FLO_STARTUP_NONE};
    if (facts->has_story) {
        out->source = FLO_STARTUP_STORY;
        out->drops = facts->has_candidate && !facts->is_same;
        return;
    }
    if (!facts->has_candidate) {
        return;
    }
    /* The success of this trial was reported, but the commit is missing,
     * because its half of the record is damaged.  So the trial is committed
     * again. */
    out->commits = facts->has_ended && facts->has_succeeded && facts->is_trial;
    if (!out->commits) {
        out->source = FLO_STARTUP_SLOTS;
        out->has_ended = facts->has_ended;
    }
}

enum flo_startup_enrolled flo_startup_enrolled(bool has_candidate, bool is_trial)
{
    return !has_candidate ? FLO_STARTUP_STAYS
           : is_trial     ? FLO_STARTUP_NAMELESS
                          : FLO_STARTUP_DROPPED;
}

enum flo_stated_outcome flo_startup_outcome(enum flo_stated_outcome outcome)
{
    return outcome == FLO_STATED_DONE ? outcome : FLO_STATED_OPEN;
}

struct flo_startup_again flo_startup_device_again(const struct flo_startup_device *facts)
{
    bool is_news = facts->was_unread && facts->is_read;

    return (struct flo_startup_again){.is_news = is_news,
                                      .unfreezes = is_news && !facts->is_frozen,
                                      .connects = is_news && facts->is_enrolled};
}
