/* Codes of the errors whose ids begin with `release.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_RELEASE_H
#define FLOTILLA_ERRORS_RELEASE_H

enum {
    FLO_E_RELEASE_ABSENT = -97,   /* release.absent */
    FLO_E_RELEASE_YANKED = -98,   /* release.yanked */
    FLO_E_RELEASE_EXISTS = -99,   /* release.exists */
    FLO_E_RELEASE_LICENCE = -100, /* release.licence */
};

#endif
