/* Refusal: how a device handles an order that it does not accept. Pure. Some
 * errors are about the order itself. Others are about this device only: then
 * the order is not decided, and must be sent again. */
#ifndef FLOTILLA_AGENT_CORE_REFUSAL_H
#define FLOTILLA_AGENT_CORE_REFUSAL_H

#include <flotilla/base.h>

struct flo_refusal_facts {
    int code;           /* FLO_E_...: reason for the refusal */
    bool has_id;        /* the order could be read */
    bool is_answered;   /* answered before, and the answer is stored */
    bool is_next_epoch; /* it is of the epoch after that of the trust statement here */
    bool was_asked;     /* a jump in numbers: the controller was already asked since the order first
                           came */
};
enum flo_refusal_answer {
    FLO_REFUSAL_SILENT,
    FLO_REFUSAL_REPEATS, /* the stored answer is sent again */
    FLO_REFUSAL_REFUSES, /* with the error */
};
struct flo_refusal {
    enum flo_refusal_answer answer;
    bool is_told;     /* the device reports it as a security event */
    bool comes_again; /* nothing was decided */
    bool is_degraded; /* this device is at fault */
    bool sees_clock;  /* the clock may have been set since */
    bool doubts;      /* a trust statement that did not come may name its signer: ask for it */
    bool asks;        /* ask the controller whether it issued that many numbers */
};
void flo_agent_refuse(const struct flo_refusal_facts *facts, struct flo_refusal *out);

#endif
