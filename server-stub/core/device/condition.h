/* Condition: one status word for a device, from its row and its last report.
 * Pure. */
#ifndef FLOTILLA_SERVER_CONDITION_H
#define FLOTILLA_SERVER_CONDITION_H

#include <flotilla/base.h>

enum flo_condition {
#define FLO_CONDITION(name, ...) FLO_CONDITION_##name,
#include "server-stub/core/device/conditions.def"
#undef FLO_CONDITION
    FLO_CONDITION_COUNT
};
const char *flo_condition_word(enum flo_condition condition);
bool flo_condition_parse(const char *word, enum flo_condition *out);
/* Compares two conditions by rank.  Returns <0 when the first is worse, and >0
 * when the second is. */
int flo_condition_compare(const char *word, const char *other);

/* State of one model as the device reports it; NULL: not reported. */
struct flo_condition_model {
    const char *state;     /* the engine's state: ready, loading, down, … */
    const char *execution; /* state of the model's execution, a word of execution.def */
    bool serves;           /* some release of the model can serve */
    bool drifts;
    bool is_let_go; /* the model has no release, and its group no longer assigns one */
};
/* Returns FAILED, DRIFT, UPDATING or OK.  A model without a release has no
 * engine that could be down, so it is FAILED only when its installation
 * failed. */
enum flo_condition flo_condition_of_model(const struct flo_condition_model *model);

/* Decides a device's condition.  `said` is the worst condition that follows
 * from the device's report, by the order of conditions.def. */
enum flo_condition flo_condition_decide(bool is_retired, bool in_maintenance, bool is_online,
                                        enum flo_condition said);

#endif
