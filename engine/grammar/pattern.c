/* Pattern: compiles a regular expression to a program, for characters of a JSON
 * string or for a plain text.
 *
 * Supported are literals, classes, \d \w \s and their complements, groups,
 * alternatives, quantifiers, and ^ and $ at the very ends.  Without ^ or $ any
 * text may come before or after.  For a JSON string, characters that JSON must
 * escape are removed from classes.  For a plain text, ^ and $ may also begin
 * and end an alternative. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/infer.h>

#include "engine/grammar/grammar.h"
#include "engine/token/unicode.h"

static const struct flo_syntax plain; /* syntax of a pattern for a plain text */

static void refuse(struct flo_parser *p)
{
    flo_parser_refuse(p, p->at, "not built");
}

static void skip(struct flo_parser *p, bool over_lines)
{
    (void)p, (void)over_lines;
}

static uint32_t next_code(const char **at)
{
    size_t taken;
    uint32_t code = flo_utf8_next(*at, strlen(*at), &taken);

    *at += taken;
    return code;
}

/* Reads \d and the like into `set`, as ECMA-262 defines them.  Returns false if
 * another character follows. */
static bool read_named(struct flo_parser *p, struct flo_code_set *set)
{
    static const struct {
        char name;
        const char *ranges; /* pairs of characters */
    } named[] = {{'d', "09"},
                 {'w', "09AZ__az"},
                 {'s', "\t\r  \u00a0\u00a0\u1680\u1680\u2000\u200a\u2028\u2029"
                       "\u202f\u202f\u205f\u205f\u3000\u3000\ufeff\ufeff"}};
    struct flo_code_set one = {.count = 0};
    char name = *p->at == '\\' && p->at + 1 < p->end ? p->at[1] : '\0';

    for (size_t i = 0; i < FLO_COUNT(named); i++) {
        const char *r = named[i].name == (name | 32) ? named[i].ranges : "";
        while (*r != '\0') {
            uint32_t first = next_code(&r), last = next_code(&r);
            flo_code_set_add(&one, first, last);
        }
    }
    if (one.count == 0) {
        return false;
    }
    if (name < 'a') {
        flo_code_set_negate(&one);
    }
    for (size_t i = 0; i < one.count; i++) {
        flo_code_set_add(set, one.ranges[i].first, one.ranges[i].last);
    }
    p->at += 2;
    return true;
}

static uint32_t read_one(struct flo_parser *p)
{
    static const char from[] = "ntrf\\/.^$|?*+()[]{}-\"'@#:,=!<> _~&%;`";
    static const char to[] = "\n\t\r\f\\/.^$|?*+()[]{}-\"'@#:,=!<> _~&%;`";
    size_t taken;

    if (p->at < p->end && *p->at != '\\') {
        uint32_t code = flo_utf8_next(p->at, (size_t)(p->end - p->at), &taken);
        p->at += taken;
        return code;
    }
    const char *hit = p->end - p->at > 1 ? strchr(from, p->at[1]) : NULL;
    if (hit == NULL) {
        refuse(p);
        return 0;
    }
    p->at += 2;
    return (unsigned char)to[hit - from];
}

static bool read_code(struct flo_parser *p, struct flo_code_set *set, uint32_t *code)
{
    bool is_named = p->at < p->end && read_named(p, set);

    *code = is_named ? 0 : read_one(p);
    return !is_named;
}

/* Appends one character of the set.  In a JSON string there are none of those
 * that JSON escapes. */
static void put_set(struct flo_parser *p, struct flo_code_set *set)
{
    if (p->syntax != &plain) {
        flo_code_set_negate(set);
        flo_code_set_add(set, 0, 0x1f);
        flo_code_set_add(set, '"', '"');
        flo_code_set_add(set, '\\', '\\');
        flo_code_set_negate(set);
    }
    if (set->failed || set->count == 0) {
        refuse(p);
    }
    flo_program_class(p->program, set);
}

/* Appends a character as a JSON string has it, or as it is. */
static void put_char(struct flo_parser *p, uint32_t code)
{
    static const char from[] = "\n\t\r\f\"\\", to[] = "ntrf\"\\";
    const char *hit = code > 0 && code < 128 ? strchr(from, (int)code) : NULL;
    char utf8[4];

    if (p->syntax == &plain) {
        flo_program_bytes(p->program, utf8, flo_utf8_put(code, utf8));
    } else if (hit != NULL) {
        flo_program_text(p->program, "\\");
        flo_program_bytes(p->program, &to[hit - from], 1);
    } else if (code >= 0x20) {
        flo_program_bytes(p->program, utf8, flo_utf8_put(code, utf8));
    } else {
        refuse(p);
    }
}

