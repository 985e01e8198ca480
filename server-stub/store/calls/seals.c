/* Store: changes of rows, their seals (sealed.def), and the sums of a kind's
 * rows.
 *
 * A row's code is an HMAC-SHA256 over these texts: "flotilla row 1", the fleet,
 * the table, then each sealed field in the order of sealed.def.  Each text
 * follows its length in 8 bytes, little endian.  Numbers are 8 bytes, little
 * endian.  The seal is the hex of the code's first half; a token or user of an
 * older program has the whole code.
 *
 * A kind's sum is the exclusive or of the second halves of its valid rows
 * (MSet-XOR, Clarke et al. 2003).  The second halves and the sum stay in
 * memory, because with them somebody could find rows whose exchange leaves the
 * sum as it is.  The setting `seals` has the number of the newest change, then
 * for each kind an HMAC of the sum; "-" for a kind in doubt. */
#include "server-stub/store/seals.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/keys.h>

#include "base/host/crypto.h"
#include "base/host/digest.h"
#include "server-stub/store/calls/kept.h"

#define ROW "flotilla row 1"
#define SUM "flotilla sum 1"
#define SUMS "seals" /* name of the setting */
#define SUMS_TEXT (24 + FLO_SEALED_KINDS * FLO_FLEET_SEAL_TEXT)
#define PARTS_MAX 16
#define HALF (FLO_DIGEST_BYTES / 2)
#define SEAL_CHARS ((size_t)2 * HALF)

struct sealed {
    const char *word;    /* for people */
    const char *setting; /* NULL: all rows of the table */
    enum flo_table table;
    enum flo_field seal; /* field that holds the seal; fields[0] is the row's key */
    size_t count;
    enum flo_field fields[PARTS_MAX - 3];
};
#define FIELDS(...)                                                                                \
    sizeof((enum flo_field[]){__VA_ARGS__}) / sizeof(enum flo_field),                              \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define SETTING_FIELDS                                                                             \
    FLO_TABLE_SETTING, FLO_FIELD_SETTING_SEAL,                                                     \
        FIELDS(FLO_FIELD_SETTING_NAME, FLO_FIELD_SETTING_VALUE)
