/* Program: rules as a graph of bytes.
 *
 * Building goes on at the open node `at`; an added part leads from there to the
 * next open node.  Calls need no check on the way: after a failure `failed`
 * stays set and all calls do nothing. */
#ifndef FLOTILLA_GRAMMAR_PROGRAM_H
#define FLOTILLA_GRAMMAR_PROGRAM_H

#include <flotilla/base.h>

#define FLO_GRAMMAR_NODES_MAX 32768u
#define FLO_GRAMMAR_RULES_MAX 16384u
#define FLO_NOWHERE UINT32_MAX

enum flo_node_kind {
    FLO_NODE_OPEN,  /* being built; in a program: nothing matches */
    FLO_NODE_BYTES, /* one byte from first to last, then next */
    FLO_NODE_FORK,  /* next or other */
    FLO_NODE_AGAIN, /* a FORK back to where a repetition began */
    FLO_NODE_CALL,  /* rule `other`, then next */
    FLO_NODE_END,   /* end of a rule */
};

struct flo_node {
    uint8_t kind; /* enum flo_node_kind */
    uint8_t first, last;
    uint8_t marks; /* marks of flo_program_finish() */
    uint32_t next, other;
};

struct flo_program {
    uint32_t node_count, rule_count;
    uint32_t root; /* a rule */
    uint32_t at;   /* the open node where building goes on */
    bool failed;   /* too many nodes or rules */
    /* Bytes that no node tells apart are one class. */
    uint8_t class_of[256];
    uint32_t class_count;
    /* Begun at the front; the unused part has no pages. */
    struct flo_node nodes[FLO_GRAMMAR_NODES_MAX];
    uint32_t starts[FLO_GRAMMAR_RULES_MAX]; /* nodes; FLO_NOWHERE: undefined */
};
void flo_program_init(struct flo_program *program);

uint32_t flo_program_rule(struct flo_program *program);
/* Go to where the rule begins; returns where building was. */
uint32_t flo_program_begin(struct flo_program *program, uint32_t rule);
/* End the rule and go on at `back`. */
void flo_program_end(struct flo_program *program, uint32_t back);

void flo_program_bytes(struct flo_program *program, const void *bytes, size_t count);
void flo_program_text(struct flo_program *program, const char *text);
void flo_program_call(struct flo_program *program, uint32_t rule);
/* `rule` least to most times (most UINT32_MAX: without end). */
void flo_program_repeat(struct flo_program *program, uint32_t rule, uint32_t least, uint32_t most);

/* A new open node elsewhere, for the two calls below. fork: matching may also
 * go on at `other`. join: it goes on at `to`, and nothing is added here. */
uint32_t flo_program_node(struct flo_program *program);
void flo_program_fork(struct flo_program *program, uint32_t other);
void flo_program_join(struct flo_program *program, uint32_t to);

/* Alternatives: begin, next before each of them, end. */
struct flo_choice {
    uint32_t rest, out; /* where the next begins; where all lead to */
    uint32_t count;     /* alternatives so far */
};
void flo_choice_begin(struct flo_program *program, struct flo_choice *choice);
void flo_choice_next(struct flo_program *program, struct flo_choice *choice);
void flo_choice_end(struct flo_program *program, struct flo_choice *choice);

#define FLO_CODE_RANGES_MAX 256u

struct flo_code_range {
    uint32_t first, last; /* code points, both included */
};
/* A set of characters.  Zero-initialise. */
struct flo_code_set {
    struct flo_code_range ranges[FLO_CODE_RANGES_MAX + 1]; /* when negated */
    size_t count;
    bool failed; /* a range upside down, or too many */
};
void flo_code_set_add(struct flo_code_set *set, uint32_t first, uint32_t last);
void flo_code_set_negate(struct flo_code_set *set);
/* One character of the set, as UTF-8 (surrogates never). */
void flo_program_class(struct flo_program *program, struct flo_code_set *set);
/* The digits of a whole number from low to high; 0 <= low <= high. */
void flo_program_decimal(struct flo_program *program, uint64_t low, uint64_t high);

/* Check, and make the classes of bytes.  NULL, or the error and its *rule
 * (FLO_NOWHERE: the whole program).  A rule is not defined, reaches itself
 * without a byte, or hangs in too long a chain; or `failed` is set. */
const char *flo_program_finish(struct flo_program *program, uint32_t *rule);

#endif
