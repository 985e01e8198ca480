/* Codes of the errors whose ids begin with `model.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_MODEL_H
#define FLOTILLA_ERRORS_MODEL_H

enum {
    FLO_E_MODEL_ARCH = -1025,        /* model.arch */
    FLO_E_MODEL_TEMPLATE = -1026,    /* model.template */
    FLO_E_MODEL_UPDATE_LOST = -1027, /* model.update_lost */
    FLO_E_MODEL_ADAPTER = -1028,     /* model.adapter */
    FLO_E_MODEL_BACKEND = -1029,     /* model.backend */
    FLO_E_MODEL_GATE = -1030,        /* model.gate */
    FLO_E_PACKED = -1031,            /* model.packed */
    FLO_E_PREFIX = -1032,            /* model.prefix */
    FLO_E_SAFETENSORS = -1033,       /* model.safetensors */
    FLO_E_MODEL_FOLDER = -1034,      /* model.folder */
};

#endif
