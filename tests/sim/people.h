/* People's deeds, for the checks. */
#ifndef FLOTILLA_TESTS_SIM_PEOPLE_H
#define FLOTILLA_TESTS_SIM_PEOPLE_H

#include "tests/sim/sim.h"

#define SIM_ROLLOUTS_MAX 40 /* at most 63: sim_rollout_bit */
#define SIM_EMERGENCIES_MAX 16

struct sim_rollout {
    char id[FLO_NAME_MAX + 1];
    int release;
    const char *group;
    unsigned first;   /* devices of the first phase; 0: there is one phase */
    bool is_promoted; /* by people */
    bool is_last;     /* its gate lets all failures pass */
};
struct sim_emergency {
    uint64_t at_ms, number;
    int release; /* that is taken back; -1: a freeze */
    const char *group;
    bool is_yanked; /* all of the group are told */
};
struct sim_people {
    struct sim_rollout rollouts[SIM_ROLLOUTS_MAX];
    size_t rollout_count;
    struct sim_emergency emergencies[SIM_EMERGENCIES_MAX];
    size_t emergency_count;
    struct sim_rollout *last[SIM_MODELS_MAX]; /* that everybody should get */
};
extern struct sim_people sim_people;

/* Nothing goes wrong any more: end the freeze and what is under way. */
void sim_operator_tidy(void);
/* world/trust.c: the next statement; false: it is not published. */
bool sim_trust_state(struct sim_random *chance);
const struct flo_trust *sim_trust_newest(void);
/* An order of the emergency key; release -1: a freeze or its end. */
void sim_emergency_order(enum flo_order_op op, int release);
/* The newest one of each subject that the device did not take; NULL: none.  An
 * order that broker and controller lost is not missed until it is sent again. */
const struct flo_order *sim_emergency_missed(const struct sim_device *device);
/* By the controller's store. */
bool sim_people_have_in_lab(const struct sim_device *device);
void sim_check_emergency_later(size_t number);
/* At times, while the controller is there. */
void sim_check_running(void);

#endif
