/* Program: rules as a graph of bytes.
 *
 * Building goes from an open node to the open node behind what was added.
 * Nothing of it needs checking on the way: after a failure `failed` stays set
 * and all calls do nothing. */
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
    FLO_NODE_CALL,  /* rule `other`, then next */
    FLO_NODE_END,   /* of a rule */
};

struct flo_node {
    uint8_t kind; /* enum flo_node_kind */
    uint8_t first, last;
    uint32_t next, other;
};

/* Zero-initialise. */
struct flo_program {
    struct flo_node *nodes;
    uint32_t *starts; /* of rules: a node, or FLO_NOWHERE: not defined */
    uint32_t node_count, node_capacity;
    uint32_t rule_count, rule_capacity;
    uint32_t root;  /* a rule */
    uint32_t cycle; /* a rule at fault for left recursion */
    bool failed;    /* too many nodes or rules, or no memory */
    /* Bytes that no node tells apart are one class. */
    uint8_t class_of[256];
    uint8_t byte_of[256]; /* the first byte of a class */
    uint32_t class_count;
};
void flo_program_deinit(struct flo_program *program);

uint32_t flo_program_node(struct flo_program *program);
uint32_t flo_program_rule(struct flo_program *program);
uint32_t flo_program_bytes(struct flo_program *program, uint32_t at,
                           const void *bytes, size_t count);
uint32_t flo_program_call(struct flo_program *program, uint32_t at,
                          uint32_t rule);
/* One way goes on at the returned node, one at *other. */
uint32_t flo_program_fork(struct flo_program *program, uint32_t at,
                          uint32_t *other);
void flo_program_join(struct flo_program *program, uint32_t at, uint32_t to);
void flo_program_end(struct flo_program *program, uint32_t at);
/* `rule` least to most times (most UINT32_MAX: without end). */
uint32_t flo_program_repeat(struct flo_program *program, uint32_t at,
                            uint32_t rule, uint32_t least, uint32_t most);

/* Code points, both ends included. */
struct flo_code_range {
    uint32_t first, last;
};
/* Sort and join; returns the new count. */
size_t flo_code_ranges_sort(struct flo_code_range *ranges, size_t count);
/* What a sorted list leaves out, to `out` [count + 1]. */
size_t flo_code_ranges_negate(const struct flo_code_range *ranges, size_t count,
                              struct flo_code_range *out);
/* One character of sorted ranges, as UTF-8 (surrogates never). */
uint32_t flo_program_class(struct flo_program *program, uint32_t at,
                           const struct flo_code_range *ranges, size_t count);

/* Make the classes of bytes; all rules must be defined.
 * FLO_E_INFER_PARAM when a rule reaches itself without a byte, or the rules
 * hang together in too long a chain; FLO_E_MEMORY. */
FLO_MUST_USE int flo_program_finish(struct flo_program *program,
                                    struct flo_err *err);

#endif
