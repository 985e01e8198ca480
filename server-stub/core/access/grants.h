/* Grants: what a person or a token may do, and for whom.  Pure.
 *
 * A grant is a role, for the whole fleet or for one group: "operator",
 * "operator:store-eu".  Several are separated by commas.  Viewer, operator,
 * releaser and admin each include the roles before them.  An auditor reads all
 * that a viewer does, and tokens, users and the audit's proof.  A group limits
 * what may be changed; any role may read the whole fleet. */
#ifndef FLOTILLA_SERVER_ACCESS_GRANTS_H
#define FLOTILLA_SERVER_ACCESS_GRANTS_H

#include <flotilla/base.h>

enum flo_access {
    FLO_ACCESS_NONE,
    FLO_ACCESS_VIEWER,
    FLO_ACCESS_OPERATOR,
    FLO_ACCESS_RELEASER,
    FLO_ACCESS_ADMIN,
    FLO_ACCESS_AUDITOR
};
const char *flo_access_word(enum flo_access access);

#define FLO_GRANTS_MAX 8
#define FLO_GRANTS_TEXT 641
struct flo_grant {
    enum flo_access role;
    char group[FLO_NAME_MAX + 1]; /* "" if the grant is for the whole fleet */
};
struct flo_grants {
    size_t count;
    struct flo_grant items[FLO_GRANTS_MAX];
};
/* Returns false unless the text is a list of 1 to FLO_GRANTS_MAX grants.  Only
 * viewer and operator can be limited to a group. */
bool flo_grants_parse(const char *text, struct flo_grants *out);
/* Tells whether a grant for the whole fleet permits `needs`. */
bool flo_grants_hold(const struct flo_grants *grants, enum flo_access needs);
/* Tells whether a grant for the whole fleet or for this group permits
 * `needs`. */
bool flo_grants_hold_group(const struct flo_grants *grants, enum flo_access needs,
                           const char *group);
/* Tells whether a grant for the whole fleet or for any group permits
 * `needs`. */
bool flo_grants_hold_somewhere(const struct flo_grants *grants, enum flo_access needs);
/* Returns true when `more` permits all that `less` permits. */
bool flo_grants_include(const struct flo_grants *more, const struct flo_grants *less);

#endif
