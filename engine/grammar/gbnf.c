/* GBNF: compiles llama.cpp's grammar language to a program.
 *
 *     root ::= "yes" | "no" [a-z0-9_]* ( "," . ){1,3}   # a comment */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/infer.h>

#include "base/tree/tree.h"
#include "engine/grammar/grammar.h"
#include "engine/token/unicode.h"

/* slots of the names' hash table: a power of 2, at least twice the rules */
enum { NAME_SLOTS = 32768 };

struct flo_gbnf_name {
    const char *text;
    size_t bytes;
    uint32_t rule;
};

static void skip(struct flo_parser *p, bool over_lines)
{
    while (p->at < p->end) {
        char c = *p->at;

        if (c == '#') {
            const char *line = memchr(p->at, '\n', (size_t)(p->end - p->at));
            p->at = line == NULL ? p->end : line;
        } else if (c == ' ' || c == '\t' || (over_lines && (c == '\n' || c == '\r'))) {
            p->at++;
        } else {
            return;
        }
    }
}

/* ---- names ---- */

static bool in_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static uint32_t find_rule(struct flo_parser *p, const char *text, size_t bytes)
{
    uint32_t hash = flo_crc32c(0, text, bytes);
    struct flo_gbnf_name *slot = &p->names[hash % NAME_SLOTS];

    while (slot->text != NULL && (slot->bytes != bytes || memcmp(slot->text, text, bytes) != 0)) {
        slot = &p->names[++hash % NAME_SLOTS];
    }
    if (slot->text == NULL) {
        uint32_t rule = flo_program_rule(p->program);
        if (p->program->failed) {
            return 0; /* no rule is left, so names fill at most half of the slots */
        }
        *slot = (struct flo_gbnf_name){text, bytes, rule};
    }
    return slot->rule;
}

uint32_t flo_gbnf_rule(struct flo_parser *p, const char *name)
{
    return find_rule(p, name, strlen(name));
}

/* Reads the name at the cursor and returns the number of its rule. */
static uint32_t read_name(struct flo_parser *p)
{
    const char *text = p->at;

    while (p->at < p->end && in_name(*p->at)) {
        p->at++;
    }
    return find_rule(p, text, (size_t)(p->at - text));
}

/* ---- items ---- */

static uint32_t read_escape(struct flo_parser *p)
{
    static const char from[] = "nrt\\\"[]-^/", to[] = "\n\r\t\\\"[]-^/";
    char c = flo_parser_peek(p);
    const char *hit = c == '\0' ? NULL : strchr(from, c);
    int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    uint32_t code = 0;

    p->at += p->at < p->end;
    if (hit != NULL) {
        return (uint32_t)to[hit - from];
    }
    if (digits == 0) {
        flo_parser_refuse(p, p->at, "an escape that is not known");
    } else if (!flo_hex_read(&p->at, p->end, digits, &code)) {
        flo_parser_refuse(p, p->at, "an escape needs hexadecimal digits");
    }
    return code;
}

/* Reads one character of a literal or class, with or without an escape.  The
 * text is valid UTF-8. */
static bool read_code(struct flo_parser *p, struct flo_code_set *set, uint32_t *code)
{
    size_t taken;

    (void)set;
    *code = 0;
    if (p->at == p->end || *p->at == '\n') {
        flo_parser_refuse(p, p->at, "a literal or class does not end");
    } else if (*p->at != '\\') {
        *code = flo_utf8_next(p->at, (size_t)(p->end - p->at), &taken);
        p->at += taken;
    } else {
        p->at++;
        *code = read_escape(p);
    }
    if (*code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000)) {
        flo_parser_refuse(p, p->at, "an escape that is no character");
    }
    return true;
}

static void read_literal(struct flo_parser *p)
{
    p->at++;
    while (p->rv == 0 && flo_parser_peek(p) != '"') {
        char utf8[4];
        uint32_t code;

        read_code(p, NULL, &code);
        if (p->rv == 0) {
            flo_program_bytes(p->program, utf8, flo_utf8_put(code, utf8));
        }
    }
    p->at += p->rv == 0;
}

