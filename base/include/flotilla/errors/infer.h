/* Codes of the errors whose ids begin with `infer.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_INFER_H
#define FLOTILLA_ERRORS_INFER_H

enum {
    FLO_E_INFER_NO_API = -1217,       /* infer.no_api */
    FLO_E_INFER_SCHEMA = -1218,       /* infer.schema */
    FLO_E_INFER_MODEL = -1219,        /* infer.model */
    FLO_E_INFER_QUOTA = -1220,        /* infer.quota */
    FLO_E_INFER_GUARD = -1221,        /* infer.guard */
    FLO_E_INFER_GUARD_FAILED = -1222, /* infer.guard_failed */
    FLO_E_INFER_REDACTION = -1223,    /* infer.redaction */
    FLO_E_INFER_FORM = -1224,         /* infer.form */
    FLO_E_INFER_CANCELLED = -1225,    /* infer.cancelled */
};

#endif
