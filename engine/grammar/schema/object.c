/* Object: compiles objects, with members in the schema's order and a limited
 * number of them. */
#include <stdlib.h>
#include <string.h>

#include "engine/grammar/grammar.h"
#include "engine/grammar/schema/schema.h"
#include "engine/token/unicode.h"

#define NAME_BYTES_MAX 60

/* ---- members ---- */

struct member {
    const char *name;
    size_t bytes;
    const struct flo_tree_node *schema; /* NULL: any value */
    bool is_required;
};

struct object {
    struct member *members;
    size_t count;
    bool has_extra; /* members may follow that the schema does not list */
    const struct flo_tree_node *extra;
    uint32_t least, most; /* least and most members; UINT32_MAX: no limit */
};

static void read_members(struct flo_schema *s, const struct flo_tree_node *schema, struct object *o)
{
    const struct flo_tree_node *properties = FLO_GET(s, schema, "properties"), *n;

    for (n = flo_tree_first(properties); n != NULL; n = n->next) {
        o->members[o->count++] = (struct member){n->key, n->key_bytes, n, false};
    }
    for (n = flo_tree_first(FLO_GET(s, schema, "required")); n != NULL; n = n->next) {
        size_t i = 0;

        if (n->kind != FLO_TREE_STRING) {
            flo_schema_refuse(s, "/required", "must be a list of names");
        }
        while (i < o->count && (o->members[i].bytes != n->bytes ||
                                memcmp(o->members[i].name, n->text, n->bytes) != 0)) {
            i++;
        }
        if (i == o->count) {
            o->members[o->count++] = (struct member){n->text, n->bytes, o->extra, true};
        }
        o->members[i].is_required = true;
        if (!o->has_extra && FLO_GET(s, schema, "additionalProperties") != NULL &&
            flo_schema_get(s, properties, n->text, n->bytes) == NULL) {
            flo_schema_refuse(s, "/required", "'%.*s' is not among the properties",
                              flo_schema_cut(n->bytes), n->text);
        }
    }
}

