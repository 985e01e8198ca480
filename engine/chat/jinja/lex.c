/* Jinja: splits a template into tokens.
 *
 * All whitespace control happens here.  "-" at a tag removes every blank next
 * to the tag.  A block or a comment removes the blanks before it on its line
 * (lstrip_blocks) and one newline after it (trim_blocks); "+" prevents both. */
#include "engine/chat/jinja/interpreter.h"

#include <ctype.h>
#include <stdlib.h>

#include <flotilla/errors/model.h>

struct lexer {
    struct jinja_pool *pool;
    const char *at, *end;
    uint32_t line;
    bool starts_line; /* the part of the template that was read last ended with a newline */
    struct jinja_token *tokens;
    size_t count, capacity;
    int rv;
    struct flo_err *err;
};

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void refuse(struct lexer *lexer, const char *why)
{
    if (lexer->rv == 0) {
        lexer->rv = flo_fail(lexer->err, FLO_E_MODEL_TEMPLATE, "the chat template, line %u: %s",
                             lexer->line, why);
        lexer->at = lexer->end;
    }
}

static void add(struct lexer *lexer, enum jinja_token_kind kind, const char *from, const char *to,
                int64_t number)
{
    if (lexer->count == lexer->capacity) {
        size_t capacity = lexer->capacity == 0 ? 256 : 2 * lexer->capacity;
        struct jinja_token *tokens = flo_jinja_take(lexer->pool, capacity, sizeof(*tokens));
        if (tokens == NULL) {
            refuse(lexer, "it has too many words");
            return;
        }
        if (lexer->count > 0) {
            memcpy(tokens, lexer->tokens, lexer->count * sizeof(*tokens));
        }
        lexer->tokens = tokens;
        lexer->capacity = capacity;
    }
    lexer->tokens[lexer->count++] =
        (struct jinja_token){kind, lexer->line, {from, NULL, (size_t)(to - from)}, number};
}

static void go_to(struct lexer *lexer, const char *to)
{
    for (; lexer->at < to; lexer->at++) {
        lexer->line += *lexer->at == '\n';
    }
}

static bool begins(const struct lexer *lexer, const char *at, const char *word)
{
    size_t bytes = strlen(word);
    return (size_t)(lexer->end - at) >= bytes && memcmp(at, word, bytes) == 0;
}

/* ---- between tags ---- */

static const char *find_tag(const struct lexer *lexer)
{
    for (const char *p = lexer->at; p + 1 < lexer->end; p++) {
        if (*p == '{' && (p[1] == '{' || p[1] == '%' || p[1] == '#')) {
            return p;
        }
    }
    return NULL;
}

static void lex_data(struct lexer *lexer, const char *tag)
{
    const char *from = lexer->at;
    const char *to = tag;
    char sign = tag + 2 < lexer->end ? tag[2] : '\0';
    if (sign == '-') {
        while (to > from && is_blank(to[-1])) {
            to--;
        }
    } else if (sign != '+' && tag[1] != '{') {
        const char *p = to;
        while (p > from && p[-1] != '\n' && is_blank(p[-1])) {
            p--;
        }
        if (p > from ? p[-1] == '\n' : lexer->starts_line) {
            to = p;
        }
    }
    if (to > from) {
        add(lexer, TOKEN_DATA, from, to, 0);
    }
    go_to(lexer, tag + 2);
    if (lexer->at < lexer->end && (sign == '-' || sign == '+')) {
        go_to(lexer, lexer->at + 1);
    }
}

/* Moves behind the end of a tag, and behind the blanks that the tag removes. */
static void leave_tag(struct lexer *lexer, const char *end, char sign, bool takes_newline)
{
    go_to(lexer, end);
    if (sign == '-') {
        while (lexer->at < lexer->end && is_blank(*lexer->at)) {
            go_to(lexer, lexer->at + 1);
        }
    } else if (takes_newline && sign != '+' && lexer->at < lexer->end && *lexer->at == '\n') {
        go_to(lexer, lexer->at + 1);
    }
    lexer->starts_line = lexer->at[-1] == '\n';
}

static void skip_comment(struct lexer *lexer)
{
    const char *end = lexer->at < lexer->end
                          ? memmem(lexer->at, (size_t)(lexer->end - lexer->at), "#}", 2)
                          : NULL;
    if (end == NULL) {
        refuse(lexer, "a comment does not end");
        return;
    }
    leave_tag(lexer, end + 2, end > lexer->at ? end[-1] : '\0', true);
}

/* ---- inside a tag ---- */

static int hex_of(const char *at, int digits)
{
    int value = 0;
    for (int i = 0; i < digits; i++) {
        char c = at[i];
        if (!isxdigit((unsigned char)c)) {
            return -1;
        }
        value = value * 16 + (c <= '9' ? c - '0' : (tolower((unsigned char)c) - 'a') + 10);
    }
    return value;
}

static size_t put_utf8(char *out, uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 63));
        return 2;
    }
    out[0] = (char)(0xe0 | code >> 12);
    out[1] = (char)(0x80 | (code >> 6 & 63));
    out[2] = (char)(0x80 | (code & 63));
    return 3;
}

/* Decodes one escape into `out`.  Returns the position behind the escape. */
static const char *unescape(struct lexer *lexer, const char *at, char *out, size_t *bytes)
{
    static const char letters[] = "ntr\\'\"abfv";
    static const char meant[] = "\n\t\r\\'\"\a\b\f\v";
    const char *hit = strchr(letters, *at);
    if (*at == '\n') {
        return at + 1;
    }
    if (*at != '\0' && hit != NULL) {
        out[(*bytes)++] = meant[hit - letters];
        return at + 1;
    }
    if (*at == 'x' || *at == 'u') {
        int digits = *at == 'x' ? 2 : 4;
        int code = lexer->end - at > digits ? hex_of(at + 1, digits) : -1;
        if (code >= 0 && (code < 0xd800 || code > 0xdfff)) {
            *bytes += put_utf8(out + *bytes, (uint32_t)code);
            return at + 1 + digits;
        }
    }
    if (strchr("01234567NUxu", *at) != NULL) {
        refuse(lexer, "an escape that is not built");
        return at;
    }
    out[(*bytes)++] = '\\';
    out[(*bytes)++] = *at;
    return at + 1;
}

