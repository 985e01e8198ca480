/* Store: seals of the rows of tokens and people.
 *
 * A seal is the hex of an HMAC-SHA256 over these texts: "flotilla row 1", the
 * fleet, the table, then each sealed field in the order below.  Each text
 * follows its length in 8 bytes, little endian.  Numbers are 8 bytes, little
 * endian. */
#include "server-stub/store/seals.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/keys.h>

#include "base/host/crypto.h"
#include "base/host/digest.h"
#include "server-stub/store/calls/kept.h"

#define CONTEXT "flotilla row 1"
#define PARTS_MAX 16

static const struct sealed {
    const char *word; /* for people */
    enum flo_table table;
    enum flo_field seal; /* field that holds the seal; fields[0] is the row's key */
    size_t count;
    enum flo_field fields[9];
} tables[] = {
    {"token",
     FLO_TABLE_TOKEN,
     FLO_FIELD_TOKEN_SEAL,
     9,
     {FLO_FIELD_TOKEN_ID, FLO_FIELD_TOKEN_KIND, FLO_FIELD_TOKEN_NAME, FLO_FIELD_TOKEN_ROLE,
      FLO_FIELD_TOKEN_GROUP, FLO_FIELD_TOKEN_SECRET, FLO_FIELD_TOKEN_CREATED_AT,
      FLO_FIELD_TOKEN_EXPIRES_AT, FLO_FIELD_TOKEN_PERSON}},
    {"user",
     FLO_TABLE_PERSON,
     FLO_FIELD_PERSON_SEAL,
     4,
     {FLO_FIELD_PERSON_NAME, FLO_FIELD_PERSON_ROLE, FLO_FIELD_PERSON_DISABLED,
      FLO_FIELD_PERSON_CREATED_AT}},
};

static const struct sealed *sealed_of(enum flo_table table)
{
    return &tables[table == FLO_TABLE_TOKEN ? 0 : 1];
}

/* ---- the sum ---- */

