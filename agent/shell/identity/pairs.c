/* Pairs: reads and writes the two places for pairs that pair.h describes. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/shell/identity/pair.h"

#define BYTES_MAX (16u << 10)

int flo_pairs_name(const char *state_dir, struct flo_identity_pairs *out, struct flo_err *err)
{
    static const char *const names[FLO_PAIRS] = {"identity/device-a.pem", "identity/device-b.pem"};

    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < FLO_PAIRS; i++) {
        if (!flo_path_join(out->files[i], sizeof(out->files[i]), state_dir, names[i])) {
            return flo_fail(err, FLO_E_CFG_RANGE, "state_dir is too long");
        }
    }
    return 0;
}

static int read_place(struct flo_identity_pairs *pairs, size_t place, const char *device,
                      struct flo_err *err)
{
    char *data = NULL;
    size_t bytes = 0;
    int rv = flo_secret_read(pairs->files[place], BYTES_MAX, &data, &bytes, err);

    if (rv == 0) {
        rv = flo_pair_read(data, bytes, device, &pairs->list[place], err);
        flo_secret_wipe(data, bytes);
    }
    free(data);
    return rv < 0 && rv != FLO_E_ABSENT ? flo_wrap(err, rv, "%s", pairs->files[place]) : rv;
}

int flo_pairs_open(const char *state_dir, const char *device, struct flo_identity_pairs *out,
                   struct flo_err *err)
{
    struct flo_err whys[FLO_PAIRS] = {{0}};
    int results[FLO_PAIRS];

    FLO_TRY(flo_pairs_name(state_dir, out, err));
    for (size_t i = 0; i < FLO_PAIRS; i++) {
        results[i] = read_place(out, i, device, &whys[i]);
    }
    if (out->list[0].is_there || out->list[1].is_there) {
        return 0;
    }
    size_t told = results[0] == FLO_E_ABSENT ? 1 : 0;
    if (err != NULL) {
        *err = whys[told];
    }
    return results[told];
}

size_t flo_pairs_newest(const struct flo_identity_pairs *pairs)
{
    const struct flo_pair *list = pairs->list;

    return list[1].is_there && (!list[0].is_there || list[1].number > list[0].number);
}

/* ---- writing ---- */

static int write_text(const struct flo_pair *pair, const struct flo_key *key,
                      const char *certificate, struct flo_buf *text, struct flo_err *err)
{
    char pem[FLO_KEY_PEM_MAX];

    FLO_TRY(flo_key_pem(key, pem, err));
    flo_buf_printf(text, FLO_PAIR_HEAD "%llu %llu %llu\n", (unsigned long long)pair->number,
                   (unsigned long long)pair->issued_ms, (unsigned long long)pair->taken_ms);
    flo_buf_text(text, certificate);
    flo_buf_text(text, pem);
    flo_secret_wipe(pem, sizeof(pem));
    return text->failed ? flo_fail(err, FLO_E_MEMORY, "pair") : 0;
}

static int write_place(struct flo_identity_pairs *pairs, size_t place, struct flo_pair pair,
                       const struct flo_key *key, const char *certificate, struct flo_err *err)
{
    struct flo_buf text = {.bytes_max = BYTES_MAX};
    int rv = write_text(&pair, key, certificate, &text, err);

    if (rv == 0) { /* the function that will read the file checks the text before it is written */
        rv = flo_pair_read(text.data, text.bytes, NULL, &pair, err);
    }
    if (rv == 0) {
        rv = flo_file_write(pairs->files[place], text.data, text.bytes, 0600, err);
    }
    if (text.data != NULL) {
        flo_secret_wipe(text.data, text.bytes);
    }
    flo_buf_deinit(&text);
    if (rv == 0) {
        pairs->list[place] = pair;
    }
    return rv;
}

int flo_pairs_write(struct flo_identity_pairs *pairs, size_t in_use, const struct flo_key *key,
                    const char *certificate, uint64_t issued_ms, uint64_t taken_ms, size_t *place,
                    struct flo_err *err)
{
    size_t newest = flo_pairs_newest(pairs);
    struct flo_pair pair = {
        .number = pairs->list[newest].number + 1, .issued_ms = issued_ms, .taken_ms = taken_ms};
    size_t to = in_use == 0 ? 1 : 0;

    if (in_use == FLO_PAIRS) {
        pair.number = 1;
        unlink(pairs->files[1]);
        pairs->list[1] = (struct flo_pair){0};
    }
    FLO_TRY(write_place(pairs, to, pair, key, certificate, err));
    *place = to;
    return 0;
}
