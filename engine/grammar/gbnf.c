/* GBNF: the grammar text of llama.cpp to a program.
 *
 *     root ::= "yes" | "no" [a-z0-9_]* ( "," . ){1,3}   # a comment
 *
 * Every item is built as a rule of its own end first, so that a repetition
 * behind it can call it as often as it must; without one it is joined in. */
#include <stdlib.h>
#include <string.h>

#include "engine/grammar/grammar.h"
#include "engine/token/unicode.h"

enum {
    DEPTH_MAX = 64,
    RANGES_MAX = 256,
    TIMES_MAX = 16384,
    NAME_SLOTS = 32768, /* twice FLO_GRAMMAR_RULES_MAX, a power of 2 */
};

struct name {
    const char *text;
    size_t bytes;
    uint32_t rule;
};

struct parser {
    const char *at, *end, *begin;
    struct flo_program *program;
    struct name *names; /* [NAME_SLOTS], open addressing */
    struct flo_err *err;
};

static int refuse(struct parser *p, const char *at, const char *what)
{
    unsigned line = 1;

    for (const char *c = p->begin; c < at; c++) {
        line += *c == '\n';
    }
    return flo_fail(p->err, FLO_E_INFER_PARAM, "grammar, line %u: %s", line,
                    what);
}

static char peek(const struct parser *p)
{
    return p->at < p->end ? *p->at : '\0';
}

/* Blanks and comments; over line ends only where the rule cannot end. */
static void skip(struct parser *p, bool over_lines)
{
    while (p->at < p->end) {
        char c = *p->at;

        if (c == '#') {
            const char *line = memchr(p->at, '\n', (size_t)(p->end - p->at));
            p->at = line == NULL ? p->end : line;
        } else if (c == ' ' || c == '\t' ||
                   (over_lines && (c == '\n' || c == '\r'))) {
            p->at++;
        } else {
            return;
        }
    }
}

/* ---- names ------------------------------------------------------------- */

static bool in_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static struct name *find_name(struct parser *p, const char *text, size_t bytes)
{
    uint32_t hash = flo_crc32c(0, text, bytes);
    struct name *slot;

    for (;; hash++) {
        slot = &p->names[hash % NAME_SLOTS];
        if (slot->text == NULL ||
            (slot->bytes == bytes && memcmp(slot->text, text, bytes) == 0)) {
            return slot;
        }
    }
}

/* The rule of the name at the cursor. */
static uint32_t read_name(struct parser *p)
{
    const char *text = p->at;

    while (p->at < p->end && in_name(*p->at)) {
        p->at++;
    }
    struct name *slot = find_name(p, text, (size_t)(p->at - text));
    if (slot->text == NULL) {
        uint32_t rule = flo_program_rule(p->program);
        if (p->program->failed) {
            return 0;
        }
        *slot = (struct name){text, (size_t)(p->at - text), rule};
    }
    return slot->rule;
}

/* ---- characters -------------------------------------------------------- */

static int read_hex(struct parser *p, int digits, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < digits; i++, p->at++) {
        char c = (char)(peek(p) | 32);
        bool is_digit = peek(p) >= '0' && peek(p) <= '9';

        if (!is_digit && (c < 'a' || c > 'f')) {
            return refuse(p, p->at, "an escape needs hexadecimal digits");
        }
        *out = *out << 4 | (uint32_t)(is_digit ? peek(p) - '0' : c - 'a' + 10);
    }
    return 0;
}

/* One character of a literal or class, escaped or not.  The text is valid
 * UTF-8. */
static int read_code(struct parser *p, uint32_t *out)
{
    static const char plain[] = "\\\"[]-^/";
    size_t taken;
    int rv = 0;

    if (p->at == p->end || *p->at == '\n') {
        return refuse(p, p->at, "a literal or class does not end");
    }
    if (*p->at != '\\') {
        *out = flo_utf8_next(p->at, (size_t)(p->end - p->at), &taken);
        p->at += taken;
        return 0;
    }
    p->at++;
    char c = peek(p);
    p->at += p->at < p->end;
    if (c == 'x' || c == 'u' || c == 'U') {
        rv = read_hex(p, c == 'x' ? 2 : c == 'u' ? 4 : 8, out);
    } else if (c == 'n' || c == 'r' || c == 't') {
        *out = c == 'n' ? '\n' : c == 'r' ? '\r' : '\t';
    } else if (c != '\0' && strchr(plain, c) != NULL) {
        *out = (unsigned char)c;
    } else {
        rv = refuse(p, p->at, "an escape that is not known");
    }
    if (rv == 0 && (*out > 0x10ffff || (*out >= 0xd800 && *out < 0xe000))) {
        rv = refuse(p, p->at, "an escape that is no character");
    }
    return rv;
}

