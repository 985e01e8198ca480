/* A shell around the intake of orders, for its tests. */
#ifndef TESTS_ORDER_WORLD_H
#define TESTS_ORDER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/shell/orders/orders.h"
#include "agent/shell/queue/timers.h"
#include "base/host/crypto.h"
#include "tests/shell_rooms.h"

#define DAY_MS UINT64_C(86400000)

extern struct flo_shell shell;
extern char dir[64];
extern bool is_kept_right;    /* the clock */
extern unsigned acted;        /* of those that are no deploy order */
extern uint64_t heartbeat_ms; /* as an order set it */
extern int denied;            /* as the core was told with the deploy; -1: it was not */
extern int refusal;           /* ... and why */
extern char told[2048];       /* the last answer */
extern unsigned doubts;       /* the controller was asked for statements */
extern unsigned alarms;       /* told as security */
extern unsigned notes;        /* told as anything else; end() awaits none */
extern uint64_t begun_ms;
extern size_t answers; /* that went out */
extern bool is_connected;
extern bool is_list;                    /* the orders stand in a group's */
extern char reported[FLO_NAME_MAX + 1]; /* an order that asked for a report */
extern unsigned epoch;                  /* of the orders that come */
extern unsigned heard_groups;           /* told to hear its groups */
extern bool serve_keeps_prompts;        /* as serve was told last */
#define DEVICE_ID "11111111-1111-4111-8111-111111111111"
extern const char *scope;      /* of the orders that come; begin(): all */
extern struct flo_key *signer; /* of them; NULL: the fleet's */
extern const char *model;      /* that the next ones are about */
extern struct flo_key *key;
extern struct flo_key *emergency_key; /* no device knows it at first */

/* cmocka's set-up and tear-down. */
int begin(void **state);
int end(void **state);

/* The core hears the event. */
void take_event(const struct flo_agent_event *event);

struct flo_release_ref release(void);

/* The core's denial: somebody at the device goes back, or the probe failed. */
void deny(enum flo_denial_cause cause, uint64_t number);
bool is_denied_by_hand(void);
bool is_denied_to_order(uint64_t number, const char *more);

/* An order of that number and time comes. */
void order(uint64_t number, uint64_t issued_at_ms, const char *op, const char *args);
/* The same of the emergency key: its number is its time. */
void emergency(uint64_t at_ms, const char *op, const char *args);
/* A deploy order of that number; `more`: its arguments next to the release. */
void deploy(uint64_t number, uint8_t which, const char *more);
void roll_back(uint64_t number, uint8_t which);

bool was_told(const char *word);
struct flo_slots on_disk(void); /* the model's record */

#endif
