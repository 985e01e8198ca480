/* Codes of the errors whose ids begin with `bundle.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_BUNDLE_H
#define FLOTILLA_ERRORS_BUNDLE_H

enum {
    FLO_E_BUNDLE_FORMAT = -961,    /* bundle.format */
    FLO_E_BUNDLE_PATH = -962,      /* bundle.path */
    FLO_E_BUNDLE_ENTRY = -963,     /* bundle.entry_type */
    FLO_E_BUNDLE_DUPLICATE = -964, /* bundle.duplicate */
    FLO_E_BUNDLE_MISSING = -965,   /* bundle.missing */
    FLO_E_BUNDLE_ORDER = -966,     /* bundle.order */
    FLO_E_BUNDLE_BOMB = -967,      /* bundle.bomb */
    FLO_E_BUNDLE_TRUNCATED = -968, /* bundle.truncated */
    FLO_E_BUNDLE_SIZE = -969,      /* bundle.size */
    FLO_E_BUNDLE_LIMIT = -970,     /* bundle.limit */
};

#endif
