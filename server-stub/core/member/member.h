/* Membership: decides whether a device of the group is a member of a rollout.
 * Pure. */
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
/* Returns the word of a reason other than NONE. */
const char *flo_excuse_word(enum flo_excuse excuse);
const char *flo_excuse_meaning(enum flo_excuse excuse);
const char *flo_excuse_fix(enum flo_excuse excuse);

struct flo_member_facts {
    bool has_come; /* the device sent a message since it enrolled */
    bool is_in_maintenance;
    bool is_outranked; /* another rollout decides: that of a group with a higher priority */
    const char *pin;   /* release pinned on the device, as model@version; NULL: none */
};
/* Returns the first reason that holds, in the order of excuses.def, or NONE.
 * `release` is the rollout's release, as model@version. */
enum flo_excuse flo_member_excuse(const struct flo_member_facts *facts, const char *release);

#endif