static void read_item(struct flo_parser *p)
{
    struct flo_code_set set = {.count = 0};

    switch (*p->at) {
    case '"':
        read_literal(p);
        break;
    case '[':
        flo_parser_class(p, &set);
        flo_program_class(p->program, &set);
        break;
    case '.':
        p->at++;
        flo_code_set_negate(&set);
        flo_program_class(p->program, &set);
        break;
    case '(':
        p->at++;
        flo_parser_group(p);
        break;
    default:
        if (in_name(*p->at)) {
            flo_program_call(p->program, read_name(p));
        } else {
            flo_parser_refuse(p, p->at, "no literal, class, rule or group");
        }
    }
}

static const struct flo_syntax gbnf = {"|)\r\n", skip, read_item, read_code};

/* ---- rules ---- */

static void read_rule(struct flo_parser *p)
{
    const char *begin = p->at;
    uint32_t rule, back;

    if (!in_name(*p->at)) {
        flo_parser_refuse(p, begin, "no rule begins here");
        return;
    }
    rule = read_name(p);
    skip(p, false);
    if (p->end - p->at < 3 || memcmp(p->at, "::=", 3) != 0) {
        flo_parser_refuse(p, p->at, "::= is missing");
        return;
    }
    if (p->program->starts[rule] != FLO_NOWHERE && !p->program->failed) {
        flo_parser_refuse(p, begin, "the rule is there already");
        return;
    }
    p->at += 3;
    skip(p, true);
    back = flo_program_begin(p->program, rule);
    flo_parser_choices(p);
    flo_program_end(p->program, back);
    if (p->at < p->end && *p->at != '\n' && *p->at != '\r') {
        flo_parser_refuse(p, p->at, "this closes no group");
    }
}

static void begin(struct flo_parser *p, const char *text, size_t bytes)
{
    p->begin = p->at = text;
    p->end = text + bytes;
}

void flo_gbnf_read(struct flo_parser *p, const char *text, size_t bytes)
{
    size_t good = flo_utf8_valid(text, bytes);

    begin(p, text, bytes);
    if (good < bytes) {
        flo_parser_refuse(p, text + good, "not UTF-8");
    }
    skip(p, true);
    while (p->at < p->end && !p->program->failed) {
        read_rule(p);
        skip(p, true);
    }
}

void flo_gbnf_put(struct flo_parser *p, const char *text)
{
    begin(p, text, strlen(text));
    flo_parser_choices(p);
}

int flo_gbnf_open(struct flo_parser *p, struct flo_err *err)
{
    *p = (struct flo_parser){.syntax = &gbnf, .err = err};
    p->names = calloc(NAME_SLOTS, sizeof(*p->names));
    p->program = malloc(sizeof(*p->program));
    if (p->names == NULL || p->program == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a grammar");
    }
    flo_program_init(p->program);
    return 0;
}

int flo_gbnf_close(struct flo_parser *p, int rv, struct flo_program **out)
{
    free(p->names);
    if (rv == 0) {
        *out = p->program;
    } else {
        free(p->program);
    }
    return rv;
}

static int check(struct flo_parser *p)
{
    uint32_t rule;
    const char *problem = flo_program_finish(p->program, &rule);

    if (problem == NULL) {
        return 0;
    }
    if (rule == p->program->root && p->program->starts[rule] == FLO_NOWHERE) {
        return flo_fail(p->err, FLO_E_INFER_SCHEMA, "grammar: no rule 'root'");
    }
    for (size_t i = 0; i < NAME_SLOTS; i++) {
        const struct flo_gbnf_name *n = &p->names[i];

        if (n->text != NULL && n->rule == rule) {
            return flo_fail(p->err, FLO_E_INFER_SCHEMA, "grammar: rule '%.*s' %s",
                            n->bytes < 64 ? (int)n->bytes : 64, n->text, problem);
        }
    }
    return flo_fail(p->err, FLO_E_INFER_SCHEMA, "grammar: %s", problem);
}

int flo_gbnf_compile(const char *text, size_t bytes, struct flo_program **program,
                     struct flo_err *err)
{
    struct flo_parser p;
    int rv = flo_gbnf_open(&p, err);

    if (rv == 0) {
        flo_gbnf_read(&p, text, bytes);
        p.program->root = flo_gbnf_rule(&p, "root");
        rv = p.rv == 0 ? check(&p) : p.rv;
    }
    return flo_gbnf_close(&p, rv, program);
}
