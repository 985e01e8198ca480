/* Condition: one word for a device, from its row and its last report.  Pure. */
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
/* <0: the first is worse. */
int flo_condition_compare(const char *word, const char *other);

/* One model, as a device says it; NULL: it does not say. */
struct flo_condition_model {
    const char *state;     /* the engine's state: ready, loading, down, … */
    const char *execution; /* a word of execution.def */
    bool serves;           /* a release is there to serve */
    bool drifts;
    bool is_let_go; /* the release is lacking, and nobody wants it any more */
};
/* FAILED, DRIFT, UPDATING or OK.  A model without a release has no engine that
 * could be down: on the way to its first one it is updating. */
enum flo_condition flo_condition_of_model(const struct flo_condition_model *model);

/* `said`: the first in the order of precedence of all that its report says. */
enum flo_condition flo_condition_decide(bool is_retired, bool in_maintenance, bool is_online,
                                        enum flo_condition said);

#endif
