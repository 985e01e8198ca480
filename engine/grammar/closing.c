/* Closing: finds the shortest paths through the graph of a program to its
 * end. */
#include "engine/grammar/closing.h"

#include <stdlib.h>
#include <string.h>

#define PASSES_MAX 100 /* most passes, which take 5 ms for the largest program */

static uint32_t sum(uint32_t a, uint32_t b)
{
    return a == FLO_CLOSING_NEVER || b == FLO_CLOSING_NEVER || a > FLO_CLOSING_NEVER - 1 - b
               ? FLO_CLOSING_NEVER
               : a + b;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t through(const struct flo_program *p, const uint32_t *distances, uint32_t node)
{
    const struct flo_node *n = &p->nodes[node];

    switch ((enum flo_node_kind)n->kind) {
    case FLO_NODE_BYTES:
        return sum(distances[n->next], 1);
    case FLO_NODE_FORK:
    case FLO_NODE_AGAIN:
        return least(distances[n->next], distances[n->other]);
    case FLO_NODE_CALL:
        return sum(distances[p->starts[n->other]], distances[n->next]);
    case FLO_NODE_END:
        return 0;
    case FLO_NODE_OPEN:
        break;
    }
    return FLO_CLOSING_NEVER;
}

/* Computes the distances.  Later nodes come first, because most edges lead to
 * later nodes, so a few passes suffice.  Before the last pass a value may be
 * too large, but never too small.  So each finite value belongs to a real
 * end. */
uint32_t *flo_closing_distances(const struct flo_program *p)
{
    uint32_t *distances = malloc((p->node_count + 1) * sizeof(*distances));
    bool has_changed = distances != NULL;

    if (distances != NULL) {
        memset(distances, 0xff, (p->node_count + 1) * sizeof(*distances));
    }
    for (int pass = 0; has_changed && pass < PASSES_MAX; pass++) {
        has_changed = false;
        for (uint32_t i = p->node_count; i-- > 0;) {
            uint32_t bytes = through(p, distances, i);
            has_changed = has_changed || bytes < distances[i];
            distances[i] = least(distances[i], bytes);
        }
    }
    return distances;
}

static uint32_t from_reading(const struct flo_matcher *m, const uint32_t *distances,
                             struct flo_reading r)
{
    uint32_t bytes = distances[r.node];

    for (uint32_t at = r.stack; at != 0; at = m->stacks[0][at].below) {
        bytes = sum(bytes, distances[m->stacks[0][at].node]);
    }
    return bytes;
}

static uint32_t nearest(const struct flo_matcher *m, const uint32_t *distances, uint32_t state,
                        uint32_t *node)
{
    const struct flo_state *s = &m->states[state];
    uint32_t found = FLO_CLOSING_NEVER;

    for (uint32_t i = 0; i < s->count; i++) {
        struct flo_reading r = m->readings[s->first + i];
        uint32_t bytes = from_reading(m, distances, r);
        if (bytes < found) {
            found = bytes;
            *node = r.node;
        }
    }
    return found;
}

uint32_t flo_closing_bytes(const struct flo_matcher *m, const uint32_t *distances, uint32_t state)
{
    uint32_t node;

    return m->states[state].may_end ? 0 : nearest(m, distances, state, &node);
}

bool flo_closing_next(const struct flo_matcher *m, const uint32_t *distances, uint32_t state,
                      uint8_t *byte)
{
    uint32_t node;

    if (m->states[state].may_end || nearest(m, distances, state, &node) == FLO_CLOSING_NEVER) {
        return false;
    }
    *byte = m->program->nodes[node].first;
    return true;
}
