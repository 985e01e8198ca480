/* Program: grammar rules, compiled to a graph of bytes.  Parts are appended at
 * the open node `at`; then a new node at their end is open.  Callers need not
 * check each call for an error.  After a failure `failed` stays set, and all
 * calls do nothing. */
#ifndef FLOTILLA_GRAMMAR_PROGRAM_H
#define FLOTILLA_GRAMMAR_PROGRAM_H

#include <flotilla/base.h>

#define FLO_GRAMMAR_NODES_MAX 32768u
#define FLO_GRAMMAR_RULES_MAX 16384u
#define FLO_NOWHERE UINT32_MAX

enum flo_node_kind {
    FLO_NODE_OPEN,  /* has no content yet; if it stays so, nothing matches here */
    FLO_NODE_BYTES, /* matches one byte in first..last, then goes to next */
    FLO_NODE_FORK,  /* next or other */
    FLO_NODE_AGAIN, /* a FORK that leads back to the beginning of a repetition */
    FLO_NODE_CALL,  /* matches the rule number `other`, then goes to next */
    FLO_NODE_END,   /* ends a rule */
};

struct flo_node {
    uint8_t kind; /* enum flo_node_kind */
    uint8_t first, last;
    uint8_t marks; /* marks of flo_program_finish() */
    uint32_t next, other;
};

struct flo_program {
    uint32_t node_count, rule_count;
    uint32_t root; /* index of the root rule */
    uint32_t at;   /* number of the open node, where parts are appended */
    bool failed;   /* there are too many nodes or rules */
    /* Class of each byte.  Bytes that no node tells apart share a class. */
    uint8_t class_of[256];
    uint32_t class_count;
    /* Nodes are used from the front; pages of unused ones take no memory. */
    struct flo_node nodes[FLO_GRAMMAR_NODES_MAX];
    uint32_t starts[FLO_GRAMMAR_RULES_MAX]; /* nodes; FLO_NOWHERE: undefined */
};
void flo_program_init(struct flo_program *program);

uint32_t flo_program_rule(struct flo_program *program);
/* Begins the body of a rule.  Returns the node that was open before. */
uint32_t flo_program_begin(struct flo_program *program, uint32_t rule);
/* Ends the rule and opens the node `back` again. */
void flo_program_end(struct flo_program *program, uint32_t back);

void flo_program_bytes(struct flo_program *program, const void *bytes, size_t count);
void flo_program_text(struct flo_program *program, const char *text);
/* Appends one byte from first to last. */
void flo_program_span(struct flo_program *program, uint8_t first, uint8_t last);
void flo_program_call(struct flo_program *program, uint32_t rule);
/* Appends `least` to `most` repetitions of `rule`.  UINT32_MAX means any
 * number. */
void flo_program_repeat(struct flo_program *program, uint32_t rule, uint32_t least, uint32_t most);

/* Returns a new open node, for the two functions below.  After
 * flo_program_fork() matching may also continue at `other`.  After
 * flo_program_join() it continues at `to`, and nothing more is appended
 * here. */
uint32_t flo_program_node(struct flo_program *program);
void flo_program_fork(struct flo_program *program, uint32_t other);
void flo_program_join(struct flo_program *program, uint32_t to);

/* Builds alternatives.  flo_choice_begin() comes first, flo_choice_next()
 * before each alternative, and flo_choice_end() last. */
struct flo_choice {
    uint32_t rest, out; /* node where the next alternative begins, and node after all */
    uint32_t count;     /* alternatives so far */
};
void flo_choice_begin(struct flo_program *program, struct flo_choice *choice);
void flo_choice_next(struct flo_program *program, struct flo_choice *choice);
void flo_choice_end(struct flo_program *program, struct flo_choice *choice);

#define FLO_CODE_RANGES_MAX 256u

struct flo_code_range {
    uint32_t first, last; /* first and last code point of the range, both included */
};
/* A set of code points.  Zero-initialise. */
struct flo_code_set {
    /* ranges of the set, and a spare one for negation */
    struct flo_code_range ranges[FLO_CODE_RANGES_MAX + 1];
    size_t count;
    bool failed; /* a range has first > last, or there are too many */
};
void flo_code_set_add(struct flo_code_set *set, uint32_t first, uint32_t last);
void flo_code_set_negate(struct flo_code_set *set);
/* Appends one character of the set as UTF-8.  Surrogates are left out. */
void flo_program_class(struct flo_program *program, struct flo_code_set *set);
/* Appends the whole numbers from low to high in decimal, with 0 <= low <=
 * high. */
void flo_program_decimal(struct flo_program *program, uint64_t low, uint64_t high);

/* Checks the program and computes the classes of bytes.  Returns NULL, or the
 * text of an error and the rule with it (FLO_NOWHERE: the whole program).  A
 * rule may be undefined or left recursive, calls may form too long a chain, or
 * `failed` may be set. */
const char *flo_program_finish(struct flo_program *program, uint32_t *rule);

#endif
