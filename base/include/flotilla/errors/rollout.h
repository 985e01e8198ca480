/* Codes of the errors whose ids begin with `rollout.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_ROLLOUT_H
#define FLOTILLA_ERRORS_ROLLOUT_H

enum {
    FLO_E_ROLLOUT_ABSENT = -193,   /* rollout.absent */
    FLO_E_ROLLOUT_APPROVER = -194, /* rollout.approver */
    FLO_E_ROLLOUT_STATE = -195,    /* rollout.state */
    FLO_E_ROLLOUT_APPROVAL = -196, /* rollout.approval */
    FLO_E_ROLLOUT_RUNNING = -197,  /* rollout.running */
    FLO_E_ROLLOUT_ENDED = -198,    /* rollout.ended */
    FLO_E_ROLLOUT_HALTED = -199,   /* rollout.halted */
    FLO_E_ROLLOUT_PARTLY = -200,   /* rollout.partly */
};

#endif