/* The kinds, and then the setting with their sums. */
static const struct sealed kinds[FLO_SEALED_KINDS + 1] = {
#define FLO_SEALED(kind, word, table, seal, ...)                                                   \
    [FLO_SEALED_##kind] = {word, NULL, FLO_TABLE_##table, seal, FIELDS(__VA_ARGS__)},
#define FLO_SEALED_SETTING(kind, name) [FLO_SEALED_##kind] = {"setting", name, SETTING_FIELDS},
#define FLO_BARE(table, why)
#include "server-stub/store/sealed.def"
    [FLO_SEALED_KINDS] = {"setting", SUMS, SETTING_FIELDS},
};

/* Finds the kind of a row by its table and, of settings, its key.  NULL: such
 * rows have no seal. */
static const struct sealed *kind_of(enum flo_table table, const char *key)
{
    for (size_t i = 0; i < FLO_COUNT(kinds); i++) {
        if (kinds[i].table == table &&
            (kinds[i].setting == NULL || (key != NULL && strcmp(kinds[i].setting, key) == 0))) {
            return &kinds[i];
        }
    }
    return NULL;
}

static const struct sealed *kind_of_row(const struct flo_row *row)
{
    return kind_of(row->table, flo_row_text(row, (enum flo_field)flo_tables[row->table].first));
}

static const struct sealed *kind_of_changes(enum flo_table table,
                                            const struct flo_field_change *changes, size_t count)
{
    bool has_key = count > 0 && (int)changes[0].field == flo_tables[table].first;

    return kind_of(table, has_key ? changes[0].value.text : NULL);
}

/* ---- HMACs ---- */

struct parts {
    struct flo_hmac_piece pieces[2 * PARTS_MAX];
    uint8_t lengths[PARTS_MAX][8];
    uint8_t numbers[PARTS_MAX][8];
    struct flo_digest digest;
    size_t count; /* parts so far */
};

static void write_number(uint64_t number, uint8_t out[8])
{
    for (int i = 0; i < 8; i++) {
        out[i] = (uint8_t)(number >> 8 * i);
    }
}

static void add(struct parts *parts, const void *data, size_t bytes)
{
    uint8_t *length = parts->lengths[parts->count];

    write_number(bytes, length);
    parts->pieces[2 * parts->count] = (struct flo_hmac_piece){length, 8};
    parts->pieces[2 * parts->count + 1] = (struct flo_hmac_piece){data, bytes};
    parts->count++;
}

static void add_text(struct parts *parts, const char *text)
{
    add(parts, text, strlen(text));
}

static void begin(struct parts *parts, const struct flo_fleet_seals *seals, const char *context,
                  enum flo_table table)
{
    parts->count = 0;
    add_text(parts, context);
    add_text(parts, seals->fleet);
    add_text(parts, flo_tables[table].word);
}

static void add_field(struct parts *parts, const struct flo_row *row, enum flo_field field)
{
    if (flo_field_is_text(field)) {
        add_text(parts, flo_row_text(row, field));
    } else if (flo_fields[field].type == FLO_TYPE_DIGEST) {
        parts->digest = flo_row_digest(row, field); /* a row has at most one digest
                                                       field */
        add(parts, parts->digest.bytes, FLO_DIGEST_BYTES);
    } else {
        uint8_t *number = parts->numbers[parts->count];
        write_number(flo_row_number(row, field), number);
        add(parts, number, 8);
    }
}

static void code_of(const struct flo_fleet_seals *seals, const struct sealed *kind,
                    const struct flo_row *row, struct flo_digest *out)
{
    struct parts parts;

    begin(&parts, seals, ROW, row->table);
    for (size_t i = 0; i < kind->count; i++) {
        add_field(&parts, row, kind->fields[i]);
    }
    flo_hmac_sha256(seals->key, sizeof(seals->key), parts.pieces, 2 * parts.count, out);
}

/* ---- sums ---- */

/* A retired device and a certificate that is not in use are in no sum, because
 * the start does not read them. */
static bool is_counted(const struct flo_row *row)
{
    const char *state =
        row->table == FLO_TABLE_CERTIFICATE ? flo_row_text(row, FLO_FIELD_CERTIFICATE_STATE) : "";

    return row->table == FLO_TABLE_CERTIFICATE
               ? flo_certificate_parse(state) == FLO_CERTIFICATE_HELD ||
                     flo_certificate_parse(state) == FLO_CERTIFICATE_ISSUED
               : row->table != FLO_TABLE_DEVICE || !flo_row_flag(row, FLO_FIELD_DEVICE_RETIRED);
}

static void sum_up(struct flo_digest *sum, const struct flo_row *row, const struct flo_digest *code)
{
    for (size_t i = HALF; i < FLO_DIGEST_BYTES && is_counted(row); i++) {
        sum->bytes[i] ^= code->bytes[i];
    }
}

static void sum_text(const struct flo_fleet_seals *seals, size_t kind, const struct flo_digest *sum,
                     char out[FLO_FLEET_SEAL_TEXT])
{
    static const struct flo_digest none;
    struct parts parts;
    struct flo_digest mac;

    begin(&parts, seals, SUM, kinds[kind].table);
    add(&parts, &(uint8_t){(uint8_t)kind}, 1);
    add(&parts, sum->bytes, FLO_DIGEST_BYTES);
    flo_hmac_sha256(seals->key, sizeof(seals->key), parts.pieces, 2 * parts.count, &mac);
    flo_hex_encode(mac.bytes, FLO_DIGEST_BYTES, out);
    if (flo_digest_equal(sum, &none)) { /* no row has a seal */
        snprintf(out, FLO_FLEET_SEAL_TEXT, "0");
    }
}

int flo_fleet_sums_write(struct flo_fleet_store *store, struct flo_err *err)
{
    struct flo_fleet_seals *seals = &store->seals;
    char text[SUMS_TEXT], one[FLO_FLEET_SEAL_TEXT];

    if (!seals->is_changed || !seals->has_key) {
        return 0;
    }
    int at = snprintf(text, sizeof(text), "%llu", (unsigned long long)++seals->sums.number);
    for (size_t i = 0; i < FLO_SEALED_KINDS; i++) {
        sum_text(seals, i, &seals->sums.of[i], one);
        at += snprintf(text + at, sizeof(text) - (size_t)at, " %s",
                       seals->sums.doubts[i] ? "-" : one);
    }
    seals->is_changed = false;
    return flo_fleet_put(
        store, FLO_TABLE_SETTING,
        CHANGES(set_text(FLO_FIELD_SETTING_NAME, SUMS), set_text(FLO_FIELD_SETTING_VALUE, text)),
        err);
}

void flo_fleet_sums_cancel(struct flo_fleet_store *store)
{
    struct flo_fleet_seals *seals = &store->seals;

    for (size_t i = 0; i < FLO_SEALED_KINDS; i++) {
        seals->sums_before.doubts[i] = seals->sums_before.doubts[i] || seals->sums.doubts[i];
    }
    seals->sums = seals->sums_before;
    seals->is_changed = false;
}

uint64_t flo_fleet_seals_number(const struct flo_fleet_store *store)
{
    return store->seals.sums.number;
}

/* ---- doubts ---- */

/* Notes a row for people.  Each row is noted once, until a caller reads the
 * notes. */
static void tell(struct flo_fleet_seals *seals, const struct sealed *kind, const char *key,
                 const char *why)
{
    char name[48], text[FLO_FLEET_UNSEALED_TEXT];

    flo_text_clean(key, strlen(key), name, sizeof(name));
    snprintf(text, sizeof(text), "%s %s%s", kind->word, name, why);
    for (size_t i = 0; i < seals->count; i++) {
        if (strcmp(seals->met[i], text) == 0) {
            return;
        }
    }
    if (seals->count < FLO_COUNT(seals->met)) {
        memcpy(seals->met[seals->count++], text, sizeof(text));
    }
}

bool flo_fleet_doubts(const struct flo_fleet_store *store, enum flo_sealed_kind kind)
{
    return store->seals.sums.doubts[kind];
}

bool flo_fleet_doubts_rules(const struct flo_fleet_store *store)
{
    const bool *doubts = store->seals.sums.doubts;

    return doubts[FLO_SEALED_RULES] || doubts[FLO_SEALED_GROUP] || doubts[FLO_SEALED_DEVICE];
}

void flo_fleet_doubt(struct flo_fleet_store *store, enum flo_sealed_kind kind, bool is_doubted)
{
    store->seals.sums.doubts[kind] = is_doubted;
    store->seals.is_changed = true;
}

static void doubt_set(struct flo_fleet_store *store, size_t kind)
{
    const char *name = kinds[kind].setting;

    tell(&store->seals, &kinds[kind], name != NULL ? name : "rows",
         name != NULL ? " (the row is gone or old)" : " (some are gone or old)");
    store->seals.sums.doubts[kind] = true;
}

void flo_fleet_sum_compare(struct flo_fleet_store *store, enum flo_sealed_kind kind,
                           const struct flo_digest *sum)
{
    struct flo_fleet_seals *seals = &store->seals;
    char text[FLO_FLEET_SEAL_TEXT];

    if (!seals->has_key || seals->stored[kind][0] == '\0') {
        return;
    }
    sum_text(seals, kind, sum, text);
    if (strcmp(text, seals->stored[kind]) != 0) {
        doubt_set(store, kind);
    }
    seals->sums.of[kind] = *sum;
    seals->stored[kind][0] = '\0'; /* from now on memory knows */
}

bool flo_fleet_seals_were(struct flo_fleet_store *store, uint64_t number)
{
    bool are_old = store->seals.has_key && store->seals.sums.number < number;

    for (size_t i = 0; are_old && i < FLO_SEALED_KINDS; i++) {
        doubt_set(store, i);
        store->seals.sums.number = number;
    }
    return are_old;
}

/* ---- rows ---- */

/* Tells whether a row has the seal of its code. */
static bool is_right(struct flo_fleet_store *store, const struct sealed *kind,
                     const struct flo_row *row, struct flo_digest *code)
{
    const char *is = flo_row_text(row, kind->seal);
    char wanted[FLO_FLEET_SEAL_TEXT];
    size_t chars = strlen(is);

    if (!store->seals.has_key || (chars != SEAL_CHARS && chars != 2 * SEAL_CHARS)) {
        return false;
    }
    code_of(&store->seals, kind, row, code);
    flo_hex_encode(code->bytes, chars / 2, wanted);
    return flo_secret_equal(is, wanted, chars);
}

bool flo_fleet_is_sealed(struct flo_fleet_store *store, const struct flo_row *row,
                         struct flo_digest *sum_or_null)
{
    const struct sealed *kind = kind_of_row(row);
    struct flo_digest code;

    if (kind == NULL) {
        return true;
    }
    if (is_right(store, kind, row, &code)) {
        if (sum_or_null != NULL) {
            sum_up(sum_or_null, row, &code);
        }
        return true;
    }
    tell(&store->seals, kind, flo_row_text(row, kind->fields[0]), "");
    /* A token or user is refused alone.  Without another row a rule could be
     * missing. */
    if (kind > &kinds[FLO_SEALED_PERSON] && kind < &kinds[FLO_SEALED_KINDS]) {
        store->seals.sums.doubts[kind - kinds] = true;
    }
    return false;
}

bool flo_fleet_unsealed(struct flo_fleet_store *store, char out[FLO_FLEET_UNSEALED_TEXT])
{
    struct flo_fleet_seals *seals = &store->seals;

    if (seals->count == 0) {
        return false;
    }
    memcpy(out, seals->met[--seals->count], FLO_FLEET_UNSEALED_TEXT);
    return true;
}

void flo_fleet_seal_with(struct flo_fleet_store *store, const uint8_t key[FLO_DIGEST_BYTES],
                         const char *fleet)
{
    memcpy(store->seals.key, key, sizeof(store->seals.key));
    snprintf(store->seals.fleet, sizeof(store->seals.fleet), "%s", fleet);
    store->seals.has_key = true;
}

/* ---- changes ---- */

static bool needs_seal(const struct flo_fleet_store *store, enum flo_table table,
                       const struct flo_field_change *changes, size_t count)
{
    const struct sealed *kind = kind_of_changes(table, changes, count);
    bool touches = false;

    for (size_t i = 0; kind != NULL && i < count; i++) {
        if (changes[i].field == kind->seal) {
            return false;
        }
        for (size_t k = 0; k < kind->count && !touches; k++) {
            touches = changes[i].field == kind->fields[k];
        }
    }
    return touches && (store->seals.has_key || table != FLO_TABLE_SETTING);
}

static bool has_seals(enum flo_table table)
{
    return kind_of(table, NULL) != NULL;
}

/* Rows that are changed, each by its key. */
struct changing {
    struct flo_fleet_store *store;
    const struct sealed *kind;
    const struct flo_field_change *changes; /* NULL: the rows are removed */
    size_t change_count;
    bool makes; /* a row without a valid seal gets one, too */
    struct changed {
        char key[2 * FLO_NAME_MAX + 1];
        char seal[FLO_FLEET_SEAL_TEXT];
    } * items;
    size_t count, room;
};

static int change_row(void *context, const struct flo_row *row)
{
    struct changing *changing = context;
    const struct sealed *kind = changing->kind;
    struct flo_fleet_seals *seals = &changing->store->seals;
    struct flo_digest unused, code,
        *sum = kind == &kinds[FLO_SEALED_KINDS] ? &unused : &seals->sums.of[kind - kinds];
    struct flo_value values[FLO_TABLE_FIELDS_MAX] = {{0}};
    int first = flo_tables[kind->table].first;
    const struct flo_row now = {.table = kind->table, .values = values};
    bool was_right = row != NULL && is_right(changing->store, kind, row, &code);

    if (!flo_grow(&changing->items, &changing->room, changing->count, sizeof(*changing->items))) {
        return FLO_E_MEMORY;
    }
    struct changed *item = &changing->items[changing->count++];
    if (row != NULL) {
        memcpy(values, row->values,
               (size_t)(flo_tables[kind->table].end - first) * sizeof(*values));
        snprintf(item->key, sizeof(item->key), "%s", flo_row_text(row, kind->fields[0]));
        snprintf(item->seal, sizeof(item->seal), "%s", flo_row_text(row, kind->seal));
    }
    for (size_t i = 0; i < changing->change_count; i++) {
        values[(int)changing->changes[i].field - first] = changing->changes[i].value;
    }
    seals->is_changed = seals->is_changed || sum != &unused;
    if (was_right) {
        sum_up(sum, row, &code);
    }
    if (changing->changes != NULL && (changing->makes || was_right)) {
        code_of(seals, kind, &now, &code);
        flo_hex_encode(code.bytes, HALF, item->seal);
        sum_up(sum, &now, &code);
    }
    return 0;
}

static int put_sealed(struct flo_fleet_store *store, bool is_insert, enum flo_table table,
                      const struct flo_field_change *changes, size_t count, uint64_t *changed,
                      struct flo_err *err)
{
    struct changing changing = {.store = store,
                                .kind = kind_of_changes(table, changes, count),
                                .changes = changes,
                                .change_count = count,
                                .makes = true};
    struct flo_field_change all[FLO_TABLE_FIELDS_MAX];
    struct flo_query query = {.table = table,
                              WHERE(text_is(changes[0].field, changes[0].value.text))};
    bool found = false;

    if (!store->seals.has_key) {
        return flo_fail(err, FLO_E_KEYS_ABSENT, "no key seals a %s", changing.kind->word);
    }
    int rv =
        flo_fleet_find_one(store, query, is_insert ? NULL : change_row, &changing, &found, err);
    *changed = 0;
    if (rv == 0 && !found) {
        rv = change_row(&changing, NULL);
    }
    if (rv == 0 && !(is_insert && found)) {
        memcpy(all, changes, count * sizeof(*changes));
        all[count] = set_text(changing.kind->seal, changing.items[0].seal);
        rv = is_insert
                 ? store->engine->ops->insert(store->engine, table, all, count + 1, changed, err)
                 : store->engine->ops->put(store->engine, table, all, count + 1, err);
    }
    free(changing.items);
    return rv == FLO_E_MEMORY ? flo_fail(err, rv, "seals") : rv;
}

static int update_sealed(struct flo_fleet_store *store, enum flo_table table,
                         const struct flo_field_change *changes, size_t count,
                         const struct flo_match *matches, size_t match_count, uint64_t *changed,
                         struct flo_err *err)
{
    struct changing changing = {
        .store = store, .kind = kind_of(table, NULL), .changes = changes, .change_count = count};
    struct flo_query query = {.table = table, .match_count = match_count};
    struct flo_field_change all[FLO_TABLE_FIELDS_MAX];

    memcpy(query.matches, matches, match_count * sizeof(*matches));
    int rv = flo_fleet_find(store, &query, change_row, &changing, err);
    for (size_t i = 0; i < changing.count && rv == 0 && changes != NULL; i++) {
        memcpy(all, changes, count * sizeof(*changes));
        all[count] = set_text(changing.kind->seal, changing.items[i].seal);
        rv = store->engine->ops->update(
            store->engine, table, all, count + 1,
            MATCHES(text_is(changing.kind->fields[0], changing.items[i].key)), NULL, err);
    }
    if (rv == 0 && changes == NULL && changing.count > 0) {
        rv = store->engine->ops->remove(store->engine, table, matches, match_count, NULL, err);
    }
    if (changed != NULL) {
        *changed = changing.count;
    }
    free(changing.items);
    return rv == FLO_E_MEMORY ? flo_fail(err, rv, "seals") : rv;
}

int flo_fleet_insert(struct flo_fleet_store *store, enum flo_table table,
                     const struct flo_field_change *changes, size_t count, bool *is_new,
                     struct flo_err *err)
{
    uint64_t changed = 0;

    store->statements++;
    store->changes++;
    int rv = needs_seal(store, table, changes, count)
                 ? put_sealed(store, true, table, changes, count, &changed, err)
                 : store->engine->ops->insert(store->engine, table, changes, count, &changed, err);
    if (is_new != NULL) {
        *is_new = rv == 0 && changed > 0;
        return rv;
    }
    FLO_TRY(rv);
    return changed > 0
               ? 0
               : flo_fail(err, FLO_E_STATE, "such a %s is there already", flo_tables[table].word);
}

int flo_fleet_put(struct flo_fleet_store *store, enum flo_table table,
                  const struct flo_field_change *changes, size_t count, struct flo_err *err)
{
    uint64_t changed;

    store->statements++;
    store->changes++;
    return needs_seal(store, table, changes, count)
               ? put_sealed(store, false, table, changes, count, &changed, err)
               : store->engine->ops->put(store->engine, table, changes, count, err);
}

int flo_fleet_update(struct flo_fleet_store *store, enum flo_table table,
                     const struct flo_field_change *changes, size_t count,
                     const struct flo_match *matches, size_t match_count, uint64_t *changed,
                     struct flo_err *err)
{
    store->statements++;
    store->changes++;
    return needs_seal(store, table, changes, count)
               ? update_sealed(store, table, changes, count, matches, match_count, changed, err)
               : store->engine->ops->update(store->engine, table, changes, count, matches,
                                            match_count, changed, err);
}

int flo_fleet_remove(struct flo_fleet_store *store, enum flo_table table,
                     const struct flo_match *matches, size_t match_count, uint64_t *changed,
                     struct flo_err *err)
{
    store->statements++;
    store->changes++;
    return has_seals(table)
               ? update_sealed(store, table, NULL, 0, matches, match_count, changed, err)
               : store->engine->ops->remove(store->engine, table, matches, match_count, changed,
                                            err);
}

/* ---- all rows ---- */

struct looking {
    struct flo_fleet_store *store;
    const struct sealed *kind;
    uint64_t right, wrong;
    struct flo_digest sum;
};

static int look(void *context, const struct flo_row *row)
{
    struct looking *looking = context;

    if (kind_of_row(row) != looking->kind) {
        return 0;
    }
    if (flo_fleet_is_sealed(looking->store, row, &looking->sum)) {
        looking->right++;
    } else {
        looking->wrong++;
    }
    return 0;
}

static struct flo_query rows_of(const struct sealed *kind)
{
    struct flo_query query = {.table = kind->table};

    if (kind->setting != NULL) {
        query.matches[query.match_count++] = text_is(kind->fields[0], kind->setting);
    }
    return query;
}

int flo_fleet_seals_count(struct flo_fleet_store *store, uint64_t *right, uint64_t *wrong,
                          struct flo_err *err)
{
    *right = *wrong = 0;
    for (size_t i = 0; i < FLO_SEALED_KINDS; i++) {
        struct looking looking = {.store = store, .kind = &kinds[i]};
        struct flo_query query = rows_of(&kinds[i]);
        if (i == FLO_SEALED_DEVICE || i == FLO_SEALED_CERTIFICATE) {
            continue; /* many, and checked when they are read */
        }
        FLO_TRY(flo_fleet_find(store, &query, look, &looking, err));
        flo_fleet_sum_compare(store, (enum flo_sealed_kind)i, &looking.sum);
        bool is_right = i == FLO_SEALED_TOKEN || i == FLO_SEALED_PERSON;
        *right += is_right ? looking.right : 0;
        *wrong += is_right ? looking.wrong : 0;
    }
    return 0;
}

static int take_sums(void *context, const struct flo_row *row)
{
    struct flo_fleet_store *store = context;
    const char *text = flo_row_text(row, FLO_FIELD_SETTING_VALUE);
    char *at = NULL;

    if (!flo_fleet_is_sealed(store, row, NULL)) {
        return 0;
    }
    store->seals.sums.number = strtoull(text, &at, 10);
    for (size_t i = 0; i < FLO_SEALED_KINDS && *at == ' '; i++) {
        size_t chars = strcspn(++at, " ");
        snprintf(store->seals.stored[i], FLO_FLEET_SEAL_TEXT, "%.*s", (int)chars, at);
        at += chars;
    }
    return 0;
}

int flo_fleet_seals_open(struct flo_fleet_store *store, uint64_t *right, uint64_t *wrong,
                         struct flo_err *err)
{
    struct flo_query query = rows_of(&kinds[FLO_SEALED_KINDS]);

    for (size_t i = 0; i < FLO_SEALED_KINDS; i++) {
        snprintf(store->seals.stored[i], FLO_FLEET_SEAL_TEXT, "0");
    }
    FLO_TRY(flo_fleet_find(store, &query, take_sums, store, err));
    return flo_fleet_seals_count(store, right, wrong, err);
}

int flo_fleet_seal_all(struct flo_fleet_store *store, bool with_rights, uint64_t *count,
                       struct flo_err *err)
{
    struct flo_fleet_sums *sums = &store->seals.sums;

    if (!store->seals.has_key) {
        return flo_fail(err, FLO_E_KEYS_ABSENT, "no key seals rows");
    }
    *count = 0;
    store->seals.count = 0; /* those noted before get a seal now, or are noted again */
    for (size_t i = 0; i < FLO_SEALED_KINDS; i++) {
        struct changing changing = {.store = store,
                                    .kind = &kinds[i],
                                    .changes = (const struct flo_field_change[]){{0}},
                                    .makes = true};
        struct flo_query query = rows_of(&kinds[i]);
        struct looking looking = {.store = store, .kind = &kinds[i]};
        bool is_right = i == FLO_SEALED_TOKEN || i == FLO_SEALED_PERSON;
        int rv = is_right && !with_rights
                     ? 0
                     : flo_fleet_find(store, &query, change_row, &changing, err);
        for (size_t k = 0; k < changing.count && rv == 0; k++) {
            rv = flo_fleet_update(
                store, kinds[i].table, CHANGES(set_text(kinds[i].seal, changing.items[k].seal)),
                MATCHES(text_is(kinds[i].fields[0], changing.items[k].key)), NULL, err);
        }
        *count += changing.count;
        free(changing.items);
        FLO_TRY(rv);
        sums->doubts[i] = false;
        FLO_TRY(flo_fleet_find(store, &query, look, &looking, err));
        sums->of[i] = looking.sum;
        if (i == FLO_SEALED_DEVICE || i == FLO_SEALED_CERTIFICATE) { /* are read later */
            sum_text(&store->seals, i, &looking.sum, store->seals.stored[i]);
        }
    }
    /* A number that is above each earlier one, whatever the table has. */
    sums->number = sums->number < flo_wall_ms() ? flo_wall_ms() : sums->number;
    store->seals.is_changed = true;
    return 0;
}