/* Appends ^ or $ as the byte that stands there in a marked text.  Returns false
 * if the cursor is not at one that begins or ends an alternative. */
static bool read_anchor(struct flo_parser *p)
{
    bool is_first = p->at == p->begin || strchr("(|", p->at[-1]) != NULL ||
                    (p->at - p->begin >= 3 && memcmp(p->at - 3, "(?:", 3) == 0);
    bool is_last = p->at + 1 == p->end || strchr("|)", p->at[1]) != NULL;
    char mark = (char)(*p->at == '^' ? FLO_PATTERN_BEGIN : FLO_PATTERN_END);

    if (p->syntax != &plain || !(*p->at == '^' ? is_first : *p->at == '$' && is_last)) {
        return false;
    }
    p->at++;
    flo_program_bytes(p->program, &mark, 1);
    return true;
}

static void read_item(struct flo_parser *p)
{
    struct flo_code_set set = {.count = 0};

    if (*p->at == '[') {
        flo_parser_class(p, &set);
        put_set(p, &set);
    } else if (*p->at == '.') {
        p->at++;
        flo_code_set_add(&set, '\n', '\n');
        flo_code_set_add(&set, '\r', '\r');
        flo_code_set_add(&set, 0x2028, 0x2029); /* line and paragraph separators count as blanks */
        flo_code_set_negate(&set);
        put_set(p, &set);
    } else if (*p->at == '(') {
        p->at++;
        if (p->end - p->at > 1 && p->at[0] == '?' && p->at[1] == ':') {
            p->at += 2;
        }
        flo_parser_group(p);
    } else if (read_named(p, &set)) {
        put_set(p, &set);
    } else if (read_anchor(p)) {
        return;
    } else if (strchr("*+?{}^$]", *p->at) != NULL) {
        refuse(p);
    } else {
        put_char(p, read_one(p));
    }
}

static const struct flo_syntax pattern = {"|)", skip, read_item, read_code};
static const struct flo_syntax plain = {"|)", skip, read_item, read_code};

bool flo_pattern_put(struct flo_program *program, const char *text, size_t bytes, uint32_t any)
{
    bool has_begin = bytes > 0 && text[0] == '^';
    bool has_end = bytes > has_begin && text[bytes - 1] == '$' &&
                   (bytes < 2 || text[bytes - 2] != '\\' || (bytes > 2 && text[bytes - 3] == '\\'));
    struct flo_parser p = {
        .syntax = &pattern,
        .begin = text,
        .at = text + has_begin,
        .end = text + bytes - has_end,
        .program = program,
    };

    if (memchr(text, '\0', bytes) != NULL) {
        return false;
    }
    if (!has_begin) {
        flo_program_repeat(program, any, 0, UINT32_MAX);
    }
    flo_parser_choices(&p);
    if (!has_end) {
        flo_program_repeat(program, any, 0, UINT32_MAX);
    }
    return p.rv == 0 && p.at == p.end;
}

/* Builds the program of a marked text with the pattern somewhere in it. */
static bool put_marked(struct flo_program *program, const char *text, size_t bytes)
{
    struct flo_parser p = {
        .syntax = &plain, .begin = text, .at = text, .end = text + bytes, .program = program};
    uint32_t any, back;

    flo_program_init(program);
    any = flo_program_rule(program);
    back = flo_program_begin(program, any);
    flo_program_span(program, 0, 0xff);
    flo_program_end(program, back);
    program->root = flo_program_rule(program);
    back = flo_program_begin(program, program->root);
    flo_program_repeat(program, any, 0, UINT32_MAX);
    flo_parser_choices(&p);
    flo_program_repeat(program, any, 0, UINT32_MAX);
    flo_program_end(program, back);
    return p.rv == 0 && p.at == p.end && flo_program_finish(program, &any) == NULL;
}

int flo_pattern_compile(const char *text, size_t bytes, struct flo_program **out,
                        struct flo_err *err)
{
    struct flo_program *program = malloc(sizeof(*program));

    if (program == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a pattern");
    }
    if (memchr(text, '\0', bytes) != NULL || !put_marked(program, text, bytes)) {
        free(program);
        return flo_fail(err, FLO_E_INFER_SCHEMA,
                        "only literals, classes, groups, | and * + ? {} are built");
    }
    *out = program;
    return 0;
}