static int read_literal(struct parser *p, uint32_t *at)
{
    p->at++;
    while (peek(p) != '"') {
        uint32_t code;
        char utf8[4];
        int rv = read_code(p, &code);

        if (rv < 0) {
            return rv;
        }
        *at =
            flo_program_bytes(p->program, *at, utf8, flo_utf8_put(code, utf8));
    }
    p->at++;
    return 0;
}

static int read_class(struct parser *p, uint32_t *at)
{
    struct flo_code_range ranges[RANGES_MAX + 1], negated[RANGES_MAX + 2];
    const char *begin = p->at++;
    bool is_negated = peek(p) == '^';
    size_t count = 0;

    p->at += is_negated;
    while (peek(p) != ']') {
        struct flo_code_range range;
        int rv = read_code(p, &range.first);

        range.last = range.first;
        if (rv == 0 && peek(p) == '-' && p->at + 1 < p->end &&
            p->at[1] != ']') {
            p->at++;
            rv = read_code(p, &range.last);
        }
        if (rv == 0 && (range.last < range.first || count == RANGES_MAX)) {
            rv = refuse(p, begin, "a class that is upside down or too long");
        }
        if (rv < 0) {
            return rv;
        }
        ranges[count++] = range;
    }
    p->at++;
    count = flo_code_ranges_sort(ranges, count);
    if (is_negated) {
        count = flo_code_ranges_negate(ranges, count, negated);
    }
    *at = flo_program_class(p->program, *at, is_negated ? negated : ranges,
                            count);
    return 0;
}

/* ---- items and rules --------------------------------------------------- */

static int read_choices(struct parser *p, uint32_t *at, int depth);

static int read_item(struct parser *p, uint32_t *at, int depth)
{
    static const struct flo_code_range any = {0, 0x10ffff};
    const char *begin = p->at;
    int rv = 0;

    if (*p->at == '"') {
        return read_literal(p, at);
    }
    if (*p->at == '[') {
        return read_class(p, at);
    }
    if (*p->at == '.') {
        p->at++;
        *at = flo_program_class(p->program, *at, &any, 1);
        return 0;
    }
    if (in_name(*p->at)) {
        uint32_t rule = read_name(p);
        *at = flo_program_call(p->program, *at, rule);
        return 0;
    }
    if (*p->at != '(') {
        return refuse(p, begin, "no literal, class, rule or group");
    }
    if (depth == DEPTH_MAX) {
        return refuse(p, begin, "groups are nested too deep");
    }
    p->at++;
    skip(p, true);
    rv = read_choices(p, at, depth + 1);
    if (rv == 0 && peek(p) != ')') {
        return refuse(p, begin, "a group does not end");
    }
    p->at++;
    return rv;
}

static int read_number(struct parser *p, uint32_t *out)
{
    uint32_t value = 0;
    const char *begin = p->at;

    for (; peek(p) >= '0' && peek(p) <= '9' && value <= TIMES_MAX; p->at++) {
        value = 10 * value + (uint32_t)(*p->at - '0');
    }
    *out = value;
    return p->at > begin && value <= TIMES_MAX
               ? 0
               : refuse(p, begin, "{} needs numbers of at most 16384");
}

/* * + ? {m} {m,} {m,n}; *found: there is one. */
static int read_times(struct parser *p, uint32_t *least, uint32_t *most,
                      bool *found)
{
    const char *begin = p->at;
    char c = peek(p);
    int rv;

    *least = c == '+';
    *most = c == '?' ? 1 : UINT32_MAX;
    *found = c != '\0' && strchr("*+?{", c) != NULL;
    p->at += *found;
    if (c != '{') {
        return 0;
    }
    skip(p, false);
    rv = read_number(p, least);
    skip(p, false);
    *most = *least;
    if (rv == 0 && peek(p) == ',') {
        p->at++;
        skip(p, false);
        *most = UINT32_MAX;
        rv = peek(p) == '}' ? 0 : read_number(p, most);
        skip(p, false);
    }
    if (rv == 0 && (peek(p) != '}' || *most < *least)) {
        rv = refuse(p, begin, "{} is {m}, {m,} or {m,n}");
    }
    p->at++;
    return rv;
}

/* An item and what repeats it. */
static int read_repeated(struct parser *p, uint32_t *at, int depth)
{
    struct flo_program *program = p->program;
    uint32_t start = flo_program_node(program), end = start;
    uint32_t least = 0, most = 0;
    bool found = false;
    int rv = read_item(p, &end, depth);

    if (rv == 0) {
        rv = read_times(p, &least, &most, &found);
    }
    if (rv < 0 || program->failed) {
        return rv;
    }
    if (!found) {
        flo_program_join(program, *at, start);
        *at = end;
        return 0;
    }
    uint32_t rule = flo_program_rule(program);
    flo_program_end(program, end);
    if (!program->failed) {
        program->starts[rule] = start;
    }
    *at = flo_program_repeat(program, *at, rule, least, most);
    return 0;
}