static int by_name(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    size_t least = x->bytes < y->bytes ? x->bytes : y->bytes;
    int order = memcmp(x->name, y->name, least);

    return order != 0 ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* Appends the rest of a name that none of the members has, from byte `at` on.
 * The members are sorted, and share the name's bytes before `at`.  The name has
 * no character that JSON escapes, so members with such a character never
 * collide with it. */
static void put_other_name(struct flo_schema *s, const struct member *members, size_t count,
                           size_t at)
{
    struct flo_program *p = s->program;
    struct flo_code_set set = {.count = 0};
    struct flo_choice choice;
    bool may_end = true;
    size_t same, taken;

    if (p->failed) {
        return;
    }
    if (at > NAME_BYTES_MAX) {
        flo_schema_refuse(s, "/additionalProperties", "beside a name of more than %d bytes",
                          NAME_BYTES_MAX);
        return;
    }
    flo_choice_begin(p, &choice);
    for (; count > 0; members += same, count -= same) {
        const char *rest = members->name + at;

        same = 1;
        if (members->bytes == at) {
            may_end = false;
            continue;
        }
        uint32_t code = flo_utf8_next(rest, members->bytes - at, &taken);
        while (same < count && members[same].bytes >= at + taken &&
               memcmp(members[same].name + at, rest, taken) == 0) {
            same++;
        }
        flo_code_set_add(&set, code, code);
        if (code >= 0x20 && code != '"' && code != '\\' && code != 0x7f) {
            flo_choice_next(p, &choice);
            flo_program_bytes(p, rest, taken);
            put_other_name(s, members, same, at + taken);
        }
    }
    if (may_end) {
        flo_choice_next(p, &choice);
    }
    flo_code_set_add(&set, 0, 0x1f);
    flo_code_set_add(&set, '"', '"');
    flo_code_set_add(&set, '\\', '\\');
    flo_code_set_add(&set, 0x7f, 0x7f);
    flo_code_set_negate(&set);
    if (set.failed) {
        flo_schema_refuse(s, "/additionalProperties",
                          "beside more than %u names that begin otherwise",
                          FLO_CODE_RANGES_MAX - 4);
    }
    flo_choice_next(p, &choice);
    flo_program_class(p, &set);
    flo_program_repeat(p, flo_gbnf_rule(&s->gbnf, "plain"), 0, UINT32_MAX);
    flo_choice_end(p, &choice);
}

/* Lets the node `at` (FLO_NOWHERE: none) lead to a member.  With `words` a
 * separator is in between.  With `without` the member may be skipped. */
static void lead(struct flo_schema *s, uint32_t at, const struct flo_object_words *words,
                 uint32_t member, uint32_t without)
{
    struct flo_program *p = s->program;

    if (at != FLO_NOWHERE) {
        p->at = at;
        if (without != FLO_NOWHERE) {
            flo_program_fork(p, without);
        }
        if (words != NULL) {
            words->between(s, words);
        }
        flo_program_join(p, member);
    }
}

static void json_member(struct flo_schema *s, const struct flo_object_words *words,
                        const struct flo_tree_node *schema, const char *name, size_t bytes)
{
    struct flo_tree_node key = {.kind = FLO_TREE_STRING, .text = name, .bytes = bytes};

    (void)words;
    if (s->mark != NULL) {
        flo_schema_marked_name(s, name, bytes);
    } else {
        flo_schema_literal(s, &key);
        flo_program_text(s->program, ": ");
    }
    flo_schema_call(s, schema, "properties", name, bytes);
}

static void json_between(struct flo_schema *s, const struct flo_object_words *words)
{
    (void)words;
    flo_program_text(s->program, flo_schema_comma(s));
}

/* ---- objects of so many members ---- */

static uint32_t count_required(const struct object *o)
{
    uint32_t required = 0;

    for (size_t i = 0; i < o->count; i++) {
        required += o->members[i].is_required ? 1 : 0;
    }
    return required;
}

/* Builds the rule `"name": value` of member i, or of a member that is not
 * listed. */
static uint32_t member_rule(struct flo_schema *s, struct object *o, size_t i)
{
    struct flo_program *p = s->program;
    uint32_t rule = flo_program_rule(p);
    uint32_t back = flo_program_begin(p, rule);

    if (i < o->count) {
        const struct member *m = &o->members[i];
        json_member(s, NULL, m->schema, m->name, m->bytes);
    } else {
        qsort(o->members, o->count, sizeof(*o->members), by_name);
        flo_program_text(p, "\"");
        put_other_name(s, o->members, o->count, 0);
        flo_program_text(p, "\": ");
        flo_schema_call(s, o->extra, "additionalProperties", "", 0);
    }
    flo_program_end(p, back);
    return rule;
}

/* Nodes while member i is built.  here[n] is the node before member i with n
 * members written, next[n] that before member i + 1.  FLO_NOWHERE means that
 * there is none.  Without a maximum, all numbers above `cap` share one node. */
struct counted {
    const struct object *o;
    uint32_t cap;
    size_t i, required; /* that still come */
    uint32_t *here, *next;
};

static uint32_t one_more(const struct counted *t, uint32_t count)
{
    return count < t->cap ? count + 1 : t->o->most == UINT32_MAX ? t->cap : FLO_NOWHERE;
}

/* Tells whether an object with `count` members can still be completed.  Only
 * one member that is not listed counts, because two could have the same
 * name. */
static bool may_be(const struct counted *t, uint32_t count, size_t left, size_t required)
{
    return count != FLO_NOWHERE && count + left + (t->o->has_extra ? 1 : 0) >= t->o->least &&
           (t->o->most == UINT32_MAX || count + required <= t->o->most);
}

static uint32_t node_of(struct flo_program *p, uint32_t *row, uint32_t count)
{
    if (row[count] == FLO_NOWHERE) {
        row[count] = flo_program_node(p);
    }
    return row[count];
}

static void put_next(struct flo_schema *s, struct counted *t, uint32_t rule, uint32_t count)
{
    const struct member *m = &t->o->members[t->i];
    struct flo_program *p = s->program;
    size_t left = t->o->count - t->i - 1;
    size_t required = t->required - (m->is_required ? 1 : 0);
    uint32_t more = one_more(t, count);
    bool takes = may_be(t, more, left, required);
    bool skips = !m->is_required && may_be(t, count, left, required);

    p->at = t->here[count];
    if (skips && takes) {
        flo_program_fork(p, node_of(p, t->next, count));
    } else if (skips) {
        flo_program_join(p, node_of(p, t->next, count));
    }
    if (takes) {
        flo_program_text(p, count > 0 ? flo_schema_comma(s) : "");
        flo_program_call(p, rule);
        flo_program_join(p, node_of(p, t->next, more));
    }
}

static void put_end(struct flo_schema *s, struct counted *t, uint32_t rule, uint32_t end)
{
    struct flo_program *p = s->program;

    for (uint32_t count = 0; count <= t->cap; count++) {
        uint32_t more = t->o->has_extra ? one_more(t, count) : FLO_NOWHERE;

        if (t->here[count] == FLO_NOWHERE) {
            continue;
        }
        p->at = t->here[count];
        if (more == FLO_NOWHERE) {
            flo_program_join(p, end);
            continue;
        }
        if (count >= t->o->least) {
            flo_program_fork(p, end);
        }
        flo_program_text(p, count > 0 ? flo_schema_comma(s) : "");
        flo_program_call(p, rule);
        flo_program_join(p, node_of(p, t->here, more));
    }
}

static void put_counted(struct flo_schema *s, struct object *o)
{
    struct flo_program *p = s->program;
    struct counted t = {.o = o, .cap = o->most == UINT32_MAX ? o->least : o->most};
    uint32_t *rows;

    t.required = count_required(o);
    rows = malloc(2 * (t.cap + (size_t)1) * sizeof(*rows));
    if (rows == NULL) {
        s->rv = flo_fail(s->err, FLO_E_MEMORY, "an object's counts");
    } else if (!may_be(&t, 0, o->count, t.required)) {
        flo_schema_refuse(s, "/minProperties",
                          o->has_extra ? "more than one member beside those "
                                         "that have names is not supported"
                                       : "more than there may be");
    }
    if (s->rv < 0) {
        free(rows);
        return;
    }
    t.here = rows;
    t.next = rows + t.cap + 1;
    memset(rows, 0xff, 2 * (t.cap + (size_t)1) * sizeof(*rows));
    flo_program_text(p, "{");
    t.here[0] = p->at;
    for (; t.i < o->count && !p->failed && flo_schema_walk(s, t.cap + 1); t.i++) {
        uint32_t rule = member_rule(s, o, t.i);
        uint32_t *before = t.here;
        for (uint32_t count = 0; count <= t.cap; count++) {
            if (t.here[count] != FLO_NOWHERE) {
                put_next(s, &t, rule, count);
            }
        }
        t.required -= o->members[t.i].is_required ? 1 : 0;
        t.here = t.next;
        t.next = before;
        memset(before, 0xff, (t.cap + (size_t)1) * sizeof(*before));
    }
    uint32_t end = flo_program_node(p);
    put_end(s, &t, o->has_extra ? member_rule(s, o, o->count) : 0, end);
    p->at = end;
    flo_program_text(p, "}");
    free(rows);
}

/* ---- objects of any number of members ---- */

/* Builds every member once.  It follows the object's start, or any member
 * before it. */
static void put_object(struct flo_schema *s, struct object *o, const struct flo_object_words *words)
{
    struct flo_program *p = s->program;
    uint32_t none, behind = FLO_NOWHERE, end;

    flo_program_text(p, words->open);
    none = p->at;
    for (size_t i = 0; i < o->count; i++) {
        const struct member *m = &o->members[i];
        uint32_t member = flo_program_node(p), next = flo_program_node(p);
        uint32_t none_yet = m->is_required ? FLO_NOWHERE : flo_program_node(p);

        lead(s, none, NULL, member, none_yet);
        lead(s, behind, words, member, m->is_required ? FLO_NOWHERE : next);
        p->at = member;
        words->member(s, words, m->schema, m->name, m->bytes);
        flo_program_join(p, next);
        none = none_yet;
        behind = next;
    }
    end = flo_program_node(p);
    if (o->has_extra) {
        uint32_t member = flo_program_node(p);

        behind = behind == FLO_NOWHERE ? flo_program_node(p) : behind;
        lead(s, none, NULL, member, end);
        lead(s, behind, words, member, end);
        p->at = member;
        qsort(o->members, o->count, sizeof(*o->members), by_name);
        flo_program_text(p, "\"");
        put_other_name(s, o->members, o->count, 0);
        flo_program_text(p, "\": ");
        flo_schema_call(s, o->extra, "additionalProperties", "", 0);
        flo_program_join(p, behind);
    } else {
        lead(s, none, NULL, end, FLO_NOWHERE);
        lead(s, behind, NULL, end, FLO_NOWHERE);
    }
    p->at = end;
    flo_program_text(p, words->close);
}

#define EXTRA_MAX 256 /* counted other members */

/* Drops limits on the number of members that restrict nothing, because counting
 * enlarges the program. */
static void settle_counts(struct object *o)
{
    uint32_t required = count_required(o);

    o->least = o->least <= required ? 0 : o->least;
    if (o->has_extra && o->most != UINT32_MAX && o->most > EXTRA_MAX) {
        o->most = EXTRA_MAX > o->least ? EXTRA_MAX : o->least;
        o->most = o->most > required ? o->most : required;
    } else if (!o->has_extra && o->most >= o->count) {
        o->most = UINT32_MAX;
    }
}

/* Refuses members that the schema does not list, where names have no quotes. */
static void check_names(struct flo_schema *s, struct object *o)
{
    o->has_extra = o->has_extra && o->extra != NULL;
    if (o->has_extra) {
        flo_schema_refuse(s, "/additionalProperties",
                          "is not supported in the form in which this model "
                          "writes calls");
    }
}

/* Refuses, in the fields of a call, members that the schema does not list, and
 * limits on their number. */
static void check_fields(struct flo_schema *s, struct object *o)
{
    check_names(s, o);
    if (o->least > 0 || o->most != UINT32_MAX) {
        flo_schema_refuse(s, o->least > 0 ? "/minProperties" : "/maxProperties",
                          "is not supported in the form in which this model "
                          "writes calls");
    }
}

void flo_schema_object(struct flo_schema *s, const struct flo_tree_node *schema)
{
    static const struct flo_object_words json = {
        .open = "{",
        .close = "}",
        .member = json_member,
        .between = json_between,
    };

    flo_schema_object_as(s, schema, &json);
}

void flo_schema_object_as(struct flo_schema *s, const struct flo_tree_node *schema,
                          const struct flo_object_words *words)
{
    const struct flo_tree_node *extra = FLO_GET(s, schema, "additionalProperties");
    const struct flo_tree_node *properties = FLO_GET(s, schema, "properties");
    const struct flo_tree_node *required = FLO_GET(s, schema, "required");
    size_t names = flo_schema_count(s, required);
    size_t members = flo_schema_count(s, properties);
    struct object o = {.extra = flo_schema_or_any(extra)};

    if (properties != NULL && properties->kind != FLO_TREE_OBJECT) {
        flo_schema_refuse(s, "/properties", "must be an object");
    } else if (required != NULL && required->kind != FLO_TREE_ARRAY) {
        flo_schema_refuse(s, "/required", "must be a list of names");
    } else if (members > FLO_SCHEMA_ITEMS_MAX) {
        flo_schema_refuse(s, "/properties", "%zu members, at most %u", members,
                          FLO_SCHEMA_ITEMS_MAX);
        /* that is too many, because each name is searched for in the list */
    } else if (names > FLO_SCHEMA_ITEMS_MAX) {
        flo_schema_refuse(s, "/required", "%zu names, at most %u", names, FLO_SCHEMA_ITEMS_MAX);
    }
    o.has_extra = extra == NULL ? properties == NULL : !flo_tree_says(extra, false);
    o.members = calloc(members + names + 1, sizeof(*o.members));
    if (o.members == NULL && s->rv == 0) {
        s->rv = flo_fail(s->err, FLO_E_MEMORY, "%zu properties", members + names);
    }
    if (s->rv == 0) {
        read_members(s, schema, &o);
    }
    if (s->rv == 0) {
        flo_schema_counts(s, schema, "/minProperties", "/maxProperties", &o.least, &o.most);
    }
    if (s->rv == 0) {
        settle_counts(&o);
    }
    if (s->rv == 0 && words->has_fields) {
        check_fields(s, &o);
    } else if (s->rv == 0 && s->mark != NULL) {
        check_names(s, &o);
    }
    if (s->rv == 0 && (o.least > 0 || o.most != UINT32_MAX)) {
        put_counted(s, &o);
    } else if (s->rv == 0) {
        put_object(s, &o, words);
    }
    free(o.members);
}
