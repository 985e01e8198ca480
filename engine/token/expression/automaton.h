/* The steps from a regular expression to its automaton. */
#ifndef FLOTILLA_ENGINE_EXPRESSION_AUTOMATON_H
#define FLOTILLA_ENGINE_EXPRESSION_AUTOMATON_H

#include "engine/token/expression/expression.h"

/* ---- sets of characters (ranges.c) ---- */

#define FLO_RANGES_MAX 8192u

struct flo_range {
    uint32_t first, last;
};
/* A set of code points.  Zero-initialise. */
struct flo_ranges {
    struct flo_range *items;
    uint32_t count, capacity;
    bool failed; /* no memory, or more than FLO_RANGES_MAX */
};
void flo_ranges_add(struct flo_ranges *set, uint32_t first, uint32_t last);
void flo_ranges_join(struct flo_ranges *set, const struct flo_ranges *with);
/* Adds the characters of categories, which are bits by enum
 * flo_unicode_category. */
void flo_ranges_add_categories(struct flo_ranges *set, uint32_t categories);
/* Adds a named set, such as "L", "Lu" or "Han".  Returns false if the name is
 * unknown. */
bool flo_ranges_add_name(struct flo_ranges *set, const char *name, size_t bytes);
void flo_ranges_add_blanks(struct flo_ranges *set);
/* Adds both cases of each ASCII letter in the set. */
void flo_ranges_ignore_case(struct flo_ranges *set);
/* Sorts the ranges and joins those that touch. */
void flo_ranges_tidy(struct flo_ranges *set);
void flo_ranges_invert(struct flo_ranges *set);
void flo_ranges_intersect(struct flo_ranges *set, struct flo_ranges *with);
void flo_ranges_deinit(struct flo_ranges *set);

/* ---- the expression as a tree (parse.c) ---- */

#define FLO_REGEX_NODES_MAX 2048u
#define FLO_SETS_MAX 64u
#define FLO_REPEAT_MAX 1024u
#define FLO_REPEAT_ALWAYS UINT16_MAX

enum flo_regex_kind {
    FLO_REGEX_SET,    /* one character of a set */
    FLO_REGEX_LIST,   /* children one after the other; none: the empty text */
    FLO_REGEX_CHOICE, /* the first child that leads to a match */
    FLO_REGEX_REPEAT, /* the child, `least` to `most` times */
    FLO_REGEX_AHEAD,  /* the next character is of the set, or the text ends if `at_end` */
};
struct flo_regex_node {
    uint8_t kind;
    uint8_t set;
    bool is_lazy, is_possessive;
    bool at_end;
    uint16_t least, most;
    uint16_t child, next; /* first child and next sibling; 0: none */
};
struct flo_regex {
    struct flo_regex_node nodes[FLO_REGEX_NODES_MAX]; /* [1] is the root */
    uint16_t node_count;
    struct flo_ranges sets[FLO_SETS_MAX]; /* tidy, each once */
    uint16_t set_count;
};
/* Parses an expression.  The caller ends `out` with flo_regex_deinit(), after
 * an error too. */
FLO_MUST_USE int flo_regex_read(const char *text, size_t bytes, struct flo_regex *out,
                                struct flo_err *err);
void flo_regex_deinit(struct flo_regex *syntax);

/* ---- classes of characters (classes.c) ---- */

#define FLO_CLASSES_MAX 63u /* so that a mask of classes has a bit for the text's end */
#define FLO_CLASS_BITS 6
#define FLO_CLASS_END_BIT 63u

/* Classes of characters that the sets do not tell apart. */
struct flo_classes {
    uint8_t ascii[128];
    uint32_t *changes; /* code << FLO_CLASS_BITS | class, from code 0 */
    uint32_t change_count;
    uint32_t count;
    uint64_t masks[FLO_SETS_MAX]; /* classes of each set */
};
FLO_MUST_USE int flo_classes_make(const struct flo_regex *syntax, struct flo_classes *out,
                                  struct flo_err *err);
uint32_t flo_classes_beyond_ascii(const struct flo_classes *classes, uint32_t code);
static inline uint32_t flo_classes_of(const struct flo_classes *classes, uint32_t code)
{
    return code < 128 ? classes->ascii[code] : flo_classes_beyond_ascii(classes, code);
}

/* ---- the program (program.c) ---- */

#define FLO_ACTS_MAX 8192u

enum flo_regex_act_kind {
    FLO_ACT_READ,  /* a character of `mask` */
    FLO_ACT_AHEAD, /* the next character is of `mask` */
    FLO_ACT_FORK,  /* continues at `to`, or else at `otherwise` */
    FLO_ACT_MATCH,
};
struct flo_regex_act {
    uint8_t kind;
    uint16_t to, otherwise;
    uint64_t mask;
};
/* Writes the program of an expression, whose first step is [0].  The caller
 * frees *out. */
FLO_MUST_USE int flo_program_make(const struct flo_regex *syntax, const struct flo_classes *classes,
                                  struct flo_regex_act **out, uint32_t *count, struct flo_err *err);

/* ---- the automaton (automaton.c) ---- */

#define FLO_STATES_MAX 8192u

/* Transitions are next state << 1 | whether a match ends before the character.
 * State 0 reads nothing.  The class after the last one is the text's end. */
struct flo_automaton {
    uint16_t *table; /* [state_count][class_count + 1] */
    uint32_t state_count;
    uint16_t start;
};
FLO_MUST_USE int flo_automaton_make(const struct flo_regex_act *program, uint32_t count,
                                    uint32_t class_count, struct flo_automaton *out,
                                    struct flo_err *err);

/* How an expression cuts digits into threes from the right, which no automaton
 * can. */
enum flo_threes {
    FLO_THREES_NONE,
    FLO_THREES_OF_NUMBERS, /* digits are \p{N}; the first piece has one to three */
    FLO_THREES_BEFORE,     /* digits are \d; a piece begins before each three */
    FLO_THREES_OF_WORDS,   /* digits are \d; no other word character follows */
};

struct flo_expression {
    struct flo_classes classes;
    struct flo_automaton automaton;
    enum flo_threes threes;
    bool reads_bytes;
    uint8_t byte_classes[256];
};

#endif
