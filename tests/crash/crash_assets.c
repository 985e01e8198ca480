/* crash_assets STATE_DIR FOLDER N: a device whose model shows release N, the
 * older trees of which it sweeps, as at the agent's start. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/updater.h>

#include "base/host/digest.h"

static int put(struct flo_store *store, const char *name, const char *text,
               struct flo_asset_list *list, struct flo_err *err)
{
    struct flo_asset *asset = &list->files[list->count++];
    int fd = -1;

    flo_sha256(text, strlen(text), &asset->digest);
    asset->bytes = strlen(text);
    snprintf(asset->name, sizeof(asset->name), "%s", name);
    if (flo_store_blob_has(store, &asset->digest, asset->bytes)) {
        return 0;
    }
    FLO_TRY(flo_store_blob_create(store, asset->bytes, &fd, err));
    int rv = flo_fd_write_all(fd, text, strlen(text), err);
    rv = rv == 0 ? flo_store_blob_publish(store, fd, &asset->digest, err) : rv;
    close(fd);
    return rv;
}

static int show(struct flo_store *store, const char *path, const char *number, struct flo_err *err)
{
    static struct flo_asset_list list;
    char text[64];
    int folder = -1;

    snprintf(text, sizeof(text), "answers of %s", number);
    FLO_TRY(put(store, "texts/faq.txt", text, &list, err));
    FLO_TRY(put(store, "prompts/de/greet.txt", "Hallo", &list, err));
    FLO_TRY(put(store, "number", number, &list, err));
    FLO_TRY(flo_store_assets_open(path, &folder, err));
    int rv = flo_store_assets_show(store, folder, "tiny", &list, err);
    if (rv == 0) {
        flo_store_assets_sweep(folder, (const char[1][FLO_NAME_MAX + 1]){"tiny"}, 1);
    }
    close(folder);
    return rv;
}

int main(int argc, char **argv)
{
    struct flo_err err = {0};
    struct flo_store *store = NULL;

    if (argc != 4) {
        return 2;
    }
    int rv = flo_store_open(argv[1], true, &store, &err);
    rv = rv == 0 ? show(store, argv[2], argv[3], &err) : rv;
    flo_store_close(store);
    if (rv < 0) {
        fprintf(stderr, "%s: %s\n", flo_error_id(err.code), err.what);
        return 1;
    }
    printf("%s\n", argv[3]);
    return 0;
}