/* Sequences with | between, from *at to *at. */
static int read_choices(struct parser *p, uint32_t *at, int depth)
{
    struct flo_program *program = p->program;
    uint32_t out = flo_program_node(program), from = *at;

    for (;;) {
        uint32_t rest, here = flo_program_fork(program, from, &rest);

        while (p->at < p->end && strchr("|)\r\n", *p->at) == NULL) {
            int rv = read_repeated(p, &here, depth);
            if (rv < 0 || program->failed) {
                return rv;
            }
            skip(p, depth > 0);
        }
        flo_program_join(program, here, out);
        if (peek(p) != '|') {
            break; /* `rest` stays open: nothing matches there */
        }
        p->at++;
        skip(p, true);
        from = rest;
    }
    *at = out;
    return 0;
}

static int read_rule(struct parser *p)
{
    const char *begin = p->at;
    uint32_t start, at, rule;
    int rv;

    if (!in_name(*p->at)) {
        return refuse(p, begin, "no rule begins here");
    }
    rule = read_name(p);
    skip(p, false);
    if (p->end - p->at < 3 || memcmp(p->at, "::=", 3) != 0) {
        return refuse(p, p->at, "::= is missing");
    }
    p->at += 3;
    skip(p, true);
    start = at = flo_program_node(p->program);
    rv = read_choices(p, &at, 0);
    if (rv < 0 || p->program->failed) {
        return rv;
    }
    if (p->program->starts[rule] != FLO_NOWHERE) {
        return refuse(p, begin, "the rule is there already");
    }
    if (p->at < p->end && *p->at != '\n' && *p->at != '\r') {
        return refuse(p, p->at, "this closes no group");
    }
    flo_program_end(p->program, at);
    p->program->starts[rule] = start;
    return 0;
}

/* Name in front of a sentence: the one that has no rule, or is at fault. */
static int refuse_rule(struct parser *p, uint32_t rule, const char *what)
{
    for (size_t i = 0; i < NAME_SLOTS; i++) {
        const struct name *n = &p->names[i];

        if (n->text != NULL && n->rule == rule) {
            return flo_fail(p->err, FLO_E_INFER_PARAM,
                            "grammar: rule '%.*s' %s",
                            n->bytes < 64 ? (int)n->bytes : 64, n->text, what);
        }
    }
    return flo_fail(p->err, FLO_E_INFER_PARAM, "grammar: a rule %s", what);
}

static int check_rules(struct parser *p)
{
    struct flo_program *program = p->program;
    const struct name *root = find_name(p, "root", 4);
    int rv;

    if (program->failed) {
        return flo_fail(p->err, FLO_E_INFER_PARAM,
                        "grammar: more than %u nodes or %u rules",
                        FLO_GRAMMAR_NODES_MAX, FLO_GRAMMAR_RULES_MAX);
    }
    if (root->text == NULL) {
        return flo_fail(p->err, FLO_E_INFER_PARAM, "grammar: no rule 'root'");
    }
    for (uint32_t r = 0; r < program->rule_count; r++) {
        if (program->starts[r] == FLO_NOWHERE) {
            return refuse_rule(p, r, "is called, but not there");
        }
    }
    program->root = root->rule;
    program->cycle = FLO_NOWHERE;
    rv = flo_program_finish(program, p->err);
    return rv < 0 && program->cycle != FLO_NOWHERE
               ? refuse_rule(p, program->cycle, "is left recursive")
               : rv;
}

int flo_gbnf_compile(const char *text, size_t bytes,
                     struct flo_program *program, struct flo_err *err)
{
    struct parser p = {.at = text,
                       .end = text + bytes,
                       .begin = text,
                       .program = program,
                       .err = err};
    size_t good = flo_utf8_valid(text, bytes);
    int rv = good == bytes ? 0 : refuse(&p, text + good, "not UTF-8");

    p.names = calloc(NAME_SLOTS, sizeof(*p.names));
    if (rv == 0 && p.names == NULL) {
        rv = flo_fail(err, FLO_E_MEMORY, "a grammar's names");
    }
    flo_program_node(program); /* 0 stands for a failed call */
    skip(&p, true);
    while (rv == 0 && p.at < p.end && !program->failed) {
        rv = read_rule(&p);
        skip(&p, true);
    }
    rv = rv == 0 ? check_rules(&p) : rv;
    free(p.names);
    if (rv < 0) {
        flo_program_deinit(program);
    }
    return rv;
}
