/* Schedule: which requests take part in the next pass, with how many tokens.
 *
 * Users' requests go in every pass; prompts share what is left, smaller
 * pieces while another answer streams.  Work that can wait (batch requests,
 * probes) has every fourth pass while users are answered and every sixteenth
 * while a user's prompt is computed, so that it never ends.  A probe goes
 * alone: its times are its own.  Pure. */
#include "engine/run/run.h"

enum {
    PIECE_BESIDE = 32, /* of prompts, when an answer streams as well */
    ROUNDS_BESIDE_ANSWERS = 4,
    ROUNDS_BESIDE_PROMPTS = 16,
};

static bool is_prompt(const struct flo_turn *turn)
{
    return turn->pending > 1;
}

static bool has(const struct flo_turn *turns, size_t count, bool *has_prompt,
                enum flo_wire_priority priority)
{
    bool found = false;

    for (size_t i = 0; i < count; i++) {
        if (turns[i].priority == priority && turns[i].pending > 0) {
            found = true;
            *has_prompt |= is_prompt(&turns[i]);
        }
    }
    return found;
}

/* Single tokens of this kind: one each. */
static void give_tokens(struct flo_turn *turns, size_t count,
                        enum flo_wire_priority priority, uint32_t *left)
{
    for (size_t i = 0; i<count && * left> 0; i++) {
        if (turns[i].priority == priority && turns[i].pending == 1) {
            turns[i].rows = 1;
            --*left;
        }
    }
}

/* Prompts of this kind: the first come is the first done. */
static void give_prompts(struct flo_turn *turns, size_t count,
                         enum flo_wire_priority priority, uint32_t left)
{
    for (size_t i = 0; i < count && left > 0; i++) {
        if (turns[i].priority == priority && is_prompt(&turns[i])) {
            turns[i].rows = turns[i].pending < left ? turns[i].pending : left;
            left -= turns[i].rows;
        }
    }
}

static void give(struct flo_turn *turns, size_t count,
                 enum flo_wire_priority priority, uint32_t left)
{
    uint32_t before = left;

    give_tokens(turns, count, priority, &left);
    if (left < before || before < FLO_PASS_ROWS) {
        left = left < PIECE_BESIDE ? left : PIECE_BESIDE;
    }
    give_prompts(turns, count, priority, left);
}

static void give_probe(struct flo_turn *turns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (turns[i].priority == FLO_WIRE_PROBE && turns[i].pending > 0) {
            turns[i].rows = turns[i].pending < FLO_PASS_ROWS ? turns[i].pending
                                                             : FLO_PASS_ROWS;
            return;
        }
    }
}

bool flo_schedule_pass(struct flo_schedule *s, struct flo_turn *turns,
                       size_t count)
{
    bool in_prompt = false, ignored = false;
    bool has_user = has(turns, count, &in_prompt, FLO_WIRE_USER);
    bool has_probe = has(turns, count, &ignored, FLO_WIRE_PROBE);
    bool has_batch = has(turns, count, &ignored, FLO_WIRE_BATCH);
    uint32_t rounds = in_prompt ? ROUNDS_BESIDE_PROMPTS : ROUNDS_BESIDE_ANSWERS;
    uint32_t left = FLO_PASS_ROWS;

    for (size_t i = 0; i < count; i++) {
        turns[i].rows = 0;
    }
    s->waited = has_probe || has_batch ? s->waited + 1 : 0;
    if (has_user && s->waited < rounds) {
        give(turns, count, FLO_WIRE_USER, left);
        return true;
    }
    s->waited = 0;
    s->was_probe = has_probe && !(has_batch && s->was_probe);
    if (s->was_probe) {
        give_probe(turns, count);
        return false;
    }
    /* Beside a user's prompt this pass is short; answers go on in it. */
    give_tokens(turns, count, FLO_WIRE_USER, &left);
    give(turns, count, FLO_WIRE_BATCH, has_user ? left / 2 : left);
    return left < FLO_PASS_ROWS;
}