static void lex_string(struct lexer *lexer)
{
    char quote = *lexer->at;
    const char *from = lexer->at + 1, *to = from;
    while (to < lexer->end && *to != quote) {
        to += *to == '\\' ? 2 : 1;
    }
    if (to >= lexer->end) {
        refuse(lexer, "a string does not end");
        return;
    }
    /* The decoded text is never longer than its source. */
    char *out = flo_jinja_take(lexer->pool, (size_t)(to - from) + 1, 1);
    size_t bytes = 0;
    if (out == NULL) {
        refuse(lexer, "its strings are too long");
        return;
    }
    for (const char *p = from; p < to && lexer->rv == 0;) {
        if (*p == '\\') {
            p = unescape(lexer, p + 1, out, &bytes);
        } else {
            out[bytes++] = *p++;
        }
    }
    if (lexer->rv == 0) {
        add(lexer, TOKEN_STRING, out, out + bytes, 0);
        go_to(lexer, to + 1);
    }
}

static void lex_number(struct lexer *lexer)
{
    const char *p = lexer->at;
    int64_t number = 0;
    while (p < lexer->end && isdigit((unsigned char)*p)) {
        if (number > 1000000000000) {
            refuse(lexer, "a number is too large");
            return;
        }
        number = number * 10 + (*p++ - '0');
    }
    if (p < lexer->end && (*p == '_' || isalpha((unsigned char)*p) ||
                           (*p == '.' && p + 1 < lexer->end && isdigit((unsigned char)p[1])))) {
        refuse(lexer, "numbers other than whole ones are not built");
        return;
    }
    add(lexer, TOKEN_NUMBER, lexer->at, p, number);
    go_to(lexer, p);
}

static void lex_name(struct lexer *lexer)
{
    const char *p = lexer->at;
    while (p < lexer->end && (*p == '_' || isalnum((unsigned char)*p))) {
        p++;
    }
    add(lexer, TOKEN_NAME, lexer->at, p, 0);
    go_to(lexer, p);
}

static void lex_operator(struct lexer *lexer, int *depth)
{
    static const char *const two[] = {"//", "**", "==", "!=", "<=", ">="};
    size_t bytes = 1;
    char c = *lexer->at;
    for (size_t i = 0; i < FLO_COUNT(two); i++) {
        if (begins(lexer, lexer->at, two[i])) {
            bytes = 2;
        }
    }
    if (c == '\0' || strchr("+-*/%~[](){}<>=!.:|,", c) == NULL || (c == '!' && bytes == 1)) {
        refuse(lexer, "a sign that is not Jinja's");
        return;
    }
    *depth += (strchr("([{", c) != NULL) - (strchr(")]}", c) != NULL);
    add(lexer, TOKEN_OPERATOR, lexer->at, lexer->at + bytes, 0);
    go_to(lexer, lexer->at + bytes);
}

/* Reads the tokens of a tag, which is {{ }} or {% %}. */
static void lex_tag(struct lexer *lexer, bool is_block)
{
    const char *closing = is_block ? "%}" : "}}";
    int depth = 0;
    add(lexer, is_block ? TOKEN_BLOCK : TOKEN_PRINT, lexer->at, lexer->at, 0);
    while (lexer->rv == 0) {
        while (lexer->at < lexer->end && is_blank(*lexer->at)) {
            go_to(lexer, lexer->at + 1);
        }
        if (lexer->at >= lexer->end) {
            refuse(lexer, "a tag does not end");
            return;
        }
        char c = *lexer->at;
        bool has_sign =
            (c == '-' || (c == '+' && is_block)) && begins(lexer, lexer->at + 1, closing);
        if (depth <= 0 && (has_sign || begins(lexer, lexer->at, closing))) {
            add(lexer, is_block ? TOKEN_BLOCK_END : TOKEN_PRINT_END, lexer->at, lexer->at, 0);
            leave_tag(lexer, lexer->at + 2 + has_sign, has_sign ? c : '\0', is_block);
            return;
        }
        if (c == '"' || c == '\'') {
            lex_string(lexer);
        } else if (isdigit((unsigned char)c)) {
            lex_number(lexer);
        } else if (c == '_' || isalpha((unsigned char)c)) {
            lex_name(lexer);
        } else {
            lex_operator(lexer, &depth);
        }
    }
}

int flo_jinja_lex(struct jinja_pool *pool, const char *source, size_t bytes,
                  struct jinja_token **tokens, struct flo_err *err)
{
    struct lexer lexer = {.pool = pool,
                          .at = source,
                          .end = source + bytes,
                          .line = 1,
                          .starts_line = true,
                          .err = err};
    while (lexer.rv == 0 && lexer.at < lexer.end) {
        const char *tag = find_tag(&lexer);
        if (tag == NULL) {
            add(&lexer, TOKEN_DATA, lexer.at, lexer.end, 0);
            break;
        }
        char kind = tag[1];
        lex_data(&lexer, tag);
        if (kind == '#') {
            skip_comment(&lexer);
        } else {
            lex_tag(&lexer, kind == '%');
        }
    }
    add(&lexer, TOKEN_END, lexer.end, lexer.end, 0);
    *tokens = lexer.tokens;
    return lexer.rv;
}
