/* Membership: may a device of the group be a member of a rollout?  Pure. */
#ifndef FLOTILLA_SERVER_MEMBER_H
#define FLOTILLA_SERVER_MEMBER_H

#include <flotilla/base.h>

enum flo_excuse {
    FLO_EXCUSE_NONE, /* the device is a member */
#define FLO_EXCUSE(name, word, meaning, fix) FLO_EXCUSE_##name,
#include "server-stub/core/member/excuses.def"
#undef FLO_EXCUSE
    FLO_EXCUSE_COUNT
};
/* For any but NONE. */
const char *flo_excuse_word(enum flo_excuse excuse);
const char *flo_excuse_meaning(enum flo_excuse excuse);
const char *flo_excuse_fix(enum flo_excuse excuse);

struct flo_member_facts {
    bool has_come; /* the device was heard since its enrolment */
    bool is_in_maintenance;
    bool is_outranked; /* a rollout to a group with a higher priority holds */
    const char *pin;   /* model@version that is pinned for the rollout's model;
                          NULL: none */
};
/* `release` is the rollout's, as model@version.  The first reason that holds,
 * in the order of the table. */
enum flo_excuse flo_member_excuse(const struct flo_member_facts *facts, const char *release);

#endif
