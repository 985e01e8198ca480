/* Codes of the errors whose ids begin with `device.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_DEVICE_H
#define FLOTILLA_ERRORS_DEVICE_H

enum {
    FLO_E_DEVICE_ABSENT = -161, /* device.absent */
    FLO_E_DEVICE_STRAIN = -162, /* device.strain */
};

#endif