struct sum {
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

static void add(struct sum *sum, const void *data, size_t bytes)
{
    uint8_t *length = sum->lengths[sum->count];

    write_number(bytes, length);
    sum->pieces[2 * sum->count] = (struct flo_hmac_piece){length, 8};
    sum->pieces[2 * sum->count + 1] = (struct flo_hmac_piece){data, bytes};
    sum->count++;
}

static void add_text(struct sum *sum, const char *text)
{
    add(sum, text, strlen(text));
}

static void add_field(struct sum *sum, const struct flo_row *row, enum flo_field field)
{
    if (flo_field_is_text(field)) {
        add_text(sum, flo_row_text(row, field));
    } else if (flo_fields[field].type == FLO_TYPE_DIGEST) {
        sum->digest = flo_row_digest(row, field); /* a row has at most one digest
                                                     field */
        add(sum, sum->digest.bytes, FLO_DIGEST_BYTES);
    } else {
        uint8_t *number = sum->numbers[sum->count];
        write_number(flo_row_number(row, field), number);
        add(sum, number, 8);
    }
}

static void seal(const struct flo_fleet_seals *seals, const struct flo_row *row,
                 char out[FLO_FLEET_SEAL_TEXT])
{
    const struct sealed *sealed = sealed_of(row->table);
    struct sum sum = {.count = 0};
    struct flo_digest mac;

    add_text(&sum, CONTEXT);
    add_text(&sum, seals->fleet);
    add_text(&sum, flo_tables[row->table].word);
    for (size_t i = 0; i < sealed->count; i++) {
        add_field(&sum, row, sealed->fields[i]);
    }
    flo_hmac_sha256(seals->key, sizeof(seals->key), sum.pieces, 2 * sum.count, &mac);
    flo_hex_encode(mac.bytes, FLO_DIGEST_BYTES, out);
}

/* ---- rows ---- */

int flo_fleet_seal(struct flo_fleet_store *store, enum flo_table table,
                   const struct flo_field_change *changes, size_t count,
                   char out[FLO_FLEET_SEAL_TEXT], struct flo_err *err)
{
    struct flo_value values[FLO_TABLE_FIELDS_MAX] = {{0}};

    if (!store->seals.has_key) {
        return flo_fail(err, FLO_E_KEYS_ABSENT, "no key seals a %s", sealed_of(table)->word);
    }
    for (size_t i = 0; i < count; i++) {
        values[(int)changes[i].field - flo_tables[table].first] = changes[i].value;
    }
    seal(&store->seals, &(struct flo_row){.table = table, .values = values}, out);
    return 0;
}

/* Notes that a row has no valid seal.  Each row is noted once, until a caller
 * reads the notes. */
static void tell(struct flo_fleet_seals *seals, const struct sealed *sealed,
                 const struct flo_row *row)
{
    char name[80], text[FLO_FLEET_UNSEALED_TEXT];
    const char *key = flo_row_text(row, sealed->fields[0]);

    flo_text_clean(key, strlen(key), name, sizeof(name));
    snprintf(text, sizeof(text), "%s %s", sealed->word, name);
    for (size_t i = 0; i < seals->count; i++) {
        if (strcmp(seals->met[i], text) == 0) {
            return;
        }
    }
    if (seals->count < FLO_COUNT(seals->met)) {
        memcpy(seals->met[seals->count++], text, sizeof(text));
    }
}

bool flo_fleet_is_sealed(struct flo_fleet_store *store, const struct flo_row *row)
{
    const struct sealed *sealed = sealed_of(row->table);
    const char *is = flo_row_text(row, sealed->seal);
    char wanted[FLO_FLEET_SEAL_TEXT] = "";

    if (store->seals.has_key) {
        seal(&store->seals, row, wanted);
    }
    bool is_right = store->seals.has_key && strlen(is) == strlen(wanted) &&
                    flo_secret_equal(is, wanted, strlen(wanted));
    if (!is_right) {
        tell(&store->seals, sealed, row);
    }
    return is_right;
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

/* ---- all rows ---- */

struct looking {
    struct flo_fleet_store *store;
    uint64_t right, wrong;
};

static int look(void *context, const struct flo_row *row)
{
    struct looking *looking = context;

    if (flo_fleet_is_sealed(looking->store, row)) {
        looking->right++;
    } else {
        looking->wrong++;
    }
    return 0;
}

int flo_fleet_seals_count(struct flo_fleet_store *store, uint64_t *right, uint64_t *wrong,
                          struct flo_err *err)
{
    struct looking looking = {.store = store};
    int rv = 0;

    for (size_t i = 0; i < FLO_COUNT(tables) && rv == 0; i++) {
        rv = flo_fleet_find(store, &(struct flo_query){.table = tables[i].table}, look, &looking,
                            err);
    }
    *right = looking.right;
    *wrong = looking.wrong;
    return rv;
}

struct sealing {
    struct flo_fleet_store *store;
    const struct sealed *sealed;
    uint64_t count;
    struct flo_err *err;
};

/* Writes the seal of a row.  The listing continues, because the update changes
 * no field of its query. */
static int seal_row(void *context, const struct flo_row *row)
{
    struct sealing *sealing = context;
    const struct sealed *sealed = sealing->sealed;
    char text[FLO_FLEET_SEAL_TEXT];

    seal(&sealing->store->seals, row, text);
    sealing->count++;
    return flo_fleet_update(
        sealing->store, sealed->table, CHANGES(set_text(sealed->seal, text)),
        MATCHES(text_is(sealed->fields[0], flo_row_text(row, sealed->fields[0]))), NULL,
        sealing->err);
}

int flo_fleet_seal_all(struct flo_fleet_store *store, uint64_t *count, struct flo_err *err)
{
    struct sealing sealing = {.store = store, .err = err};
    int rv = store->seals.has_key ? 0 : flo_fail(err, FLO_E_KEYS_ABSENT, "no key seals rows");

    for (size_t i = 0; i < FLO_COUNT(tables) && rv == 0; i++) {
        sealing.sealed = &tables[i];
        rv = flo_fleet_find(store, &(struct flo_query){.table = tables[i].table}, seal_row,
                            &sealing, err);
    }
    /* All rows have valid seals now, so none of those noted before counts. */
    store->seals.count = 0;
    *count = sealing.count;
    return rv;
}
