/* Memory: what reports and the operators at the device need.  It is not for
 * others. */
#ifndef FLOTILLA_AGENT_REPORT_MEMORY_H
#define FLOTILLA_AGENT_REPORT_MEMORY_H

#include "agent/shell/report/operators.h"
#include "proto/proof.h"
#include "proto/telemetry_pace.h"

/* State of the proofs of this device's messages (proof.c). */
struct flo_shell_proof {
    struct flo_proof_key key;
    bool has_key;                  /* `key` was made from the two keys whose ids are below */
    char of_order[FLO_KEYID_TEXT]; /* id of the controller's key; "": no key was looked for yet */
    char of_pair[FLO_KEYID_TEXT];  /* id of the device's own key */
    uint64_t number;               /* number of the last proof; 0: none yet */
    uint64_t stored_ms;            /* device time of the last number that was stored on disk */
};

/* An operator at the control socket. */
struct flo_operator {
    struct flo_shell *shell;
    struct bufferevent *stream;
    enum flo_operator_wait wait;
    char order[FLO_NAME_MAX + 1]; /* id of the order whose answer it waits for */
};

struct flo_shell_report {
    struct flo_mqtt *mqtt; /* connection to the broker; NULL: none */
    struct flo_shell_proof proof;
    uint64_t rev; /* that the controller's `desired` document had */
    uint64_t telemetry_sequence;
    uint64_t telemetry_in_flight;
    struct flo_telemetry_pace telemetry_pace;
    struct event *telemetry_next; /* sends the next window when the pace allows it */
    /* the broker refused telemetry on this connection, and the log says so */
    bool telemetry_is_refused;
    /* number of messages that were refused since the last telemetry window */
    uint64_t messages_refused;
    uint64_t clients_refused; /* clients of the local API without a place, as last told */
    /* bytes from and to neighbours that telemetry has already reported */
    uint64_t told_in, told_out;
    bool witness_is_told; /* a report has sent the newest audit lines */
    struct flo_operator *operators[FLO_OPERATORS_MAX];
    json_t *local_answer;               /* last answer to the operator's command */
    char local_order[FLO_NAME_MAX + 1]; /* id of the order whose answer the command waits for */
    bool local_is_to_end;               /* true: the command waits until the trial has ended */
    /* release whose installation the operator's command waits for */
    struct flo_digest installing;
};

#endif
