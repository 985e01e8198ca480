/* Codes of the errors whose ids begin with `io.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_IO_H
#define FLOTILLA_ERRORS_IO_H

enum {
    FLO_E_IO_SYMLINK = -1505,  /* io.symlink */
    FLO_E_IO_MAPPING = -1506,  /* io.mapping */
    FLO_E_DESCRIPTORS = -1507, /* io.descriptors */
};

#endif
