/* Codes of the errors whose ids begin with `fleet.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_FLEET_H
#define FLOTILLA_ERRORS_FLEET_H

enum {
    FLO_E_CHANGE_FREEZE = -1473, /* fleet.change_freeze */
    FLO_E_FROZEN = -1474,        /* fleet.frozen */
};

#endif
