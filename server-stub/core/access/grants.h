/* Grants: what a person or a token may do, and for whom.  Pure.
 *
 * A grant is a role, for the whole fleet or for one group: "operator",
 * "operator:store-eu".  Several stand apart by commas.  Viewer, operator,
 * releaser and admin each include those before.  An auditor reads all that a
 * viewer does, and tokens, users and the audit's proof.  A group limits what
 * may be changed; who holds any role reads the whole fleet. */
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
    char group[FLO_NAME_MAX + 1]; /* "": the whole fleet */
};
struct flo_grants {
    size_t count;
    struct flo_grant items[FLO_GRANTS_MAX];
};
/* false: no list of 1 to FLO_GRANTS_MAX grants.  Viewer and operator alone can
 * be of a group. */
bool flo_grants_parse(const char *text, struct flo_grants *out);
/* Does one of them hold `needs` for the whole fleet, for this group, anywhere?
 */
bool flo_grants_hold(const struct flo_grants *grants, enum flo_access needs);
bool flo_grants_hold_group(const struct flo_grants *grants, enum flo_access needs,
                           const char *group);
bool flo_grants_hold_somewhere(const struct flo_grants *grants, enum flo_access needs);
/* Everything that `less` may, `more` may too. */
bool flo_grants_include(const struct flo_grants *more, const struct flo_grants *less);

#endif
