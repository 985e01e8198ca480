/* Selectors: which devices a person means.  Pure.
 *
 *   hw=rpi5 and site in (lyon,nantes) and not lab and last_seen<10m
 *
 *   any    := all { "or" all }
 *   all    := one { ("and" | ",") one }
 *   one    := ("not" | "!") one | "(" any ")" | term
 *   term   := name | name operator value | name ["not"] "in" "(" value {","
 * value} ")"
 *
 * Operators are = == != < <= > >=.  A name is a field of fields.def, a label's
 * key, `label.KEY` or `release.MODEL`; alone it asks whether that is there.  A
 * value with blanks or signs stands in quotes.  Texts are ordered as people
 * count (flo_natural_compare).
 *
 * A device that does not say a value is in no comparison with it.  `!=` and
 * `not in` are the opposites of `=` and `in`, so it is in those. */
#ifndef FLOTILLA_SERVER_SELECT_H
#define FLOTILLA_SERVER_SELECT_H

#include <flotilla/base.h>

#define FLO_SELECTOR_TEXT_MAX 1024
#define FLO_SELECTOR_TERMS_MAX 64
#define FLO_SELECTOR_VALUES_MAX 256
#define FLO_SELECTOR_DEPTH_MAX 24

enum flo_select_field {
#define FLO_SELECT_FIELD(name, word, kind, unit, changes, meaning) FLO_SELECT_##name,
#include "server-stub/core/select/fields.def"
#undef FLO_SELECT_FIELD
    FLO_SELECT_FIELDS,
    FLO_SELECT_LABEL = FLO_SELECT_FIELDS, /* the label of a key */
    /* Version of a model's serving release. */
    FLO_SELECT_VERSION
};

/* A value of one device.  Zeros (NAN for numbers): it does not say. */
union flo_select_value {
    const char *text;        /* TEXT */
    const char *const *list; /* LIST: ends with NULL */
    double number;           /* NUMBER */
    uint64_t at_ms;          /* AGE: wall clock; 0: never */
    bool flag;               /* FLAG */
};
struct flo_select_label {
    const char *key;
    const char *value;
};
struct flo_select_device {
    union flo_select_value values[FLO_SELECT_FIELDS];
    const struct flo_select_label *labels; /* ends with key NULL; or NULL */
    const char *zone;                      /* zone of its profile; NULL: none */
    bool has_reported;
};
/* The value of a label; "": it has none. */
const char *flo_select_label_value(const struct flo_select_device *device, const char *key);
/* Nothing is said yet. */
void flo_select_device_init(struct flo_select_device *device);

/* A field, a label or a version, as a selector or an order of devices names
 * it. */
struct flo_select_name {
    uint8_t field;              /* enum flo_select_field */
    char key[FLO_NAME_MAX + 1]; /* LABEL: its key; VERSION: the model */
};

/* Does this name stand for words: a label, a text or a list of them? */
bool flo_select_has_texts(const struct flo_select_name *name);
/* The i-th word of a device under such a name, or NULL after the last. */
const char *flo_select_text_of(const struct flo_select_name *name,
                               const struct flo_select_device *device, size_t i);

struct flo_select_term {
    struct flo_select_name name;
    uint8_t how;          /* enum flo_select_how, tokens.h */
    uint16_t value_first; /* place in `values` and `numbers` */
    uint16_t value_count;
};

/* As it was parsed; plain data, larger than a stack frame should hold
 * often. */
struct flo_selector {
    char pool[2 * FLO_SELECTOR_TEXT_MAX];     /* texts of the values */
    uint16_t values[FLO_SELECTOR_VALUES_MAX]; /* places in `pool` */
    double numbers[FLO_SELECTOR_VALUES_MAX];  /* values of NUMBER and AGE */
    struct flo_select_term terms[FLO_SELECTOR_TERMS_MAX];
    uint8_t code[4 * FLO_SELECTOR_TERMS_MAX]; /* postfix */
    uint16_t code_count;
    uint16_t term_count;
    uint16_t value_count;
    uint16_t pool_bytes;
};

/* Does some device have a label of this key? */
typedef bool (*flo_select_has_label_fn)(void *context, const char *key);
struct flo_select_known {
    flo_select_has_label_fn has_label;
    void *context;
};

/* FLO_E_REST_SELECTOR names the column (from 1) and the nearest word that is
 * known.  Without `known_or_null` a label of any key is taken.  *out is written
 * only on success. */
FLO_MUST_USE int flo_selector_parse(const char *text, const struct flo_select_known *known_or_null,
                                    struct flo_selector *out, struct flo_err *err);
bool flo_selector_matches(const struct flo_selector *selector,
                          const struct flo_select_device *device, uint64_t now_ms);
/* The word of the first field that changes by itself, or NULL. */
const char *flo_selector_moving(const struct flo_selector *selector);
/* Does the label of this key decide? */
bool flo_selector_reads_label(const struct flo_selector *selector, const char *key);
/* The i-th text that the selector compares this field with, or NULL after the
 * last. */
const char *flo_selector_value(const struct flo_selector *selector, enum flo_select_field field,
                               size_t i);

/* One name, for an order of devices; the same errors. */
FLO_MUST_USE int flo_select_name_parse(const char *text, const struct flo_select_known *known,
                                       struct flo_select_name *out, struct flo_err *err);
/* <0, 0, >0; a device that does not say it comes last. */
int flo_select_compare(const struct flo_select_name *name, const struct flo_select_device *a,
                       const struct flo_select_device *b);

#endif
