/* Rooms: the shell and the memory of its rooms, in one piece.  Only rooms.c, and
 * tests of single rooms, include this header: rooms see no fields of each other. */
#ifndef FLOTILLA_AGENT_ROOMS_H
#define FLOTILLA_AGENT_ROOMS_H

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

struct flo_shell_whole {
    struct flo_shell shell; /* first */
    struct flo_shell_orders orders;
    struct flo_shell_derived derived;
    struct flo_shell_update update;
    struct flo_shell_neighbours neighbours;
    struct flo_shell_report report;
    struct flo_shell_records records;
    struct flo_shell_trust trust;
    struct flo_shell_loop loop;
    struct flo_shell_serving serving;
    struct flo_shell_hardware hardware;
};

/* Points the shell to its rooms, and its views into them. */
static inline void flo_shell_connect(struct flo_shell_whole *whole)
{
    struct flo_shell *to = &whole->shell;

    to->orders = &whole->orders;
    to->derived = &whole->derived;
    to->update = &whole->update;
    to->neighbours = &whole->neighbours;
    to->report = &whole->report;
    to->records = &whole->records;
    to->trust = &whole->trust;
    to->loop = &whole->loop;
    to->serving = &whole->serving;
    to->hardware = &whole->hardware;
    to->watch = &whole->hardware.watch;
    to->plan = &whole->serving.memory.known;
    to->neighbour_counts = &whole->neighbours.counts;
}

#endif
