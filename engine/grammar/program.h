/* Program: grammar rules compiled to a graph of bytes.
 *
 * Parts are appended at the open node `at`, which then moves to the part's end.
 * Callers need not check for errors at each step: after a failure `failed`
 * stays set and all calls do nothing. */
#ifndef FLOTILLA_GRAMMAR_PROGRAM_H
#define FLOTILLA_GRAMMAR_PROGRAM_H

#include <flotilla/base.h>

#define FLO_GRAMMAR_NODES_MAX 32768u
#define FLO_GRAMMAR_RULES_MAX 16384u
#define FLO_NOWHERE UINT32_MAX

enum flo_node_kind {
    FLO_NODE_OPEN,  /* no content yet; if none is added, nothing matches */
    FLO_NODE_BYTES, /* one byte in first..last, then next */
    FLO_NODE_FORK,  /* next or other */
    FLO_NODE_AGAIN, /* a FORK back to a repetition's beginning */
    FLO_NODE_CALL,  /* calls the rule at `other`, then goes to next */
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
    uint32_t at;   /* the open node where parts are appended */
    bool failed;   /* too many nodes or rules */
    /* Class of each byte; bytes that no node distinguishes share one. */
    uint8_t class_of[256];
    uint32_t class_count;
    /* Filled from the front; unused pages take no memory. */
    struct flo_node nodes[FLO_GRAMMAR_NODES_MAX];
    uint32_t starts[FLO_GRAMMAR_RULES_MAX]; /* nodes; FLO_NOWHERE: undefined */
};
void flo_program_init(struct flo_program *program);

uint32_t flo_program_rule(struct flo_program *program);
/* Starts the rule's body; returns the open node to resume at. */
uint32_t flo_program_begin(struct flo_program *program, uint32_t rule);
/* Ends the rule and resumes at `back`. */
void flo_program_end(struct flo_program *program, uint32_t back);

void flo_program_bytes(struct flo_program *program, const void *bytes, size_t count);
void flo_program_text(struct flo_program *program, const char *text);
void flo_program_call(struct flo_program *program, uint32_t rule);
/* Appends `rule`, repeated `least` to `most` times; UINT32_MAX: unlimited. */
void flo_program_repeat(struct flo_program *program, uint32_t rule, uint32_t least, uint32_t most);

/* Returns a new open node for the two calls below.  fork: matching may also
 * continue at `other`.  join: matching continues at `to`, and nothing more is
 * appended here. */
uint32_t flo_program_node(struct flo_program *program);
void flo_program_fork(struct flo_program *program, uint32_t other);
void flo_program_join(struct flo_program *program, uint32_t to);

/* Builds alternatives: begin, next before each alternative, end. */
struct flo_choice {
    uint32_t rest, out; /* start of the next alternative; common end */
    uint32_t count;     /* alternatives so far */
};
void flo_choice_begin(struct flo_program *program, struct flo_choice *choice);
void flo_choice_next(struct flo_program *program, struct flo_choice *choice);
void flo_choice_end(struct flo_program *program, struct flo_choice *choice);

#define FLO_CODE_RANGES_MAX 256u

struct flo_code_range {
    uint32_t first, last; /* code points, both included */
};
/* A set of code points.  Zero-initialise. */
struct flo_code_set {
    struct flo_code_range ranges[FLO_CODE_RANGES_MAX + 1]; /* one spare for negation */
    size_t count;
    bool failed; /* a range with first > last, or too many */
};
void flo_code_set_add(struct flo_code_set *set, uint32_t first, uint32_t last);
void flo_code_set_negate(struct flo_code_set *set);
/* Appends one character of the set as UTF-8, never a surrogate. */
void flo_program_class(struct flo_program *program, struct flo_code_set *set);
/* Appends the decimal whole numbers from low to high; 0 <= low <= high. */
void flo_program_decimal(struct flo_program *program, uint64_t low, uint64_t high);

/* Checks the program and computes the classes of bytes.  Returns NULL, or an
 * error text and its *rule (FLO_NOWHERE: the whole program).  Errors: a rule is
 * undefined, is left recursive, or calls form too long a chain; or `failed` is
 * set. */
const char *flo_program_finish(struct flo_program *program, uint32_t *rule);

#endif
