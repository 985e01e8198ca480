/* Schedule: decides which requests take part in the next pass, with how many
 * tokens.
 *
 * Users' requests take part in every pass.
 * Answers get rows first, with the tokens
 * that a grammar forced, then prompts get
 * the rest.  Prompts get smaller pieces
 * while another answer streams.  The
 * shortest prompt goes first, but the
 * oldest one always gets a share.  Batch
 * requests and probes take part in every
 * fourth pass while users' answers stream.
 * While a user's prompt is computed, they
 * take part in every sixteenth.  A probe
 * runs alone, so that its measured times
 * are right.  Pure. */
#include "engine/run/run.h"

enum {
    PIECE_WITH_ANSWERS = 32, /* most rows of prompts in a pass while an answer streams */
    FIRST_SHARE = 4,         /* divisor: the oldest prompt gets one of so many rows */
    ROUNDS_WITH_ANSWERS = 4,
    ROUNDS_WITH_PROMPTS = 16,
};

/* Tells whether only the answer's last token and the tokens that its grammar
 * forced are left to compute.  If more are left, the context was shifted or the
 * answer lost its session. */
static bool is_forced(const struct flo_turn *turn)
{
    return turn->is_answer && turn->pending > 1 && turn->pending <= 1 + FLO_GRAMMAR_FORCED_MAX;
}

static bool is_prompt(const struct flo_turn *turn)
{
    return turn->pending > 1 && !is_forced(turn);
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

/* Gives rows to the forced tokens of answers, in order of arrival.  Returns the
 * rows that are left. */
static uint32_t give_forced(struct flo_turn *turns, size_t count, enum flo_wire_priority priority,
                            uint32_t rows)
{
    for (size_t i = 0; i < count && rows > 0; i++) {
        if (turns[i].priority == priority && is_forced(&turns[i])) {
            turns[i].rows = flo_smaller(turns[i].pending, rows);
            rows -= turns[i].rows;
        }
    }
    return rows;
}

static bool wants_rows(const struct flo_turn *turn, enum flo_wire_priority priority)
{
    return turn->priority == priority && is_prompt(turn) && turn->rows < turn->pending;
}

/* Returns the prompt with the fewest tokens left.  Among equals it is the
 * oldest. */
static struct flo_turn *shortest(struct flo_turn *turns, size_t count,
                                 enum flo_wire_priority priority)
{
    struct flo_turn *best = NULL;

    for (size_t i = 0; i < count; i++) {
        if (wants_rows(&turns[i], priority) && (best == NULL || turns[i].pending < best->pending)) {
            best = &turns[i];
        }
    }
    return best;
}

/* Gives rows to prompts, the shortest remaining one first, which minimises the
 * mean wait.  The oldest prompt has a share of every pass, so that short
 * prompts cannot starve it. */
static void give_prompts(struct flo_turn *turns, size_t count, enum flo_wire_priority priority,
                         uint32_t rows)
{
    struct flo_turn *turn = NULL;

    for (size_t i = 0; i < count && turn == NULL; i++) {
        turn = wants_rows(&turns[i], priority) ? &turns[i] : NULL;
    }
    if (turn != NULL) {
        turn->rows = flo_smaller(turn->pending, rows / FIRST_SHARE);
        rows -= turn->rows;
    }
    while (rows > 0 && (turn = shortest(turns, count, priority)) != NULL) {
        uint32_t more = flo_smaller(turn->pending - turn->rows, rows);

        turn->rows += more;
        rows -= more;
    }
}

/* Gives rows to the answers of this priority.  Each gets one token, then forced
 * tokens up to `forced_max`. */
static void give_answers(struct flo_turn *turns, size_t count, enum flo_wire_priority priority,
                         uint32_t forced_max, uint32_t *left)
{
    for (size_t i = 0; i<count && * left> 0; i++) {
        if (turns[i].priority == priority && turns[i].pending == 1) {
            turns[i].rows = 1;
            --*left;
        }
    }
    uint32_t most = flo_smaller(*left, forced_max);
    *left -= most - give_forced(turns, count, priority, most);
}

static void give(struct flo_turn *turns, size_t count, enum flo_wire_priority priority,
                 uint32_t left)
{
    uint32_t before = left;
    /* true: a prompt needs rows too, so answers get fewer for forced tokens */
    bool has_prompt = false;

    has(turns, count, &has_prompt, priority);
    give_answers(turns, count, priority, has_prompt ? PIECE_WITH_ANSWERS : left, &left);
    if (left < before || before < FLO_PASS_ROWS) {
        left = flo_smaller(left, PIECE_WITH_ANSWERS);
    }
    give_prompts(turns, count, priority, left);
}

static void give_probe(struct flo_turn *turns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (turns[i].priority == FLO_WIRE_PROBE && turns[i].pending > 0) {
            turns[i].rows = flo_smaller(turns[i].pending, FLO_PASS_ROWS);
            return;
        }
    }
}

bool flo_schedule_pass(struct flo_schedule *s, struct flo_turn *turns, size_t count)
{
    bool in_prompt = false, ignored = false;
    bool has_user = has(turns, count, &in_prompt, FLO_WIRE_USER);
    bool has_probe = has(turns, count, &ignored, FLO_WIRE_PROBE);
    bool has_batch = has(turns, count, &ignored, FLO_WIRE_BATCH);
    uint32_t rounds = in_prompt ? ROUNDS_WITH_PROMPTS : ROUNDS_WITH_ANSWERS;
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
    /* In a pass for batch work users' answers go on, but with few forced
     * tokens. */
    give_answers(turns, count, FLO_WIRE_USER, PIECE_WITH_ANSWERS, &left);
    give(turns, count, FLO_WIRE_BATCH, has_user ? left / 2 : left);
    return left < FLO_PASS_ROWS;
}
