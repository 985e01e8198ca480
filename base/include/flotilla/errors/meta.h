/* Codes of the errors whose ids begin with `meta.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_META_H
#define FLOTILLA_ERRORS_META_H

enum {
    FLO_E_META_JSON = -833,         /* meta.json */
    FLO_E_META_JSON_DEPTH = -834,   /* meta.json_depth */
    FLO_E_META_FLEET = -835,        /* meta.fleet */
    FLO_E_META_WRONG_TYPE = -836,   /* meta.wrong_type */
    FLO_E_META_KEYID = -837,        /* meta.keyid */
    FLO_E_META_EQUIVOCATION = -838, /* meta.equivocation */
    FLO_E_META_VERSION_JUMP = -839, /* meta.version_jump */
};

#endif
