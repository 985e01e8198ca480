/* A shell with the memory of its rooms, for tests that build some rooms only. */
#ifndef TESTS_SHELL_ROOMS_H
#define TESTS_SHELL_ROOMS_H

#include <string.h>

#include "agent/shell/derived/memory.h"
#include "agent/shell/device/memory.h"
#include "agent/shell/hardware/memory.h"
#include "agent/shell/loop_memory.h"
#include "agent/shell/neighbours/neighbourhood.h"
#include "agent/shell/orders/memory.h"
#include "agent/shell/report/memory.h"
#include "agent/shell/serving/state.h"
#include "agent/shell/trust/memory.h"
#include "agent/shell/update/memory.h"

struct shell_rooms {
    struct flo_shell_hardware hardware;
    struct flo_shell_serving serving;
    struct flo_shell_loop loop;
    struct flo_shell_trust trust;
    struct flo_shell_records records;
    struct flo_shell_report report;
    struct flo_shell_neighbours neighbours;
    struct flo_shell_update update;
    struct flo_shell_derived derived;
    struct flo_shell_orders orders;
};

/* Gives the shell these rooms. */
static inline void shell_has(struct flo_shell *to, struct shell_rooms *rooms)
{
    to->hardware = &rooms->hardware;
    to->watch = &rooms->hardware.watch;
    to->serving = &rooms->serving;
    to->plan = &rooms->serving.memory.known;
    to->loop = &rooms->loop;
    to->trust = &rooms->trust;
    to->records = &rooms->records;
    to->report = &rooms->report;
    to->neighbours = &rooms->neighbours;
    to->neighbour_counts = &rooms->neighbours.counts;
    to->update = &rooms->update;
    to->derived = &rooms->derived;
    to->orders = &rooms->orders;
}

/* Empties the only shell of a test, and its rooms. */
static inline void shell_empty(struct flo_shell *to)
{
    static struct shell_rooms rooms;

    memset(to, 0, sizeof(*to));
    memset(&rooms, 0, sizeof(rooms));
    shell_has(to, &rooms);
}

#endif
