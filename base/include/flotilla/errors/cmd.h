/* Codes of the errors whose ids begin with `cmd.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_CMD_H
#define FLOTILLA_ERRORS_CMD_H

enum {
    FLO_E_CMD_EXPIRED = -865,      /* cmd.expired */
    FLO_E_CMD_NONCE_REUSED = -866, /* cmd.nonce_reused */
    FLO_E_CMD_EPOCH = -867,        /* cmd.epoch */
    FLO_E_CMD_LEAP = -868,         /* cmd.leap */
    FLO_E_CMD_SCOPE = -869,        /* cmd.scope */
    FLO_E_CMD_TARGET = -870,       /* cmd.target_revoked */
    FLO_E_CMD_FORMAT = -871,       /* cmd.format */
    FLO_E_CMD_FUTURE = -872,       /* cmd.future */
};

#endif
